// The credential of a request: one, of one kind, which its form decides. Trying one kind after the other would let a
// credential that one of them refuses pass as another's, and would make every guess cost all of them.

import { err, ok, type Result } from "../lib/result.ts";
import type { CredentialKind, Refusal } from "./refusal.ts";

export type Credential = { kind: CredentialKind; text: string };

/** The query parameter of clients that cannot set headers. */
export const QUERY = "session";

/** The forms do not overlap. */
const forms: readonly { kind: CredentialKind; form: RegExp }[] = [
  // Also what is not quite one: in open mode it must not pass for nothing.
  { kind: "session", form: /^a2as_/ },
  { kind: "api-key", form: /^a2a_[A-Za-z0-9_-]{16,128}$/ },
  { kind: "jwt", form: /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/ },
];

/** The sessions in a URL's query; whoever counts on there being none must read it as it is read here. */
export function sessionsInQuery(url: string): string[] {
  const start = url.indexOf("?");
  return start === -1 ? [] : new URLSearchParams(url.slice(start)).getAll(QUERY);
}

/**
 * `Authorization: Bearer` (RFC 6750 §2.1), or `X-API-Key`, which takes API keys only. Both may stand there if they are
 * the same. Another scheme beside an API key is for whoever stands in front of us.
 */
export function readCredential(headers: Headers): Result<Credential, Refusal> {
  const authorization = headers.get("authorization");
  const apiKey = headers.get("x-api-key");
  const isOther = authorization !== null && /^(?!bearer )[\w-]+ /i.test(authorization);
  if (apiKey === null && authorization === null) return err({ reason: "missing" });
  if (apiKey === null && isOther) return err({ reason: "unsupported_scheme" });
  // Several Authorization headers arrive as one with commas, which no form allows.
  const bearer =
    authorization === null || isOther ? undefined : (/^bearer +(\S+)$/i.exec(authorization)?.[1] ?? "");
  if (apiKey !== null && bearer !== undefined && bearer !== apiKey) return err({ reason: "conflicting" });
  const text = apiKey ?? bearer ?? "";
  const kind = forms.find(({ form }) => form.test(text))?.kind;
  if (kind === undefined || (apiKey !== null && kind !== "api-key")) return err({ reason: "malformed" });
  return ok({ kind, text });
}
