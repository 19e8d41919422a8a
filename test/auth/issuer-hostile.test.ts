// Issuers that are down, slow, or lie: no token is taken for it, nobody waits for long, and nothing is read without end.

import { env } from "cloudflare:test";
import { exportJWK, generateSecret } from "jose";
import { afterEach, describe, expect, it, vi } from "vitest";
import { createAuthentication } from "../../src/auth/authenticate.ts";
import type { Config } from "../../src/config.ts";
import { createClient } from "../support/client.ts";
import { createIssuer, createKey, serveIssuers, type TestIssuer } from "../support/issuer.ts";
import { configWith } from "../support/operations.ts";
import { serveWith } from "../support/server.ts";

afterEach(() => void vi.restoreAllMocks());

const METADATA = "https://id.test/.well-known/openid-configuration";

function start({ config }: TestIssuer, more: Partial<Config> = {}) {
  const clock = { now: Date.now() };
  const problems: string[] = [];
  vi.spyOn(console, "warn").mockImplementation((line) => {
    problems.push((JSON.parse(String(line)) as { problem: string }).problem);
  });
  const { authenticate } = createAuthentication({
    config: configWith({ ...config, ...more }),
    db: env.DB,
    now: () => clock.now,
  });
  const as = (token: string) =>
    authenticate(new Request("https://a.test", { headers: { authorization: `Bearer ${token}` } }));
  return { as, problems, clock };
}

const endless = () =>
  new Response(
    new ReadableStream({
      pull: (controller) => controller.enqueue(new Uint8Array(65_536).fill(32)),
    }),
  );

describe("an issuer whose keys cannot be had", () => {
  const lies: [string, string, (issuer: TestIssuer) => void | Promise<void>][] = [
    [
      "answers 500",
      "the key set: the answer is 500",
      ({ pages, jwksUrl }) => void pages.set(jwksUrl, () => new Response("{}", { status: 500 })),
    ],
    [
      "redirects",
      "the key set: the answer is 302",
      ({ pages, jwksUrl }) =>
        void pages.set(
          jwksUrl,
          () => new Response(null, { status: 302, headers: { location: "https://evil.test/keys" } }),
        ),
    ],
    [
      "cannot be reached",
      "the key set: network_error",
      ({ pages, jwksUrl }) =>
        void pages.set(jwksUrl, () => Promise.reject(new Error("Network connection lost."))),
    ],
    ["answers HTML", "the key set: no_key_set", ({ pages, jwksUrl }) => void pages.set(jwksUrl, "<html>")],
    [
      "answers without end",
      "the key set: no_key_set",
      ({ pages, jwksUrl }) => void pages.set(jwksUrl, endless),
    ],
    ["has no keys", "the key set: no_usable_key", ({ keySet }) => void keySet.keys.pop()],
    [
      "publishes a secret",
      "the key set: private_key",
      async ({ keySet }) =>
        void keySet.keys.push({
          ...(await exportJWK(await generateSecret("HS256", { extractable: true }))),
          kid: "s",
        }),
    ],
    [
      "publishes a private key",
      "the key set: private_key",
      async ({ keySet, first }) =>
        void keySet.keys.push({ ...(await exportJWK(first.privateKey)), kid: "p" }),
    ],
    [
      "has two keys of one kid",
      "the key set: duplicate_kid",
      async ({ keySet }) => void keySet.keys.push((await createKey("first")).jwk),
    ],
    [
      "has metadata of another issuer",
      "the metadata: it names another issuer",
      ({ pages, jwksUrl }) =>
        void pages.set(METADATA, () => Response.json({ issuer: "https://evil.test/", jwks_uri: jwksUrl })),
    ],
    [
      "has metadata of almost this issuer",
      "the metadata: it names another issuer",
      ({ pages, jwksUrl }) =>
        void pages.set(METADATA, () => Response.json({ issuer: "https://id.test", jwks_uri: jwksUrl })),
    ],
    [
      "has metadata without keys",
      "the metadata: it has no jwks_uri",
      ({ pages, url }) => void pages.set(METADATA, () => Response.json({ issuer: url })),
    ],
    [
      "has metadata with a list for a URL",
      "the metadata: it has no jwks_uri",
      ({ pages, url, jwksUrl }) =>
        void pages.set(METADATA, () => Response.json({ issuer: url, jwks_uri: [jwksUrl] })),
    ],
    ["has no metadata", "the metadata: the answer is 404", ({ pages }) => void pages.delete(METADATA)],
    [
      "has metadata that is null",
      "the metadata: it is no JSON object",
      ({ pages }) => void pages.set(METADATA, "null"),
    ],
    [
      "leads to a file",
      "the key set: blocked_destination",
      ({ pages, url }) =>
        void pages.set(METADATA, () => Response.json({ issuer: url, jwks_uri: "file:///etc/keys" })),
    ],
  ];

  it.each(lies)("because it %s: no token is taken, and the log says why", async (_, problem, lie) => {
    const issuer = await createIssuer();
    serveIssuers(issuer);
    await lie(issuer);
    const { as, problems } = start(issuer);
    expect(await as(await issuer.sign())).toEqual({
      ok: false,
      error: {
        reason: "UNAVAILABLE",
        message: "The credential cannot be checked at the moment",
        retryAfterSeconds: 5,
      },
    });
    expect(problems).toEqual([problem]);
  });

  it("is answered for with 503 and Retry-After over both bindings", async () => {
    vi.spyOn(console, "warn").mockImplementation(() => {});
    const issuer = await createIssuer();
    serveIssuers(issuer);
    issuer.pages.clear();
    const headers = { authorization: `Bearer ${await issuer.sign()}` };
    const client = createClient({ headers, fetch: serveWith(issuer.config) });
    for (const response of [await client.rpc("ListTasks"), await client.request("/tasks")]) {
      expect(response.status).toBe(503);
      expect(response.headers.get("retry-after")).toBe("5");
      expect(await response.text()).not.toContain("id.test");
    }
  });

  it("is asked again after 5 s, and all is well", async () => {
    const issuer = await createIssuer();
    serveIssuers(issuer);
    issuer.pages.set(issuer.jwksUrl, "no");
    const { as, clock } = start(issuer);
    const token = await issuer.sign();
    for (let i = 0; i < 5; i++) expect((await as(token)).ok).toBe(false);
    expect(issuer.requests).toHaveLength(2);
    issuer.pages.set(issuer.jwksUrl, () => Response.json(issuer.keySet));
    clock.now += 5_000;
    expect((await as(token)).ok).toBe(true);
  });

  it("stays in use with the keys that are known; whether there are others cannot be said", async () => {
    const issuer = await createIssuer();
    serveIssuers(issuer);
    const { as, clock } = start(issuer);
    const exp = Math.floor(clock.now / 1_000) + 86_400;
    expect((await as(await issuer.sign({ exp }))).ok).toBe(true);
    issuer.pages.clear();
    clock.now += 3_600_000;
    expect((await as(await issuer.sign({ exp, jti: "1" }))).ok).toBe(true);
    const next = await createKey("next");
    for (let i = 0; i < 2; i++) {
      expect(await as(await issuer.sign({ exp }, next))).toMatchObject({
        error: { reason: "UNAVAILABLE", retryAfterSeconds: 5 },
      });
    }
    clock.now += 4 * 3_600_000;
    expect(await as(await issuer.sign({ exp, jti: "2" }))).toMatchObject({
      error: { reason: "UNAVAILABLE" },
    });
  });

  it("holds up nobody for more than a few seconds when it does not answer, and other issuers not at all", async () => {
    const [slow, quick] = [
      await createIssuer("https://slow.test/"),
      await createIssuer("https://quick.test/"),
    ];
    serveIssuers(slow, quick);
    slow.pages.set(slow.jwksUrl, () => new Promise<Response>(() => {}));
    const { as } = start(slow, { jwtIssuers: [...slow.config.jwtIssuers, ...quick.config.jwtIssuers] });
    const startedAt = Date.now();
    const waiting = as(await slow.sign());
    expect((await as(await quick.sign())).ok).toBe(true);
    expect(Date.now() - startedAt).toBeLessThan(4_000);
    expect(await waiting).toMatchObject({ error: { reason: "UNAVAILABLE" } });
    expect(Date.now() - startedAt).toBeLessThan(12_000);
  });
});

describe("a key that cannot be used", () => {
  it("because it is an RSA key of 1,024 bits, verifies nothing", async () => {
    const issuer = await createIssuer();
    serveIssuers(issuer);
    const pair = (await crypto.subtle.generateKey(
      {
        name: "RSASSA-PKCS1-v1_5",
        modulusLength: 1_024,
        publicExponent: new Uint8Array([1, 0, 1]),
        hash: "SHA-256",
      },
      true,
      ["sign", "verify"],
    )) as CryptoKeyPair;
    issuer.keySet.keys.push({ ...(await exportJWK(pair.publicKey)), kid: "short", alg: "RS256", use: "sig" });
    const { as } = start(issuer);
    const [, payload] = (await issuer.sign()).split(".");
    const header = btoa(JSON.stringify({ alg: "RS256", kid: "short" })).replace(/=+$/, "");
    const signature = await crypto.subtle.sign(
      "RSASSA-PKCS1-v1_5",
      pair.privateKey,
      new TextEncoder().encode(`${header}.${payload}`),
    );
    const text = btoa(String.fromCharCode(...new Uint8Array(signature)))
      .replaceAll("+", "-")
      .replaceAll("/", "_")
      .replace(/=+$/, "");
    expect(await as(`${header}.${payload}.${text}`)).toMatchObject({ error: { reason: "UNAUTHENTICATED" } });
  });

  it("because it is no point of its curve, verifies nothing and breaks nothing", async () => {
    const issuer = await createIssuer();
    serveIssuers(issuer);
    issuer.keySet.keys.unshift({ ...issuer.first.jwk, kid: "bent", y: issuer.first.jwk.x as string });
    const { as } = start(issuer);
    expect(await as(await issuer.sign({}, issuer.first, { kid: "bent" }))).toMatchObject({
      error: { reason: "UNAUTHENTICATED" },
    });
    expect((await as(await issuer.sign())).ok).toBe(true);
  });
});

describe("where private targets are closed, as in production", () => {
  const closed = { allowPrivateWebhooks: false, dohUrl: "https://doh.test/dns-query" };
  const resolving = (issuer: TestIssuer, address: string) => {
    const served = serveIssuers(issuer).getMockImplementation();
    vi.mocked(globalThis.fetch).mockImplementation(async (input, init) => {
      const url = new URL(String(input));
      if (url.host !== "doh.test") return served?.(input, init) as Promise<Response>;
      const isV4 = url.searchParams.get("type") === "A";
      const Answer = isV4 ? [{ name: url.searchParams.get("name"), type: 1, TTL: 60, data: address }] : [];
      return Response.json({ Status: 0, TC: false, Answer });
    });
  };
  const HOST = "https://id.example.com/";

  it("an issuer on the Internet is reached", async () => {
    const issuer = await createIssuer(HOST);
    resolving(issuer, "93.184.216.34");
    expect((await start(issuer, closed).as(await issuer.sign())).ok).toBe(true);
  });

  it("one whose name leads inside is not, and its metadata leads nowhere else either", async () => {
    const issuer = await createIssuer(HOST);
    resolving(issuer, "10.0.0.1");
    const { as, problems } = start(issuer, closed);
    expect((await as(await issuer.sign())).ok).toBe(false);
    expect(problems).toEqual(["the metadata: blocked_destination"]);
    expect(issuer.requests).toEqual([]);
  });

  it.each(["http://id.example.com/keys", "https://127.0.0.1/keys", "https://id.example.com:9200/keys"])(
    "keys at %s are not fetched",
    async (jwks_uri) => {
      const issuer = await createIssuer(HOST);
      resolving(issuer, "93.184.216.34");
      issuer.pages.set(`${HOST}.well-known/openid-configuration`, () =>
        Response.json({ issuer: HOST, jwks_uri }),
      );
      const { as, problems } = start(issuer, closed);
      expect((await as(await issuer.sign())).ok).toBe(false);
      expect(problems).toEqual(["the key set: blocked_destination"]);
    },
  );
});
