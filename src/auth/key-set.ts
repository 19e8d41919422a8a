// A JSON Web Key Set (RFC 7517) as an issuer publishes it, read with distrust: what verifies signatures is kept, by
// its public members alone, and a set that holds what no honest one holds is refused as a whole.

import { err, ok, type Result } from "../lib/result.ts";

/** The public members of a key for signatures. */
export type PublicJwk = Readonly<{
  kty: string;
  kid?: string;
  /** The only algorithm it may be used with. */
  alg?: string;
  n?: string;
  e?: string;
  crv?: string;
  x?: string;
  y?: string;
}>;

export type KeySetProblem =
  | "no_key_set"
  | "too_many_keys"
  /** A private key, or a secret one, is published: whoever reads it can sign. */
  | "private_key"
  /** Two keys for signatures have one `kid`. */
  | "duplicate_kid"
  | "no_usable_key";

const MAX_KEYS = 100;
/** `d` is that of every private key (RFC 7518 §6), `k` a secret's, the others are what an RSA key may have besides. */
const PRIVATE_MEMBERS = ["d", "k", "p", "q", "dp", "dq", "qi", "oth"];
/** What each type needs, in base64url; the longest is the modulus of 8,192 bits, beyond which a check takes too long. */
const members: Readonly<Record<string, readonly (keyof PublicJwk)[]>> = {
  RSA: ["n", "e"],
  EC: ["crv", "x", "y"],
  OKP: ["crv", "x"],
};
const MAX_MEMBER = 1_366;
/** An exponent is 65537 nearly always; a long one makes every check slow. */
const MAX_EXPONENT = 6;

/** The keys of a set that verify signatures; those of types and uses that are not ours are passed over (§5). */
export function parseKeySet(text: string): Result<readonly PublicJwk[], KeySetProblem> {
  const keys = readKeys(text);
  if (keys === undefined) return err("no_key_set");
  if (keys.length > MAX_KEYS) return err("too_many_keys");
  if (keys.some((key) => PRIVATE_MEMBERS.some((member) => Object.hasOwn(key, member))))
    return err("private_key");
  const usable = keys.map(toPublicJwk).filter((key) => key !== undefined);
  const kids = usable.map(({ kid }) => kid).filter((kid) => kid !== undefined);
  if (new Set(kids).size < kids.length) return err("duplicate_kid");
  return usable.length === 0 ? err("no_usable_key") : ok(usable);
}

type Json = Record<string, unknown>;

function readKeys(text: string): Json[] | undefined {
  try {
    const { keys } = JSON.parse(text) as { keys?: unknown };
    return Array.isArray(keys) && keys.every(isObject) ? keys : undefined;
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function toPublicJwk(key: Json): PublicJwk | undefined {
  const { kty, kid, alg, use, key_ops: ops } = key;
  const needed = typeof kty === "string" && Object.hasOwn(members, kty) ? members[kty] : undefined;
  if (needed === undefined) return undefined;
  // Absent means anything.
  const isForSignatures = use === undefined || use === "sig";
  const verifies = ops === undefined || (Array.isArray(ops) && ops.includes("verify"));
  if (!isForSignatures || !verifies || !isTextOrAbsent(kid) || !isTextOrAbsent(alg)) return undefined;
  const entries = needed.map((member) => [member, key[member]] as const);
  if (!entries.every(([member, value]) => isMember(value, member === "e" ? MAX_EXPONENT : MAX_MEMBER))) {
    return undefined;
  }
  return {
    kty: kty as string,
    ...(kid !== undefined && { kid }),
    ...(alg !== undefined && { alg }),
    ...Object.fromEntries(entries),
  };
}

function isTextOrAbsent(value: unknown): value is string | undefined {
  return value === undefined || (typeof value === "string" && value.length <= 255);
}

function isMember(value: unknown, max: number): boolean {
  return typeof value === "string" && value.length <= max && /^[A-Za-z0-9_-]+$/.test(value);
}
