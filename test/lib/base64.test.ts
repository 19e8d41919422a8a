// Base64 and base64url: the vectors of RFC 4648, §10, and what is refused.

import { describe, expect, it } from "vitest";
import { decodeBase64, decodeBase64Url, encodeBase64, encodeBase64Url } from "../../src/lib/base64.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

describe("base64", () => {
  it.each([
    ["", ""],
    ["f", "Zg=="],
    ["fo", "Zm8="],
    ["foo", "Zm9v"],
    ["foob", "Zm9vYg=="],
    ["fooba", "Zm9vYmE="],
    ["foobar", "Zm9vYmFy"],
  ])("of %j is %j, and back", (text, encoded) => {
    expect(encodeBase64(bytes(text))).toBe(encoded);
    expect(encodeBase64Url(bytes(text))).toBe(encoded.replaceAll("=", ""));
    expect(decodeBase64(encoded)).toEqual(bytes(text));
    expect(decodeBase64(encoded.replaceAll("=", ""))).toEqual(bytes(text));
    expect(decodeBase64Url(encoded.replaceAll("=", ""))).toEqual(bytes(text));
  });

  it("has two alphabets, which do not mix", () => {
    const odd = new Uint8Array([0xfb, 0xff, 0xfe]);
    expect(encodeBase64(odd)).toBe("+//+");
    expect(encodeBase64Url(odd)).toBe("-__-");
    expect(decodeBase64("-__-")).toBeUndefined();
    expect(decodeBase64Url("+//+")).toBeUndefined();
    expect(decodeBase64Url("-__-")).toEqual(odd);
  });

  it("encodes every byte, in an array, a view of one, or a buffer", () => {
    const all = Uint8Array.from({ length: 256 }, (_, byte) => byte);
    expect(decodeBase64(encodeBase64(all))).toEqual(all);
    expect(decodeBase64(encodeBase64(all.buffer))).toEqual(all);
    expect(encodeBase64(all.subarray(1, 3))).toBe("AQI=");
  });

  it.each(["A", "AAAAA", "A===", "====", "AA=A", "A A=", "AA==\n", "ü", "AA.A"])("is not %j", (text) => {
    expect(decodeBase64(text)).toBeUndefined();
    expect(decodeBase64Url(text)).toBeUndefined();
  });
});
