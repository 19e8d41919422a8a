// Why a notification is refused. The reason is for the program and does not change, the detail for a log; neither
// should go back to the sender, who may be an attacker that wants to know how close it came.

export type Reason =
  /** `detail` names the header. */
  | "missing_header"
  | "bad_id"
  /** Neither text nor bytes: something has parsed it before, so that nothing can be verified any more. */
  | "bad_body"
  | "bad_timestamp"
  /** Older than the tolerance: a replay, or a clock that is wrong. */
  | "too_old"
  | "too_new"
  | "no_matching_signature"
  /** The keys could not be fetched. Answer 503, so that it is sent again. */
  | "jwks_unavailable"
  | "wrong_token"
  | "jwt_malformed"
  /** Not EdDSA or ES256, or not the algorithm of the key. */
  | "jwt_algorithm"
  | "jwt_unknown_key"
  | "jwt_signature"
  | "jwt_claims"
  | "jwt_expired"
  | "jwt_not_yet_valid"
  | "jwt_issuer"
  | "jwt_audience"
  /** Made for another task than the body tells of. */
  | "jwt_task"
  /** Made for another body. */
  | "jwt_body"
  /** The very same request, byte for byte, was here before. A retry is none: it is signed anew. */
  | "replayed";

export type Refusal = { reason: Reason; detail: string };

export type Checked<T> = { ok: true; value: T } | { ok: false; error: Refusal };

export function passed<T>(value: T): { ok: true; value: T } {
  return { ok: true, value };
}

export function refused(reason: Reason, detail: string): { ok: false; error: Refusal } {
  return { ok: false, error: { reason, detail } };
}
