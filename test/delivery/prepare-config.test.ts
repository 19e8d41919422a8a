// From a caller's config to the one a home keeps: what is refused, what is derived, and where its secrets are.

import { describe, expect, it } from "vitest";
import { type Preparation, prepareConfig } from "../../src/delivery/prepare-config.ts";
import type { PushSecrets } from "../../src/delivery/push-secrets.ts";
import type { StoredConfig } from "../../src/delivery/stored-config.ts";
import { parseKeyRing } from "../../src/keys/ring.ts";
import { open } from "../../src/keys/sealing.ts";
import type { Failure } from "../../src/protocol/errors.ts";
import { REDACTED } from "../../src/protocol/limited-text.ts";
import type { WebhookConfig } from "../../src/protocol/push-options.ts";

const url = "https://hooks.example/a2a?key=1";
const encryptionKeys = `1:${btoa("k".repeat(32))}`;
const parsedRing = parseKeyRing(encryptionKeys);
if (!parsedRing.ok) throw new Error(parsedRing.error);
const ring = parsedRing.value;
const oauth2 = { tokenUrl: "https://login.example/token", clientId: "client", clientSecret: "oauth-shh" };
const IS_NO_HEADER_TEXT = "must be printable ASCII without spaces at its ends";

const settings: Preparation["settings"] = {
  allowPrivateWebhooks: false,
  webhookPorts: [443, 8443],
  webhookRatePerMinute: 100,
  webhookBurst: 10,
  webhookGlobalPerMinute: 1_000,
  webhookChallenge: "warn",
  webhookTokenOrigins: [],
  encryptionKeys,
};

function prepare(config: WebhookConfig, more: Partial<Preparation> = {}) {
  return prepareConfig({
    config,
    taskId: "0-task",
    owner: "open::ada",
    version: "1.0",
    ownHosts: ["agents.example"],
    now: Date.UTC(2026, 0, 1),
    settings,
    ring,
    ...more,
  });
}

async function stored(config: WebhookConfig, more?: Partial<Preparation>): Promise<StoredConfig> {
  const prepared = await prepare(config, more);
  if (!prepared.ok) throw new Error(prepared.error.message);
  return prepared.value;
}

async function refusal(config: WebhookConfig, more?: Partial<Preparation>): Promise<Failure> {
  const prepared = await prepare(config, more);
  if (prepared.ok) throw new Error("it was accepted");
  return prepared.error;
}

async function secretsOf({ sealed }: StoredConfig, context: string): Promise<PushSecrets> {
  const opened = await open(ring, sealed ?? "", context);
  if (!opened.ok) throw new Error(opened.error);
  return JSON.parse(opened.value) as PushSecrets;
}

describe("a config of a URL alone", () => {
  it("gets an id and a lane of its own, its endpoint and its target, and no secrets", async () => {
    const config = await stored({ url: `${url}#part` });
    expect(config).toEqual({
      id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      lane: expect.stringMatching(/^[0-9a-f-]{36}$/),
      endpoint: "open::ada|https://hooks.example",
      target: "https://hooks.example/a2a",
      url,
      version: "1.0",
      events: null,
      batch: null,
      retryMs: null,
      sealed: null,
      options: {},
      answer: { id: config.id, taskId: "0-task", url: `${url}#part` },
    });
    expect(config.lane).not.toBe(config.id);
  });

  it("has a lane of its own each time, also under the same id", async () => {
    const first = await stored({ id: "c", url });
    const second = await stored({ id: "c", url });
    expect([first.id, second.id]).toEqual(["c", "c"]);
    expect(first.lane).not.toBe(second.lane);
  });

  it("belongs to the task it is prepared for, whatever task it names", async () => {
    expect((await stored({ url, taskId: "another" })).answer.taskId).toBe("0-task");
  });

  it("keeps the port in its endpoint", async () => {
    expect((await stored({ url: "https://hooks.example:8443/" })).endpoint).toBe(
      "open::ada|https://hooks.example:8443",
    );
  });
});

describe("the secrets of a config", () => {
  const secret = "sixteen-bytes-ok";
  const config: WebhookConfig = {
    id: "c",
    url,
    token: "token-shh",
    authentication: { scheme: "bEaReR", credentials: "credentials-shh" },
    secret,
    headers: { "X-Key": "header-shh" },
    securityLevel: "high",
  };
  const values = ["token-shh", "credentials-shh", secret, "header-shh", "oauth-shh"];

  it("are sealed for this config of this task, and nowhere else in it", async () => {
    const kept = await stored(config);
    expect(await secretsOf(kept, "0-task/c")).toEqual({
      token: "token-shh",
      credentials: "credentials-shh",
      secrets: [{ value: secret }],
      headers: { "X-Key": "header-shh" },
    });
    for (const value of values) expect(JSON.stringify(kept)).not.toContain(value);
    expect((await open(ring, kept.sealed ?? "", "0-task/d")).ok).toBe(false);
  });

  it("are the client secret of OAuth 2, too", async () => {
    const kept = await stored({ id: "c", url, oauth2, batch: true });
    expect(await secretsOf(kept, "0-task/c")).toEqual({ oauth2ClientSecret: "oauth-shh" });
    for (const value of values) expect(JSON.stringify(kept)).not.toContain(value);
    expect(kept.options.oauth2).toEqual({
      tokenUrl: oauth2.tokenUrl,
      clientId: "client",
      method: "client_secret_basic",
    });
  });

  it("are redacted in the answer, which holds everything else as it was sent", async () => {
    expect((await stored(config)).answer).toEqual({
      ...config,
      taskId: "0-task",
      token: REDACTED,
      authentication: { scheme: "bEaReR", credentials: REDACTED },
      secret: REDACTED,
      headers: { "X-Key": REDACTED },
    });
  });

  it("are in no refusal", async () => {
    const bad: WebhookConfig = {
      ...config,
      url: "https://user:url-shh@hooks.example",
      token: "token-shh\n",
      authentication: { scheme: "Bearer scheme-shh", credentials: "credentials-shh\r\n" },
    };
    const failure = JSON.stringify(await refusal(bad));
    for (const value of [...values, "url-shh", "scheme-shh"]) expect(failure).not.toContain(value);
  });
});

describe("what a config asks for", () => {
  it("is handed on without what is secret", async () => {
    const config = await stored({
      url,
      authentication: { scheme: "Bearer", credentials: "x" },
      events: ["failed"],
      retry: { delaysSeconds: [1, 60] },
      rateLimit: { perMinute: 100, burst: 10 },
      securityLevel: "high",
    });
    expect(config.options).toEqual({
      scheme: "Bearer",
      rateLimit: { perMinute: 100, burst: 10 },
      securityLevel: "high",
    });
    expect(config.events).toEqual(["failed"]);
    expect(config.retryMs).toEqual([0, 1_000, 60_000]);
  });

  it.each([
    [true, {}],
    [{ audience: "hooks" }, { audience: "hooks" }],
  ])("jwt: %j becomes %j", async (jwt, options) => {
    expect((await stored({ url, jwt })).options).toEqual({ jwt: options });
  });
});

describe("a batch", () => {
  const keyOf = async (config: Partial<WebhookConfig>, more?: Partial<Preparation>) =>
    (await stored({ url, batch: true, ...config }, more)).batch?.key;

  it("has the largest size and a wait of a second unless its config says otherwise", async () => {
    expect((await stored({ url, batch: true })).batch).toMatchObject({ maxEvents: 50, maxWaitMs: 1_000 });
    const batch = { maxEvents: 2, maxWaitMs: 20 };
    expect((await stored({ url, batch })).batch).toMatchObject(batch);
  });

  it("is shared by configs that are equal but for their id, task, lane and events", async () => {
    const key = await keyOf({ token: "t", headers: { A: "1", B: "2" } });
    expect(key).toMatch(/^[0-9a-f]{64}$/);
    const like = { id: "other", token: "t", headers: { B: "2", A: "1" }, events: ["failed" as const] };
    expect(await keyOf(like, { taskId: "0-other", now: 1 })).toBe(key);
  });

  const differing: [string, Partial<WebhookConfig>][] = [
    ["URL", { url: "https://hooks.example/a2a?key=2" }],
    ["token", { token: "t" }],
    ["scheme", { authentication: { scheme: "Basic", credentials: "c" } }],
    ["credentials", { authentication: { scheme: "Bearer", credentials: "d" } }],
    ["secret", { secret: "sixteen-bytes-ok" }],
    ["headers", { headers: { "X-A": "1" } }],
    ["client secret", { oauth2 }],
    ["JWT", { jwt: true }],
    ["audience", { jwt: { audience: "x" } }],
    ["retries", { retry: { delaysSeconds: [1] } }],
    ["rate", { rateLimit: { perMinute: 1 } }],
    ["security level", { securityLevel: "high" }],
    ["size", { batch: { maxEvents: 2 } }],
    ["wait", { batch: { maxWaitMs: 2 } }],
  ];

  it("is not shared by configs that differ in anything a receiver or the schedule would see", async () => {
    const keys = await Promise.all(differing.map(([, config]) => keyOf(config)));
    const all = [await keyOf({}), ...keys];
    expect(new Set(all).size).toBe(differing.length + 1);
  });

  it("cannot be told from its key without the keys of the deployment", async () => {
    const other = { ...settings, encryptionKeys: `1:${btoa("o".repeat(32))}` };
    expect(await keyOf({ token: "1234" }, { settings: other })).not.toBe(await keyOf({ token: "1234" }));
  });
});

describe("a config that is refused", () => {
  const refused: [Partial<WebhookConfig>, string, string][] = [
    [{ url: "http://hooks.example" }, "url", "must be https"],
    [{ url: "https://10.0.0.1/" }, "url", "must name its host instead of giving an IP address"],
    [{ url: "https://agents.example/x" }, "url", "must not lead to this server"],
    [{ url: "https://hooks.example:444/" }, "url", "must be at port 443 or 8443"],
    [{ url: "hooks" }, "url", "must be an absolute URL with a host"],
    [
      { oauth2: { ...oauth2, tokenUrl: "https://localhost/" } },
      "oauth2.tokenUrl",
      "must have a host with a domain",
    ],
    [
      { oauth2: { ...oauth2, tokenUrl: "https://agents.example/" } },
      "oauth2.tokenUrl",
      "must not lead to this server",
    ],
    [{ token: "a\r\nX-B: c" }, "token", IS_NO_HEADER_TEXT],
    [{ token: " a" }, "token", IS_NO_HEADER_TEXT],
    [{ token: "ä" }, "token", IS_NO_HEADER_TEXT],
    [{ token: "x".repeat(4_097) }, "token", "must be at most 4096 characters long"],
    ...["Bear er", "Bearer:", "Bä", "B\n", "x".repeat(65)].map(
      (scheme): [Partial<WebhookConfig>, string, string] => [
        { authentication: { scheme } },
        "authentication.scheme",
        "must be the name of an authentication scheme, such as Bearer",
      ],
    ),
    [
      { authentication: { scheme: "Bearer", credentials: "a\nb" } },
      "authentication.credentials",
      IS_NO_HEADER_TEXT,
    ],
    [
      { authentication: { scheme: "Bearer", credentials: "x".repeat(8_193) } },
      "authentication.credentials",
      "must be at most 8192 characters long",
    ],
    [{ token: REDACTED }, "token", "must not be [redacted], which only answers hold in place of a secret"],
    [
      { authentication: { scheme: "Bearer", credentials: REDACTED } },
      "authentication.credentials",
      "must not be [redacted], which only answers hold in place of a secret",
    ],
    [
      { jwt: true, authentication: { scheme: "Bearer" } },
      "jwt",
      "must not be given together with authentication",
    ],
    [
      { oauth2, authentication: { scheme: "Bearer" } },
      "oauth2",
      "must not be given together with authentication",
    ],
    [{ oauth2, jwt: {} }, "jwt", "must not be given together with oauth2"],
  ];

  it.each(refused)("%j names the field", async (config, field, description) => {
    expect(await refusal({ url, ...config })).toMatchObject({
      reason: "INVALID_PARAMS",
      violations: [{ field, description }],
    });
  });

  it("is told everything that is wrong, below the path it came by", async () => {
    const config: WebhookConfig = { url: "http://hooks.example", token: "\n", jwt: true, oauth2 };
    const { violations } = await refusal(config, { field: "configuration.taskPushNotificationConfig" });
    expect(violations?.map(({ field }) => field)).toEqual([
      "configuration.taskPushNotificationConfig.url",
      "configuration.taskPushNotificationConfig.token",
      "configuration.taskPushNotificationConfig.jwt",
    ]);
  });

  describe("where receivers have to pass the challenge", () => {
    const required = {
      ...settings,
      webhookChallenge: "required" as const,
      webhookTokenOrigins: ["https://login.example", "https://id.example:8443"],
    };
    const withToken = (tokenUrl: string) => ({ url, oauth2: { ...oauth2, tokenUrl } });

    it.each([
      "https://other.example/token",
      "https://login.example:8443/token",
      "https://id.example/token",
      "https://a.login.example/token",
      "https://hooks.example:8443/token",
      "https://login.example.other.example/token",
    ])("has its tokens from nobody who was not asked: %s", async (tokenUrl) => {
      expect(await refusal(withToken(tokenUrl), { settings: required })).toMatchObject({
        reason: "INVALID_PARAMS",
        violations: [
          {
            field: "oauth2.tokenUrl",
            description: "must be of the same origin as url, or of one that this server lists",
          },
        ],
      });
      expect(await stored(withToken(tokenUrl))).toMatchObject({ options: { oauth2: { tokenUrl } } });
    });

    it.each([
      "https://hooks.example/token",
      "https://HOOKS.example.:443/token",
      "https://login.example/token",
      "https://id.example:8443/token?tenant=1",
    ])("may have them from itself and from those that are listed: %s", async (tokenUrl) => {
      const config = await stored(withToken(tokenUrl), { settings: required });
      expect(config).toMatchObject({ options: { oauth2: { tokenUrl } } });
    });
  });

  it("may lead anywhere where private webhooks are allowed", async () => {
    const anywhere = { ...settings, allowPrivateWebhooks: true };
    const config = await stored({ url: "http://127.0.0.1:9000/hook" }, { settings: anywhere });
    expect(config).toMatchObject({
      endpoint: "open::ada|http://127.0.0.1:9000",
      target: "http://127.0.0.1:9000/hook",
    });
  });
});

describe("a rate above that of the deployment", () => {
  it.each([
    [{ perMinute: 101 }, {}, "rateLimit.perMinute", "must be at most 100 here"],
    [{ perMinute: 100, burst: 11 }, {}, "rateLimit.burst", "must be at most 10 here"],
    [{ perMinute: 100 }, { webhookGlobalPerMinute: 50 }, "rateLimit.perMinute", "must be at most 50 here"],
    [{ perMinute: 1_001 }, { webhookRatePerMinute: 0 }, "rateLimit.perMinute", "must be at most 1000 here"],
  ])("%j is refused under %j", async (rateLimit, change, field, description) => {
    expect(await refusal({ url, rateLimit }, { settings: { ...settings, ...change } })).toMatchObject({
      reason: "RATE_LIMIT_EXCEEDED",
      violations: [{ field, description }],
    });
  });

  it("is none where the deployment has no limit", async () => {
    const unlimited = { ...settings, webhookRatePerMinute: 0, webhookGlobalPerMinute: 0 };
    const rateLimit = { perMinute: 1_000_000, burst: 100_000 };
    expect((await stored({ url, rateLimit }, { settings: unlimited })).options).toEqual({ rateLimit });
  });

  it("is said after what is malformed", async () => {
    const failure = await refusal({ url: "x", rateLimit: { perMinute: 1_000 } });
    expect(failure.reason).toBe("INVALID_PARAMS");
  });
});
