// The request of one attempt: the table of docs/webhooks.md, header by header.

import { Webhook } from "standardwebhooks";
import { describe, expect, it } from "vitest";
import packageJson from "../../package.json";
import type { Claim } from "../../src/delivery/exchange.ts";
import { currentSecrets, type PushSecrets, rotateSecret } from "../../src/delivery/push-secrets.ts";
import { toRequest } from "../../src/delivery/request.ts";
import { publicJwks } from "../../src/keys/signing-keys.ts";
import { encodeBase64 } from "../../src/lib/base64.ts";
import { err } from "../../src/lib/result.ts";
import { createVerifier, parseDelivery } from "../../src/verify/index.ts";
import { keysOf, rfc8037 } from "../support/signing-keys.ts";

const signingKeys = keysOf({ ...rfc8037, kid: "k1" });

const claim: Claim = {
  key: "lane",
  lanes: ["lane"],
  id: "019a8b1c-0000-7000-8000-000000000001",
  task: "0-1",
  config: "c1",
  target: "https://client.example.com/hook",
  url: "https://client.example.com/hook?a=b",
  sequence: 7,
  attempt: 2,
  body: '{"statusUpdate":{"taskId":"0-1","contextId":"c","status":{"state":"TASK_STATE_WORKING"}}}',
  following: [],
  contentType: "application/a2a+json",
  version: "1.0",
  sealed: null,
  options: {},
  committedAt: 0,
  plannedAt: 0,
};

const secret = `whsec_${encodeBase64(new Uint8Array(32).fill(3))}`;
const now = Date.now();

function request(secrets: PushSecrets = {}, changes: Partial<Claim> = {}, authorization?: string) {
  const attempt = { claim: { ...claim, ...changes }, secrets, signingKeys, now, authorization };
  return toRequest({ ...attempt, timeoutMs: 15_000 });
}

const lowerCase = (headers: Record<string, string>) => Object.keys(headers).map((name) => name.toLowerCase());

describe("toRequest", () => {
  it("posts the committed body to the whole URL within the time", async () => {
    expect(await request()).toMatchObject({
      url: claim.url,
      method: "POST",
      body: claim.body,
      timeoutMs: 15_000,
    });
    const { signal } = new AbortController();
    const attempt = { claim, secrets: {}, signingKeys, now, authorization: undefined, timeoutMs: 1 };
    expect((await toRequest({ ...attempt, signal })).signal).toBe(signal);
    expect(await toRequest(attempt)).not.toHaveProperty("signal");
  });

  it("says without any option who, what, when and how often", async () => {
    const { headers } = await request();
    expect(headers).toEqual({
      "Content-Type": "application/a2a+json",
      "User-Agent": `a2a-edge/${packageJson.version}`,
      "A2A-Version": "1.0",
      "webhook-id": claim.id,
      "webhook-timestamp": String(Math.floor(now / 1_000)),
      "webhook-signature": expect.stringMatching(/^v1a,[A-Za-z0-9+/]{86}==$/),
      "webhook-sequence": "7",
      "webhook-attempt": "2",
      traceparent: expect.stringMatching(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/),
    });
  });

  it("has a header for each option", async () => {
    const secrets = { token: "t-1", secrets: [{ value: secret }], headers: { "X-Tenant": "acme" } };
    const { headers } = await request(secrets, { options: { securityLevel: "high" } }, "bEaReR abc");
    expect(headers).toMatchObject({
      Authorization: "bEaReR abc",
      "X-A2A-Notification-Token": "t-1",
      "A2A-Notification-Token": "t-1",
      "X-A2A-Signature": expect.stringMatching(/^sha256=[0-9a-f]{64}$/),
      "X-A2A-Timestamp": headers["webhook-timestamp"],
      "X-A2A-Task-ID": "0-1",
      "X-A2A-Security-Level": "high",
      "X-Tenant": "acme",
    });
    expect(new Webhook(secret).verify(claim.body, headers)).toEqual(JSON.parse(claim.body));
  });

  it("is one trace for all attempts of a notification, and a span for each", async () => {
    const trace = async (changes: Partial<Claim> = {}) =>
      ((await request({}, changes)).headers.traceparent ?? "").split("-");
    const [, first, span] = await trace();
    const [, second, otherSpan] = await trace({ attempt: 3 });
    expect(second).toBe(first);
    expect(otherSpan).not.toBe(span);
    const [, other] = await trace({ id: "019a8b1c-0000-7000-8000-000000000002" });
    expect(other).not.toBe(first);
  });

  it("is a trace of its own for each notification of a config, whatever its id is", async () => {
    const uuid = "019a8b1c-0000-7000-8000-0000000000ff";
    const numbered = Array.from({ length: 300 }, (_, i) => `${uuid}-${i + 1}`);
    const ids = [crypto.randomUUID(), ...numbered, `${uuid}-123456789`, "msg_1", "msg_2"];
    const traces = await Promise.all(ids.map(async (id) => (await request({}, { id })).headers.traceparent));
    for (const trace of traces) expect(trace).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
    const unequal = new Set(traces.map((trace) => trace?.split("-")[1]));
    expect(unequal.size).toBe(ids.length);
  });

  it.each([
    "Authorization",
    "CONTENT-TYPE",
    "content-length",
    "user-agent",
    "Webhook-Signature",
    "webhook-anything",
    "x-a2a-signature",
    "X-A2A-Notification-Token",
    "a2a-notification-token",
    "A2A-Version",
    "TraceParent",
    "Webhook_Id",
    "a2a_version",
    "X_A2A_Signature",
    "User_Agent",
  ])("never sends a configured %s, with or without one of ours", async (name) => {
    for (const secrets of [{}, { token: "t", secrets: [{ value: secret }] }]) {
      const { headers } = await request({ ...secrets, headers: { [name]: "forged", "X-Mine": "kept" } });
      expect(Object.values(headers)).not.toContain("forged");
      expect(headers["X-Mine"]).toBe("kept");
      const names = lowerCase(headers);
      expect(new Set(names).size).toBe(names.length);
    }
  });

  it("is what the verifier takes and reads", async () => {
    const { headers, body = "" } = await request({ token: "t-1", secrets: [{ value: secret }] });
    const { verify } = createVerifier({ secrets: [secret], jwks: publicJwks(signingKeys), token: "t-1" });
    expect(await verify({ headers: new Headers(headers), body })).toMatchObject({
      ok: true,
      value: { id: claim.id, checks: ["v1", "v1a", "token"] },
    });
    expect(parseDelivery({ headers, body })).toMatchObject({
      ok: true,
      value: { attempt: 2, notifications: [{ id: claim.id, sequence: 7, taskId: "0-1" }] },
    });
  });
});

describe("shared secrets", () => {
  const value = (n: number) => `secret number ${n}, long enough`;

  function rotated(...args: Parameters<typeof rotateSecret>): PushSecrets {
    const result = rotateSecret(...args);
    if (!result.ok) throw new Error(`not before ${result.error.possibleAt}`);
    return result.value;
  }

  it("sign until their time, the current one first", () => {
    const secrets = { secrets: [{ value: value(2) }, { value: value(1), until: 1_000 }] };
    expect(currentSecrets(secrets, 999)).toEqual([value(2), value(1)]);
    expect(currentSecrets(secrets, 1_000)).toEqual([value(2)]);
    expect(currentSecrets({}, 0)).toEqual([]);
  });

  it("overlap while one is replaced, and nothing else changes", () => {
    const first: PushSecrets = { token: "t", secrets: [{ value: value(1) }] };
    const second = rotated(first, { value: value(2), now: 0, overlapMs: 100 });
    expect(second).toEqual({ token: "t", secrets: [{ value: value(2) }, { value: value(1), until: 100 }] });
    const third = rotated(second, { value: value(3), now: 50, overlapMs: 100 });
    expect(third.secrets).toEqual([
      { value: value(3) },
      { value: value(2), until: 150 },
      { value: value(1), until: 100 },
    ]);
    expect(rotated(third, { value: value(4), now: 120, overlapMs: 0 }).secrets).toEqual([
      { value: value(4) },
    ]);
    // Back to the one before: it is current again, and has no end.
    expect(rotated(second, { value: value(1), now: 50, overlapMs: 100 }).secrets).toEqual([
      { value: value(1) },
      { value: value(2), until: 150 },
    ]);
    expect(rotated({}, { value: value(1), now: 0, overlapMs: 100 }).secrets).toEqual([{ value: value(1) }]);
  });

  it("are ten beside the current one at most, until the first of them ends or all are ended", () => {
    let secrets: PushSecrets = { secrets: [{ value: value(0) }] };
    const rotation = (n: number, overlapMs = 1_000) => ({ value: value(n), now: n, overlapMs });
    for (let n = 1; n <= 10; n += 1) secrets = rotated(secrets, rotation(n));
    expect(currentSecrets(secrets, 10)).toHaveLength(11);
    for (const overlapMs of [1_000, 1]) {
      expect(rotateSecret(secrets, rotation(11, overlapMs))).toEqual(err({ possibleAt: 1_001 }));
    }
    expect(currentSecrets(rotated(secrets, rotation(1_001)), 1_001)).toHaveLength(11);
    expect(rotated(secrets, rotation(11, 0)).secrets).toEqual([{ value: value(11) }]);
    // One that signs already is one more of nothing.
    expect(currentSecrets(rotated(secrets, { ...rotation(5), now: 11 }), 11)).toHaveLength(11);
  });

  it("that are too many already are replaced when enough of them have ended", () => {
    const older = [5, 4, 3, 2, 1].map((n) => ({ value: value(n), until: n * 100 }));
    const more = Array.from({ length: 8 }, (_, n) => ({ value: value(10 + n), until: 1_000 }));
    const secrets = { secrets: [{ value: value(99) }, ...older, ...more] };
    const result = rotateSecret(secrets, { value: value(100), now: 0, overlapMs: 5_000 });
    expect(result).toEqual(err({ possibleAt: 400 }));
  });

  it("sign the request, each of them, at the time of the attempt", async () => {
    const older = `whsec_${encodeBase64(new Uint8Array(32).fill(4))}`;
    const secrets = { secrets: [{ value: secret }, { value: older, until: now + 1 }] };
    const { headers } = await request(secrets);
    for (const one of [secret, older]) {
      expect(new Webhook(one).verify(claim.body, headers)).toEqual(JSON.parse(claim.body));
    }
    const later = { claim, secrets, signingKeys, now: now + 1, authorization: undefined, timeoutMs: 1 };
    const after = await toRequest(later);
    expect(() => new Webhook(older).verify(claim.body, after.headers)).toThrow();
  });
});
