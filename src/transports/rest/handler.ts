// The HTTP+JSON binding (§11): a path and a verb are an operation, the answer is its result and nothing around.

import type { Config } from "../../config.ts";
import type { JsonBytes } from "../../lib/bytes.ts";
import { orThrow } from "../../operations/or-throw.ts";
import { A2AError, type Failure } from "../../protocol/errors.ts";
import { parseJson } from "../../protocol/json.ts";
import type { OperationName } from "../../protocol/operations.ts";
import { servedVersions, versionNotSupported } from "../../protocol/version.ts";
import { readBody } from "../body.ts";
import {
  agentAtPath,
  answerHeaders,
  type Deps,
  perform,
  readVersion,
  recheckCaller,
  requireCaller,
} from "../call.ts";
import type { Dialect } from "../dialect.ts";
import { failureHeaders, toFailure } from "../failure.ts";
import { sseHeaders, toEventStream } from "../sse.ts";
import { currentRest, type RestDialect, restDialect } from "./dialects.ts";
import { toStatus } from "./errors.ts";
import { fromBody, fromQuery, withVariables } from "./params.ts";
import type { Match } from "./routes.ts";

export type RestRequest = { request: Request; match: Match; name: OperationName; requestId: string };

export async function handleRest(
  deps: Deps,
  { request, match, name, requestId }: RestRequest,
): Promise<Response> {
  const { config, agents } = deps;
  const dialect = restDialect(match.version);
  try {
    const atPath = agentAtPath(agents, match.tenant);
    const caller = await requireCaller(deps, request);
    requireDialect(request, dialect, config);
    const raw =
      request.method === "POST"
        ? await readJsonBody(deps, request, dialect)
        : fromQuery(new URL(request.url).searchParams);
    const method = dialect.methods.get(name);
    if (method === undefined) throw new A2AError("METHOD_NOT_FOUND");
    const reading = method.read(withVariables(raw, match.variables), config);
    const { answer, headers } = await perform(deps, { request, caller, atPath, dialect, reading });
    if (answer.kind === "value") return toResponse(request, answer.json, 200, headers, dialect);
    const stream = toEventStream({
      lines: answer.lines,
      release: answer.release,
      envelope: { prefix: "", suffix: "", write: reading.write, error: dialect.toErrorBody },
      heartbeatMs: config.heartbeatMs,
      recheck: () => recheckCaller(deps, request, reading.operation),
      toFailure: (cause) => toFailure(cause, requestId),
    });
    return new Response(stream, { headers: { ...headers, ...sseHeaders } });
  } catch (thrown) {
    return failed(request, toFailure(thrown, requestId), dialect);
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

/** A failure in the form of this binding, which is also that of paths that are no operation's. */
export function failed(request: Request, failure: Failure, dialect: RestDialect = currentRest): Response {
  const headers = { ...answerHeaders([], dialect), ...failureHeaders(failure) };
  const body = JSON.stringify(dialect.toErrorBody(failure));
  return toResponse(request, body, toStatus(failure), headers, dialect);
}

/** `:cancel` and `:subscribe` come without a body, which is an empty one. So is `null` to clients of 0.3. */
async function readJsonBody(
  { config }: Deps,
  request: Request,
  { version }: Dialect,
): Promise<Record<string, unknown>> {
  const text = await readBody(request, config);
  if (text === "") return {};
  const json = orThrow(parseJson(text, config.maxJsonDepth));
  return json === null && version === "0.3" ? {} : fromBody(json);
}

function toResponse(
  request: Request,
  body: string | JsonBytes,
  status: number,
  headers: Record<string, string>,
  dialect: RestDialect,
): Response {
  const type = dialect.mediaType(request.headers.get("accept"));
  return new Response(body, { status, headers: { ...headers, "content-type": type } });
}
