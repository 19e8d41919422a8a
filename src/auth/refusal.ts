// Why a credential is not taken. The reason is for the log, the audit and whoever slows down guessing; a caller is
// told only that the credential is not valid, since what is wrong with it helps nobody but those who guess.

import type { AuthMode } from "../config.ts";
import { type Failure, failure } from "../protocol/errors.ts";
import { log } from "../telemetry/log.ts";

export type RefusalReason =
  /** There is no credential. */
  | "missing"
  /** A scheme other than Bearer. */
  | "unsupported_scheme"
  /** No credential has this form. */
  | "malformed"
  /** Two credentials that are not the same. */
  | "conflicting"
  /** A kind of credential that this deployment does not take. */
  | "unsupported_kind"
  | "unknown_key"
  | "unknown_session"
  /** Of a session: the credential that it was made from is not valid any more. */
  | "credential_ended"
  /** A token longer than 8 KB. */
  | "too_large"
  | "unknown_issuer"
  | "wrong_audience"
  | "wrong_algorithm"
  /** Another `typ` than the issuer's tokens have. */
  | "wrong_type"
  /** The issuer has no key of that name that fits the algorithm. */
  | "unknown_kid"
  /** The issuer's key is too short, or none. */
  | "unusable_key"
  /** The issuer's keys cannot be had just now. */
  | "keys_unavailable"
  /** The database that knows the credential cannot be asked just now. */
  | "lookup_failed"
  | "bad_signature"
  | "not_yet_valid"
  | "no_subject"
  | "no_owner"
  | "expired"
  | "revoked";

export type Refusal = {
  reason: RefusalReason;
  /** What kind of credential its form says it is. */
  kind?: CredentialKind;
  /**
   * What names the credential and is no secret, as far as it says: the id of a key or a session, or a
   * configured issuer. Anybody may have made it up.
   */
  name?: string;
};

export type CredentialKind = "api-key" | "jwt" | "session";

/** A stranger who sent nothing is told what to send; RFC 6750 §3.1 keeps `error` for those who sent something. */
const silent: ReadonlySet<RefusalReason> = new Set(["missing", "unsupported_scheme"]);

/** Refusals of what may be good, and cannot be judged now. */
const undecided: ReadonlySet<RefusalReason> = new Set(["keys_unavailable", "lookup_failed"]);

export function isUndecided(reason: RefusalReason): boolean {
  return undecided.has(reason);
}

/** What the caller is told, with the challenges of RFC 9110 §11.6.1: one for each way to send a credential. */
export function toFailure({ reason }: Refusal, modes: readonly AuthMode[]): Failure {
  if (isUndecided(reason)) {
    // Not 401: the client would throw away a credential that may be good.
    return failure("UNAVAILABLE", {
      message: "The credential cannot be checked at the moment",
      retryAfterSeconds: 5,
    });
  }
  const isSilent = silent.has(reason);
  const parameters = `realm="a2a"${isSilent ? "" : ', error="invalid_token"'}`;
  const challenges = [`Bearer ${parameters}`];
  // No RFC names a scheme for X-API-Key; the header's name in the challenge is all that a client needs.
  if (modes.includes("api-key")) challenges.push('ApiKey realm="a2a", header="X-API-Key"');
  return failure("UNAUTHENTICATED", {
    message: isSilent
      ? "Authentication required: send Authorization: Bearer <credential>"
      : "The credential is not valid",
    challenge: challenges.join(", "),
  });
}

/** Writes a refusal to the log, but for requests without a credential: that is how clients ask what to send. */
export function logRefusal(refusal: Refusal): void {
  if (!silent.has(refusal.reason)) log("info", "a credential was refused", refusal);
}
