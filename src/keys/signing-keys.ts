// The deployment's own signing keys: SIGNING_KEYS, a JSON array of private Ed25519 JWKs (RFC 8037). The first
// signs tokens; every one of them signs notifications, and all are published, so that during a rotation a
// receiver that knows only the old or only the new key can verify.
//
// What is wrong with them is said by place and member, never by quoting: `d` is the secret.

import { decodeBase64Url, encodeBase64Url } from "../lib/base64.ts";
import { toBase64Url } from "../lib/bytes.ts";
import { err, ok, type Result } from "../lib/result.ts";

const KEY_BYTES = 32;
/** Each signs every notification. */
const MAX_KEYS = 8;
const KID = /^[A-Za-z0-9._~-]{1,128}$/;

export type Signature = { kid: string; signature: Uint8Array };

/** A key as it is published at /.well-known/jwks.json. */
export type PublicJwk = { kid: string; kty: "OKP"; crv: "Ed25519"; x: string; use: "sig"; alg: "EdDSA" };

/** As scripts see it too, whose types do not name it. */
type CryptoKey = Awaited<ReturnType<typeof crypto.subtle.importKey>>;

type Jwk = { kid: string; d: string; x: string };
type Entry = { jwk: Jwk; key: CryptoKey | undefined };

/** At least one key, the newest first. */
export class SigningKeys {
  readonly #entries: readonly Entry[];

  constructor(jwks: Jwk[]) {
    this.#entries = jwks.map((jwk) => ({ jwk, key: undefined }));
  }

  get published(): PublicJwk[] {
    return this.#entries.map(({ jwk: { kid, x } }) => {
      return { kid, kty: "OKP", crv: "Ed25519", x, use: "sig", alg: "EdDSA" };
    });
  }

  /** The private keys, imported once. */
  async privateKeys(): Promise<{ kid: string; key: CryptoKey }[]> {
    const imported = [];
    for (const entry of this.#entries) {
      entry.key ??= await importPair(entry.jwk);
      imported.push({ kid: entry.jwk.kid, key: entry.key });
    }
    return imported;
  }
}

/** Parses SIGNING_KEYS; the error is one sentence that names the setting. */
export function parseSigningKeys(text: string): Result<SigningKeys, string> {
  let array: unknown;
  try {
    array = JSON.parse(text);
  } catch {
    return err("SIGNING_KEYS must be a JSON array of private Ed25519 JWKs, and is not JSON");
  }
  if (!Array.isArray(array) || array.length === 0 || array.length > MAX_KEYS) {
    return err(`SIGNING_KEYS must be a JSON array of 1 to ${MAX_KEYS} private Ed25519 JWKs`);
  }
  const jwks: Jwk[] = [];
  for (const [index, item] of array.entries()) {
    const wrong = (what: string) => err(`SIGNING_KEYS, key ${index + 1} ${what}`);
    if (typeof item !== "object" || item === null) return wrong("must be an object");
    const { kty, crv, kid, d, x } = item as Record<string, unknown>;
    if (kty !== "OKP" || crv !== "Ed25519") return wrong('must have kty "OKP" and crv "Ed25519"');
    if (typeof kid !== "string" || !KID.test(kid))
      return wrong("must have a kid of letters, digits, . _ ~ or -");
    if (jwks.some((jwk) => jwk.kid === kid)) return wrong("has the kid of an earlier one");
    if (!isKeyText(d)) return wrong("must have d, the base64url of 32 bytes");
    if (!isKeyText(x)) return wrong("must have x, the base64url of 32 bytes");
    jwks.push({ kid, d, x });
  }
  return ok(new SigningKeys(jwks));
}

/** The signatures of every key, the newest key's first. */
export async function signEd25519(keys: SigningKeys, bytes: Uint8Array): Promise<Signature[]> {
  const pairs = await keys.privateKeys();
  return Promise.all(
    pairs.map(async ({ kid, key }) => {
      return { kid, signature: new Uint8Array(await crypto.subtle.sign("Ed25519", key, bytes)) };
    }),
  );
}

/** A JWT (RFC 7519) signed by the first key, as a compact JWS with alg EdDSA. */
export async function signJwt(keys: SigningKeys, claims: Record<string, unknown>): Promise<string> {
  const [first] = await keys.privateKeys();
  if (first === undefined) throw new Error("signing keys without a key");
  const header = { alg: "EdDSA", typ: "JWT", kid: first.kid };
  const content = `${toBase64Url(JSON.stringify(header))}.${toBase64Url(JSON.stringify(claims))}`;
  const signature = await crypto.subtle.sign("Ed25519", first.key, encoder.encode(content));
  return `${content}.${encodeBase64Url(signature)}`;
}

/** A JWS in its flattened JSON form without the payload (RFC 7515 §7.2.2, appendix F). */
export type DetachedJws = { protected: string; signature: string };

/** Detached signatures of `payload`, one by every key, the newest key's first; `header` joins alg and kid in each. */
export async function signDetached(
  keys: SigningKeys,
  payload: string,
  header: Record<string, unknown>,
): Promise<DetachedJws[]> {
  const body = toBase64Url(payload);
  const pairs = await keys.privateKeys();
  return Promise.all(
    pairs.map(async ({ kid, key }) => {
      const head = toBase64Url(JSON.stringify({ alg: "EdDSA", kid, ...header }));
      const signature = await crypto.subtle.sign("Ed25519", key, encoder.encode(`${head}.${body}`));
      return { protected: head, signature: encodeBase64Url(signature) };
    }),
  );
}

/** What receivers verify with: a JWK Set (RFC 7517) without anything private. */
export function publicJwks(keys: SigningKeys): { keys: PublicJwk[] } {
  return { keys: keys.published };
}

const encoder = new TextEncoder();

function isKeyText(value: unknown): value is string {
  return typeof value === "string" && decodeBase64Url(value)?.byteLength === KEY_BYTES;
}

/** workerd imports a JWK whose x does not belong to its d, and every receiver would refuse what it signs. */
async function importPair({ kid, d, x }: Jwk): Promise<CryptoKey> {
  const common = { kty: "OKP", crv: "Ed25519", x };
  const key = await crypto.subtle.importKey("jwk", { ...common, d }, "Ed25519", false, ["sign"]);
  const published = await crypto.subtle.importKey("jwk", common, "Ed25519", false, ["verify"]);
  const probe = encoder.encode(kid);
  const signature = await crypto.subtle.sign("Ed25519", key, probe);
  if (await crypto.subtle.verify("Ed25519", published, signature, probe)) return key;
  throw new Error(`SIGNING_KEYS: x of the key ${kid} does not belong to its d`);
}
