// Which key of an issuer verifies a token. The token names it and its algorithm, so both are only taken as a question:
// the algorithm must be one that is configured for the issuer, and the key of the type that belongs to it. What else a
// header may say of keys (jwk, jku, x5c, x5u) is never looked at.

import { importJWK, type JWTHeaderParameters } from "jose";
import { err, ok, type Result } from "../lib/result.ts";
import type { IssuerKeys } from "./issuer-keys.ts";
import type { PublicJwk } from "./key-set.ts";

export type SigningKeyProblem = "keys_unavailable" | "unknown_kid" | "unusable_key";

export type FindKey = (header: JWTHeaderParameters) => Promise<Result<CryptoKey, SigningKeyProblem>>;

/** The type and curve of the keys of each algorithm (RFC 7518 §3.1, RFC 8037 §3.1, RFC 9864 §2.2). */
const types: Readonly<Record<string, { kty: string; crv?: string }>> = {
  ...Object.fromEntries(
    ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"].map((alg) => [alg, { kty: "RSA" }]),
  ),
  ES256: { kty: "EC", crv: "P-256" },
  ES384: { kty: "EC", crv: "P-384" },
  ES512: { kty: "EC", crv: "P-521" },
  EdDSA: { kty: "OKP", crv: "Ed25519" },
  Ed25519: { kty: "OKP", crv: "Ed25519" },
};

/** RFC 7518 §3.3 and §3.5. */
const MIN_RSA_BITS = 2_048;

export function createFindKey(issuerKeys: IssuerKeys): FindKey {
  /** Of keys that are in use; those of an earlier set go with it. */
  const imported = new WeakMap<PublicJwk, Map<string, CryptoKey>>();

  async function importKey(jwk: PublicJwk, alg: string): Promise<Result<CryptoKey, SigningKeyProblem>> {
    const known = imported.get(jwk)?.get(alg);
    if (known !== undefined) return ok(known);
    const key = await importJWK(jwk, alg).catch(() => undefined);
    if (!(key instanceof CryptoKey) || key.type !== "public" || bitsOf(key) < MIN_RSA_BITS) {
      return err("unusable_key");
    }
    imported.set(jwk, (imported.get(jwk) ?? new Map<string, CryptoKey>()).set(alg, key));
    return ok(key);
  }

  return async (header) => {
    const loaded = await issuerKeys.load();
    if (!loaded.ok) return err("keys_unavailable");
    const known = chooseKey(loaded.value, header);
    if (known !== undefined) return importKey(known, header.alg);
    const reloaded = await issuerKeys.reload();
    if (reloaded?.ok === false) return err("keys_unavailable");
    const found = chooseKey(reloaded?.value ?? [], header);
    return found === undefined ? err("unknown_kid") : importKey(found, header.alg);
  };
}

/** The one key that fits; without a `kid` there may be only one. */
function chooseKey(keys: readonly PublicJwk[], { kid, alg }: JWTHeaderParameters): PublicJwk | undefined {
  const type = types[alg];
  const fitting = keys.filter(
    (key) =>
      key.kty === type?.kty &&
      (type.crv === undefined || key.crv === type.crv) &&
      (key.alg === undefined || key.alg === alg) &&
      (kid === undefined || key.kid === kid),
  );
  return fitting.length === 1 ? fitting[0] : undefined;
}

/** Of a key that is not RSA: enough. */
function bitsOf({ algorithm }: CryptoKey): number {
  return (algorithm as { modulusLength?: number }).modulusLength ?? MIN_RSA_BITS;
}
