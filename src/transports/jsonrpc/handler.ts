// The JSON-RPC binding (§9): one POST, one request object, one answer or one event stream.
//
// Whatever goes wrong, also a bug, is answered as a JSON-RPC error under the request's id; the catch at the
// end is the only place that makes one.

import { type JsonBytes, joinJson } from "../../lib/bytes.ts";
import { orThrow } from "../../operations/or-throw.ts";
import { A2AError } from "../../protocol/errors.ts";
import { parseJson } from "../../protocol/json.ts";
import { servedVersions } from "../../protocol/version.ts";
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
import { chooseDialect, current, type Method } from "../dialect.ts";
import { failureHeaders, toFailure } from "../failure.ts";
import { toStatus } from "../rest/errors.ts";
import { sseHeaders, toErrorEvent, toEventStream } from "../sse.ts";
import { dialects } from "./dialects.ts";
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
  let dialect = current;
  let method: Method | undefined;
  try {
    const atPath = agentAtPath(agents, agentName);
    const caller = await requireCaller(deps, request);
    // The envelope is one level around the params, whose depth is what is limited.
    const json = orThrow(parseJson(await readBody(request, config), config.maxJsonDepth + 1));
    const envelope = parseEnvelope(json);
    id = envelope.id;
    const { method: name, params } = orThrow(envelope.request);

    const served = servedVersions(config);
    dialect = chooseDialect(dialects, served, readVersion(request, served), name, params) ?? current;
    method = dialect.methods.get(name);
    if (method === undefined) throw new A2AError("METHOD_NOT_FOUND");
    const reading = method.read(params, config);
    const { answer, headers } = await perform(deps, { request, caller, atPath, dialect, reading });
    if (answer.kind === "value") {
      return toJson(joinJson(resultOf(id), [answer.json], "}"), 200, headers);
    }
    const { version, hasPlainStreams } = dialect;
    const stream = toEventStream({
      lines: answer.lines,
      release: answer.release,
      envelope: {
        prefix: resultOf(id),
        suffix: "}",
        write: reading.write,
        isPlain: hasPlainStreams,
        error: (failure) => toErrorResponse(id, failure, version),
      },
      heartbeatMs: config.heartbeatMs,
      recheck: () => recheckCaller(deps, request, reading.operation),
      toFailure: (cause) => toFailure(cause, requestId),
    });
    return new Response(stream, { headers: { ...headers, ...sseHeaders } });
  } catch (thrown) {
    const failure = toFailure(thrown, requestId);
    const headers = { ...answerHeaders([], dialect), ...failureHeaders(failure) };
    const body = toErrorResponse(id, failure, dialect.version);
    const status = toHttpStatus(failure.reason);
    // What HTTP has a part in is never hidden in a stream that was opened.
    if (status === 200 && method?.failsInStream?.(request.headers)) {
      const init = { status: method.failsByStatus ? toStatus(failure) : 200 };
      return new Response(toErrorEvent(body), { ...init, headers: { ...headers, ...sseHeaders } });
    }
    return toJson(JSON.stringify(body), status, headers);
  }
}

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
