// What both bindings share about errors: their details (ProtoJSON `Any`, §9.5 and §11.6), the headers some of
// them need, and the one place where an outage becomes UNAVAILABLE and a bug INTERNAL.
//
// A bug is logged once, here, with its cause and the request's id; the caller learns that it happened and the
// id to ask for, nothing else.

import { isOutage } from "../lib/outage.ts";
import { A2AError, type Failure, failure, type Reason } from "../protocol/errors.ts";
import { log } from "../telemetry/log.ts";

export type ErrorDetail = { "@type": string; [member: string]: unknown };

const BEARER = 'Bearer realm="a2a"';
const ERROR_INFO = "type.googleapis.com/google.rpc.ErrorInfo";
const BAD_REQUEST = "type.googleapis.com/google.rpc.BadRequest";

/** Reasons the specification does not have; ErrorInfo says so with a domain of its own. */
const ownReasons: ReadonlySet<Reason> = new Set([
  "UNAUTHENTICATED",
  "PERMISSION_DENIED",
  "UNAVAILABLE",
  "RATE_LIMIT_EXCEEDED",
  "PAYLOAD_TOO_LARGE",
  "REQUEST_TIMEOUT",
  "NOT_FOUND",
  "METHOD_NOT_ALLOWED",
]);

/** After an outage has been seen, clients wait so long before they look again. */
const OUTAGE_SECONDS = 5;

/** The details of a failure: its violations first, where a reader looks for them, then its reason. */
export function errorDetails({ reason, metadata, violations }: Failure): ErrorDetail[] {
  const details: ErrorDetail[] = [];
  if (violations && violations.length > 0) {
    details.push({ "@type": BAD_REQUEST, fieldViolations: violations });
  }
  details.push({
    "@type": ERROR_INFO,
    reason,
    domain: ownReasons.has(reason) ? "a2a-edge" : "a2a-protocol.org",
    ...(metadata && { metadata }),
  });
  return details;
}

/** The headers that tell a caller what to do about a failure (RFC 9110 §11.6.1 and §10.2.3). */
export function failureHeaders(failure: Failure): Record<string, string> {
  const { reason, challenge = BEARER, metadata, retryAfterSeconds } = failure;
  if (reason === "UNAUTHENTICATED") return { "www-authenticate": challenge };
  if (reason === "PERMISSION_DENIED" && metadata?.scope !== undefined) {
    // A client that can get another token learns which scope to ask for (RFC 6750 §3.1).
    return { "www-authenticate": `${BEARER}, error="insufficient_scope", scope="${metadata.scope}"` };
  }
  if (retryAfterSeconds !== undefined) return { "retry-after": String(retryAfterSeconds) };
  return reason === "UNAVAILABLE" ? { "retry-after": "1" } : {};
}

/** What a caller may know of anything thrown: an A2AError is meant for them; the rest is an outage or a bug. */
export function toFailure(thrown: unknown, requestId: string): Failure {
  if (thrown instanceof A2AError && thrown.failure.reason !== "INTERNAL") return thrown.failure;
  if (isOutage(thrown)) {
    log("error", "a request failed, because the database or an object could not be reached", {
      requestId,
      cause: thrown,
    });
    return failure("UNAVAILABLE", { retryAfterSeconds: OUTAGE_SECONDS });
  }
  log("error", "a request failed with a bug", { requestId, cause: thrown });
  return failure("INTERNAL", { metadata: { requestId } });
}
