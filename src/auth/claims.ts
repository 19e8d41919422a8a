// What a verified token says of its bearer. Pure: whether the token may be believed has been decided before.

import type { ClaimPath, Issuer } from "../issuers.ts";
import { err, ok, type Result } from "../lib/result.ts";

export type Claims = Readonly<Record<string, unknown>>;

export type Identity = {
  /** What `ownerClaim` names. */
  owner: string;
  subject: string;
  /** Ours, as the issuer's map to them. */
  roles: string[];
  /** As the token says them; most are not ours. */
  scopes: string[];
};

/** More than any token of 8 KB holds by honest means. */
const MAX_NAMES = 1_000;

export function readIdentity(claims: Claims, issuer: Issuer): Result<Identity, "no_subject" | "no_owner"> {
  const subject = toName(claims.sub);
  if (subject === undefined) return err("no_subject");
  const owner = toName(at(claims, issuer.ownerClaim));
  if (owner === undefined) return err("no_owner");
  const { rolesClaim, scopeClaim } = issuer;
  const theirs = rolesClaim === undefined ? [] : toNames(at(claims, rolesClaim));
  const scopes = scopeClaim === undefined ? [claims.scope, claims.scp] : [at(claims, scopeClaim)];
  return ok({
    owner,
    subject,
    roles: [...new Set(theirs.flatMap((role) => issuer.rolesMap.get(role) ?? []))],
    scopes: [...new Set(scopes.flatMap(toNames))],
  });
}

/** Only what a claim has of its own: `constructor` is no claim. */
function at(claims: Claims, path: ClaimPath): unknown {
  return path.reduce<unknown>(
    (value, name) =>
      typeof value === "object" && value !== null && Object.hasOwn(value, name)
        ? (value as Claims)[name]
        : undefined,
    claims,
  );
}

/** A name becomes part of an owner's, which is percent-encoded; half a character cannot be. */
function toName(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" && value.length <= 255 && value.isWellFormed()
    ? value
    : undefined;
}

/** Names separated by spaces (RFC 6749 §3.3), or an array of them. */
function toNames(value: unknown): string[] {
  const names = typeof value === "string" ? value.split(" ") : Array.isArray(value) ? value : [];
  return names.slice(0, MAX_NAMES).filter((name) => typeof name === "string" && name !== "");
}
