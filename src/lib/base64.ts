// Base64 and base64url of bytes (RFC 4648 §4, §5). Scripts run this in Node too, where Uint8Array has no methods
// for it yet.

/** A call takes some ten thousand. */
const MOST_ARGUMENTS = 1_024;

/** Standard alphabet, padded. */
export function encodeBase64(bytes: Uint8Array | ArrayBuffer): string {
  const view = bytes instanceof Uint8Array ? bytes : new Uint8Array(bytes);
  let binary = "";
  for (let i = 0; i < view.length; i += MOST_ARGUMENTS) {
    binary += String.fromCharCode(...view.subarray(i, i + MOST_ARGUMENTS));
  }
  return btoa(binary);
}

/** URL-safe alphabet, no padding. */
export function encodeBase64Url(bytes: Uint8Array | ArrayBuffer): string {
  return encodeBase64(bytes).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** The bytes of a text in the standard alphabet, padded or not; undefined if it is not of that form. */
export function decodeBase64(text: string): Uint8Array<ArrayBuffer> | undefined {
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(text)) return undefined;
  try {
    return Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
  } catch {
    return undefined;
  }
}

/** The bytes of a text in the URL-safe alphabet without padding; undefined if it is not of that form. */
export function decodeBase64Url(text: string): Uint8Array<ArrayBuffer> | undefined {
  if (!/^[A-Za-z0-9_-]*$/.test(text)) return undefined;
  return decodeBase64(text.replaceAll("-", "+").replaceAll("_", "/"));
}
