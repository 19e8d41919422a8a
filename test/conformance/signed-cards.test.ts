// Signed cards (§8.4), verified by those who would: the SDK's own verifier, and jose by the letter of §8.4.1.

import { canonicalizeAgentCard, type AgentCard as SdkCard, verifyAgentCardSignature } from "@a2a-js/sdk";
import { DefaultAgentCardResolver } from "@a2a-js/sdk/client";
import { createLocalJWKSet, decodeProtectedHeader, flattenedVerify, type JSONWebKeySet } from "jose";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { publicJwks } from "../../src/keys/signing-keys.ts";
import { canonicalize } from "../../src/lib/jcs.ts";
import { createCardSigner } from "../../src/operations/card-signatures.ts";
import type { AgentCard } from "../../src/protocol/agent-card.ts";
import { createClient, ORIGIN } from "../support/client.ts";
import { configWith } from "../support/operations.ts";
import { serveWith } from "../support/server.ts";
import { keysOf, rfc8032, rfc8037 } from "../support/signing-keys.ts";
import { strictProblems } from "../support/strict-card.ts";

const CARD = "/.well-known/agent-card.json";
const AGENTS = ["echo", "long-running", "enterprise", "interview", "conformance"];

const newer = { ...rfc8037, kid: "newer" };
const older = { ...rfc8032, kid: "older" };

type Signed = AgentCard & { signatures: NonNullable<AgentCard["signatures"]> };

const settings = {
  open: {},
  closed: { authModes: ["api-key"] },
  rotating: { signingKeys: JSON.stringify([newer, older]) },
  "without capabilities": { streaming: false, pushNotifications: false, extendedCard: false },
  "without retries": { webhookRetryMs: [0], requiredExtensions: ["urn:a"] },
  public: { publicUrl: "https://public.test" },
} as const;

function serverWith(setting: keyof typeof settings) {
  const config = configWith(settings[setting] as object);
  const keys = keysOf(...(JSON.parse(config.signingKeys) as object[]));
  return { serve: serveWith(config), jwks: publicJwks(keys) as JSONWebKeySet };
}

/** By the letter: what came, without its signatures, in canonical form. */
async function verifyByTheLetter(card: Signed, jwks: JSONWebKeySet): Promise<void> {
  const { signatures, ...rest } = card;
  const payload = new TextEncoder()
    .encode(canonicalize(rest))
    .toBase64({ alphabet: "base64url", omitPadding: true });
  for (const signature of signatures)
    await flattenedVerify({ ...signature, payload }, createLocalJWKSet(jwks));
}

/** The verifier parses what it gets: it is for a card as it came, and of a parsed one it loses the security schemes. */
function verifyBySdk(card: unknown, jwks: JSONWebKeySet): Promise<void> {
  const verify = verifyAgentCardSignature(async (kid) => {
    const key = jwks.keys.find((one) => one.kid === kid);
    if (!key) throw new Error(`no key ${kid}`);
    return key;
  });
  return verify(card as SdkCard);
}

// The SDK's verifier tells of every signature that does not verify.
beforeEach(() => void vi.spyOn(console, "debug").mockImplementation(() => {}));
afterEach(() => void vi.restoreAllMocks());

describe.each(Object.keys(settings) as (keyof typeof settings)[])(
  "the cards of a server that is %s",
  (setting) => {
    const { serve, jwks } = serverWith(setting);

    it.each(AGENTS)("verify: %s", async (agent) => {
      const response = await serve(new Request(`${ORIGIN}/${agent}${CARD}`));
      const card = await response.json<Signed>();
      expect(strictProblems(card)).toEqual([]);
      await verifyBySdk(card, jwks);
      await verifyByTheLetter(card, jwks);
      const { signatures, ...rest } = card;
      expect(canonicalize(rest)).toBe(canonicalizeAgentCard(card as unknown as SdkCard));
      expect(signatures).toHaveLength(jwks.keys.length);
    });
  },
);

describe("a signature", () => {
  it("says which key made it and where that is published (§8.4.2)", async () => {
    const { serve } = serverWith("rotating");
    const { signatures } = await (await serve(new Request(`${ORIGIN}${CARD}`))).json<Signed>();
    const jku = `${ORIGIN}/.well-known/jwks.json`;
    expect(signatures.map((signature) => decodeProtectedHeader(signature))).toEqual([
      { alg: "EdDSA", kid: "newer", typ: "JOSE", jku },
      { alg: "EdDSA", kid: "older", typ: "JOSE", jku },
    ]);
  });

  it("verifies during a rotation with the newer key alone, and with the older one alone", async () => {
    const { serve, jwks } = serverWith("rotating");
    const card = await (await serve(new Request(`${ORIGIN}${CARD}`))).json<Signed>();
    for (const key of jwks.keys) await verifyBySdk(card, { keys: [key] });
    const stranger = { keys: [{ ...jwks.keys[1], kid: "newer" }] } as JSONWebKeySet;
    await expect(verifyBySdk(card, stranger)).rejects.toThrow(/No valid signatures/);
  });

  it("is found by the SDK's resolver, with the keys of the card's own server", async () => {
    const client = createClient();
    const verify = verifyAgentCardSignature(async (kid, jku) => {
      const response = await client.request(new URL(jku ?? "").pathname);
      const { keys } = await response.json<JSONWebKeySet>();
      return keys.find((key) => key.kid === kid) ?? Promise.reject(new Error("unknown key"));
    });
    const fetchImpl = ((input) => client.request(new URL(String(input)).pathname)) as typeof fetch;
    const card = await new DefaultAgentCardResolver({ fetchImpl }).resolve(ORIGIN);
    await verify(card);
  });

  it("fails when any value of the card is another, is gone, or has company", async () => {
    const { serve, jwks } = serverWith("closed");
    const text = await (await serve(new Request(`${ORIGIN}/enterprise${CARD}`))).text();
    const { signatures, ...card } = JSON.parse(text) as Signed;
    const places = placesIn(card);
    expect(places.length).toBeGreaterThan(60);
    for (const place of places) {
      const changed = structuredClone(card);
      const parent = place
        .slice(0, -1)
        .reduce((value, step) => (value as never)[step], changed as unknown) as never;
      const last = place.at(-1) as never;
      (parent as Record<string, unknown>)[last] = another(parent[last]);
      const at = place.join(".");
      await expect(verifyBySdk({ ...changed, signatures }, jwks), at).rejects.toThrow(/No valid/);
      await expect(verifyByTheLetter({ ...changed, signatures }, jwks), at).rejects.toThrow();
    }
    for (const name of Object.keys(card) as (keyof typeof card)[]) {
      const { [name]: _, ...without } = card;
      await expect(verifyBySdk({ ...without, signatures }, jwks), name).rejects.toThrow(/No valid/);
    }
    const more = { ...card, iconUrl: "https://elsewhere.test/icon.png" };
    await expect(verifyBySdk({ ...more, signatures }, jwks)).rejects.toThrow(/No valid/);
    await verifyBySdk({ ...card, signatures }, jwks);
  });

  it("covers the extended card, also where callers see different ones", async () => {
    const { serve, jwks } = serverWith("open");
    const client = createClient({ agent: "enterprise", fetch: serve });
    const card = await client.result<Signed>("GetExtendedAgentCard", {});
    expect(card.skills.map(({ id }) => id)).toContain("secure-task");
    await verifyBySdk(card, jwks);
    await verifyByTheLetter(card, jwks);
  });

  it("is not of a card in the form of 0.3, for which nothing says what is signed", async () => {
    const { serve } = serverWith("open");
    for (const path of ["/.well-known/agent.json", `${CARD}?A2A-Version=0.3`]) {
      expect(await (await serve(new Request(`${ORIGIN}${path}`))).json()).not.toHaveProperty("signatures");
    }
  });
});

describe("the signer", () => {
  const config = configWith();
  const card = async () =>
    (await (await serverWith("open").serve(new Request(`${ORIGIN}${CARD}`))).json()) as Signed;

  it("signs a card once for all who ask for it at one address", async () => {
    const keys = keysOf(newer);
    const sign = vi.spyOn(keys, "privateKeys");
    const signCard = createCardSigner(keys, config);
    const { signatures, ...unsigned } = await card();
    await signCard(unsigned, ORIGIN);
    const once = sign.mock.calls.length;
    for (let i = 0; i < 10; i++) await signCard(structuredClone(unsigned), ORIGIN);
    expect(sign.mock.calls).toHaveLength(once);
    await signCard(unsigned, "https://other.test");
    expect(sign.mock.calls).toHaveLength(once + 1);
  });

  it("remembers what is asked for while a stranger asks by a thousand host names", async () => {
    const keys = keysOf(newer);
    const sign = vi.spyOn(keys, "privateKeys");
    const signCard = createCardSigner(keys, config);
    const { signatures, ...unsigned } = await card();
    const first = await signCard(unsigned, ORIGIN);
    for (let i = 0; i < 1_000; i++) {
      await signCard(unsigned, `https://${i}.hostile.test`);
      if (i % 50 === 0) expect(await signCard(unsigned, ORIGIN)).toEqual(first);
    }
    const before = sign.mock.calls.length;
    await signCard(unsigned, ORIGIN);
    expect(sign.mock.calls).toHaveLength(before);
    // Those of long ago are forgotten.
    await signCard(unsigned, "https://0.hostile.test");
    expect(sign.mock.calls).toHaveLength(before + 1);
  });

  it("vouches in production for PUBLIC_URL only, not for what a Host header says", async () => {
    const { signatures, ...unsigned } = await card();
    const keys = keysOf(newer);
    const anyHost = createCardSigner(keys, { environment: "production", publicUrl: "" });
    expect(await anyHost(unsigned, ORIGIN)).not.toHaveProperty("signatures");
    const named = createCardSigner(keys, { environment: "production", publicUrl: ORIGIN });
    expect(await named(unsigned, ORIGIN)).toHaveProperty("signatures");
  });
});

/** Where the values of a card are: every text, number and flag. */
function placesIn(value: unknown, path: (string | number)[] = []): (string | number)[][] {
  if (typeof value !== "object" || value === null) return [path];
  return Object.entries(value).flatMap(([name, member]) =>
    placesIn(member, [...path, Array.isArray(value) ? Number(name) : name]),
  );
}

function another(value: unknown): unknown {
  if (typeof value === "string") return `${value}x`;
  return typeof value === "number" ? value + 1 : !value;
}
