// The HTTP side over operations that only record what reaches them, for what no real operation can be made to do:
// break in the middle of a stream, be overloaded, throw a bug.

import { env } from "cloudflare:test";
import { createRegistry } from "../../src/agents/registry.ts";
import type { AppDeps } from "../../src/app.ts";
import { createApp } from "../../src/app.ts";
import { createAuthentication } from "../../src/auth/authenticate.ts";
import { type Config, loadConfig } from "../../src/config.ts";
import { toJsonBytes } from "../../src/lib/bytes.ts";
import type { Answer, Call } from "../../src/operations/index.ts";
import type { OperationName } from "../../src/protocol/operations.ts";

export type Recorded = Call & { name: OperationName };

export const ORIGIN = "https://agents.test";

export function createRecordingApp(overrides: Partial<AppDeps> & { settings?: Partial<Config> } = {}) {
  const { settings, ...deps } = overrides;
  const loaded = loadConfig(env);
  if (!loaded.ok) throw new Error(loaded.error.join("; "));
  const config = { ...loaded.value, ...settings };
  const agents = createRegistry(config);
  if (!agents.ok) throw new Error(agents.error);
  const calls: Recorded[] = [];
  const app = createApp({
    config,
    agents: agents.value,
    authenticate: async () => ({
      ok: true,
      value: {
        ...{ owner: "tester", actor: "tester", scopes: "all", adminScopes: new Set() },
        basis: { kind: "open", expiresAt: null },
      },
    }),
    sessions: createAuthentication({ config, db: env.DB }).sessions,
    execute: async (name, call): Promise<Answer> => {
      calls.push({ name, ...call });
      return { kind: "value", json: toJsonBytes({ done: true }) };
    },
    checkReady: async () => ({ homes: "ok" }),
    signCard: async (card) => card,
    requireOperator: async () => ({ actor: "tester", adminScopes: new Set() }),
    jwks: { keys: [] },
    metrics: async () => "",
    admin: async () => new Response(null, { status: 404 }),
    now: () => 1_700_000_000_500,
    ...deps,
  });
  return {
    calls,
    send: async (request: Request) => app.fetch(request),
    fetch: async (path: string, init?: RequestInit) => app.fetch(new Request(`${ORIGIN}${path}`, init)),
  };
}

export const JSON_TYPE = { "content-type": "application/json" };

/** A JSON-RPC request as an init of fetch. */
export function rpc(method: string, params?: unknown, headers: Record<string, string> = {}): RequestInit {
  return {
    method: "POST",
    headers: { ...JSON_TYPE, ...headers },
    body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, ...(params !== undefined && { params }) }),
  };
}

/** An HTTP+JSON request with a body as an init of fetch. */
export function post(body: unknown, headers: Record<string, string> = {}): RequestInit {
  return { method: "POST", headers: { ...JSON_TYPE, ...headers }, body: JSON.stringify(body) };
}

export const hello = { message: { messageId: "m-1", role: "ROLE_USER", parts: [{ text: "hello" }] } };

/** A stream of these chunks; with `error`, one that breaks after them. */
export function linesOf(chunks: string[], error?: Error): ReadableStream<Uint8Array> {
  const left = chunks.map((chunk) => new TextEncoder().encode(chunk));
  return new ReadableStream({
    pull: (controller) => {
      const chunk = left.shift();
      if (chunk) controller.enqueue(chunk);
      else if (error) controller.error(error);
      else controller.close();
    },
  });
}
