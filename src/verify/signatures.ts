// The signatures of Standard Webhooks over `id.timestamp.body`, by shared secret (`v1`) and by public key (`v1a`),
// and the older one of A2A over the body alone.

import { decodeBase64, encodeBase64, isEqual, toHex, toUtf8 } from "./encoding.ts";
import { isSignedBy, type KeySource, type PublicKey } from "./jwks.ts";
import { type Checked, passed, refused } from "./refusal.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** As many as a sender may need that replaces a key; each costs a computation. */
const MAX_SIGNATURES = 16;
const PREFIX = "whsec_";

export type Secret = {
  /** The `v1` signature of a content, in base64. */
  sign(content: Bytes): Promise<string>;
  /** The value of X-A2A-Signature. */
  signBody(body: Bytes): Promise<string>;
};

/** What follows `whsec_` is base64; any other secret is its own bytes, and so is every one for the older header. */
export function createSecret(secret: string): Secret {
  const decoded = secret.startsWith(PREFIX) ? decodeBase64(secret.slice(PREFIX.length)) : toUtf8(secret);
  if (!decoded || decoded.byteLength === 0) {
    throw new TypeError(`a secret must not be empty, and be base64 after ${PREFIX}`);
  }
  return {
    async sign(content) {
      return encodeBase64(await hmac(decoded, content));
    },
    async signBody(body) {
      return `sha256=${toHex(await hmac(toUtf8(secret), body))}`;
    },
  };
}

async function hmac(bytes: Bytes, content: Bytes): Promise<ArrayBuffer> {
  const key = await crypto.subtle.importKey("raw", bytes, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  return crypto.subtle.sign("HMAC", key, content);
}

/** The signatures of one version in a `webhook-signature`. */
function signaturesOf(version: "v1" | "v1a", header: string): string[] {
  const prefix = `${version},`;
  return header
    .split(" ")
    .filter((signature) => signature.startsWith(prefix))
    .slice(0, MAX_SIGNATURES)
    .map((signature) => signature.slice(prefix.length));
}

/** Whether one of the `v1` signatures is made with one of the secrets. */
export async function checkSecrets(
  secrets: readonly Secret[],
  header: string,
  content: Bytes,
): Promise<Checked<"v1">> {
  const expected = await Promise.all(secrets.map((secret) => secret.sign(content)));
  const given = signaturesOf("v1", header);
  // All are compared, whatever the first came to.
  const matches = expected.flatMap((right) => given.map((left) => isEqual(left, right)));
  return matches.includes(true)
    ? passed("v1")
    : refused("no_matching_signature", "no v1 is made with a secret");
}

/** Whether one of the `v1a` signatures is made with one of the keys; they are fetched again if none is. */
export async function checkKeys(keys: KeySource, header: string, content: Bytes): Promise<Checked<"v1a">> {
  const given = signaturesOf("v1a", header).map(decodeBase64);
  const signatures = given.filter((signature) => signature !== undefined);
  const noMatch = refused("no_matching_signature", "no v1a is made with a key");
  if (signatures.length === 0) return noMatch;
  const loaded = await keys.load();
  if (!loaded.ok) return loaded;
  if (await isSignedByAny(loaded.value, signatures, content)) return passed("v1a");
  const newer = await keys.reload();
  return newer && (await isSignedByAny(newer, signatures, content)) ? passed("v1a") : noMatch;
}

async function isSignedByAny(
  keys: readonly PublicKey[],
  signatures: Bytes[],
  content: Bytes,
): Promise<boolean> {
  const ours = keys.filter(({ alg }) => alg === "EdDSA");
  const verified = await Promise.all(
    ours.flatMap((key) => signatures.map((signature) => isSignedBy(key, signature, content))),
  );
  return verified.includes(true);
}

/** Whether an X-A2A-Signature is made with one of the secrets. */
export async function checkBody(
  secrets: readonly Secret[],
  header: string,
  body: Bytes,
): Promise<Checked<"body">> {
  const expected = await Promise.all(secrets.map((secret) => secret.signBody(body)));
  const matches = expected.map((right) => isEqual(header, right));
  return matches.includes(true) ? passed("body") : refused("no_matching_signature", "not made with a secret");
}
