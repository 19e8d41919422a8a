// Who is calling, as every operation sees it.

import type { Scope } from "../protocol/operations.ts";
import type { AdminScope } from "./roles.ts";

export type Caller = {
  /** The authorization boundary: everything a caller has belongs to its owner. Part of a home's name. */
  owner: string;
  /** Who acts for the owner, as limits and the audit name it: kind, issuer and subject of the credential. */
  actor: string;
  scopes: ReadonlySet<Scope> | "all";
  /** What the caller may do as an operator, beyond any owner. Most may nothing. */
  adminScopes: ReadonlySet<AdminScope>;
};

/** Owners and actors are kind, issuer and subject, so that those of different kinds that are named alike never meet. */
export function toOwner(kind: "open" | "key" | "jwt" | "session", issuer: string, subject: string): string {
  return [kind, issuer, subject].map(encodeURIComponent).join(":");
}
