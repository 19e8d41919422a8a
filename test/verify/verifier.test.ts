// The verifier beyond the vectors: its options, where keys come from, what is remembered, hostile input, and other
// implementations as senders.

import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { Webhook } from "standardwebhooks";
import { beforeEach, describe, expect, it } from "vitest";
import { currentSecrets, type PushSecrets, rotateSecret } from "../../src/delivery/push-secrets.ts";
import { signatureHeaders } from "../../src/delivery/sign.ts";
import { publicJwks } from "../../src/keys/signing-keys.ts";
import {
  createMemorySeen,
  createVerifier,
  type Verifier,
  type VerifierOptions,
} from "../../src/verify/index.ts";
import fixture from "../fixtures/webhooks/vectors.json";
import { keysOf, rfc8037 } from "../support/signing-keys.ts";

const secret = `whsec_${btoa("0123456789abcdef0123456789abcdef")}`;
const body = '{"statusUpdate":{"taskId":"0-1","contextId":"c","status":{"state":"TASK_STATE_WORKING"}}}';

const signingKeys = keysOf({ ...rfc8037, kid: "k1" });

/** Headers as the standardwebhooks package makes them. */
function signedBy(key: string, id = "msg_1", at = Date.now()) {
  return {
    "webhook-id": id,
    "webhook-timestamp": String(Math.floor(at / 1_000)),
    "webhook-signature": new Webhook(key).sign(id, new Date(at), body),
  };
}

async function reason(verifier: Verifier, headers: Record<string, string>): Promise<string> {
  const verified = await verifier.verify({ headers, body });
  return verified.ok ? verified.value.checks.join(" ") : verified.error.reason;
}

/** Options that the types forbid. */
const malformed: [string, unknown][] = [
  ["secrets that are one text", { secrets: secret }],
  ["a secret that is no text", { secrets: [null] }],
  ["a token that is no text", { secrets: [secret], token: null }],
  ["a tolerance that is a text", { secrets: [secret], toleranceSeconds: "300" }],
  ["a key set without keys", { jwks: {} }],
  ["a key set that is a text", { jwks: '{"keys":[]}' }],
  ["jwt without issuer and audience", { jwks: { keys: [] }, jwt: true }],
  ["jwt without audience", { jwks: { keys: [] }, jwt: { issuer: "a" } }],
  ["jwt with an issuer that is no text", { jwks: { keys: [] }, jwt: { issuer: [1], audience: "b" } }],
];

describe("createVerifier", () => {
  it.each<[string, VerifierOptions]>([
    ["nothing to verify with", {}],
    ["no secret", { secrets: [] }],
    ["no secret beside keys", { secrets: [], jwks: { keys: [] } }],
    ["an empty secret", { secrets: [""] }],
    ["whsec_ alone", { secrets: ["whsec_"] }],
    ["whsec_ without base64", { secrets: ["whsec_not base64!"] }],
    ["an empty token", { secrets: [secret], token: "" }],
    ["jwt without keys", { secrets: [secret], jwt: { issuer: "a", audience: "b" } }],
    ["a negative tolerance", { secrets: [secret], toleranceSeconds: -1 }],
    ["a tolerance that is no number", { secrets: [secret], toleranceSeconds: Number.NaN }],
    ...malformed.map(([name, options]): [string, VerifierOptions] => [name, options as VerifierOptions]),
  ])("refuses %s, as what it is: a mistake of the receiver", (_, options) => {
    expect(() => createVerifier(options)).toThrow(TypeError);
    // In words of its own.
    expect(() => createVerifier(options)).toThrow(/ must | needs /);
  });

  it("does not say a secret when it refuses it", () => {
    expect(() => createVerifier({ secrets: ["whsec_hush hush"] })).toThrow(/^(?!.*hush).*$/);
  });
});

describe("verify", () => {
  it("takes what the standardwebhooks package signs, from Headers and from an object in any case", async () => {
    const { verify } = createVerifier({ secrets: [secret] });
    const headers = signedBy(secret);
    const shouted = Object.fromEntries(Object.entries(headers).map(([k, v]) => [k.toUpperCase(), v]));
    const lists = Object.fromEntries(Object.entries(headers).map(([k, v]) => [k, [v]]));
    for (const form of [headers, new Headers(headers), shouted, lists]) {
      const verified = await verify({ headers: form, body });
      const timestampSeconds = Number(headers["webhook-timestamp"]);
      expect(verified).toEqual({ ok: true, value: { id: "msg_1", timestampSeconds, checks: ["v1"] } });
    }
  });

  it("takes every secret and every key that may sign at once", async () => {
    let kept: PushSecrets = { secrets: [{ value: secret }] };
    for (let rotation = 1; rotation < 100; rotation += 1) {
      const rotated = rotateSecret(kept, { value: `secret number ${rotation}`, now: 0, overlapMs: 1_000 });
      if (rotated.ok) kept = rotated.value;
    }
    const secrets = currentSecrets(kept, 0);
    const jwks = await Promise.all(
      Array.from({ length: 8 }, async (_, n) => {
        const { privateKey } = await generateKeyPair("Ed25519", { extractable: true });
        return { ...(await exportJWK(privateKey)), kid: `k${n}` };
      }),
    );
    const all = keysOf(...jwks);
    const timestampSeconds = Math.floor(Date.now() / 1_000);
    const signed = { id: "msg_1", timestampSeconds, body, taskId: "0-1", secrets, signingKeys: all };
    const headers = await signatureHeaders(signed);
    for (const known of secrets)
      expect(await reason(createVerifier({ secrets: [known] }), headers)).toBe("v1");
    for (const key of publicJwks(all).keys) {
      expect(await reason(createVerifier({ jwks: { keys: [key] } }), headers)).toBe("v1a");
    }
  });

  it("takes the body as text or as bytes", async () => {
    const { verify } = createVerifier({ secrets: [secret] });
    const bytes = new TextEncoder().encode(body);
    expect((await verify({ headers: signedBy(secret), body: bytes })).ok).toBe(true);
    // A view of a part of a buffer, as Node's Buffer is.
    const larger = new TextEncoder().encode(`xx${body}yy`);
    const view = larger.subarray(2, larger.byteLength - 2);
    expect((await verify({ headers: signedBy(secret), body: view })).ok).toBe(true);
  });

  it("takes the body as a buffer, and refuses what was parsed, whatever it says about its length", async () => {
    const { verify } = createVerifier({ secrets: [secret] });
    const { buffer } = new TextEncoder().encode(body);
    const sent = (what: unknown) => verify({ headers: signedBy(secret), body: what as string });
    expect((await sent(buffer)).ok).toBe(true);
    const parsed = [undefined, null, 1e11, {}, JSON.parse(body), { length: 1e11 }, [1], new Uint16Array(1)];
    for (const what of parsed) expect(await sent(what)).toMatchObject({ error: { reason: "bad_body" } });
  });

  it("passes over keys that are no objects", async () => {
    const keys = [null, 1, "x", ...publicJwks(signingKeys).keys] as object[];
    const timestampSeconds = Math.floor(Date.now() / 1_000);
    const signed = { id: "msg_1", timestampSeconds, body, taskId: "0-1", secrets: [], signingKeys };
    const verifier = createVerifier({ jwks: { keys } });
    expect(await reason(verifier, await signatureHeaders(signed))).toBe("v1a");
  });

  it("refuses a header that came twice", async () => {
    const { verify } = createVerifier({ secrets: [secret] });
    const headers = { ...signedBy(secret), "webhook-timestamp": ["1", "2"] };
    expect(await verify({ headers, body })).toMatchObject({ error: { reason: "bad_timestamp" } });
  });

  it("takes tokens that jose signs, and only from the issuers and for the audiences it was told", async () => {
    const { privateKey, publicKey } = await generateKeyPair("ES256", { extractable: true });
    const jwk = { ...(await exportJWK(publicKey)), kid: "theirs", alg: "ES256" };
    const jwt = { issuer: ["them", "us"], audience: ["me", "you"] };
    const verifier = createVerifier({ jwks: { keys: [...publicJwks(signingKeys).keys, jwk] }, jwt });
    const timestampSeconds = Math.floor(Date.now() / 1_000);
    const signed = { id: "msg_1", timestampSeconds, body, taskId: "0-1", secrets: [], signingKeys };
    const headers = await signatureHeaders(signed);
    const sent = async (issuer: string, audience: string) => {
      const token = await new SignJWT({ taskId: "0-1" })
        .setProtectedHeader({ alg: "ES256", kid: "theirs" })
        .setIssuer(issuer)
        .setAudience(audience)
        .setIssuedAt()
        .setExpirationTime("5m")
        .setJti("1")
        .sign(privateKey);
      return reason(verifier, { ...headers, authorization: `bearer ${token}` });
    };
    expect(await sent("us", "you")).toBe("v1a jwt");
    expect(await sent("them", "me")).toBe("v1a jwt");
    expect(await sent("you", "you")).toBe("jwt_issuer");
    expect(await sent("us", "them")).toBe("jwt_audience");
  });

  it.each([
    [
      "a signature of a megabyte",
      { "webhook-signature": "v1,".padEnd(1_000_000, "A") },
      "no_matching_signature",
    ],
    [
      "100,000 signatures",
      { "webhook-signature": "v1,AAAA v1a,AAAA ".repeat(50_000) },
      "no_matching_signature",
    ],
    ["an id of a megabyte", { "webhook-id": "x".repeat(1_000_000) }, "bad_id"],
    ["an id with a line break", { "webhook-id": "a\nb" }, "bad_id"],
    ["an id with a null", { "webhook-id": "a\0b" }, "bad_id"],
    ["no text at all", { "webhook-signature": "\ud800" }, "no_matching_signature"],
    ["a v1a of 63 bytes", { "webhook-signature": `v1a,${btoa("x".repeat(63))}` }, "no_matching_signature"],
  ])("refuses %s quickly", async (_, hostile, expected) => {
    const verifier = createVerifier({ secrets: [secret], jwks: fixture.jwks });
    const started = Date.now();
    expect(await reason(verifier, { ...signedBy(secret), ...hostile })).toBe(expected);
    expect(Date.now() - started).toBeLessThan(1_000);
  });

  it("takes no name of an object's own for a header", async () => {
    const verifier = createVerifier({ secrets: [secret] });
    const headers = Object.create(signedBy(secret)) as Record<string, string>;
    expect(await reason(verifier, headers)).toBe("missing_header");
  });

  it("looks at no more signatures than a sender may need", async () => {
    const verifier = createVerifier({ secrets: [secret] });
    const headers = signedBy(secret);
    const behind = (count: number) => `${"v1,AAAA ".repeat(count)}${headers["webhook-signature"]}`;
    expect(await reason(verifier, { ...headers, "webhook-signature": behind(15) })).toBe("v1");
    expect(await reason(verifier, { ...headers, "webhook-signature": behind(16) })).toBe(
      "no_matching_signature",
    );
  });
});

describe("seen", () => {
  const options = { secrets: [secret], toleranceSeconds: 10 };
  let now: number;
  beforeEach(() => {
    now = 1_795_000_000_000;
  });
  const clock = () => now;

  it("refuses the same request, and takes a retry, which is signed anew", async () => {
    const verifier = createVerifier({ ...options, seen: createMemorySeen({ now: clock }), now: clock });
    expect(await reason(verifier, signedBy(secret, "msg_1", now))).toBe("v1");
    expect(await reason(verifier, signedBy(secret, "msg_1", now))).toBe("replayed");
    now += 5_000;
    expect(await reason(verifier, signedBy(secret, "msg_1", now))).toBe("v1");
    expect(await reason(verifier, signedBy(secret, "msg_2", now))).toBe("v1");
  });

  it("remembers a request for as long as its time would do", async () => {
    const verifier = createVerifier({ ...options, seen: createMemorySeen({ now: clock }), now: clock });
    const headers = signedBy(secret, "msg_1", now);
    expect(await reason(verifier, headers)).toBe("v1");
    for (const expected of ["replayed", "replayed", "too_old"]) {
      now += 5_000 + (expected === "too_old" ? 1_000 : 0);
      expect(await reason(verifier, headers)).toBe(expected);
    }
    // From the future as far as allowed, to the last moment.
    const later = signedBy(secret, "msg_2", now + 10_000);
    expect(await reason(verifier, later)).toBe("v1");
    now += 20_999;
    expect(await reason(verifier, later)).toBe("replayed");
  });

  it("holds nothing against a request that was refused for another reason", async () => {
    const seen = createMemorySeen({ now: clock });
    const headers = signedBy(secret, "msg_1", now);
    const strict = createVerifier({ ...options, token: "t", seen, now: clock });
    expect(await reason(strict, headers)).toBe("missing_header");
    expect(await reason(strict, { ...headers, "a2a-notification-token": "t" })).toBe("v1 token");
  });

  it("may be a store that answers later, and whose failure is not taken for an answer", async () => {
    const keys = new Set<string>();
    const add = async (key: string) => !keys.has(key) && Boolean(keys.add(key));
    const verifier = createVerifier({ ...options, seen: { add }, now: clock });
    expect(await reason(verifier, signedBy(secret, "msg_1", now))).toBe("v1");
    expect(await reason(verifier, signedBy(secret, "msg_1", now))).toBe("replayed");
    const broken = createVerifier({
      ...options,
      seen: { add: () => Promise.reject(new Error("down")) },
      now: clock,
    });
    await expect(broken.verify({ headers: signedBy(secret, "msg_1", now), body })).rejects.toThrow("down");
  });

  it.each([0, Number.NaN])("in memory is not made for %s entries, which would forget all", (maxEntries) => {
    expect(() => createMemorySeen({ maxEntries })).toThrow("maxEntries must be at least 1");
  });

  it("in memory forgets what has ended, and the oldest when it is full", () => {
    const seen = createMemorySeen({ maxEntries: 3, now: clock });
    expect(seen.add("a", now + 10)).toBe(true);
    expect(seen.add("a", now + 10)).toBe(false);
    now += 10;
    expect(seen.add("a", now + 10)).toBe(true);
    for (const key of ["b", "c", "d"]) expect(seen.add(key, now + 10)).toBe(true);
    for (const key of ["b", "c", "d"]) expect(seen.add(key, now + 10)).toBe(false);
    expect(seen.add("a", now + 10)).toBe(true);
  });
});

describe("keys by URL", () => {
  const url = "https://agents.example.com/.well-known/jwks.json";
  let now: number;
  let served: () => Promise<{ ok: boolean; json(): Promise<unknown> }>;
  let fetched: string[];
  let verifier: Verifier;
  const all = fixture.jwks;
  const serve = (jwks: unknown) => async () => ({ ok: true, json: async () => jwks });
  const down = () => Promise.reject(new Error("refused"));
  const headersOf = (name: string) =>
    fixture.vectors.find((vector) => vector.name === name)?.headers as Record<string, string>;
  const sent = fixture.vectors.find(({ name }) => name === "an Ed25519 key")?.body ?? "";
  const check = async (name: string) => {
    const verified = await verifier.verify({ headers: headersOf(name), body: sent });
    return verified.ok ? verified.value.checks.join(" ") : verified.error.reason;
  };
  const [key, nextKey, stranger] = ["an Ed25519 key", "the next Ed25519 key", "a key that is not published"];

  beforeEach(() => {
    now = fixture.now * 1_000;
    fetched = [];
    served = serve(all);
    verifier = createVerifier({
      jwksUrl: url,
      fetch: (from) => {
        fetched.push(from);
        return served();
      },
      toleranceSeconds: 1e6,
      now: () => now,
    });
  });

  it("are fetched once and kept for ten minutes", async () => {
    expect([await check(key), await check(key), await check(nextKey)]).toEqual(["v1a", "v1a", "v1a"]);
    expect(fetched).toEqual([url]);
    now += 599_999;
    await check(key);
    expect(fetched).toHaveLength(1);
    now += 1;
    await check(key);
    expect(fetched).toHaveLength(2);
  });

  it("are fetched again for a key that is not known, at most once a minute", async () => {
    served = serve({ keys: all.keys.slice(0, 1) });
    expect(await check(key)).toBe("v1a");
    expect(await check(nextKey)).toBe("no_matching_signature");
    expect(fetched).toHaveLength(1);
    served = serve(all);
    now += 59_999;
    expect(await check(nextKey)).toBe("no_matching_signature");
    now += 1;
    expect(await check(nextKey)).toBe("v1a");
    expect(fetched).toHaveLength(2);
    for (let n = 0; n < 20; n += 1) expect(await check(stranger)).toBe("no_matching_signature");
    expect(fetched).toHaveLength(2);
  });

  it("are not fetched for somebody who does not know the secret", async () => {
    const fetch = async (from: string) => {
      fetched.push(from);
      return served();
    };
    const { verify } = createVerifier({ secrets: [secret], jwksUrl: url, fetch, now: () => now });
    const refused = await verify({ headers: headersOf(key), body: sent });
    expect(refused).toMatchObject({ error: { reason: "no_matching_signature" } });
    expect(fetched).toEqual([]);
  });

  it("that were withdrawn go out of use within ten minutes", async () => {
    expect(await check(key)).toBe("v1a");
    served = serve({ keys: all.keys.slice(1) });
    now += 600_000;
    expect(await check(key)).toBe("no_matching_signature");
  });

  it("that are known stay in use while the server is down", async () => {
    expect(await check(key)).toBe("v1a");
    served = down;
    now += 600_000;
    expect(await check(key)).toBe("v1a");
    expect(await check(key)).toBe("v1a");
    expect(fetched).toHaveLength(2);
  });

  it.each([
    ["no answer", down],
    ["an error", async () => ({ ok: false, json: async () => all })],
    ["no JSON", async () => ({ ok: true, json: () => Promise.reject(new SyntaxError("<")) })],
    ["no key set", serve([])],
    ["null", serve(null)],
    ["keys that are no array", serve({ keys: {} })],
  ])("cannot be had from %s, which is asked again after 5 s", async (_, answer) => {
    served = answer;
    expect([await check(key), await check(key)]).toEqual(["jwks_unavailable", "jwks_unavailable"]);
    expect(fetched).toHaveLength(1);
    served = serve(all);
    now += 5_000;
    expect(await check(key)).toBe("v1a");
  });

  it("of other kinds, for other uses or malformed are passed over", async () => {
    const [good] = all.keys;
    const rest = [
      null,
      { kty: "RSA", n: "AQAB", e: "AQAB", kid: "rsa" },
      { ...good, use: "enc", kid: "enc" },
      { ...good, x: "short", kid: "short" },
      { kty: "oct", k: "AAAA", kid: "oct" },
      { kty: "EC", crv: "P-256", x: "AA", y: "AA", kid: "off the curve" },
      { kty: "OKP", crv: "Ed25519", kid: "no x" },
    ];
    served = serve({ keys: [...rest, good] });
    expect(await check(key)).toBe("v1a");
    now += 600_000;
    served = serve({ keys: rest });
    expect(await check(key)).toBe("no_matching_signature");
  });
});
