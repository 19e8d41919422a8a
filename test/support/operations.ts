// The operations without a transport around them, on the real homes, for what a deployment cannot be told from
// outside: how many shards there are, what the time is, how a home fails.

import { env } from "cloudflare:test";
import type { Agent } from "../../src/agents/agent.ts";
import { createRegistry } from "../../src/agents/registry.ts";
import { type Config, loadConfig } from "../../src/config.ts";
import { parseKeyRing } from "../../src/keys/ring.ts";
import { parseSigningKeys } from "../../src/keys/signing-keys.ts";
import { createCardSigner } from "../../src/operations/card-signatures.ts";
import { type Answer, type Call, type Deps, execute } from "../../src/operations/index.ts";
import { A2AError, type Failure } from "../../src/protocol/errors.ts";
import { type OperationName, operations } from "../../src/protocol/operations.ts";
import { parseParams } from "../../src/protocol/parse.ts";
import type { Schema } from "../../src/protocol/schema.ts";

export type Setting = Partial<Deps> & { settings?: Partial<Config>; owner?: string; agent?: string };

export type Operations = ReturnType<typeof createOperations>;

/** The settings of this test run, with some replaced. */
export function configWith(settings: Partial<Config> = {}): Config {
  const loaded = loadConfig(env);
  if (!loaded.ok) throw new Error(loaded.error.join("; "));
  return { ...loaded.value, ...settings };
}

/** What operations need of the keys of this test run; every receiver passes the challenge. */
export function keyDeps(config: Config): Pick<Deps, "ring" | "challenge" | "signCard"> {
  const ring = parseKeyRing(config.encryptionKeys);
  if (!ring.ok) throw new Error(ring.error);
  const keys = parseSigningKeys(config.signingKeys);
  if (!keys.ok) throw new Error(keys.error);
  const signCard = createCardSigner(keys.value, config);
  return { ring: ring.value, challenge: async () => true, signCard };
}

export function agentNamed(name: string): Agent {
  const registry = createRegistry({ environment: "development", defaultAgent: "echo" });
  const agent = registry.ok ? registry.value.get(name) : undefined;
  if (!agent) throw new Error(`there is no agent ${name}`);
  return agent;
}

/** One caller's operations; what they throw is an A2AError, or a bug. */
export function createOperations(setting: Setting = {}) {
  const { settings, owner = crypto.randomUUID(), agent = "conformance", ...deps } = setting;
  const config = configWith(settings);
  const all: Deps = { ...keyDeps(config), config, homes: env.HOMES, now: Date.now, ...deps };

  const common: Omit<Call, "params"> = {
    caller: { owner, actor: owner, scopes: "all", adminScopes: new Set() },
    agent: agentNamed(agent),
    version: "1.0",
    baseUrl: "https://agents.test",
    ownHosts: ["agents.test"],
    extensions: [],
  };
  const run = (name: OperationName, params: unknown, call: Partial<Call> = {}): Promise<Answer> => {
    const schema: Schema<unknown> = operations[name].params;
    const parsed = parseParams(schema, params);
    if (!parsed.ok) throw A2AError.from(parsed.error);
    return execute(all, name, { ...common, params: parsed.value, ...call });
  };

  return {
    owner,
    deps: all,
    /** All of a call but its params. */
    call: common,
    run,
    async value<T>(name: OperationName, params: unknown, call?: Partial<Call>): Promise<T> {
      const answer = await run(name, params, call);
      if (answer.kind !== "value") throw new Error(`${name} answered with a stream`);
      return JSON.parse(new TextDecoder().decode(answer.json)) as T;
    },
    /** The failure that an operation ends in. */
    async failure(name: OperationName, params: unknown, call?: Partial<Call>): Promise<Failure> {
      try {
        await run(name, params, call);
      } catch (error) {
        if (error instanceof A2AError) return error.failure;
        throw error;
      }
      throw new Error(`${name} did not fail`);
    },
  };
}
