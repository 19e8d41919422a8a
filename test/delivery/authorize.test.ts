// What stands in `Authorization`: the configured words byte for byte, our own token, or a fetched one.

import { createLocalJWKSet, jwtVerify } from "jose";
import { describe, expect, it } from "vitest";
import { type AuthorizationContext, authorize } from "../../src/delivery/authorize.ts";
import type { ClaimOptions } from "../../src/delivery/exchange.ts";
import type { OAuth2Client } from "../../src/delivery/oauth2.ts";
import type { PushSecrets } from "../../src/delivery/push-secrets.ts";
import { signatureHeaders } from "../../src/delivery/sign.ts";
import { TokenCache } from "../../src/delivery/token-cache.ts";
import { publicJwks } from "../../src/keys/signing-keys.ts";
import { sha256 } from "../../src/lib/bytes.ts";
import { err, ok } from "../../src/lib/result.ts";
import { createVerifier } from "../../src/verify/index.ts";
import { keysOf, rfc8037 } from "../support/signing-keys.ts";

const signingKeys = keysOf({ ...rfc8037, kid: "k1" });

const body = '{"statusUpdate":{"taskId":"0-1","contextId":"c","status":{"state":"TASK_STATE_WORKING"}}}';
const asked: OAuth2Client[] = [];

function context(changes: Partial<AuthorizationContext> = {}): AuthorizationContext {
  const fetchToken = async (client: OAuth2Client) => {
    asked.push(client);
    return ok({ value: "fetched", expiresInMs: 60_000 });
  };
  const tokens = new TokenCache({ fetchToken, rate: { perMinute: 0, burst: 1 }, now: () => 0 });
  return { issuer: "https://agents.example.com", signingKeys, tokens, now: Date.now(), ...changes };
}

function authorization(
  options: ClaimOptions,
  secrets: PushSecrets = {},
  changes?: Partial<AuthorizationContext>,
) {
  const claim = { options, task: "0-1", url: "https://client.example.com:8443/hook?x=1", body };
  return authorize(claim, secrets, context(changes));
}

async function value(...args: Parameters<typeof authorization>): Promise<string | undefined> {
  const result = await authorization(...args);
  if (!result.ok) throw new Error(result.error.detail);
  return result.value?.value;
}

describe("authorize", () => {
  it.each([
    [undefined, undefined, undefined],
    ["Bearer", "abc.def", "Bearer abc.def"],
    ["bearer", "abc", "bearer abc"],
    ["bEaReR", "abc", "bEaReR abc"],
    ["Basic", "dXNlcjpwYXNz", "Basic dXNlcjpwYXNz"],
    ["Digest", 'username="a", realm="b"', 'Digest username="a", realm="b"'],
    ["Bearer", "  two  spaces", "Bearer   two  spaces"],
    // RFC 9110 §11.4: credentials need not follow.
    ["Negotiate", undefined, "Negotiate"],
    ["Negotiate", "", "Negotiate"],
  ])("gives scheme %j with credentials %j as %j", async (scheme, credentials, expected) => {
    const options = scheme === undefined ? {} : { scheme };
    expect(await value(options, credentials === undefined ? {} : { credentials })).toBe(expected);
  });

  it("makes a token that jose verifies, for this task, this receiver and five minutes", async () => {
    const now = Date.now();
    const header = (await value({ jwt: {} }, {}, { now })) ?? "";
    expect(header).toMatch(/^Bearer [\w-]+\.[\w-]+\.[\w-]+$/);
    const { payload, protectedHeader } = await jwtVerify(
      header.slice("Bearer ".length),
      createLocalJWKSet(publicJwks(signingKeys)),
      {
        issuer: "https://agents.example.com",
        audience: "https://client.example.com:8443",
        algorithms: ["EdDSA"],
        requiredClaims: ["iat", "exp", "jti", "taskId"],
      },
    );
    expect(protectedHeader).toMatchObject({ kid: "k1", typ: "JWT" });
    const iat = Math.floor(now / 1_000);
    expect(payload).toMatchObject({ taskId: "0-1", iat, exp: iat + 300 });
    expect(payload.request_body_sha256).toBe(await sha256(body));
  });

  it("makes each token anew, so that a receiver may refuse one it has seen", async () => {
    const tokens = await Promise.all([value({ jwt: {} }), value({ jwt: {} })]);
    expect(new Set(tokens).size).toBe(2);
  });

  it("takes the audience of the config", async () => {
    const header = (await value({ jwt: { audience: "urn:me" } })) ?? "";
    const jwks = createLocalJWKSet(publicJwks(signingKeys));
    const { payload } = await jwtVerify(header.slice("Bearer ".length), jwks, { audience: "urn:me" });
    expect(payload.aud).toBe("urn:me");
  });

  it("makes a token that our own verifier takes with the signatures of the same attempt", async () => {
    const now = Date.now();
    const { verify } = createVerifier({
      jwks: publicJwks(signingKeys),
      jwt: { issuer: "https://agents.example.com", audience: "https://client.example.com:8443" },
    });
    const timestampSeconds = Math.floor(now / 1_000);
    const signed = { id: "msg_1", timestampSeconds, body, taskId: "0-1", secrets: [], signingKeys };
    const headers = {
      ...(await signatureHeaders(signed)),
      Authorization: await value({ jwt: {} }, {}, { now }),
    };
    expect(await verify({ headers, body })).toMatchObject({ ok: true, value: { checks: ["v1a", "jwt"] } });
  });

  it("fetches a token with the config's client and its secret, and says whose it is", async () => {
    asked.length = 0;
    const oauth2 = {
      tokenUrl: "https://login.example.com/token",
      clientId: "me",
      scope: "notify",
      method: "client_secret_post",
    } as const;
    const client = { ...oauth2, clientSecret: "hush" };
    expect(await authorization({ oauth2 }, { oauth2ClientSecret: "hush" })).toEqual({
      ok: true,
      value: { value: "Bearer fetched", fetched: { client, token: "fetched" } },
    });
    expect(asked).toEqual([client]);
  });

  it("passes on why no token could be fetched", async () => {
    const failure = { error: "oauth2_failed", detail: "the token server answered 500" } as const;
    const tokens = new TokenCache({
      fetchToken: async () => err(failure),
      rate: { perMinute: 0, burst: 1 },
      now: () => 0,
    });
    const oauth2 = {
      tokenUrl: "https://login.example.com",
      clientId: "me",
      method: "client_secret_basic",
    } as const;
    expect(await authorization({ oauth2 }, {}, { tokens })).toEqual({ ok: false, error: failure });
  });
});
