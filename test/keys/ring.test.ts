// ENCRYPTION_KEYS, and what is encrypted with them.

import { describe, expect, it } from "vitest";
import { type KeyRing, parseKeyRing } from "../../src/keys/ring.ts";
import { open, seal } from "../../src/keys/sealing.ts";
import { encodeBase64, encodeBase64Url } from "../../src/lib/base64.ts";

const keyText = (byte: number) => encodeBase64(new Uint8Array(32).fill(byte));

function ringOf(text: string): KeyRing {
  const ring = parseKeyRing(text);
  if (!ring.ok) throw new Error(ring.error);
  return ring.value;
}

const [first, second] = [`1:${keyText(1)}`, `2:${keyText(2)}`];

describe("parseKeyRing", () => {
  it("takes one key or several, and encrypts with the first", () => {
    expect(ringOf(first).current).toBe("1");
    expect(ringOf(`${second}, ${first}`).current).toBe("2");
    expect(ringOf(`2026-11_a:${keyText(1)}`).current).toBe("2026-11_a");
  });

  const secret = keyText(7).slice(0, 20);
  it.each([
    ["", /^ENCRYPTION_KEYS, key 1 must be "<version>:<base64 of 32 bytes>"$/],
    [secret, /^ENCRYPTION_KEYS, key 1 must be /],
    [`:${keyText(7)}`, /^ENCRYPTION_KEYS, key 1 must have a version/],
    [`a.b:${keyText(7)}`, /^ENCRYPTION_KEYS, key 1 must have a version/],
    [`${"v".repeat(33)}:${keyText(7)}`, /^ENCRYPTION_KEYS, key 1 must have a version/],
    [`1:${secret}`, /^ENCRYPTION_KEYS, key 1 has 15 bytes, not 32$/],
    [`1:${keyText(7)}AAAA`, /^ENCRYPTION_KEYS, key 1 is not base64$/],
    ["1:", /^ENCRYPTION_KEYS, key 1 has 0 bytes, not 32$/],
    [`1:${keyText(7)}!`, /^ENCRYPTION_KEYS, key 1 is not base64$/],
    [`${first},`, /^ENCRYPTION_KEYS, key 2 must be /],
    [`${first},1:${keyText(7)}`, /^ENCRYPTION_KEYS, key 2 has the version of an earlier one$/],
    [
      Array.from({ length: 33 }, (_, n) => `${n}:${keyText(7)}`).join(","),
      /^ENCRYPTION_KEYS must not have more than 32 keys$/,
    ],
  ])("refuses %j by its place, without quoting it", (text, message) => {
    const parsed = parseKeyRing(text);
    const error = parsed.ok ? "accepted" : parsed.error;
    expect(error).toMatch(message);
    expect(error).not.toContain(secret);
  });
});

describe("seal and open", () => {
  const context = "0-task/config";

  it.each(["", "a secret", "ü€😀\0", "x".repeat(20_000), "\ufeffwith a byte order mark"])(
    "give back %j",
    async (plain) => {
      const ring = ringOf(first);
      expect(await open(ring, await seal(ring, plain, context), context)).toEqual({ ok: true, value: plain });
    },
  );

  it("name the version of the key and hide everything else, differently each time", async () => {
    const ring = ringOf(`${second},${first}`);
    const sealed = await seal(ring, "a secret", context);
    expect(sealed).toMatch(/^2\.[A-Za-z0-9_-]{16}\.[A-Za-z0-9_-]{32}$/);
    expect(await seal(ring, "a secret", context)).not.toBe(sealed);
  });

  it("open what an earlier key sealed, and say when that key is gone", async () => {
    const sealed = await seal(ringOf(first), "old", context);
    expect(await open(ringOf(`${second},${first}`), sealed, context)).toEqual({ ok: true, value: "old" });
    expect(await open(ringOf(second), sealed, context)).toEqual({ ok: false, error: "unknown_key" });
  });

  it("take nothing for another context, version or key", async () => {
    const ring = ringOf(`${second},${first}`);
    const corrupt = { ok: false, error: "corrupt" };
    const sealed = await seal(ring, "a secret", context);
    expect(await open(ring, sealed, "0-task/other")).toEqual(corrupt);
    expect(await open(ring, sealed.replace("2.", "1."), context)).toEqual(corrupt);
    // The same bytes under another version's name: the version is authenticated too.
    expect(await open(ringOf(`3:${keyText(2)}`), sealed.replace("2.", "3."), context)).toEqual(corrupt);
  });

  it("take nothing that was changed", async () => {
    const ring = ringOf(first);
    const sealed = await seal(ring, "a secret", context);
    const [version, iv = "", text = ""] = sealed.split(".");
    const flip = (part: string) =>
      (part[3] === "A" ? `${part.slice(0, 3)}B` : `${part.slice(0, 3)}A`) + part.slice(4);
    for (const changed of [
      `${version}.${flip(iv)}.${text}`,
      `${version}.${iv}.${flip(text)}`,
      `${version}.${iv}.${text.slice(0, -4)}`,
      `${version}.${iv}.`,
      `${version}.${iv.slice(4)}.${text}`,
      `${version}.${iv}`,
      `${sealed}.x`,
      `${version}.${iv}.${text}=`,
      "",
      "..",
    ]) {
      expect(await open(ring, changed, context), changed).toEqual({ ok: false, error: "corrupt" });
    }
  });

  it("are AES-256-GCM with version/context as additional data, as another program would do it", async () => {
    const raw = new Uint8Array(32).fill(1);
    const key = await crypto.subtle.importKey("raw", raw, "AES-GCM", false, ["encrypt"]);
    const iv = new Uint8Array(12).fill(5);
    const additionalData = new TextEncoder().encode(`1/${context}`);
    const text = await crypto.subtle.encrypt(
      { name: "AES-GCM", iv, additionalData, tagLength: 128 },
      key,
      new TextEncoder().encode("from elsewhere"),
    );
    const sealed = `1.${encodeBase64Url(iv)}.${encodeBase64Url(text)}`;
    expect(await open(ringOf(first), sealed, context)).toEqual({ ok: true, value: "from elsewhere" });
  });
});
