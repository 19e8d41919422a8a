// The error body of the HTTP+JSON binding (§11.6): google.rpc.Status in JSON, and its HTTP status (§5.4).

import type { Failure, Reason } from "../../protocol/errors.ts";
import { type ErrorDetail, errorDetails } from "../failure.ts";

type Status = { code: number; status: string };

const statuses = {
  PARSE_ERROR: { code: 400, status: "INVALID_ARGUMENT" },
  INVALID_REQUEST: { code: 400, status: "INVALID_ARGUMENT" },
  METHOD_NOT_FOUND: { code: 404, status: "NOT_FOUND" },
  INVALID_PARAMS: { code: 400, status: "INVALID_ARGUMENT" },
  INTERNAL: { code: 500, status: "INTERNAL" },
  TASK_NOT_FOUND: { code: 404, status: "NOT_FOUND" },
  TASK_NOT_CANCELABLE: { code: 400, status: "FAILED_PRECONDITION" },
  PUSH_NOTIFICATION_NOT_SUPPORTED: { code: 400, status: "FAILED_PRECONDITION" },
  UNSUPPORTED_OPERATION: { code: 400, status: "FAILED_PRECONDITION" },
  CONTENT_TYPE_NOT_SUPPORTED: { code: 400, status: "INVALID_ARGUMENT" },
  INVALID_AGENT_RESPONSE: { code: 500, status: "INTERNAL" },
  EXTENDED_AGENT_CARD_NOT_CONFIGURED: { code: 400, status: "FAILED_PRECONDITION" },
  EXTENSION_SUPPORT_REQUIRED: { code: 400, status: "FAILED_PRECONDITION" },
  VERSION_NOT_SUPPORTED: { code: 400, status: "FAILED_PRECONDITION" },
  UNAUTHENTICATED: { code: 401, status: "UNAUTHENTICATED" },
  PERMISSION_DENIED: { code: 403, status: "PERMISSION_DENIED" },
  NOT_FOUND: { code: 404, status: "NOT_FOUND" },
  METHOD_NOT_ALLOWED: { code: 405, status: "UNIMPLEMENTED" },
  PAYLOAD_TOO_LARGE: { code: 413, status: "INVALID_ARGUMENT" },
  REQUEST_TIMEOUT: { code: 408, status: "DEADLINE_EXCEEDED" },
  UNAVAILABLE: { code: 503, status: "UNAVAILABLE" },
  RATE_LIMIT_EXCEEDED: { code: 429, status: "RESOURCE_EXHAUSTED" },
} satisfies Record<Reason, Status>;

export type ErrorBody = {
  error: { code: number; status: string; message: string; details: ErrorDetail[] };
};

export function toStatus({ reason }: Failure): number {
  return statuses[reason].code;
}

export function toErrorBody(failure: Failure): ErrorBody {
  const { code, status } = statuses[failure.reason];
  return { error: { code, status, message: failure.message, details: errorDetails(failure) } };
}
