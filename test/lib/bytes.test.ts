import { describe, expect, it } from "vitest";
import {
  compareUtf8,
  fromBase64Url,
  joinJson,
  sha256,
  toBase64Url,
  toHex,
  toJsonBytes,
  utf8Length,
} from "../../src/lib/bytes.ts";

const texts = [
  "",
  "a",
  "ab",
  "abc",
  "abcd",
  "\u0000",
  "é",
  "世界",
  "\u{1F600}",
  "a\u{1F600}é",
  "\uFEFFbom",
  "x".repeat(10_000),
];

describe("sha256", () => {
  it("is that of FIPS 180-4, in lower case", async () => {
    expect(await sha256("")).toBe("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    expect(await sha256("abc")).toBe("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  });

  it("is of the UTF-8 bytes", async () => {
    const bytes = Uint8Array.of(0xe4, 0xb8, 0x96);
    expect(await sha256("世")).toBe(toHex(await crypto.subtle.digest("SHA-256", bytes)));
  });
});

describe("toHex", () => {
  it("gives every byte two digits", () => {
    expect(toHex(Uint8Array.of(0, 1, 15, 16, 255).buffer)).toBe("00010f10ff");
  });
});

describe("utf8Length", () => {
  it.each([
    ["", 0],
    ["a", 1],
    ["é", 2],
    ["世", 3],
    ["\u{1F600}", 4],
    // Half a pair is written as U+FFFD.
    ["\ud83d", 3],
  ])("of %j is %i", (text, length) => {
    expect(utf8Length(text)).toBe(length);
  });
});

describe("JSON as bytes", () => {
  const read = (bytes: Uint8Array) =>
    JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes));

  it("is that of JSON.stringify in UTF-8", () => {
    const value = { text: "世\u{1F600}", half: "\ud83d", deep: [1, null, { a: true }] };
    expect(read(toJsonBytes(value))).toEqual(value);
    expect(new TextDecoder().decode(toJsonBytes("é"))).toBe('"é"');
  });

  it.each([0, 1, 2, 100])("joins %i values into one text", (count) => {
    const values = Array.from({ length: count }, (_, index) => ({ index, text: "é".repeat(index) }));
    const joined = joinJson('{"values":[', values.map(toJsonBytes), '],"ü":1}');
    expect(read(joined)).toEqual({ values, ü: 1 });
  });
});

describe("base64url (RFC 4648 §5)", () => {
  it.each(texts)("gives back what it was given (%#)", (text) => {
    const encoded = toBase64Url(text);
    expect(encoded).toMatch(/^[A-Za-z0-9_-]*$/);
    expect(fromBase64Url(encoded)).toBe(text);
  });

  it("uses - and _ and no padding", () => {
    expect(toBase64Url("\u00fb\u00ff?>")).not.toMatch(/[+/=]/);
    expect(toBase64Url("?>?>")).toBe("Pz4_Pg");
    expect(toBase64Url("~~~")).toBe("fn5-");
  });

  it.each(["a", "ab=", "ab+/", "a b", "é", "ab\n", "____", "gA", "7aCA"])("is not %j", (encoded) => {
    // The last three decode to bytes that are no UTF-8: 0xFF, a lone continuation, an encoded surrogate.
    expect(fromBase64Url(encoded)).toBeUndefined();
  });
});

describe("compareUtf8", () => {
  it("orders texts by their code points, also those above the surrogates of UTF-16", () => {
    const ordered = ["", "a", "ab", "b", "\u00e9", "\ue000", "\uffff", "\u{10000}", "\u{10ffff}"];
    expect(ordered.toReversed().toSorted(compareUtf8)).toEqual(ordered);
    expect(compareUtf8("\u{1f600}", "\u{1f600}")).toBe(0);
  });
});
