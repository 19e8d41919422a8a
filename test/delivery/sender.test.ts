// One attempt, from the claim to its settlement, over a network that answers as a test wants.

import { env } from "cloudflare:test";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { Claim, Settlement } from "../../src/delivery/exchange.ts";
import { createFetchToken } from "../../src/delivery/oauth2.ts";
import type { PushSecrets } from "../../src/delivery/push-secrets.ts";
import { createSend } from "../../src/delivery/sender.ts";
import { TokenCache } from "../../src/delivery/token-cache.ts";
import { parseKeyRing } from "../../src/keys/ring.ts";
import { seal } from "../../src/keys/sealing.ts";
import { parseSigningKeys } from "../../src/keys/signing-keys.ts";
import { err, ok } from "../../src/lib/result.ts";
import type { Outbound, OutboundError, OutboundRequest } from "../../src/outbound/fetch.ts";
import { aClaim } from "./claims.ts";

const parsedRing = parseKeyRing(env.ENCRYPTION_KEYS);
const parsedKeys = parseSigningKeys(env.SIGNING_KEYS);
if (!parsedRing.ok || !parsedKeys.ok) throw new Error("the keys of the tests cannot be read");
const [ring, signingKeys] = [parsedRing.value, parsedKeys.value];

const NOW = 1_700_000_000_000;

type Answer = { status: number; headers?: Record<string, string>; text?: string; tookMs?: number };
type Network = (request: OutboundRequest) => Promise<Answer | OutboundError["error"]>;

function setUp(network: Network, timeoutMs = 15_000) {
  const sent: OutboundRequest[] = [];
  let now = NOW;
  const outbound: Outbound = {
    async send(request) {
      sent.push(request);
      const answer = await network(request);
      if (typeof answer === "string") return err({ error: answer, durationMs: 0, detail: "secret detail" });
      const { status, headers = {}, text = "", tookMs = 10 } = answer;
      now += tookMs;
      return ok({ status, headers, text, durationMs: tookMs });
    },
  };
  const clock = () => now;
  const tokens = new TokenCache({
    fetchToken: createFetchToken(outbound),
    rate: { perMinute: 0, burst: 1 },
    now: clock,
  });
  const options = { outbound, tokens, ring, signingKeys, issuer: "a2a-edge", timeoutMs, now: clock };
  const send = createSend(options);
  const attempt = (claim: Claim, signal = new AbortController().signal) => send(claim, signal);
  return { attempt, sent };
}

const sealed = (secrets: PushSecrets, claim = aClaim()) =>
  seal(ring, JSON.stringify(secrets), `${claim.task}/${claim.config}`);

const common = ({ key, id, attempt }: Claim) => ({ key, id, attempt, startedAt: NOW });

afterEach(() => void vi.restoreAllMocks());

describe("an attempt", () => {
  it("sends the claim as it stands, signed, with its secrets opened", async () => {
    const { attempt, sent } = setUp(async () => ({ status: 200 }));
    const claim = aClaim({ attempt: 2, sequence: 7, options: { scheme: "Bearer" } });
    claim.sealed = await sealed(
      { token: "t-1", credentials: "c-1", secrets: [{ value: "s".repeat(20) }] },
      claim,
    );
    expect(await attempt(claim)).toEqual({
      ...common(claim),
      durationMs: 10,
      outcome: "delivered",
      status: 200,
    });
    expect(sent).toHaveLength(1);
    expect(sent[0]).toMatchObject({ url: claim.url, method: "POST", body: claim.body, timeoutMs: 15_000 });
    expect(sent[0]?.headers).toMatchObject({
      Authorization: "Bearer c-1",
      "X-A2A-Notification-Token": "t-1",
      "webhook-id": claim.id,
      "webhook-timestamp": "1700000000",
      "webhook-sequence": "7",
      "webhook-attempt": "2",
    });
    expect(sent[0]?.headers["webhook-signature"]).toMatch(/^v1,\S+ v1a,\S+$/);
  });

  it.each<[Answer, Partial<Settlement>]>([
    [
      { status: 204, text: "thanks" },
      { outcome: "delivered", status: 204 },
    ],
    [
      { status: 200, headers: { "retry-after": "5" } },
      { outcome: "delivered", status: 200 },
    ],
    [
      { status: 500, text: "oops" },
      { outcome: "retry", status: 500, response: "oops" },
    ],
    [
      { status: 503, headers: { "retry-after": "120" } },
      { outcome: "retry", status: 503, retryAfterMs: 120_000 },
    ],
    [
      { status: 429, headers: { "retry-after": "never" } },
      { outcome: "retry", status: 429 },
    ],
    [
      { status: 302, headers: { location: "http://10.0.0.1" } },
      { outcome: "rejected", status: 302 },
    ],
    [{ status: 410 }, { outcome: "gone", status: 410 }],
    [{ status: 401 }, { outcome: "unauthorized", status: 401 }],
  ])("that is answered %o is settled %o", async (answer, settlement) => {
    const { attempt } = setUp(async () => answer);
    const claim = aClaim();
    expect(await attempt(claim)).toEqual({ ...common(claim), durationMs: 10, ...settlement });
  });

  it.each([
    ["blocked_destination", "blocked"],
    ["tls_error", "blocked"],
    ["dns_failure", "retry"],
    ["timeout", "retry"],
    ["network_error", "retry"],
  ] as const)("that fails with %s is settled %s, and the log alone knows why", async (error, outcome) => {
    const log = vi.spyOn(console, "info").mockImplementation(() => {});
    const { attempt } = setUp(async () => error);
    const claim = aClaim();
    expect(await attempt(claim)).toEqual({ ...common(claim), durationMs: 0, outcome, error });
    expect(log.mock.calls.flat().join()).toContain("secret detail");
  });
});

describe("secrets that cannot be read", () => {
  it.each([
    ["of another config", async () => sealed({ token: "t" })],
    ["sealed with a key that is gone", async () => "9.AAAA.AAAA"],
    ["that are nothing of ours", async () => "garbage"],
    ["that are no JSON", async (claim: Claim) => seal(ring, "{", `${claim.task}/${claim.config}`)],
  ])("%s are the deployment's fault: nothing is sent, and it is tried again", async (_, make) => {
    vi.spyOn(console, "info").mockImplementation(() => {});
    const { attempt, sent } = setUp(async () => ({ status: 200 }));
    const claim = aClaim();
    claim.sealed = await make(claim);
    expect(await attempt(claim)).toMatchObject({ outcome: "retry", error: "secrets_unreadable" });
    expect(sent).toEqual([]);
  });
});

describe("an attempt with an OAuth2 token", () => {
  const oauth2 = {
    tokenUrl: "https://tokens.example/token",
    clientId: "client",
    method: "client_secret_basic" as const,
  };

  async function setUpOAuth2(network: Network, tokensTakeMs: number[] = []) {
    let tokens = 0;
    const world = setUp(async (request) => {
      if (request.url !== oauth2.tokenUrl) return network(request);
      const { [tokens]: tookMs = 10 } = tokensTakeMs;
      tokens += 1;
      const text = JSON.stringify({ access_token: `token-${tokens}`, expires_in: 3_600 });
      return { status: 200, text, tookMs };
    });
    const claim = aClaim({ options: { oauth2 } });
    claim.sealed = await sealed({ oauth2ClientSecret: "cs" }, claim);
    const used = () =>
      world.sent.flatMap(({ url, headers }) =>
        url === claim.url ? [headers.Authorization] : ["(token server)"],
      );
    return { ...world, claim, used };
  }

  it("fetches it once and uses it again", async () => {
    const { attempt, claim, used } = await setUpOAuth2(async () => ({ status: 200 }));
    expect(await attempt(claim)).toMatchObject({ outcome: "delivered" });
    await attempt(claim);
    expect(used()).toEqual(["(token server)", "Bearer token-1", "Bearer token-1"]);
  });

  it.each([401, 403])(
    "that is answered %i is tried once more with a new one, in the same attempt",
    async (status) => {
      const { attempt, claim, used, sent } = await setUpOAuth2(async ({ headers }) => ({
        status: headers.Authorization === "Bearer token-1" ? status : 200,
      }));
      expect(await attempt(claim)).toMatchObject({ outcome: "delivered", attempt: 1, durationMs: 30 });
      expect(used()).toEqual(["(token server)", "Bearer token-1", "(token server)", "Bearer token-2"]);
      // Tokens and tries together last no longer than one attempt may.
      expect(sent.at(-1)?.timeoutMs).toBe(15_000 - 30);
    },
  );

  it("lasts no longer than any other: the second token has to be there in time for its try", async () => {
    const { attempt, claim, used, sent } = await setUpOAuth2(
      async ({ headers }) => ({
        status: headers.Authorization === "Bearer token-1" ? 401 : 200,
        tookMs: 1_000,
      }),
      [9_900, 2_000, 3_000],
    );
    expect(await attempt(claim)).toMatchObject({ outcome: "delivered", durationMs: 4_000 });
    expect(used()).toEqual(["(token server)", "Bearer token-1", "(token server)", "Bearer token-2"]);
    expect(sent.map(({ timeoutMs }) => timeoutMs)).toEqual([10_000, 5_100, 10_000, 2_100]);
  });

  it.each([
    ["the first answer", [9_900, 10], 4_900, 2],
    ["the second token", [9_900, 3_500], 1_000, 3],
  ])(
    "keeps a 401 that stands when %s leaves no time for a second try",
    async (_, tokens, tookMs, requests) => {
      const { attempt, claim, sent } = await setUpOAuth2(async () => ({ status: 401, tookMs }), tokens);
      expect(await attempt(claim)).toMatchObject({ outcome: "unauthorized", status: 401 });
      expect(sent).toHaveLength(requests);
    },
  );

  it("that comes too late for a try is settled oauth2_failed, and is there for the next attempt", async () => {
    vi.spyOn(console, "info").mockImplementation(() => {});
    const { attempt, claim, used } = await setUpOAuth2(async () => ({ status: 200 }), [14_500]);
    expect(await attempt(claim)).toMatchObject({
      outcome: "retry",
      error: "oauth2_failed",
      startedAt: NOW,
      durationMs: 14_500,
    });
    expect(await attempt(claim)).toMatchObject({ outcome: "delivered" });
    expect(used()).toEqual(["(token server)", "Bearer token-1"]);
  });

  it("that never comes is not waited for", async () => {
    vi.spyOn(console, "info").mockImplementation(() => {});
    const { attempt } = setUp(() => new Promise(() => {}), 100);
    expect(await attempt(aClaim({ options: { oauth2 } }))).toMatchObject({ error: "oauth2_failed" });
  });

  it("that is refused twice is settled unauthorized, and the next attempt fetches no third token at once", async () => {
    const { attempt, claim, used } = await setUpOAuth2(async () => ({ status: 401 }));
    expect(await attempt(claim)).toMatchObject({ outcome: "unauthorized", status: 401 });
    expect(await attempt(claim)).toMatchObject({ outcome: "unauthorized" });
    expect(used().filter((one) => one === "(token server)")).toHaveLength(2);
  });

  it("that cannot be had is settled oauth2_failed, and nothing is sent to the receiver", async () => {
    vi.spyOn(console, "info").mockImplementation(() => {});
    const { attempt, sent } = setUp(async () => "timeout");
    const claim = aClaim({ options: { oauth2 } });
    expect(await attempt(claim)).toMatchObject({ outcome: "retry", error: "oauth2_failed" });
    expect(sent.map(({ url }) => url)).toEqual([oauth2.tokenUrl]);
  });

  it("keeps the receiver's answer when another token cannot be had", async () => {
    let asked = 0;
    const { attempt } = setUp(async ({ url }) => {
      if (url !== oauth2.tokenUrl) return { status: 403, text: "no" };
      asked += 1;
      return asked === 1 ? { status: 200, text: '{"access_token":"a"}' } : "network_error";
    });
    expect(await attempt(aClaim({ options: { oauth2 } }))).toMatchObject({
      outcome: "unauthorized",
      status: 403,
      response: "no",
    });
  });
});

describe("an attempt that is aborted", () => {
  it("before it was sent is released, and never sent", async () => {
    const { attempt, sent } = setUp(async () => "aborted");
    const controller = new AbortController();
    controller.abort();
    const claim = aClaim();
    const settlement = await attempt(claim, controller.signal);
    const { key, id } = claim;
    expect(settlement).toEqual({ key, id, attempt: 1, outcome: "released", startedAt: 0, durationMs: 0 });
    for (const { signal } of sent) expect(signal?.aborted).toBe(true);
  });

  it("while its token is fetched is released at once, and the notification is not sent", async () => {
    let answerToken = (_: Answer) => {};
    const { attempt, sent } = setUp(
      () =>
        new Promise((resolve) => {
          answerToken = resolve;
        }),
    );
    const claim = aClaim({
      options: {
        oauth2: { tokenUrl: "https://tokens.example/t", clientId: "c", method: "client_secret_post" },
      },
    });
    const controller = new AbortController();
    const settled = attempt(claim, controller.signal);
    await vi.waitFor(() => expect(sent).toHaveLength(1));
    controller.abort();
    expect(await settled).toMatchObject({ outcome: "released" });
    answerToken({ status: 200, text: '{"access_token":"a"}' });
    await scheduler.wait(5);
    expect(sent).toHaveLength(1);
  });

  it("gives its signal to the request, and is released when that ends by it", async () => {
    const controller = new AbortController();
    const { attempt } = setUp(async ({ signal }) => {
      controller.abort();
      return signal?.aborted ? "aborted" : { status: 200 };
    });
    expect(await attempt(aClaim(), controller.signal)).toMatchObject({ outcome: "released" });
  });
});
