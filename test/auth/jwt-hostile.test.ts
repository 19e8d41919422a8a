// Tokens that are not what they say: each is refused for the reason that it should be, and the caller is told none.

import { env } from "cloudflare:test";
import { base64url, CompactSign, exportSPKI, SignJWT } from "jose";
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { createAuthentication } from "../../src/auth/authenticate.ts";
import type { Refusal } from "../../src/auth/refusal.ts";
import { AUDIENCE, createIssuer, createKey, serveIssuers, type TestIssuer } from "../support/issuer.ts";
import { configWith } from "../support/operations.ts";

let issuer: TestIssuer;
let stranger: Awaited<ReturnType<typeof createKey>>;
let rsa: Awaited<ReturnType<typeof createKey>>;

beforeAll(async () => {
  issuer = await createIssuer();
  [stranger, rsa] = await Promise.all([createKey("first"), createKey("rsa", "RS256")]);
  issuer.keySet.keys.push(rsa.jwk);
});
beforeEach(() => void serveIssuers(issuer));
afterEach(() => void vi.restoreAllMocks());

const seconds = () => Math.floor(Date.now() / 1_000);
const claims = () => ({
  iss: issuer.url,
  aud: AUDIENCE,
  sub: "alice",
  exp: seconds() + 300,
  scope: "task:read",
});
const encode = (value: unknown) =>
  base64url.encode(typeof value === "string" ? value : JSON.stringify(value));

/** Signs whatever text is the payload, or the header says. */
const signRaw = (payload: string, header: object = {}, key = issuer.first) =>
  new CompactSign(new TextEncoder().encode(payload))
    .setProtectedHeader({ alg: key.alg, kid: key.kid, ...header })
    .sign(key.privateKey);

/** Signs good claims under any header, which jose would not. */
async function signAs(header: object): Promise<string> {
  const input = `${encode(header)}.${encode(claims())}`;
  const algorithm = { name: "ECDSA", hash: "SHA-256" };
  const signature = await crypto.subtle.sign(
    algorithm,
    issuer.first.privateKey,
    new TextEncoder().encode(input),
  );
  return `${input}.${base64url.encode(new Uint8Array(signature))}`;
}

const hmac = async (secret: string, alg = "HS256", kid = "rsa") =>
  new SignJWT(claims()).setProtectedHeader({ alg, kid }).sign(new TextEncoder().encode(secret));

const withPayload = async (change: (payload: Record<string, unknown>) => void) => {
  const [header, payload = "", signature] = (await issuer.sign()).split(".");
  const decoded = JSON.parse(new TextDecoder().decode(base64url.decode(payload))) as Record<string, unknown>;
  change(decoded);
  return [header, encode(decoded), signature].join(".");
};

const withHeader = async (header: unknown) => {
  const [, payload, signature] = (await issuer.sign()).split(".");
  return [encode(header), payload, signature].join(".");
};

const attacks: [string, Refusal["reason"], () => Promise<string>][] = [
  // Algorithm confusion (RFC 8725 §2.1).
  [
    "the public key in PEM as an HMAC secret",
    "wrong_algorithm",
    async () => hmac(await exportSPKI(await publicOf(rsa.jwk))),
  ],
  ["the public key as JWK as an HMAC secret", "wrong_algorithm", () => hmac(JSON.stringify(rsa.jwk))],
  ["the modulus as an HMAC secret", "wrong_algorithm", () => hmac(String(rsa.jwk.n), "HS512")],
  ["an empty HMAC secret's stand-in", "wrong_algorithm", () => hmac("0".repeat(32), "HS256", "first")],
  ["none, with the signature of another token", "wrong_algorithm", () => withHeader({ alg: "none" })],
  ["nOnE", "wrong_algorithm", () => withHeader({ alg: "nOnE", kid: "first" })],
  ["none without a signature", "malformed", async () => `${encode({ alg: "none" })}.${encode(claims())}.`],
  [
    "none with a signature of one letter",
    "wrong_algorithm",
    async () => `${encode({ alg: "none" })}.${encode(claims())}.A`,
  ],
  ["no algorithm", "malformed", () => withHeader({ kid: "first" })],
  ["an algorithm that is a list", "malformed", () => withHeader({ alg: ["ES256"], kid: "first" })],
  ["an algorithm that is not configured", "wrong_algorithm", () => withHeader({ alg: "RS512", kid: "rsa" })],
  ["another type's algorithm on a key", "unknown_kid", () => withHeader({ alg: "RS256", kid: "first" })],
  ["another algorithm of the key's type", "unknown_kid", () => withHeader({ alg: "PS256", kid: "rsa" })],
  // Key substitution (RFC 8725 §2.6, §3.10).
  ["a stranger's key under a known kid", "bad_signature", () => issuer.sign({}, stranger)],
  ["a key that it brings along", "bad_signature", () => issuer.sign({}, stranger, { jwk: stranger.jwk })],
  [
    "a key set that it names",
    "bad_signature",
    () => issuer.sign({}, stranger, { jku: "https://evil.test/keys" }),
  ],
  [
    "a certificate that it names",
    "bad_signature",
    () => issuer.sign({}, stranger, { x5u: "https://evil.test/c" }),
  ],
  ["a certificate that it brings along", "bad_signature", () => issuer.sign({}, stranger, { x5c: ["MIIB"] })],
  ["an unknown kid", "unknown_kid", () => issuer.sign({}, stranger, { kid: "../../etc/passwd" })],
  ["a kid of SQL", "unknown_kid", () => issuer.sign({}, issuer.first, { kid: "' OR 1=1 --" })],
  ["a kid that every object has", "unknown_kid", () => issuer.sign({}, issuer.first, { kid: "__proto__" })],
  ["an empty kid", "unknown_kid", () => issuer.sign({}, issuer.first, { kid: "" })],
  ["a kid that is a number", "unknown_kid", () => withHeader({ alg: "ES256", kid: 1 })],
  ["a kid that is a list", "unknown_kid", () => withHeader({ alg: "ES256", kid: ["first"] })],
  // Claims that were changed, are wrong, or are not there.
  [
    "another subject than was signed",
    "bad_signature",
    () => withPayload((c) => Object.assign(c, { sub: "bob" })),
  ],
  [
    "a later end than was signed",
    "bad_signature",
    () => withPayload((c) => Object.assign(c, { exp: seconds() + 9e6 })),
  ],
  ["an end that is over", "expired", () => issuer.sign({ exp: seconds() - 31 })],
  ["an end in 1970", "expired", () => issuer.sign({ exp: 0 })],
  ["an end that is negative", "expired", () => issuer.sign({ exp: -1 })],
  ["no end", "malformed", () => issuer.sign({ exp: undefined })],
  ["an end that is a text", "malformed", () => signRaw(JSON.stringify({ ...claims(), exp: "9999999999" }))],
  [
    "an end beyond all numbers",
    "malformed",
    () => signRaw(JSON.stringify(claims()).replace(/"exp":\d+/, '"exp":1e999')),
  ],
  ["a beginning that is ahead", "not_yet_valid", () => issuer.sign({ nbf: seconds() + 60 })],
  ["a beginning that is a text", "malformed", () => signRaw(JSON.stringify({ ...claims(), nbf: "0" }))],
  ["an issue that is ahead", "not_yet_valid", () => issuer.sign({ iat: seconds() + 60 })],
  ["another audience", "wrong_audience", () => issuer.sign({ aud: "https://other.test" })],
  ["the audience in other letters", "wrong_audience", () => issuer.sign({ aud: AUDIENCE.toUpperCase() })],
  ["the audience with a slash", "wrong_audience", () => issuer.sign({ aud: `${AUDIENCE}/` })],
  ["no audience", "wrong_audience", () => issuer.sign({ aud: undefined })],
  ["an audience of none", "wrong_audience", () => issuer.sign({ aud: [] })],
  [
    "an audience that is an object",
    "wrong_audience",
    () => signRaw(JSON.stringify({ ...claims(), aud: { [AUDIENCE]: 1 } })),
  ],
  ["another issuer", "unknown_issuer", () => issuer.sign({ iss: "https://evil.test/" })],
  ["the issuer without its slash", "unknown_issuer", () => issuer.sign({ iss: "https://id.test" })],
  ["the issuer in other letters", "unknown_issuer", () => issuer.sign({ iss: "https://ID.test/" })],
  ["the issuer with a Cyrillic letter", "unknown_issuer", () => issuer.sign({ iss: "https://іd.test/" })],
  ["no issuer", "malformed", () => issuer.sign({ iss: undefined })],
  [
    "an issuer that is a list",
    "malformed",
    () => signRaw(JSON.stringify({ ...claims(), iss: [issuer.url] })),
  ],
  ["an issuer that every object has", "unknown_issuer", () => issuer.sign({ iss: "constructor" })],
  [
    "two issuers, ours first",
    "unknown_issuer",
    () =>
      signRaw(
        `{"iss":"${issuer.url}",${JSON.stringify({ ...claims(), iss: "https://evil.test/" }).slice(1)}`,
      ),
  ],
  ["no subject", "no_subject", () => issuer.sign({ sub: undefined })],
  ["an empty subject", "no_subject", () => issuer.sign({ sub: "" })],
  [
    "half a character for a subject",
    "no_subject",
    () => signRaw(JSON.stringify({ ...claims(), sub: "\ud800" })),
  ],
  // Forms.
  [
    "an extension that must be understood",
    "malformed",
    () => signAs({ alg: "ES256", kid: "first", crit: ["x"], x: 1 }),
  ],
  [
    "an unencoded payload",
    "malformed",
    () => signAs({ alg: "ES256", kid: "first", b64: false, crit: ["b64"] }),
  ],
  ["a header that is no JSON", "malformed", () => withHeader("nothing")],
  ["a header that is null", "malformed", () => withHeader(null)],
  ["a payload that is no JSON", "malformed", () => signRaw("nothing")],
  ["a payload that is a list", "malformed", () => signRaw("[]")],
  ["a payload that is null", "malformed", () => signRaw("null")],
  ["a payload that is not UTF-8", "malformed", async () => `${encode({ alg: "ES256" })}._w.AAAA`],
  ["a signature that is cut", "bad_signature", async () => (await issuer.sign()).slice(0, -4)],
  [
    "a signature of zeros",
    "bad_signature",
    async () => (await issuer.sign()).replace(/[^.]+$/, "A".repeat(86)),
  ],
  ["two parts", "malformed", async () => (await issuer.sign()).replace(/\.[^.]+$/, "")],
  ["four parts", "malformed", async () => `${await issuer.sign()}.AAAA`],
  ["five parts, as if encrypted", "malformed", async () => "AAAA.AAAA.AAAA.AAAA.AAAA"],
  ["padding", "malformed", async () => `${await issuer.sign()}==`],
  ["base64 of the other alphabet", "malformed", async () => `${await issuer.sign()}+/`],
  ["a line break", "malformed", async () => (await issuer.sign()).replace(".", ".\u00a0")],
  ["more than 8 KB", "too_large", () => issuer.sign({ padding: "x".repeat(8_000) })],
];

async function publicOf(jwk: typeof rsa.jwk): Promise<CryptoKey> {
  const { importJWK } = await import("jose");
  return (await importJWK(jwk, "RS256", { extractable: true })) as CryptoKey;
}

function start() {
  const refusals: Refusal[] = [];
  const { authenticate } = createAuthentication({
    config: configWith(issuer.config),
    db: env.DB,
    onRefusal: (refusal) => void refusals.push(refusal),
  });
  const as = (token: string) =>
    authenticate(new Request("https://a.test", { headers: { authorization: `Bearer ${token}` } }));
  return { as, refusals };
}

describe("a token with", () => {
  it.each(attacks)("%s is refused: %s", async (_, reason, make) => {
    const { as, refusals } = start();
    expect((await as(await issuer.sign())).ok, "the honest one is taken").toBe(true);
    const refused = await as(await make());
    expect(refusals.map((refusal) => refusal.reason)).toEqual([reason]);
    expect(refused).toEqual({
      ok: false,
      error: {
        reason: "UNAUTHENTICATED",
        message: "The credential is not valid",
        challenge: 'Bearer realm="a2a", error="invalid_token"',
      },
    });
    expect((await as(await issuer.sign())).ok, "and is taken after it").toBe(true);
  });

  it("whatever is wrong, nothing is fetched that it names", async () => {
    const fetched = vi.mocked(globalThis.fetch);
    const { as } = start();
    for (const [, , make] of attacks) await as(await make());
    const urls = new Set(fetched.mock.calls.map(([input]) => String(input)));
    expect(urls).toEqual(new Set([`${issuer.url}.well-known/openid-configuration`, issuer.jwksUrl]));
    expect(fetched.mock.calls.length).toBeLessThan(5);
  });

  it("an algorithm that is refused, or a foreign issuer, costs no fetch at all", async () => {
    const { as } = start();
    await as(await hmac("secret".repeat(10)));
    await as(await issuer.sign({ iss: "https://evil.test/" }));
    await as(await issuer.sign({ padding: "x".repeat(8_000) }));
    expect(globalThis.fetch).not.toHaveBeenCalled();
  });

  it("two scopes of which the last counts says nothing more than the last", async () => {
    const doubled = JSON.stringify(claims()).replace('"scope":', '"scope":"task:write","scope":');
    const caller = await start().as(await signRaw(doubled));
    expect(caller.ok && caller.value.scopes).toEqual(new Set(["task:read"]));
  });
});
