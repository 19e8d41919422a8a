// What a request for a session may say in its body: the credential, for clients that cannot set headers, and how much
// of it the session is wanted for. Members that are not known are refused: "scope" instead of "scopes" would give all.

import type { SessionWish } from "../auth/sessions.ts";
import { A2AError, type FieldViolation } from "../protocol/errors.ts";
import { isObject, mustBe } from "../protocol/violations.ts";

export type SessionRequest = SessionWish & {
  /** A header that presents the credential of the body; undefined: there is none in it. */
  header?: [name: string, value: string];
};

/** What a header can carry, and more than any token has that is accepted. */
const CREDENTIAL = /^[\x21-\x7e]{1,16384}$/;
const MAX_SCOPES = 32;

/** Reads the body's JSON; throws INVALID_PARAMS with all that is wrong, and quotes none of it. */
export function parseSessionRequest(json: unknown, maxSeconds: number): SessionRequest {
  if (!isObject(json)) {
    throw new A2AError("INVALID_REQUEST", { message: "The request body must be one JSON object" });
  }
  const violations: FieldViolation[] = [];
  const refuse = (field: string, description: string) => void violations.push({ field, description });
  const parsed: SessionRequest = {};
  for (const [name, value] of Object.entries(json).slice(0, 16)) {
    if (name === "apiKey" || name === "token") {
      if (parsed.header) refuse(name, "must not stand beside another credential");
      else if (typeof value !== "string") refuse(name, mustBe("a string", value));
      else if (!CREDENTIAL.test(value)) refuse(name, "must be 1 to 16384 visible ASCII characters");
      else parsed.header = name === "apiKey" ? ["x-api-key", value] : ["authorization", `Bearer ${value}`];
    } else if (name === "expiresInSeconds") {
      const isWhole = typeof value === "number" && Number.isInteger(value);
      if (isWhole && value >= 1 && value <= maxSeconds) parsed.seconds = value;
      else refuse(name, `must be a whole number from 1 to ${maxSeconds}`);
    } else if (name === "scopes") {
      const isList = Array.isArray(value) && value.length <= MAX_SCOPES;
      if (isList && value.every((scope) => typeof scope === "string")) parsed.scopes = value;
      else refuse(name, `must be an array of at most ${MAX_SCOPES} names`);
    } else refuse(name.slice(0, 64), "is not a field of this request");
  }
  if (violations.length > 0) throw new A2AError("INVALID_PARAMS", { violations });
  return parsed;
}
