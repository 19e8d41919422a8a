// Encryption at rest: AES-256-GCM, sealed as "<key version>.<base64url IV>.<base64url ciphertext and tag>".
//
// The key's version and a context (which config of which task) are authenticated along with it, so what was
// sealed for one place cannot be copied into another. The IV is random: 2^32 values a key are safe (NIST SP
// 800-38D §8.3), which is one a second for a century.

import { decodeBase64Url, encodeBase64Url } from "../lib/base64.ts";
import { err, ok, type Result } from "../lib/result.ts";
import type { KeyRing } from "./ring.ts";

/** `unknown_key`: sealed with a key that the ring does not hold. `corrupt`: changed, or of another context. */
export type OpenError = "unknown_key" | "corrupt";

const IV_BYTES = 12;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Encrypts `plain` with the ring's current key. */
export async function seal(ring: KeyRing, plain: string, context: string): Promise<string> {
  const version = ring.current;
  const key = await ring.key(version);
  if (key === undefined) throw new Error("a key ring without its current key");
  const iv = crypto.getRandomValues(new Uint8Array(IV_BYTES));
  const sealed = await crypto.subtle.encrypt(gcm(iv, version, context), key, encoder.encode(plain));
  return `${version}.${encodeBase64Url(iv)}.${encodeBase64Url(sealed)}`;
}

/** Decrypts what `seal` made for the same context, with whatever key of the ring it was made. */
export async function open(
  ring: KeyRing,
  sealed: string,
  context: string,
): Promise<Result<string, OpenError>> {
  const [version = "", ivText = "", text = "", ...rest] = sealed.split(".");
  const iv = decodeBase64Url(ivText);
  const bytes = decodeBase64Url(text);
  if (iv?.byteLength !== IV_BYTES || bytes === undefined || rest.length > 0) return err("corrupt");
  const key = await ring.key(version);
  if (key === undefined) return err("unknown_key");
  try {
    return ok(decoder.decode(await crypto.subtle.decrypt(gcm(iv, version, context), key, bytes)));
  } catch {
    return err("corrupt");
  }
}

function gcm(iv: Uint8Array<ArrayBuffer>, version: string, context: string) {
  return { name: "AES-GCM", iv, additionalData: encoder.encode(`${version}/${context}`) };
}
