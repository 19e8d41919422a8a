// SIGNING_KEYS: what is taken, what is published, and that others can verify what is signed.

import { createLocalJWKSet, jwtVerify } from "jose";
import { describe, expect, it } from "vitest";
import { parseSigningKeys, publicJwks, signEd25519, signJwt } from "../../src/keys/signing-keys.ts";
import { toHex } from "../../src/lib/bytes.ts";
import { keysOf, rfc8032, rfc8037 } from "../support/signing-keys.ts";

describe("parseSigningKeys", () => {
  const text = (...jwks: unknown[]) => JSON.stringify(jwks);
  it.each([
    ["no JSON", "{", /JSON array .* is not JSON$/],
    ["no array", JSON.stringify(rfc8037), /^SIGNING_KEYS must be a JSON array of 1 to 8/],
    ["none", "[]", /1 to 8/],
    ["nine", text(...Array.from({ length: 9 }, (_, n) => ({ ...rfc8037, kid: `k${n}` }))), /1 to 8/],
    ["null", text(null), /^SIGNING_KEYS, key 1 must be an object$/],
    ["RSA", text({ ...rfc8037, kty: "RSA" }), /^SIGNING_KEYS, key 1 must have kty "OKP" and crv "Ed25519"$/],
    ["X25519", text({ ...rfc8037, crv: "X25519" }), /crv "Ed25519"/],
    ["no kid", text({ ...rfc8037, kid: undefined }), /must have a kid/],
    ["an empty kid", text({ ...rfc8037, kid: "" }), /must have a kid/],
    ["a kid with a quote", text({ ...rfc8037, kid: 'a"b' }), /must have a kid/],
    ["a kid twice", text(rfc8037, rfc8037), /^SIGNING_KEYS, key 2 has the kid of an earlier one$/],
    ["no d", text({ ...rfc8037, d: undefined }), /must have d, /],
    ["a short d", text({ ...rfc8037, d: "nWGxne_9" }), /must have d, the base64url of 32 bytes$/],
    ["d in base64", text({ ...rfc8037, d: "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=" }), /must have d/],
    ["no x", text({ ...rfc8037, x: undefined }), /must have x, /],
  ])("refuses %s by its place, without quoting the key", (_, given, message) => {
    const parsed = parseSigningKeys(given);
    const error = parsed.ok ? "accepted" : parsed.error;
    expect(error).toMatch(message);
    expect(error).toMatch(/^SIGNING_KEYS/);
    expect(error).not.toContain("nWGx");
  });
});

describe("signing", () => {
  it("is Ed25519: the signatures of RFC 8037, A.4 and RFC 8032, 7.1", async () => {
    const content = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    const [signed] = await signEd25519(keysOf(rfc8037), new TextEncoder().encode(content));
    expect(signed?.kid).toBe("rfc8037");
    expect(btoa(String.fromCharCode(...(signed?.signature ?? [])))).toBe(
      "hgyY0il/MGCjP0JzlnLWG1PPOt7+09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr/MuM0KAg==",
    );
    const [other] = await signEd25519(keysOf(rfc8032), new Uint8Array([0x72]));
    expect(toHex(new Uint8Array(other?.signature ?? []).buffer)).toBe(
      "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da" +
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    );
  });

  it("signs with every key, the newest first", async () => {
    const signatures = await signEd25519(keysOf(rfc8032, rfc8037), new Uint8Array([1]));
    expect(signatures.map(({ kid }) => kid)).toEqual(["rfc8032", "rfc8037"]);
  });

  it("refuses to sign with a key whose public half is another one's", () => {
    const keys = keysOf({ ...rfc8037, x: rfc8032.x });
    const sign = () => signEd25519(keys, new Uint8Array([1]));
    expect(sign).toThrow("SIGNING_KEYS: x of the key rfc8037 does not belong to its d");
  });

  it("publishes all keys, and nothing of them that is private", () => {
    const { keys } = publicJwks(keysOf(rfc8032, rfc8037));
    const common = { kty: "OKP", crv: "Ed25519", use: "sig", alg: "EdDSA" };
    expect(keys).toEqual([
      { ...common, kid: "rfc8032", x: rfc8032.x },
      { ...common, kid: "rfc8037", x: rfc8037.x },
    ]);
    expect(JSON.stringify(keys)).not.toContain(rfc8037.d);
  });

  it("makes tokens with the first key that jose verifies with what is published", async () => {
    const keys = keysOf(rfc8032, rfc8037);
    const now = Math.floor(Date.now() / 1_000);
    const claims = { iss: "https://agents.example.com", aud: "ü", exp: now + 60, taskId: "0-1" };
    const token = await signJwt(keys, claims);
    const { payload, protectedHeader } = await jwtVerify(token, createLocalJWKSet(publicJwks(keys)));
    expect(payload).toEqual(claims);
    expect(protectedHeader).toEqual({ alg: "EdDSA", typ: "JWT", kid: "rfc8032" });
  });
});
