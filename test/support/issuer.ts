// An issuer of access tokens for tests: keys and tokens are made by jose, and what it publishes is served by a `fetch`
// that stands in for the world, which the server reaches through its own way out.

import { exportJWK, generateKeyPair, type JWK, type JWTPayload, SignJWT } from "jose";
import { vi } from "vitest";
import type { Config } from "../../src/config.ts";
import { parseIssuers } from "../../src/issuers.ts";

export const AUDIENCE = "https://agents.test";

type KeyPair = { kid: string; alg: string; privateKey: CryptoKey; jwk: JWK };

export type TestIssuer = Awaited<ReturnType<typeof createIssuer>>;

/** A text is served as it stands, a function is asked. */
type Page = string | (() => Response | Promise<Response>);

export async function createKey(kid: string, alg = "ES256"): Promise<KeyPair> {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
  return { kid, alg, privateKey, jwk: { ...(await exportJWK(publicKey)), kid, alg, use: "sig" } };
}

/** Serves `/keys` and metadata at `url`; `settings` are those of its entry in JWT_ISSUERS. */
export async function createIssuer(url = "https://id.test/", settings: object = {}) {
  const first = await createKey("first");
  const base = url.replace(/\/$/, "");
  const jwksUrl = `${base}/keys`;
  const keySet = { keys: [first.jwk] };
  const pages = new Map<string, Page>([
    [`${base}/.well-known/openid-configuration`, () => Response.json({ issuer: url, jwks_uri: jwksUrl })],
    [jwksUrl, () => Response.json(keySet)],
  ]);
  /** URLs that were asked for, in order. */
  const requests: string[] = [];
  const parsed = parseIssuers(JSON.stringify([{ issuer: url, audience: AUDIENCE, ...settings }]), {
    httpsOnly: false,
  });
  if (!parsed.ok) throw new Error(parsed.error.join());

  const sign = (
    claims: { [claim: string]: unknown } = {},
    key: KeyPair = first,
    header: object = {},
  ): Promise<string> => {
    const now = Math.floor(Date.now() / 1_000);
    const all = {
      iss: url,
      aud: AUDIENCE,
      sub: "alice",
      iat: now,
      exp: now + 300,
      scope: "task:read task:write",
    };
    const { kid, alg, privateKey } = key;
    return new SignJWT({ ...all, ...claims } as JWTPayload)
      .setProtectedHeader({ alg, kid, ...header })
      .sign(privateKey);
  };

  return {
    url,
    jwksUrl,
    first,
    keySet,
    pages,
    requests,
    sign,
    config: { authModes: ["jwt"], jwtIssuers: parsed.value } satisfies Partial<Config>,
  };
}

/** Puts issuers where the world is. Undone by `vi.restoreAllMocks()`. */
export function serveIssuers(...issuers: TestIssuer[]) {
  return vi.spyOn(globalThis, "fetch").mockImplementation(async (input) => {
    const url = String(input);
    for (const { pages, requests } of issuers) {
      const page = pages.get(url);
      if (page === undefined) continue;
      requests.push(url);
      return typeof page === "string" ? new Response(page) : page();
    }
    return new Response("nothing here", { status: 404 });
  });
}
