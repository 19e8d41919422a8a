// The HTTP+JSON binding (§11): a path and a verb are an operation, the answer is its result and nothing around.

import type { Config } from "../../config.ts";
import type { JsonBytes } from "../../lib/bytes.ts";
import { orThrow } from "../../operations/or-throw.ts";
import { A2AError, type Failure } from "../../protocol/errors.ts";
import { parseJson } from "../../protocol/json.ts";
import type { OperationName } from "../../protocol/operations.ts";
import { versionNotSupported } from "../../protocol/version.ts";
import { readBody } from "../body.ts";
import { agentAtPath, answerHeaders, type Deps, perform, readVersion, requireCaller } from "../call.ts";
import { current, type Dialect, servedVersions } from "../dialect.ts";
import { failureHeaders, toFailure } from "../failure.ts";
import { sseHeaders, toEventStream } from "../sse.ts";
import { toErrorBody } from "./errors.ts";
import { fromBody, fromQuery, withVariables } from "./params.ts";
import type { Match } from "./routes.ts";

export type RestRequest = { request: Request; match: Match; name: OperationName; requestId: string };

export async function handleRest(
  deps: Deps,
  { request, match, name, requestId }: RestRequest,
): Promise<Response> {
  const { config, agents } = deps;
  try {
    const atPath = agentAtPath(agents, match.tenant);
    const caller = await requireCaller(deps, request);
    requireDialect(request, current, config);
    const raw =
      request.method === "POST"
        ? await readJsonBody(deps, request)
        : fromQuery(new URL(request.url).searchParams);
    const method = current.methods.get(name);
    if (method === undefined) throw new A2AError("METHOD_NOT_FOUND");
    const reading = method.read(withVariables(raw, match.variables), config);
    const asked = { request, caller, atPath, dialect: current, reading };
    const { answer, headers } = await perform(deps, asked);
    if (answer.kind === "value") return toResponse(request, answer.json, 200, headers);
    const stream = toEventStream({
      lines: answer.lines,
      release: answer.release,
      envelope: { prefix: "", suffix: "", error: toErrorBody },
      heartbeatMs: config.heartbeatMs,
      toFailure: (cause) => toFailure(cause, requestId),
    });
    return new Response(stream, { headers: { ...headers, ...sseHeaders } });
  } catch (thrown) {
    return failed(request, toFailure(thrown, requestId));
  }
}

/** A path is of one version: another that is asked for has none like it. */
function requireDialect(request: Request, { version }: Dialect, config: Config): void {
  const served = servedVersions(config);
  const requested = readVersion(request, served) ?? version;
  if (!served.includes(version)) throw A2AError.from(versionNotSupported(version, served));
  if (requested === version) return;
  throw new A2AError("METHOD_NOT_FOUND", { message: `A2A ${requested} has no such path` });
}

/** A failure in the form of this binding, which is also that of paths that are nobody's. */
export function failed(request: Request, failure: Failure): Response {
  const body = toErrorBody(failure);
  return toJson(request, body, body.error.code, {
    ...answerHeaders([], current),
    ...failureHeaders(failure),
  });
}

/** `:cancel` and `:subscribe` come without a body, which is an empty one. */
async function readJsonBody({ config }: Deps, request: Request): Promise<Record<string, unknown>> {
  const text = await readBody(request, config);
  return text === "" ? {} : fromBody(orThrow(parseJson(text, config.maxJsonDepth)));
}

export function toJson(
  request: Request,
  body: unknown,
  status: number,
  headers: Record<string, string>,
): Response {
  return toResponse(request, JSON.stringify(body), status, headers);
}

function toResponse(
  request: Request,
  body: string | JsonBytes,
  status: number,
  headers: Record<string, string>,
): Response {
  return new Response(body, {
    status,
    headers: { ...headers, "content-type": mediaTypeFor(request.headers.get("accept")) },
  });
}

const A2A_JSON = "application/a2a+json";

/** application/a2a+json (§11.1), unless the client names application/json and not it. */
function mediaTypeFor(accept: string | null): string {
  if (accept === null) return A2A_JSON;
  const types = accept.toLowerCase();
  return types.includes("application/json") && !types.includes(A2A_JSON) ? "application/json" : A2A_JSON;
}
