// Authentication by access tokens of other issuers: JWTs (RFC 7519, RFC 8725, RFC 9068).
//
// The issuer that a token names decides which keys, algorithms and audiences count, and is looked for among those that
// are configured; nothing that only the token says is ever fetched. A token that was found to be good is remembered by
// its hash for 30 s, so that a busy caller costs a hash and not a signature each time.

import { decodeJwt, errors, type JWTPayload, jwtVerify } from "jose";
import type { Issuer } from "../issuers.ts";
import { sha256 } from "../lib/bytes.ts";
import { keepNewest } from "../lib/keep-newest.ts";
import { err, ok, type Result } from "../lib/result.ts";
import { type Authenticated, type Basis, toOwner } from "./caller.ts";
import { readIdentity } from "./claims.ts";
import { createFetchKeys, type KeysConfig } from "./fetch-keys.ts";
import { createIssuerKeys } from "./issuer-keys.ts";
import type { Refusal, RefusalReason } from "./refusal.ts";
import { type CustomRoles, type Grants, grantsOf, toGrants } from "./roles.ts";
import { createFindKey, type FindKey, type SigningKeyProblem } from "./signing-key.ts";

const MAX_BYTES = 8_192;
const REMEMBER_MS = 30_000;
const REMEMBER_TOKENS = 10_000;

export type JwtAuthentication = {
  /** Whose token a text is that has the form of one. */
  authenticate(text: string): Promise<Result<Authenticated, Refusal>>;
  /** What a token allows that was good when a session was made from it; undefined: its issuer is not taken any more. */
  grantsOf(basis: JwtBasis): Promise<Grants | undefined>;
};

export type JwtBasis = Basis & { kind: "jwt" };

export type JwtDeps = {
  issuers: readonly Issuer[];
  config: KeysConfig;
  customRoles: CustomRoles;
  now(): number;
};

type Known = { issuer: Issuer; findKey: FindKey };

export function createJwtAuthentication({ issuers, config, customRoles, now }: JwtDeps): JwtAuthentication {
  const remembered = new Map<string, { caller: Authenticated; at: number }>();
  const known = new Map<string, Known>(
    issuers.map((issuer) => {
      const keys = createIssuerKeys({ fetchKeys: createFetchKeys(issuer, config, now), now });
      return [issuer.issuer, { issuer, findKey: createFindKey(keys) }];
    }),
  );

  async function verify(text: string): Promise<Result<Authenticated, Refusal>> {
    const named = readIssuer(text);
    if (named === undefined) return refuse("malformed");
    const from = known.get(named);
    if (from === undefined) return refuse("unknown_issuer");
    const { issuer } = from;
    const verified = await verifyToken(text, from, now());
    if (!verified.ok) return refuse(verified.error, issuer.issuer);
    const claims = verified.value;
    const identity = readIdentity(claims, issuer);
    if (!identity.ok) return refuse(identity.error, issuer.issuer);
    const { owner, subject, roles, scopes } = identity.value;
    const basis: JwtBasis = {
      kind: "jwt",
      issuer: issuer.issuer,
      roles,
      // Tokens are full of scopes that are somebody else's.
      scopes: [...toGrants(scopes).scopes],
      expiresAt: Math.min(claims.exp * 1_000, Number.MAX_SAFE_INTEGER),
    };
    return ok({
      owner: toOwner("jwt", issuer.issuer, owner),
      actor: toOwner("jwt", issuer.issuer, subject),
      ...(await grantsFrom(basis, issuer, customRoles)),
      basis,
    });
  }

  // A clock that was put back makes nothing younger than it is.
  const isFresh = ({ caller, at }: { caller: Authenticated; at: number }) =>
    Math.abs(now() - at) < REMEMBER_MS && now() < (caller.basis.expiresAt ?? 0);

  function remember(hash: string, caller: Authenticated): void {
    keepNewest(remembered, hash, { caller, at: now() }, REMEMBER_TOKENS);
  }

  return {
    async authenticate(text) {
      if (text.length > MAX_BYTES) return refuse("too_large");
      const hash = await sha256(text);
      const entry = remembered.get(hash);
      if (entry !== undefined && isFresh(entry)) return ok(entry.caller);
      remembered.delete(hash);
      const verified = await verify(text);
      if (verified.ok) remember(hash, verified.value);
      return verified;
    },
    async grantsOf(basis) {
      const issuer = known.get(basis.issuer)?.issuer;
      return issuer && grantsFrom(basis, issuer, customRoles);
    },
  };
}

/** Before anything is verified: only to find whose keys are to be asked. */
function readIssuer(text: string): string | undefined {
  try {
    const { iss } = decodeJwt(text);
    return typeof iss === "string" ? iss : undefined;
  } catch {
    return undefined;
  }
}

type VerifiedClaims = JWTPayload & { exp: number };

/** Carries the reason through jose, which asks for the key in the middle of its work. */
class NoKey extends Error {
  readonly reason: SigningKeyProblem;

  constructor(reason: SigningKeyProblem) {
    super(reason);
    this.reason = reason;
  }
}

async function verifyToken(
  text: string,
  { issuer, findKey }: Known,
  now: number,
): Promise<Result<VerifiedClaims, RefusalReason>> {
  try {
    const { payload } = await jwtVerify(
      text,
      async (header) => {
        const key = await findKey(header);
        if (key.ok) return key.value;
        throw new NoKey(key.error);
      },
      {
        issuer: issuer.issuer,
        audience: [...issuer.audiences],
        algorithms: [...issuer.algorithms],
        requiredClaims: ["exp"],
        clockTolerance: issuer.clockSkewSeconds,
        currentDate: new Date(now),
        ...(issuer.type !== undefined && { typ: issuer.type }),
      },
    );
    // jose minds the time of issue only where tokens have a maximal age.
    const isFromFuture = payload.iat !== undefined && payload.iat > now / 1_000 + issuer.clockSkewSeconds;
    if (isFromFuture) return err("not_yet_valid");
    // 1e999 is a number in JSON, and larger than any.
    return Number.isFinite(payload.exp) ? ok(payload as VerifiedClaims) : err("malformed");
  } catch (error) {
    return err(reasonOf(error));
  }
}

const ofClaims: Readonly<Record<string, RefusalReason>> = {
  aud: "wrong_audience",
  nbf: "not_yet_valid",
  typ: "wrong_type",
};

function reasonOf(error: unknown): RefusalReason {
  if (error instanceof NoKey) return error.reason;
  if (error instanceof errors.JWTExpired) return "expired";
  if (error instanceof errors.JWTClaimValidationFailed) {
    return (error.reason !== "invalid" && ofClaims[error.claim]) || "malformed";
  }
  if (error instanceof errors.JOSEAlgNotAllowed) return "wrong_algorithm";
  if (error instanceof errors.JWSSignatureVerificationFailed) return "bad_signature";
  if (error instanceof errors.JOSEError) return "malformed";
  throw error;
}

/**
 * Roles are the issuer's as they are mapped here, so they may make an operator. A scope is a name that any API of the
 * issuer may have given a meaning: it never does.
 */
async function grantsFrom(
  { roles, scopes }: Pick<JwtBasis, "roles" | "scopes">,
  { defaultRoles }: Issuer,
  customRoles: CustomRoles,
): Promise<Grants> {
  const ofRoles = await grantsOf({ roles, scopes: [] }, customRoles);
  const grants = { ...ofRoles, scopes: ofRoles.scopes.union(toGrants(scopes).scopes) };
  const hasNone = grants.scopes.size + grants.adminScopes.size === 0;
  return hasNone ? grantsOf({ roles: defaultRoles, scopes: [] }, customRoles) : grants;
}

function refuse(reason: RefusalReason, name?: string): Result<never, Refusal> {
  return err({ reason, kind: "jwt", ...(name !== undefined && { name }) });
}
