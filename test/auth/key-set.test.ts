// What is kept of a published key set, and which sets are refused.

import { exportJWK, generateKeyPair } from "jose";
import { describe, expect, it } from "vitest";
import { parseKeySet } from "../../src/auth/key-set.ts";

const rsa = { kty: "RSA", n: "x".repeat(342), e: "AQAB" };
const ec = { kty: "EC", crv: "P-256", x: "x".repeat(43), y: "y".repeat(43) };
const ed = { kty: "OKP", crv: "Ed25519", x: "x".repeat(43) };

const parse = (...keys: unknown[]) => parseKeySet(JSON.stringify({ keys }));
const kept = (...keys: unknown[]) => {
  const parsed = parse(...keys);
  return parsed.ok ? parsed.value : parsed.error;
};

describe("a key set", () => {
  it("is its keys for signatures, with their public members alone", () => {
    const extras = {
      use: "sig",
      key_ops: ["verify"],
      x5c: ["MII"],
      x5t: "t",
      exp: 1,
      jku: "https://evil.example",
    };
    expect(kept({ ...rsa, ...extras, kid: "1", alg: "RS256" }, { ...ec, ...extras, kid: "2" }, ed)).toEqual([
      { ...rsa, kid: "1", alg: "RS256" },
      { ...ec, kid: "2" },
      ed,
    ]);
  });

  it.each<[string, object]>([
    ["for encryption", { ...rsa, use: "enc" }],
    ["that may not verify", { ...rsa, key_ops: ["encrypt"] }],
    ["whose operations are no list", { ...rsa, key_ops: "verify" }],
    ["of another type", { ...rsa, kty: "AKP" }],
    ["of a type that every object has", { ...rsa, kty: "constructor" }],
    ["of no type", { ...rsa, kty: undefined }],
    ["that lacks a member", { ...rsa, e: undefined }],
    ["with a member that is a number", { ...ec, x: 1 }],
    ["with a member that is not base64url", { ...ec, y: "a+b/" }],
    ["with a modulus of more than 8,192 bits", { ...rsa, n: "x".repeat(1_367) }],
    ["with a long exponent", { ...rsa, e: "AQABAQA" }],
    ["whose kid is a number", { ...rsa, kid: 1 }],
    ["whose alg is a list", { ...rsa, alg: ["RS256"] }],
  ])("is no worse for a key %s, which is passed over", (_, key) => {
    expect(kept(key, ed)).toEqual([ed]);
    expect(kept(key)).toBe("no_usable_key");
  });

  it.each(["d", "k", "p", "q", "dp", "dq", "qi", "oth"])("is refused when a key shows its %s", (member) => {
    expect(kept(ed, { ...rsa, use: "enc", [member]: "x" })).toBe("private_key");
  });

  it("is refused when it shows a secret, or a whole private key", async () => {
    expect(kept(ed, { kty: "oct", k: "c2VjcmV0" })).toBe("private_key");
    const { privateKey } = await generateKeyPair("ES256", { extractable: true });
    expect(kept(ed, await exportJWK(privateKey))).toBe("private_key");
  });

  it("is refused when two keys for signatures have one kid", () => {
    expect(kept({ ...rsa, kid: "1" }, { ...ec, kid: "1" })).toBe("duplicate_kid");
    expect(kept({ ...rsa, kid: "1" }, { ...ec, kid: "1", use: "enc" })).toEqual([{ ...rsa, kid: "1" }]);
    expect(kept(rsa, ec)).toEqual([rsa, ec]);
  });

  it("is refused with more than a hundred keys, and with none", () => {
    expect(kept(...Array.from({ length: 101 }, () => ed))).toBe("too_many_keys");
    expect(kept(...Array.from({ length: 100 }, () => ed))).toHaveLength(100);
    expect(kept()).toBe("no_usable_key");
  });

  it.each([
    "",
    "null",
    "[]",
    "1",
    "{}",
    '{"keys":{}}',
    '{"keys":"x"}',
    '{"keys":[1]}',
    '{"keys":[[]]}',
    '{"keys":[null]}',
    "<html>",
    '{"keys":[',
  ])("is not %j", (text) => {
    expect(parseKeySet(text)).toEqual({ ok: false, error: "no_key_set" });
  });
});
