// OAuth2 client credentials: what a token server is asked, what is made of its answers, and for how long a token is
// kept. The token server is a fake; time is ours.

import { beforeEach, describe, expect, it, vi } from "vitest";
import {
  createFetchToken,
  type FetchToken,
  type OAuth2Client,
  tokenRequest,
} from "../../src/delivery/oauth2.ts";
import { TokenCache } from "../../src/delivery/token-cache.ts";
import { err, ok } from "../../src/lib/result.ts";
import type { Outbound, OutboundError, OutboundRequest } from "../../src/outbound/fetch.ts";

const client: OAuth2Client = {
  tokenUrl: "https://login.example.com/token?tenant=1",
  clientId: "me",
  clientSecret: "hush",
  method: "client_secret_basic",
};

describe("a token request", () => {
  const form = (text: string) => Object.fromEntries(new URLSearchParams(text));

  it("is a form with the client's credentials in Basic (RFC 6749 §4.4.2)", () => {
    const { url, headers, body } = tokenRequest({
      ...client,
      scope: "a b",
      audience: "https://api.example.com",
    });
    expect(url).toBe(client.tokenUrl);
    expect(form(body)).toEqual({
      grant_type: "client_credentials",
      scope: "a b",
      audience: "https://api.example.com",
    });
    expect(headers).toEqual({
      "Content-Type": "application/x-www-form-urlencoded",
      Accept: "application/json",
      Authorization: `Basic ${btoa("me:hush")}`,
    });
  });

  it("encodes id and secret as a form before it makes Basic of them (§2.3.1)", () => {
    const { headers } = tokenRequest({ ...client, clientId: "a:b c", clientSecret: "100%+ü/~*" });
    expect(atob(headers.Authorization?.slice("Basic ".length) ?? "")).toBe("a%3Ab+c:100%25%2B%C3%BC%2F%7E*");
  });

  it("has the credentials in the form where the server wants them there, and nowhere else", () => {
    const { headers, body } = tokenRequest({
      ...client,
      clientSecret: "h&sh=",
      method: "client_secret_post",
    });
    expect(form(body)).toEqual({ grant_type: "client_credentials", client_id: "me", client_secret: "h&sh=" });
    expect(headers).not.toHaveProperty("Authorization");
  });
});

describe("the answer of a token server", () => {
  async function answered(status: number, text: string) {
    const outbound: Outbound = { send: async () => ok({ status, headers: {}, text, durationMs: 1 }) };
    return createFetchToken(outbound)(client);
  }
  const json = (value: unknown) => answered(200, JSON.stringify(value));

  it.each([
    [{ access_token: "t", token_type: "Bearer", expires_in: 3600 }, 3_600_000],
    [{ access_token: "t", token_type: "bearer", expires_in: "600" }, 600_000],
    [{ access_token: "t", token_type: "BEARER" }, 300_000],
    [{ access_token: "t", expires_in: null }, 300_000],
    [{ access_token: "t", expires_in: "soon" }, 300_000],
    [{ access_token: "t", expires_in: 0 }, 0],
    [{ access_token: "t", expires_in: -5 }, 0],
    [{ access_token: "t", expires_in: 1e12 }, 86_400_000],
  ])("%j is a token for %d ms", async (answer, expiresInMs) => {
    expect(await json(answer)).toEqual({ ok: true, value: { value: "t", expiresInMs } });
  });

  it("may hold a long token", async () => {
    const long = "x".repeat(12_000);
    expect(await json({ access_token: long })).toMatchObject({ ok: true, value: { value: long } });
    expect(await json({ access_token: `${long}x` })).toMatchObject({ ok: false });
  });

  it.each([
    [200, "", "the token server answered no JSON object"],
    [200, "null", "the token server answered no JSON object"],
    [200, '{"access_token":"t"', "the token server answered no JSON object"],
    [200, "{}", "the token server answered without a usable access_token"],
    [200, '{"access_token":""}', "the token server answered without a usable access_token"],
    [200, '{"access_token":"a\\r\\nX: y"}', "the token server answered without a usable access_token"],
    [200, '{"access_token":"ü"}', "the token server answered without a usable access_token"],
    [200, '{"access_token":["t"]}', "the token server answered without a usable access_token"],
    [
      200,
      '{"access_token":"t","token_type":"DPoP"}',
      "the token server answered a token that is no bearer token",
    ],
    [302, "", "the token server answered 302"],
    [400, '{"error":"invalid_scope"}', 'the token server answered 400 and "invalid_scope"'],
    [
      401,
      '{"error":"invalid_client","error_description":"hush"}',
      'the token server answered 401 and "invalid_client"',
    ],
    [400, '{"error":"a \\"quote\\" and\\nmore"}', "the token server answered 400"],
    [400, '{"error":{"a":1}}', "the token server answered 400"],
    [503, "<html>", "the token server answered 503"],
  ])("%d %s is oauth2_failed: %s", async (status, text, detail) => {
    expect(await answered(status, text)).toEqual({ ok: false, error: { error: "oauth2_failed", detail } });
  });

  it.each<OutboundError["error"]>(["blocked_destination", "dns_failure", "timeout", "network_error"])(
    "that did not come (%s) is oauth2_failed too, with the reason but no address",
    async (error) => {
      const outbound: Outbound = { send: async () => err({ error, durationMs: 1, detail: "10.0.0.1" }) };
      expect(await createFetchToken(outbound)(client)).toEqual({
        ok: false,
        error: {
          error: "oauth2_failed",
          detail: `the token server could not be reached: ${error}`,
          cause: error,
        },
      });
    },
  );

  it("is asked for by a POST that lasts 10 s at most", async () => {
    const sent: OutboundRequest[] = [];
    const send: Outbound["send"] = async (request) => {
      sent.push(request);
      return ok({ status: 500, headers: {}, text: "", durationMs: 1 });
    };
    await createFetchToken({ send })(client);
    expect(sent).toEqual([{ method: "POST", timeoutMs: 10_000, ...tokenRequest(client) }]);
  });
});

describe("TokenCache", () => {
  let now: number;
  let asked: OAuth2Client[];
  /** What the token server does with the next request; by default it gives out t1, t2, … for an hour. */
  let server: FetchToken;
  let tokens: TokenCache;
  const fetchToken: FetchToken = (wanted) => {
    asked.push(wanted);
    return server(wanted);
  };

  beforeEach(() => {
    now = 1_795_000_000_000;
    asked = [];
    server = async () => ok({ value: `t${asked.length}`, expiresInMs: 3_600_000 });
    tokens = new TokenCache({ fetchToken, rate: { perMinute: 0, burst: 1 }, now: () => now });
  });

  const failing: FetchToken = async () => err({ error: "oauth2_failed", detail: "down" });
  const token = async (wanted = client) => {
    const got = await tokens.token(wanted);
    return got.ok ? got.value : got.error.detail;
  };

  it("fetches anew what it was told to forget, and what it was fetching then", async () => {
    expect(await token()).toBe("t1");
    tokens.clear();
    const { promise: answered, resolve: answer } = Promise.withResolvers<void>();
    const quick = server;
    server = (wanted) => answered.then(() => quick(wanted));
    const fetching = token();
    await vi.waitFor(() => expect(asked).toHaveLength(2));
    tokens.clear();
    answer();
    expect(await fetching).toBe("t2");
    expect(await token()).toBe("t3");
  });

  it("fetches a token once and keeps it until a minute before its end", async () => {
    expect(await token()).toBe("t1");
    now += 3_539_999;
    expect(await token()).toBe("t1");
    now += 1;
    expect(await token()).toBe("t2");
    expect(asked).toHaveLength(2);
  });

  it("keeps a short one for nine tenths of its life, and one of no life for nobody else", async () => {
    server = async () => ok({ value: `t${asked.length}`, expiresInMs: 10_000 });
    expect(await token()).toBe("t1");
    now += 8_999;
    expect(await token()).toBe("t1");
    now += 1;
    expect(await token()).toBe("t2");
    server = async () => ok({ value: `t${asked.length}`, expiresInMs: 0 });
    now += 10_000;
    expect(await token()).toBe("t3");
    expect(await token()).toBe("t4");
  });

  it("fetches once for all who ask meanwhile", async () => {
    let answer = () => {};
    server = async () => {
      await new Promise<void>((settle) => {
        answer = settle;
      });
      return ok({ value: "shared", expiresInMs: 3_600_000 });
    };
    const all = Array.from({ length: 50 }, () => token());
    await expect.poll(() => asked.length).toBe(1);
    answer();
    expect(new Set(await Promise.all(all))).toEqual(new Set(["shared"]));
    expect(asked).toHaveLength(1);
  });

  it("keeps tokens apart by everything that decides them, the secret too", async () => {
    const others: OAuth2Client[] = [
      { ...client, tokenUrl: "https://login.example.com/token?tenant=2" },
      { ...client, clientId: "you" },
      { ...client, clientSecret: "new" },
      { ...client, scope: "a" },
      { ...client, audience: "a" },
      { ...client, method: "client_secret_post" },
    ];
    const first = await token();
    const all = await Promise.all(others.map((other) => token(other)));
    expect(new Set([first, ...all]).size).toBe(7);
    // The same client in other words.
    const { tokenUrl, method, ...rest } = client;
    expect(await token({ method, ...rest, tokenUrl })).toBe(first);
  });

  /** Clients that a caller could make up for one token server, without end. */
  const madeUp = (number: number): OAuth2Client => ({
    ...client,
    tokenUrl: `https://login.example.com/${number}`,
    clientId: `c${number}`,
  });

  it("leaves a server that failed alone for 5 s, whoever asks, and twice as long each time up to 5 min", async () => {
    server = failing;
    for (const restMs of [5_000, 10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000]) {
      const before = asked.length;
      for (let number = 0; number < 10; number++) expect(await token(madeUp(number))).toBe("down");
      now += restMs - 1;
      expect(await token(madeUp(11))).toBe("down");
      expect(asked).toHaveLength(before + 1);
      now += 1;
    }
  });

  it("asks as before once a server has given out a token", async () => {
    server = failing;
    expect(await token()).toBe("down");
    now += 5_000;
    expect(await token()).toBe("down");
    now += 10_000;
    server = async () => ok({ value: "up", expiresInMs: 60_000 });
    expect(await token()).toBe("up");
    server = failing;
    expect(await token(madeUp(1))).toBe("down");
    now += 5_000;
    server = async () => ok({ value: "up again", expiresInMs: 60_000 });
    expect(await token(madeUp(1))).toBe("up again");
  });

  it("counts requests that fail together as one failure", async () => {
    server = failing;
    await Promise.all([1, 2, 3].map((number) => token(madeUp(number))));
    expect(asked).toHaveLength(3);
    now += 4_999;
    expect(await token(madeUp(4))).toBe("down");
    now += 1;
    server = async () => ok({ value: "up", expiresInMs: 60_000 });
    expect(await token()).toBe("up");
  });

  it("lets one ask a server that has rested, and nobody else until it has answered", async () => {
    server = failing;
    expect(await token()).toBe("down");
    now += 5_000;
    const { promise: answered, resolve: answer } = Promise.withResolvers<void>();
    server = () => answered.then(() => ok({ value: "up", expiresInMs: 60_000 }));
    const first = token(madeUp(1));
    await vi.waitFor(() => expect(asked).toHaveLength(2));
    expect(await Promise.all([2, 3].map((number) => token(madeUp(number))))).toEqual(["down", "down"]);
    answer();
    expect(await first).toBe("up");
    expect(await token(madeUp(2))).toBe("up");
    expect(asked).toHaveLength(3);
  });

  it("does not keep other servers waiting for one that failed", async () => {
    server = failing;
    expect(await token()).toBe("down");
    server = async () => ok({ value: "up", expiresInMs: 60_000 });
    expect(await token({ ...client, tokenUrl: "https://login.example.com:8443/token" })).toBe("up");
    expect(await token({ ...client, tokenUrl: "https://login.example.net/token" })).toBe("up");
    expect(await token()).toBe("down");
  });

  it("asks one origin as often as a URL is sent to, whatever is made up", async () => {
    tokens = new TokenCache({ fetchToken, rate: { perMinute: 60, burst: 3 }, now: () => now });
    const tooOften = "the token server has been asked as often as it may be";
    for (const number of [1, 2, 3]) expect(await token(madeUp(number))).toBe(`t${number}`);
    expect(await token(madeUp(4))).toBe(tooOften);
    // Not a failure of the server: it does not rest.
    now += 999;
    expect(await token(madeUp(4))).toBe(tooOften);
    now += 1;
    expect(await token(madeUp(4))).toBe("t4");
    expect(await token(madeUp(5))).toBe(tooOften);
    // What is held costs nothing, and another origin has a limit of its own.
    expect(await token(madeUp(1))).toBe("t1");
    expect(await token({ ...client, tokenUrl: "https://login.example.net/token" })).toBe("t5");
    tokens.clear();
    expect(await token(madeUp(5))).toBe("t6");
  });

  it("goes on with a token that has time left while the server fails, and not a moment longer", async () => {
    expect(await token()).toBe("t1");
    server = failing;
    now += 3_599_999;
    expect(await token()).toBe("t1");
    now += 1;
    expect(await token()).toBe("down");
  });

  it("survives a fetch that throws", async () => {
    server = () => Promise.reject(new Error("a bug"));
    await expect(tokens.token(client)).rejects.toThrow("a bug");
    server = async () => ok({ value: "well", expiresInMs: 60_000 });
    expect(await token()).toBe("well");
  });

  it("survives a clock that goes back", async () => {
    server = failing;
    expect(await token()).toBe("down");
    now -= 3_600_000;
    server = async () => ok({ value: "well", expiresInMs: 60_000 });
    expect(await token()).toBe("well");
  });

  it("fetches another one when a receiver refuses it, once", async () => {
    expect(await token()).toBe("t1");
    expect(await tokens.rejected(client, "t1")).toBe(true);
    expect(await token()).toBe("t2");
    expect(await tokens.rejected(client, "t2")).toBe(false);
    expect(await token()).toBe("t2");
    expect(asked).toHaveLength(2);
  });

  it("takes a token for the fault again when it has served for a minute", async () => {
    await token();
    await tokens.rejected(client, "t1");
    await token();
    now += 59_999;
    expect(await tokens.rejected(client, "t2")).toBe(false);
    now += 1;
    expect(await tokens.rejected(client, "t2")).toBe(true);
    expect(await token()).toBe("t3");
  });

  it("throws a token away once, though all who used it come with a refusal", async () => {
    await token();
    expect(await Promise.all([1, 2, 3].map(() => tokens.rejected(client, "t1")))).toEqual([true, true, true]);
    expect(await Promise.all([1, 2, 3].map(() => token()))).toEqual(["t2", "t2", "t2"]);
    // One more, late: the token that it was refused with is gone already.
    expect(await tokens.rejected(client, "t1")).toBe(true);
    expect(await token()).toBe("t2");
    expect(asked).toHaveLength(2);
  });

  it("does not grow without end", async () => {
    for (let n = 0; n < 1_000; n += 1) await token({ ...client, clientId: `c${n}` });
    expect(await token({ ...client, clientId: "c0" })).toBe("t1");
    await token({ ...client, clientId: "one too many" });
    expect(await token({ ...client, clientId: "c0" })).toBe("t1002");
  });
});
