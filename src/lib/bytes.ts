// Small conversions between bytes and text that several floors need.

const encoder = new TextEncoder();

export function toHex(bytes: ArrayBuffer): string {
  return Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** SHA-256 of the UTF-8 bytes of `text`, as 64 hexadecimal digits. */
export async function sha256(text: string): Promise<string> {
  return toHex(await crypto.subtle.digest("SHA-256", encoder.encode(text)));
}

/** A JSON text in UTF-8. */
export type JsonBytes = Uint8Array<ArrayBuffer>;

export function toJsonBytes(value: unknown): JsonBytes {
  return encoder.encode(JSON.stringify(value)) as JsonBytes;
}

/** `prefix`, the values separated by commas, and `suffix`, in one piece. */
export function joinJson(prefix: string, values: readonly JsonBytes[], suffix: string): JsonBytes {
  const comma = encoder.encode(",");
  const inner = values.flatMap((value, index) => (index === 0 ? [value] : [comma, value]));
  const pieces = [encoder.encode(prefix), ...inner, encoder.encode(suffix)];
  const joined = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.byteLength, 0));
  let offset = 0;
  for (const piece of pieces) {
    joined.set(piece, offset);
    offset += piece.byteLength;
  }
  return joined;
}

/** The length of `text` in UTF-8. */
export function utf8Length(text: string): number {
  return encoder.encode(text).byteLength;
}

/** Which of two texts is first in UTF-8, as SQLite orders them; in UTF-16, JavaScript's order, it may be the other. */
export function compareUtf8(a: string, b: string): number {
  const [x, y] = [encoder.encode(a), encoder.encode(b)];
  const at = x.findIndex((byte, i) => byte !== y[i]);
  return at === -1 || at >= y.length ? x.length - y.length : (x[at] ?? 0) - (y[at] ?? 0);
}

/** base64url without padding (RFC 4648 §5) of the UTF-8 bytes of `text`. */
export function toBase64Url(text: string): string {
  const binary = Array.from(encoder.encode(text), (byte) => String.fromCharCode(byte)).join("");
  return btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** The text that `toBase64Url` encoded, or undefined if `encoded` is not of that form. */
export function fromBase64Url(encoded: string): string | undefined {
  if (!/^[A-Za-z0-9_-]*$/.test(encoded)) return undefined;
  try {
    const binary = atob(encoded.replaceAll("-", "+").replaceAll("_", "/"));
    const bytes = Uint8Array.from(binary, (char) => char.charCodeAt(0));
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}
