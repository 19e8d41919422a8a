// Who is calling, as every operation sees it.

import type { Scope } from "../protocol/operations.ts";
import type { AdminScope } from "./roles.ts";

export type Caller = {
  /** The authorization boundary: everything a caller has belongs to its owner. Part of a home's name. */
  owner: string;
  /**
   * Who acts for the owner, as limits and the audit name it: kind, issuer and subject of the credential, and behind a
   * slash the session that was made from it, if one was presented.
   */
  actor: string;
  scopes: ReadonlySet<Scope> | "all";
  /** What the caller may do as an operator, beyond any owner. Most may nothing. */
  adminScopes: ReadonlySet<AdminScope>;
};

/** What the rights of a caller rest on, so that a session can look them up again without the credential. */
export type Basis = {
  /** ms; null: it does not end by itself. */
  expiresAt: number | null;
} & (
  | { kind: "open" }
  /** An API key, and the secret of it that was presented, by its SHA-256: after a rotation there are two. */
  | { kind: "key"; id: string; hash: string }
  /** A token: whose, and what it said of roles (ours, as its issuer's are mapped) and scopes. */
  | { kind: "jwt"; issuer: string; roles: readonly string[]; scopes: readonly string[] }
);

/** A caller as authentication knows it. */
export type Authenticated = Caller & {
  basis: Basis;
  /** The id of the session that was presented instead of the credential. */
  session?: string;
};

/** The actor of a session is that of the credential it was made from, and its own id. */
export function sessionActor(maker: string, id: string): string {
  return `${maker}/${id}`;
}

/** The actor of the credential behind an actor: limits that each session had for itself would be no limits. */
export function credentialOf(actor: string): string {
  // All parts of an actor are percent-encoded, so none holds a slash.
  const [credential = ""] = actor.split("/", 1);
  return credential;
}

/** Who made the caller's sessions: its credential, also when the caller is one of them. */
export function makerOf({ owner, actor }: Caller): { owner: string; actor: string } {
  return { owner, actor: credentialOf(actor) };
}

/** Owners and actors are kind, issuer and subject, so that those of different kinds that are named alike never meet. */
export function toOwner(kind: "open" | "key" | "jwt", issuer: string, subject: string): string {
  return [kind, issuer, subject].map(encodeURIComponent).join(":");
}
