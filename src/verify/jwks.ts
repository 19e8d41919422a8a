// The public keys of a deployment: given, or fetched from its /.well-known/jwks.json and kept.
//
// A key that is not known may be a new one, so the set is fetched again, but at most once a minute: whoever sends
// nonsense must not make us send requests. Two fetches may run at once; nobody waits for a request that belongs to
// somebody else, which in a Worker never ends.

import { type Checked, passed, refused } from "./refusal.ts";

/** A JSON Web Key Set (RFC 7517). Keys that are neither Ed25519 nor P-256 are passed over. */
export type Jwks = { keys: readonly object[] };

/** As much of `fetch` as is used. */
export type FetchJwks = (
  url: string,
  init: { headers: Record<string, string>; signal: AbortSignal },
) => Promise<{ ok: boolean; json(): Promise<unknown> }>;

type CryptoKey = Awaited<ReturnType<typeof crypto.subtle.importKey>>;

export type PublicKey = { kid: string | undefined; alg: "EdDSA" | "ES256"; key: CryptoKey };

export type KeySource = {
  /** The keys that are known, fetched if need be. */
  load(): Promise<Checked<readonly PublicKey[]>>;
  /** The keys after another fetch; undefined: they cannot be newer, or were fetched less than a minute ago. */
  reload(): Promise<readonly PublicKey[] | undefined>;
};

const MAX_KEYS = 16;
const MAX_AGE_MS = 600_000;
const RELOAD_MS = 60_000;
/** While there are no keys at all. */
const TRY_AGAIN_MS = 5_000;
const TIMEOUT_MS = 5_000;

export function createFixedKeys(jwks: Jwks): KeySource {
  let imported: PublicKey[] | undefined;
  return {
    async load() {
      imported ??= await importKeys(jwks);
      return passed(imported);
    },
    async reload() {
      return undefined;
    },
  };
}

export function createFetchedKeys(url: string, fetchJwks: FetchJwks, now: () => number): KeySource {
  let keys: readonly PublicKey[] | undefined;
  /** When a fetch was started the last time. */
  let triedAt = Number.NEGATIVE_INFINITY;
  let failedAt = Number.NEGATIVE_INFINITY;

  async function fetchKeys(): Promise<readonly PublicKey[] | undefined> {
    triedAt = now();
    try {
      const signal = AbortSignal.timeout(TIMEOUT_MS);
      const answer = await fetchJwks(url, { headers: { accept: "application/json" }, signal });
      const jwks = answer.ok ? await answer.json() : undefined;
      if (!isJwks(jwks)) throw new Error("no key set");
      keys = await importKeys(jwks);
      return keys;
    } catch {
      failedAt = now();
      return undefined;
    }
  }

  const since = (time: number) => Math.abs(now() - time);

  return {
    async load() {
      if (keys === undefined) {
        const isResting = since(failedAt) < TRY_AGAIN_MS;
        const fetched = isResting ? undefined : await fetchKeys();
        return fetched
          ? passed(fetched)
          : refused("jwks_unavailable", `no keys could be fetched from ${url}`);
      }
      // A key that was withdrawn goes out of use. While the server cannot be reached, what is known is kept.
      if (since(triedAt) >= MAX_AGE_MS) await fetchKeys();
      return passed(keys);
    },
    async reload() {
      return since(triedAt) < RELOAD_MS ? undefined : fetchKeys();
    },
  };
}

export function isJwks(value: unknown): value is Jwks {
  return typeof value === "object" && value !== null && "keys" in value && Array.isArray(value.keys);
}

async function importKeys(jwks: Jwks): Promise<PublicKey[]> {
  const imported = await Promise.all(jwks.keys.slice(0, MAX_KEYS).map(importKey));
  return imported.filter((key) => key !== undefined);
}

/**
 * Only what is public is taken, and only for the algorithm that belongs to its kind. What is not understood is passed
 * over (RFC 7517 §5).
 */
async function importKey(jwk: unknown): Promise<PublicKey | undefined> {
  const { kty, crv, x, y, kid: id, use } = (jwk ?? {}) as Record<string, unknown>;
  if (typeof x !== "string" || (use !== undefined && use !== "sig")) return undefined;
  const kid = typeof id === "string" ? id : undefined;
  try {
    if (kty === "OKP" && crv === "Ed25519") {
      const key = await crypto.subtle.importKey("jwk", { kty, crv, x }, "Ed25519", false, ["verify"]);
      return { kid, alg: "EdDSA", key };
    }
    if (kty === "EC" && crv === "P-256" && typeof y === "string") {
      const curve = { name: "ECDSA", namedCurve: "P-256" };
      return {
        kid,
        alg: "ES256",
        key: await crypto.subtle.importKey("jwk", { kty, crv, x, y }, curve, false, ["verify"]),
      };
    }
  } catch {
    // Malformed, or of a kind that this runtime does not know.
  }
  return undefined;
}

/** Whether `signature` is this key's over `content`. */
export async function isSignedBy(
  { alg, key }: PublicKey,
  signature: Uint8Array<ArrayBuffer>,
  content: Uint8Array<ArrayBuffer>,
): Promise<boolean> {
  const algorithm = alg === "EdDSA" ? "Ed25519" : { name: "ECDSA", hash: "SHA-256" };
  try {
    return await crypto.subtle.verify(algorithm, key, signature, content);
  } catch {
    // A signature of another length is an error in some runtimes.
    return false;
  }
}
