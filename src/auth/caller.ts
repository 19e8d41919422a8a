// Who is calling, as every operation sees it.

import type { Scope } from "../protocol/operations.ts";

export type Caller = {
  /** The authorization boundary: everything a caller has belongs to its owner. Part of a home's name. */
  owner: string;
  scopes: ReadonlySet<Scope> | "all";
};

/** An owner is kind, issuer and subject, so that callers of different kinds who are named alike never meet. */
export function toOwner(kind: "open" | "key", issuer: string, subject: string): string {
  return [kind, issuer, subject].map(encodeURIComponent).join(":");
}
