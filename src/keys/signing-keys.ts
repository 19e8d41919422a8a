// The deployment's own signing keys: SIGNING_KEYS, a JSON array of private Ed25519 JWKs (RFC 8037). The first
// signs tokens; every one of them signs notifications, and all are published, so that during a rotation a
// receiver that knows only the old or only the new key can verify.
//
// What is wrong with them is said by place and member, never by quoting: `d` is the secret.

import { createPrivateKey, createPublicKey, type KeyObject, sign, verify } from "node:crypto";
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

type Jwk = { kid: string; d: string; x: string };
type Entry = { jwk: Jwk; key: KeyObject | undefined };

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
  privateKeys(): { kid: string; key: KeyObject }[] {
    return this.#entries.map((entry) => {
      entry.key ??= importPair(entry.jwk);
      return { kid: entry.jwk.kid, key: entry.key };
    });
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

/** The signatures of every key, the newest key's first. Not by WebCrypto, which takes half as long again. */
export function signEd25519(keys: SigningKeys, bytes: Uint8Array): Signature[] {
  return keys.privateKeys().map(({ kid, key }) => ({ kid, signature: sign(null, bytes, key) }));
}

/** A JWT (RFC 7519) signed by the first key, as a compact JWS with alg EdDSA. */
export function signJwt(keys: SigningKeys, claims: Record<string, unknown>): string {
  const [first] = keys.privateKeys();
  if (first === undefined) throw new Error("signing keys without a key");
  const header = { alg: "EdDSA", typ: "JWT", kid: first.kid };
  const content = `${toBase64Url(JSON.stringify(header))}.${toBase64Url(JSON.stringify(claims))}`;
  return `${content}.${encodeBase64Url(sign(null, encoder.encode(content), first.key))}`;
}

/** A JWS in its flattened JSON form without the payload (RFC 7515 §7.2.2, appendix F). */
export type DetachedJws = { protected: string; signature: string };

/** Detached signatures of `payload`, one by every key, the newest key's first; `header` joins alg and kid in each. */
export function signDetached(
  keys: SigningKeys,
  payload: string,
  header: Record<string, unknown>,
): DetachedJws[] {
  const body = toBase64Url(payload);
  return keys.privateKeys().map(({ kid, key }) => {
    const head = toBase64Url(JSON.stringify({ alg: "EdDSA", kid, ...header }));
    const signature = sign(null, encoder.encode(`${head}.${body}`), key);
    return { protected: head, signature: encodeBase64Url(signature) };
  });
}

/** What receivers verify with: a JWK Set (RFC 7517) without anything private. */
export function publicJwks(keys: SigningKeys): { keys: PublicJwk[] } {
  return { keys: keys.published };
}

const encoder = new TextEncoder();

function isKeyText(value: unknown): value is string {
  return typeof value === "string" && decodeBase64Url(value)?.byteLength === KEY_BYTES;
}

/** A JWK whose x does not belong to its d can be imported, and every receiver would refuse what it signs. */
function importPair({ kid, d, x }: Jwk): KeyObject {
  const common = { kty: "OKP", crv: "Ed25519", x };
  const key = createPrivateKey({ key: { ...common, d }, format: "jwk" });
  const published = createPublicKey({ key: common, format: "jwk" });
  const probe = encoder.encode(kid);
  if (verify(null, probe, published, sign(null, probe, key))) return key;
  throw new Error(`SIGNING_KEYS: x of the key ${kid} does not belong to its d`);
}
