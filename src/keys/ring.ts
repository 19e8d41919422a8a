// The key ring that encrypts what callers configure: ENCRYPTION_KEYS, "<version>:<base64 of 32 bytes>", comma
// separated. The first key encrypts, all decrypt, so a new key is put in front and an old one is removed when
// nothing is left that it encrypted.
//
// What is wrong with a ring is said by the place of the entry, never by quoting it: the text is the secret.

import { decodeBase64 } from "../lib/base64.ts";
import { err, ok, type Result } from "../lib/result.ts";

const KEY_BYTES = 32;
const MAX_KEYS = 32;
/** Stands in front of a dot in everything that is sealed. */
const VERSION = /^[A-Za-z0-9_-]{1,32}$/;

/** As scripts see it too, whose types do not name it. */
type CryptoKey = Awaited<ReturnType<typeof crypto.subtle.importKey>>;

type Entry = { bytes: Uint8Array<ArrayBuffer>; key: CryptoKey | undefined };

export class KeyRing {
  /** Version of the key that encrypts. */
  readonly current: string;
  readonly #entries: ReadonlyMap<string, Entry>;

  constructor(current: string, keys: Map<string, Uint8Array<ArrayBuffer>>) {
    this.current = current;
    this.#entries = new Map([...keys].map(([version, bytes]) => [version, { bytes, key: undefined }]));
  }

  /** The key of a version, imported once; undefined: this ring does not hold it. */
  async key(version: string): Promise<CryptoKey | undefined> {
    const entry = this.#entries.get(version);
    if (entry === undefined) return undefined;
    // The key is kept, not the promise of it: what one request started, another must not wait for.
    entry.key ??= await crypto.subtle.importKey("raw", entry.bytes, "AES-GCM", false, ["encrypt", "decrypt"]);
    return entry.key;
  }
}

/** Parses ENCRYPTION_KEYS; the error is one sentence that names the setting. */
export function parseKeyRing(text: string): Result<KeyRing, string> {
  const keys = new Map<string, Uint8Array<ArrayBuffer>>();
  const entries = text.split(",").map((entry) => entry.trim());
  if (entries.length > MAX_KEYS) return err(`ENCRYPTION_KEYS must not have more than ${MAX_KEYS} keys`);
  for (const [index, entry] of entries.entries()) {
    const wrong = (what: string) => err(`ENCRYPTION_KEYS, key ${index + 1} ${what}`);
    const colon = entry.indexOf(":");
    if (colon === -1) return wrong('must be "<version>:<base64 of 32 bytes>"');
    const version = entry.slice(0, colon);
    if (!VERSION.test(version)) return wrong("must have a version of letters, digits, - or _");
    if (keys.has(version)) return wrong("has the version of an earlier one");
    const bytes = decodeBase64(entry.slice(colon + 1));
    if (bytes === undefined) return wrong("is not base64");
    if (bytes.byteLength !== KEY_BYTES) return wrong(`has ${bytes.byteLength} bytes, not ${KEY_BYTES}`);
    keys.set(version, bytes);
  }
  const [current = ""] = keys.keys();
  return ok(new KeyRing(current, keys));
}
