// AUTH_MODE=jwt end to end: tokens made by jose, keys from the issuer's own pages, the real app, homes and D1.

import { env } from "cloudflare:test";
import type { JWTPayload } from "jose";
import { afterEach, describe, expect, it, vi } from "vitest";
import { createAuthentication } from "../../src/auth/authenticate.ts";
import { toOwner } from "../../src/auth/caller.ts";
import type { Refusal } from "../../src/auth/refusal.ts";
import { createApiKey } from "../../src/store/api-keys.ts";
import { createClient } from "../support/client.ts";
import { AUDIENCE, createIssuer, createKey, serveIssuers, type TestIssuer } from "../support/issuer.ts";
import { configWith } from "../support/operations.ts";
import { serveWith } from "../support/server.ts";

afterEach(() => void vi.restoreAllMocks());

const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

/** Authentication of its own, with a clock and with what it tells of refusals. */
function start(issuer: Pick<TestIssuer, "config">, more: object = {}) {
  const clock = { now: Date.now() };
  const refusals: Refusal[] = [];
  const { authenticate } = createAuthentication({
    config: configWith({ ...issuer.config, ...more }),
    db: env.DB,
    now: () => clock.now,
    onRefusal: (refusal) => void refusals.push(refusal),
  });
  const as = async (token: string) =>
    authenticate(new Request("https://agents.test", { headers: bearer(token) }));
  const callerOf = async (token: string) => {
    const result = await as(token);
    if (!result.ok) throw new Error(JSON.stringify(refusals));
    return result.value;
  };
  return { clock, refusals, as, callerOf };
}

describe("a token", () => {
  it("opens everything to its subject, over both bindings", async () => {
    const issuer = await createIssuer();
    serveIssuers(issuer);
    const fetch = serveWith(issuer.config);
    const mine = createClient({ agent: "conformance", headers: bearer(await issuer.sign()), fetch });
    const { id } = await mine.sendForTask("input");
    expect((await mine.get(id)).id).toBe(id);
    expect((await mine.request(`/tasks/${id}`)).status).toBe(200);
    const other = createClient({
      agent: "conformance",
      headers: bearer(await issuer.sign({ sub: "bob" })),
      fetch,
    });
    expect((await other.error("GetTask", { id })).code).toBe(-32001);
    expect((await other.list()).totalSize).toBe(0);
  });

  it("is looked at again after 30 seconds, also when the clock was put back", async () => {
    const issuer = await createIssuer();
    serveIssuers(issuer);
    const { as, clock, refusals } = start(issuer);
    const token = await issuer.sign({ iat: Math.floor(clock.now / 1_000) });
    expect((await as(token)).ok).toBe(true);
    clock.now -= 3_600_000;
    expect((await as(token)).ok).toBe(false);
    expect(refusals).toMatchObject([{ reason: "not_yet_valid" }]);
  });

  it("names owner and actor by issuer and claims, so that no two issuers' subjects meet", async () => {
    const one = await createIssuer("https://one.test/");
    const two = await createIssuer("https://two.test", { ownerClaim: "org_id" });
    serveIssuers(one, two);
    const jwtIssuers = [...one.config.jwtIssuers, ...two.config.jwtIssuers];
    const { callerOf } = start(one, { jwtIssuers });
    expect(await callerOf(await one.sign())).toMatchObject({
      owner: toOwner("jwt", "https://one.test/", "alice"),
      actor: toOwner("jwt", "https://one.test/", "alice"),
    });
    expect(await callerOf(await two.sign({ org_id: "alice" }))).toMatchObject({
      owner: toOwner("jwt", "https://two.test", "alice"),
      actor: toOwner("jwt", "https://two.test", "alice"),
    });
  });

  it.each(["RS256", "PS256", "ES256", "ES384", "EdDSA"])("may be signed with %s", async (alg) => {
    const issuer = await createIssuer();
    serveIssuers(issuer);
    const key = await createKey("other", alg);
    issuer.keySet.keys.push(key.jwk);
    const { as } = start(issuer);
    expect(await as(await issuer.sign({}, key))).toMatchObject({ ok: true });
  });

  it("needs no kid when one key fits, and one when several do", async () => {
    const issuer = await createIssuer();
    serveIssuers(issuer);
    const { as, refusals } = start(issuer);
    const token = await issuer.sign({}, issuer.first, { kid: undefined });
    issuer.keySet.keys.push((await createKey("rsa", "RS256")).jwk);
    expect((await as(token)).ok).toBe(true);
    issuer.keySet.keys.push((await createKey("second")).jwk);
    const { as: later, refusals: laterRefusals } = start(issuer);
    expect((await later(token)).ok).toBe(false);
    expect([...refusals, ...laterRefusals]).toEqual([
      { reason: "unknown_kid", kind: "jwt", name: issuer.url },
    ]);
  });

  it.each<[string, JWTPayload]>([
    ["an audience of several", { aud: ["other", AUDIENCE] }],
    ["an end that is over by less than the skew", { exp: Math.floor(Date.now() / 1_000) - 20 }],
    ["a beginning that is ahead by less than the skew", { nbf: Math.floor(Date.now() / 1_000) + 20 }],
    ["an issue that is ahead by less than the skew", { iat: Math.floor(Date.now() / 1_000) + 20 }],
    ["claims of its own", { azp: "client", amr: ["pwd"], nested: { a: [1] } }],
  ])("may have %s", async (_, claims) => {
    const issuer = await createIssuer();
    serveIssuers(issuer);
    expect(await start(issuer).as(await issuer.sign(claims))).toMatchObject({ ok: true });
  });

  it("may have to be of a type", async () => {
    const issuer = await createIssuer("https://id.test/", { typ: "at+jwt" });
    serveIssuers(issuer);
    const { as, refusals } = start(issuer);
    expect((await as(await issuer.sign({}, issuer.first, { typ: "application/at+jwt" }))).ok).toBe(true);
    expect((await as(await issuer.sign({}, issuer.first, { typ: "JWT" }))).ok).toBe(false);
    expect((await as(await issuer.sign())).ok).toBe(false);
    expect(refusals.map(({ reason }) => reason)).toEqual(["wrong_type", "wrong_type"]);
  });
});

describe("what a token allows", () => {
  const scopesOf = async (settings: object, claims: JWTPayload) => {
    const issuer = await createIssuer("https://id.test/", settings);
    serveIssuers(issuer);
    const { scopes, adminScopes } = await start(issuer).callerOf(await issuer.sign(claims));
    if (scopes === "all") throw new Error("all");
    return [...scopes, ...adminScopes].toSorted();
  };
  const mapped = { rolesClaim: "groups", rolesMap: { staff: "viewer", boss: ["operator"] } };

  it("is what its scopes say that are ours, and its mapped roles", async () => {
    expect(await scopesOf({}, { scope: "openid task:read email" })).toEqual(["task:read"]);
    expect(await scopesOf({}, { scope: undefined, scp: ["push:*"] })).toEqual(["push:read", "push:write"]);
    expect(await scopesOf(mapped, { scope: "task:write", groups: ["staff"] })).toEqual([
      "card:read",
      "push:read",
      "task:read",
      "task:write",
    ]);
  });

  it("makes an operator by a mapped role alone, never by a scope", async () => {
    expect(await scopesOf(mapped, { scope: "admin:*", groups: ["boss"] })).toEqual([
      "admin:read",
      "admin:write",
    ]);
    expect(await scopesOf(mapped, { scope: "admin:* admin:read task:read", groups: ["admin"] })).toEqual([
      "task:read",
    ]);
  });

  it("is nothing by default, and the default roles where they are configured", async () => {
    expect(await scopesOf({}, { scope: "openid" })).toEqual([]);
    expect(await scopesOf({ defaultRoles: ["viewer"] }, { scope: "openid" })).toEqual([
      "card:read",
      "push:read",
      "task:read",
    ]);
    expect(await scopesOf({ defaultRoles: ["viewer"] }, { scope: "task:write" })).toEqual(["task:write"]);
  });

  it("is refused beyond that, by name and with the scope to ask for", async () => {
    const issuer = await createIssuer();
    serveIssuers(issuer);
    const headers = bearer(await issuer.sign({ scope: "task:read" }));
    const reader = createClient({ headers, fetch: serveWith(issuer.config) });
    expect((await reader.rpc("ListTasks")).status).toBe(200);
    const refused = await reader.rpc("CancelTask", { id: "0-x" });
    expect(refused.status).toBe(403);
    expect(refused.headers.get("www-authenticate")).toContain('scope="task:write"');
  });
});

describe("the keys of an issuer", () => {
  it("are found by its metadata, and fetched once for many tokens", async () => {
    const issuer = await createIssuer();
    serveIssuers(issuer);
    const { as } = start(issuer);
    const tokens = await Promise.all(Array.from({ length: 20 }, (_, i) => issuer.sign({ sub: `user-${i}` })));
    const results = await Promise.all(tokens.map(as));
    expect(results.every(({ ok }) => ok)).toBe(true);
    expect(issuer.requests).toEqual([`${issuer.url}.well-known/openid-configuration`, issuer.jwksUrl]);
  });

  it("are found by RFC 8414 where there is no OpenID, below the issuer's path", async () => {
    const issuer = await createIssuer("https://id.test/realms/a2a");
    issuer.pages.delete("https://id.test/realms/a2a/.well-known/openid-configuration");
    issuer.pages.set("https://id.test/.well-known/oauth-authorization-server/realms/a2a", () =>
      Response.json({ issuer: issuer.url, jwks_uri: issuer.jwksUrl }),
    );
    serveIssuers(issuer);
    expect((await start(issuer).as(await issuer.sign())).ok).toBe(true);
  });

  it("are fetched from where the configuration says, without metadata", async () => {
    const issuer = await createIssuer("https://id.test/", { jwksUrl: "https://id.test/keys" });
    serveIssuers(issuer);
    expect((await start(issuer).as(await issuer.sign())).ok).toBe(true);
    expect(issuer.requests).toEqual([issuer.jwksUrl]);
  });

  it("are fetched again for a new kid, and the token of the old one stays good meanwhile", async () => {
    const issuer = await createIssuer();
    serveIssuers(issuer);
    const { as } = start(issuer);
    const [old, next] = [await issuer.sign(), await createKey("next")];
    expect((await as(old)).ok).toBe(true);
    issuer.keySet.keys = [next.jwk, issuer.first.jwk];
    expect((await as(await issuer.sign({}, next))).ok).toBe(true);
    expect((await as(await issuer.sign({ jti: "another" }))).ok).toBe(true);
    expect(issuer.requests.filter((url) => url === issuer.jwksUrl)).toHaveLength(2);
  });

  it("are refused when they are gone for ten minutes", async () => {
    const issuer = await createIssuer();
    serveIssuers(issuer);
    const { as, clock, refusals } = start(issuer);
    const token = await issuer.sign({ exp: Math.floor(Date.now() / 1_000) + 3_600 });
    expect((await as(token)).ok).toBe(true);
    issuer.keySet.keys = [(await createKey("next")).jwk];
    clock.now += 599_999;
    expect((await as(token)).ok).toBe(true);
    clock.now += 30_000;
    expect((await as(token)).ok).toBe(false);
    expect(refusals).toEqual([{ reason: "unknown_kid", kind: "jwt", name: issuer.url }]);
  });
});

describe("the memory of tokens", () => {
  it("spares the signature for 30 s, and never beyond the token's end", async () => {
    const issuer = await createIssuer();
    serveIssuers(issuer);
    const verify = vi.spyOn(crypto.subtle, "verify");
    const { as, clock, refusals } = start(issuer);
    const token = await issuer.sign({ exp: Math.floor(clock.now / 1_000) + 40 });
    for (let i = 0; i < 5; i++) expect((await as(token)).ok).toBe(true);
    expect(verify).toHaveBeenCalledTimes(1);
    clock.now += 29_999;
    expect((await as(token)).ok).toBe(true);
    expect(verify).toHaveBeenCalledTimes(1);
    clock.now += 1;
    expect((await as(token)).ok).toBe(true);
    expect(verify).toHaveBeenCalledTimes(2);
    clock.now += 10_000;
    expect((await as(token)).ok).toBe(true);
    expect(verify, "past its end, within the skew, it is looked at each time").toHaveBeenCalledTimes(3);
    clock.now += 31_000;
    expect((await as(token)).ok).toBe(false);
    expect(refusals).toEqual([{ reason: "expired", kind: "jwt", name: issuer.url }]);
  });

  it("holds no refusal: what is bad is looked at again", async () => {
    const issuer = await createIssuer();
    serveIssuers(issuer);
    const { as, clock } = start(issuer);
    const early = await issuer.sign({ nbf: Math.floor(clock.now / 1_000) + 60 });
    expect((await as(early)).ok).toBe(false);
    clock.now += 31_000;
    expect((await as(early)).ok).toBe(true);
  });
});

describe("keys and tokens together", () => {
  it("are told apart by their form, and each is taken where its mode is on", async () => {
    const issuer = await createIssuer();
    serveIssuers(issuer);
    const key = { owner: "alice", roles: ["user"], scopes: [], createdBy: "cli" };
    const { text } = await createApiKey(env.DB, key, Date.now());
    const token = await issuer.sign();
    const both = start(issuer, { authModes: ["api-key", "jwt"] });
    expect((await both.callerOf(text)).owner).toBe("key::alice");
    expect((await both.callerOf(token)).owner).toMatch(/^jwt:/);
    const [tokens, keys] = [start(issuer), start(issuer, { authModes: ["api-key"] })];
    expect((await tokens.as(text)).ok).toBe(false);
    expect((await keys.as(token)).ok).toBe(false);
    expect(tokens.refusals).toEqual([{ reason: "unsupported_kind", kind: "api-key" }]);
    expect(keys.refusals).toEqual([{ reason: "unsupported_kind", kind: "jwt" }]);
  });

  it("are asked for by the challenges that fit", async () => {
    const issuer = await createIssuer();
    const challenge = async (authModes: ("jwt" | "api-key")[]) => {
      const { headers } = await createClient({ fetch: serveWith({ ...issuer.config, authModes }) }).rpc(
        "ListTasks",
      );
      return headers.get("www-authenticate");
    };
    expect(await challenge(["jwt"])).toBe('Bearer realm="a2a"');
    expect(await challenge(["jwt", "api-key"])).toBe(
      'Bearer realm="a2a", ApiKey realm="a2a", header="X-API-Key"',
    );
  });
});

describe("a session made from a token", () => {
  it("has its rights while the token is good and its issuer is taken, and ends with it", async () => {
    const issuer = await createIssuer();
    serveIssuers(issuer);
    const clock = { now: Date.now() };
    const createFor = (more: object) =>
      createAuthentication({
        config: configWith({ ...issuer.config, ...more }),
        db: env.DB,
        now: () => clock.now,
      });
    const { authenticate, sessions } = createFor({});
    const token = await issuer.sign({ scope: "task:read" });
    const caller = await authenticate(new Request("https://a.test", { headers: bearer(token) }));
    if (!caller.ok) throw new Error("refused");
    const opened = await sessions.open(caller.value, {});
    if (!opened.ok) throw new Error(opened.error.message);
    const withSession = new Request("https://a.test", { headers: bearer(opened.value.token) });
    const again = await authenticate(withSession);
    expect(again).toMatchObject({ ok: true, value: { owner: caller.value.owner } });
    expect(again.ok && again.value.scopes).toEqual(new Set(["task:read"]));
    expect((await createFor({ jwtIssuers: [] }).authenticate(withSession)).ok).toBe(false);
    clock.now += 301_000;
    expect((await authenticate(withSession)).ok).toBe(false);
  });
});
