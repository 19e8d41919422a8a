// The numbers of the JSON-RPC binding (§5.4, §9.5).
//
// A2A claims -32001 to -32099, and JSON-RPC keeps -32768 to -32000 for itself. Reasons of our own are therefore
// outside of both, where JSON-RPC leaves room for applications; they repeat the HTTP status they come with.

import type { Failure, Reason } from "../../protocol/errors.ts";
import type { Version } from "../../protocol/version.ts";
import { type ErrorDetail, errorDetails } from "../failure.ts";
import type { Id } from "./envelope.ts";

const codes = {
  PARSE_ERROR: -32700,
  INVALID_REQUEST: -32600,
  METHOD_NOT_FOUND: -32601,
  INVALID_PARAMS: -32602,
  INTERNAL: -32603,
  TASK_NOT_FOUND: -32001,
  TASK_NOT_CANCELABLE: -32002,
  PUSH_NOTIFICATION_NOT_SUPPORTED: -32003,
  UNSUPPORTED_OPERATION: -32004,
  CONTENT_TYPE_NOT_SUPPORTED: -32005,
  INVALID_AGENT_RESPONSE: -32006,
  EXTENDED_AGENT_CARD_NOT_CONFIGURED: -32007,
  EXTENSION_SUPPORT_REQUIRED: -32008,
  VERSION_NOT_SUPPORTED: -32009,
  UNAUTHENTICATED: -31401,
  PERMISSION_DENIED: -31403,
  NOT_FOUND: -31404,
  METHOD_NOT_ALLOWED: -32601,
  UNAVAILABLE: -31503,
  RATE_LIMIT_EXCEEDED: -31429,
  // A body that was not read is no valid request, and every client knows this number.
  PAYLOAD_TOO_LARGE: -32600,
  REQUEST_TIMEOUT: -32600,
} satisfies Record<Reason, number>;

/** Older versions have fewer numbers: 0.3 ends at -32007 (0.3 §8.2), 0.1 at -32005. The rest has those of JSON-RPC. */
const olderCodes: Record<Version, Partial<Record<Reason, number>>> = {
  "1.0": {},
  "0.3": { EXTENSION_SUPPORT_REQUIRED: -32600 },
  "0.1": { EXTENSION_SUPPORT_REQUIRED: -32600, INVALID_AGENT_RESPONSE: -32603 },
};

/** An error answers HTTP 200 (§9.5), except where HTTP itself has a part in it: challenges, retries, limits. */
const statuses: Partial<Record<Reason, number>> = {
  UNAUTHENTICATED: 401,
  PERMISSION_DENIED: 403,
  NOT_FOUND: 404,
  METHOD_NOT_ALLOWED: 405,
  PAYLOAD_TOO_LARGE: 413,
  REQUEST_TIMEOUT: 408,
  UNAVAILABLE: 503,
  RATE_LIMIT_EXCEEDED: 429,
};

export type ErrorObject = { code: number; message: string; data: ErrorDetail[] | { details: ErrorDetail[] } };
export type ErrorResponse = { jsonrpc: "2.0"; id: Id; error: ErrorObject };

export function toErrorResponse(id: Id, failure: Failure, version: Version): ErrorResponse {
  return { jsonrpc: "2.0", id, error: toErrorObject(failure, version) };
}

export function toErrorObject(failure: Failure, version: Version): ErrorObject {
  const { reason, message } = failure;
  const code = olderCodes[version][reason] ?? codes[reason];
  const details = errorDetails(failure);
  // In 0.1 the data of an error is an object.
  return { code, message, data: version === "0.1" ? { details } : details };
}

export function toHttpStatus(reason: Reason): number {
  return statuses[reason] ?? 200;
}
