// The JSON-RPC binding (§9): one POST, one request object, one answer or one event stream.
//
// Whatever goes wrong, also a bug, is answered as a JSON-RPC error under the request's id; the catch at the
// end is the only place that makes one.

import { type JsonBytes, joinJson } from "../../lib/bytes.ts";
import { orThrow } from "../../operations/or-throw.ts";
import { A2AError } from "../../protocol/errors.ts";
import { parseJson } from "../../protocol/json.ts";
import { isOperationName, operations } from "../../protocol/operations.ts";
import { readBody } from "../body.ts";
import {
  agentAtPath,
  answerHeaders,
  baseUrl,
  chooseAgent,
  type Deps,
  ownHosts,
  readParams,
  readServiceParameters,
  requireCaller,
  requireVersion,
} from "../call.ts";
import { failureHeaders, toFailure } from "../failure.ts";
import { sseHeaders, toEventStream } from "../sse.ts";
import { type Id, parseEnvelope } from "./envelope.ts";
import { toErrorResponse, toHttpStatus } from "./errors.ts";

export type JsonRpcRequest = {
  request: Request;
  /** The agent that the path names; undefined at the root. */
  agentName?: string | undefined;
  requestId: string;
};

export async function handleJsonRpc(
  deps: Deps,
  { request, agentName, requestId }: JsonRpcRequest,
): Promise<Response> {
  const { config, agents } = deps;
  let id: Id = null;
  try {
    const atPath = agentAtPath(agents, agentName);
    const caller = await requireCaller(deps, request);
    // The envelope is one level around the params, whose depth is what is limited.
    const json = orThrow(parseJson(await readBody(request, config), config.maxJsonDepth + 1));
    const envelope = parseEnvelope(json);
    id = envelope.id;
    const { method, params: raw } = orThrow(envelope.request);

    requireVersion(request, !legacyNames.has(method));
    if (!isOperationName(method)) throw new A2AError("METHOD_NOT_FOUND");
    const service = readServiceParameters(request.headers, config, method);
    const params = readParams(method, raw, config);
    const answer = await deps.execute(method, {
      caller,
      agent: chooseAgent(agents, atPath, params.tenant),
      params,
      ...service,
      get baseUrl() {
        return baseUrl(config, request);
      },
      get ownHosts() {
        return ownHosts(config, request);
      },
    });
    const headers = answerHeaders(service.extensions);
    if (answer.kind === "value") {
      return toJson(joinJson(resultOf(id), [answer.json], "}"), 200, headers);
    }
    const stream = toEventStream({
      lines: answer.lines,
      release: answer.release,
      envelope: {
        prefix: resultOf(id),
        suffix: "}",
        error: (failure) => toErrorResponse(id, failure),
      },
      heartbeatMs: config.heartbeatMs,
      toFailure: (cause) => toFailure(cause, requestId),
    });
    return new Response(stream, { headers: { ...headers, ...sseHeaders } });
  } catch (thrown) {
    const failure = toFailure(thrown, requestId);
    const headers = { ...answerHeaders([]), ...failureHeaders(failure) };
    return toJson(JSON.stringify(toErrorResponse(id, failure)), toHttpStatus(failure.reason), headers);
  }
}

/** The names of 0.3, which are known, but not served: they ask for a version, not for an unknown method. */
const legacyNames: ReadonlySet<string> = new Set(
  Object.values(operations).map((operation) => operation.legacy),
);

/** The answer up to its result, which is written already. */
function resultOf(id: Id): string {
  return `{"jsonrpc":"2.0","id":${JSON.stringify(id)},"result":`;
}

function toJson(body: string | JsonBytes, status: number, headers: Record<string, string>): Response {
  return new Response(body, {
    status,
    headers: { ...headers, "content-type": "application/json" },
  });
}
