// What the JSON-RPC and the HTTP+JSON binding have in common around an operation: what they need, the service
// parameters (§3.2.6) they read from headers, the agent a request is for, and the headers of every answer.

import type { Agent } from "../agents/agent.ts";
import type { Registry } from "../agents/registry.ts";
import type { Authenticate } from "../auth/authenticate.ts";
import { requireScope } from "../auth/authorize.ts";
import type { Caller } from "../auth/caller.ts";
import type { Config } from "../config.ts";
import { type JsonBytes, toJsonBytes } from "../lib/bytes.ts";
import type { Answer, Call } from "../operations/index.ts";
import { orThrow } from "../operations/or-throw.ts";
import { APPROVALS_EXTENSION } from "../protocol/approvals.ts";
import { A2AError } from "../protocol/errors.ts";
import { type OperationName, operations } from "../protocol/operations.ts";
import { parseParams } from "../protocol/parse.ts";
import { WEBHOOKS_EXTENSION } from "../protocol/push-options.ts";
import type { Schema } from "../protocol/schema.ts";
import { parseExtensions, requestedVersion, type Version } from "../protocol/version.ts";
import type { Dialect, Reading } from "./dialect.ts";

export type Deps = {
  config: Config;
  agents: Registry;
  authenticate: Authenticate;
  execute(name: OperationName, call: Call): Promise<Answer>;
};

/** The caller of a request. Asked before its body is read, so that a stranger costs no more than headers. */
export async function requireCaller(deps: Deps, request: Request): Promise<Caller> {
  return orThrow(await deps.authenticate(request));
}

/**
 * Throws when the caller of a stream may not have it any more: its credential or its session has ended, or lost the
 * scope. When that cannot be found out now, it is when it is asked again: a database that is away for a moment would
 * otherwise end all streams at once.
 */
export async function recheckCaller(deps: Deps, request: Request, name: OperationName): Promise<void> {
  let caller: Awaited<ReturnType<Authenticate>>;
  try {
    caller = await deps.authenticate(request, true);
  } catch {
    return;
  }
  // The database cannot be asked, or its issuer's keys cannot be had.
  if (!caller.ok && caller.error.reason !== "UNAUTHENTICATED") return;
  requireScope(orThrow(caller), operations[name].scope);
}

/** The header that names a version (§3.6.1). */
export const VERSION = "a2a-version";

/** The version that a request names in its header or query (§3.6.2), if it is one that is served. */
export function readVersion<V extends Version>(request: Request, served: readonly V[]): V | undefined {
  const header = request.headers.get(VERSION) ?? undefined;
  return orThrow(requestedVersion(header, versionQuery(request.url), served));
}

function versionQuery(url: string): string | undefined {
  const start = url.indexOf("?");
  // Most requests have no query; parsing one costs more than the rest of this function.
  if (start === -1) return undefined;
  for (const [name, value] of new URLSearchParams(url.slice(start))) {
    if (name.toLowerCase() === VERSION) return value;
  }
  return undefined;
}

export type ServiceParameters = Pick<Call, "extensions" | "idempotencyKey" | "lastEventId">;

/** The service parameters of a call, with the required extensions checked (§3.3.4). */
export function readServiceParameters(
  headers: Headers,
  config: Config,
  { agent, name, dialect }: { agent: Agent; name: OperationName; dialect: Pick<Dialect, "extensionsHeader"> },
): ServiceParameters {
  const declared = parseExtensions(headers.get(dialect.extensionsHeader) ?? undefined);
  const missing = config.requiredExtensions.filter((uri) => !declared.includes(uri));
  if (missing.length > 0) {
    throw new A2AError("EXTENSION_SUPPORT_REQUIRED", {
      message: `The header ${dialect.extensionsHeader} must name ${missing.join(", ")}`,
      metadata: { extensions: missing.join(",") },
    });
  }
  const parameters: ServiceParameters = {
    extensions: declared.filter((uri) => isServed(uri, agent, config)),
  };
  const isSend = name === "SendMessage" || name === "SendStreamingMessage";
  const key = isSend ? headers.get("idempotency-key") : null;
  if (key !== null) {
    parameters.idempotencyKey = checkHeader(
      "Idempotency-Key",
      key,
      /^[\x21-\x7e]{1,255}$/,
      "1 to 255 visible ASCII characters",
    );
  }
  // An EventSource that has seen no event yet may send it empty.
  const lastEventId = operations[name].streaming ? headers.get("last-event-id") : null;
  if (lastEventId !== null && lastEventId !== "") {
    parameters.lastEventId = checkHeader(
      "Last-Event-ID",
      lastEventId,
      /^\d{1,16}$/,
      "the id of an event, 1 to 16 digits",
    );
  }
  return parameters;
}

/** Whether the agent's card declares an extension: others are ignored (§3.2.6). */
function isServed(uri: string, agent: Agent, config: Config): boolean {
  if (uri === WEBHOOKS_EXTENSION && config.pushNotifications) return true;
  if (uri === APPROVALS_EXTENSION && agent.approvals.length > 0) return true;
  return config.requiredExtensions.includes(uri);
}

function checkHeader(field: string, value: string, form: RegExp, description: string): string {
  if (form.test(value)) return value;
  throw new A2AError("INVALID_PARAMS", {
    message: `The header ${field} must be ${description}`,
    violations: [{ field, description: `must be ${description}` }],
  });
}

/** The params of a call as a schema reads them. */
export function readParams<T>(schema: Schema<T>, raw: unknown, config: Config): T {
  return orThrow(parseParams(schema, raw, { maxParts: config.maxParts, maxDepth: config.maxJsonDepth }));
}

/** The agent that a path names, or undefined for the root. */
export function agentAtPath(agents: Registry, name: string | undefined): Agent | undefined {
  if (name === undefined) return undefined;
  const agent = agents.get(name);
  if (!agent) throw new A2AError("NOT_FOUND", { message: "There is no agent at this path" });
  return agent;
}

/**
 * The agent a call is for. An agent's name is its tenant: at the root `tenant` picks it, under an agent's path it
 * may only repeat the path. Letting the path win in silence would answer with another agent than was asked for.
 */
export function chooseAgent(agents: Registry, atPath: Agent | undefined, tenant: string | undefined): Agent {
  if (tenant === undefined || tenant === "") return atPath ?? agents.default;
  if (atPath === undefined) {
    const agent = agents.get(tenant);
    if (agent) return agent;
    throw invalidTenant("no agent has this name");
  }
  if (atPath.name !== tenant) throw invalidTenant(`the path names the agent ${atPath.name}`);
  return atPath;
}

function invalidTenant(description: string): A2AError {
  return new A2AError("INVALID_PARAMS", { violations: [{ field: "tenant", description }] });
}

/** The address of this server as clients know it, without trailing slash. */
export function baseUrl(config: Config, request: Request): string {
  return config.publicUrl === "" ? new URL(request.url).origin : config.publicUrl;
}

/** The host names of this server that a request shows: the one it came to, and the one it should have come to. */
export function ownHosts(config: Config, request: Request): string[] {
  const urls = config.publicUrl === "" ? [request.url] : [request.url, config.publicUrl];
  return urls.map((url) => new URL(url).hostname);
}

/** A call as its binding has read it. */
export type Asked = {
  request: Request;
  caller: Caller;
  /** The agent that the path names. */
  atPath: Agent | undefined;
  dialect: Dialect;
  reading: Reading;
};

export type Performed = {
  answer: Answer;
  headers: Record<string, string>;
};

/** Has the core do what was asked, and says the outcome in the dialect; events are left for the stream to write. */
export async function perform(deps: Deps, asked: Asked): Promise<Performed> {
  const { request, caller, atPath, dialect, reading } = asked;
  const { config, agents } = deps;
  const { operation, params, write, explain, choosesTask } = reading;
  const agent = chooseAgent(agents, atPath, params.tenant);
  const service = readServiceParameters(request.headers, config, { agent, name: operation, dialect });
  const call: Call = {
    caller,
    agent,
    version: dialect.version,
    params,
    ...(choosesTask && { choosesTask }),
    ...service,
    get baseUrl() {
      return baseUrl(config, request);
    },
    get ownHosts() {
      return ownHosts(config, request);
    },
  };
  const headers = answerHeaders(service.extensions, dialect);
  try {
    const answer = await deps.execute(operation, call);
    if (answer.kind === "stream" || write === undefined) return { answer, headers };
    return { answer: { kind: "value", json: rewrite(answer.json, write) }, headers };
  } catch (thrown) {
    if (explain === undefined || !(thrown instanceof A2AError)) throw thrown;
    throw A2AError.from(explain(thrown.failure));
  }
}

const decoder = new TextDecoder();

function rewrite(json: JsonBytes, write: NonNullable<Reading["write"]>): JsonBytes {
  return toJsonBytes(write(JSON.parse(decoder.decode(json)) as never));
}

/** Headers of every answer of an operation: its version, and which extensions were activated (§3.2.6). */
export function answerHeaders(
  extensions: readonly string[],
  { version, extensionsHeader }: Pick<Dialect, "version" | "extensionsHeader">,
): Record<string, string> {
  const headers: Record<string, string> = {
    "a2a-version": version,
    // One caller's tasks: no shared cache may keep them.
    "cache-control": "no-store",
  };
  if (extensions.length > 0) headers[extensionsHeader] = extensions.join(", ");
  return headers;
}
