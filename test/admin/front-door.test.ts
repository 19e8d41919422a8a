// The operators' API on the whole server: real homes, endpoints, queues and D1. Only the receiver is not real.

import { createScheduledController, env, SELF } from "cloudflare:test";
import { Webhook } from "standardwebhooks";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import worker from "../../src/index.ts";
import { createClient, eventually, newOwner } from "../support/client.ts";

const KEY = { authorization: `Bearer ${env.ADMIN_KEY}` };

declare global {
  namespace Cloudflare {
    interface Env {
      ADMIN_KEY: string;
    }
  }
}

type Json = Record<string, unknown>;
type Place = { home: string; task: string; config: string };

async function admin<T = Json>(verb: "GET" | "POST", path: string, body?: object): Promise<T> {
  const response = await SELF.fetch(`https://agents.test/admin/v1${path}`, {
    method: verb,
    headers: { ...KEY, ...(body && { "content-type": "application/json" }) },
    ...(body && { body: JSON.stringify(body) }),
  });
  const answer = await response.json<T>();
  if (!response.ok) throw new Error(`${verb} ${path} answered ${response.status}: ${JSON.stringify(answer)}`);
  return answer;
}

type Received = { headers: Headers; text: string };

let origins = 0;
/** Of this test alone: what an earlier one has caused may still be on its way. */
let origin = "";

/** What is POSTed to this test's receiver; `status` says what it answers. */
function receive(status: (n: number, received: Received) => number): Received[] {
  const received: Received[] = [];
  vi.spyOn(globalThis, "fetch").mockImplementation(async (input, init) => {
    const request = new Request(input as RequestInfo, init);
    const url = new URL(request.url);
    if (url.origin !== origin) return new Response(null);
    const challenge = url.searchParams.get("challenge");
    if (challenge !== null) return new Response(challenge);
    const one = { headers: request.headers, text: await request.text() };
    received.push(one);
    return new Response("said the receiver", { status: status(received.length, one) });
  });
  return received;
}

/** A task whose webhook has been told of it, and where operators find its config. */
async function start(config: object = {}) {
  const owner = newOwner();
  const client = createClient({ agent: "conformance", owner });
  const url = `${origin}/hook?key=1`;
  const task = await client.sendForTask("hello", {
    configuration: { taskPushNotificationConfig: { id: "c", url, ...config } },
  });
  const name = `open::${owner}`;
  const found = await eventually(async () => {
    const { configs } = await admin<{ configs: Place[] }>("GET", `/configs?owner=${name}`);
    return configs[0];
  });
  const place = `/configs/${found.home}/${encodeURIComponent(task.id)}/c`;
  return { owner: name, task: task.id, place, home: found.home, client };
}

const ids = (received: readonly Received[]) => received.map(({ headers }) => headers.get("webhook-id"));
const cron = () => worker.scheduled(createScheduledController(), env);

beforeEach(() => {
  origins += 1;
  origin = `http://receiver-${origins}.test`;
  vi.spyOn(console, "info").mockImplementation(() => {});
});
afterEach(() => void vi.restoreAllMocks());

describe("through the front door", () => {
  it("the API is closed without its key, and a caller's rights do not open it", async () => {
    for (const headers of [
      {},
      { "x-dev-owner": "admin" },
      { authorization: "Bearer a2a_0123456789abcdef" },
    ]) {
      const response = await SELF.fetch("https://agents.test/admin/v1/endpoints", { headers });
      expect(response.status).toBe(401);
      expect(response.headers.get("content-type")).toBe("application/json");
      expect(response.headers.get("www-authenticate")).toContain("Bearer");
      const { error } = await response.json<{ error: Json }>();
      expect(error).toMatchObject({ code: 401, status: "UNAUTHENTICATED" });
    }
  });

  it("paths and verbs that are not there are refused like everywhere", async () => {
    const ask = (path: string, method: string) =>
      SELF.fetch(`https://agents.test/admin${path}`, { method, headers: KEY });
    expect((await ask("/v1/nothing", "GET")).status).toBe(404);
    expect((await ask("/v2/endpoints", "GET")).status).toBe(404);
    const wrong = await ask("/v1/endpoints", "DELETE");
    expect(wrong.status).toBe(405);
    expect(wrong.headers.get("allow")).toContain("GET");
    expect(await wrong.json()).toMatchObject({ error: { code: 405 } });
    expect((await ask("/v1/endpoints", "HEAD")).status).toBe(200);
  });

  it("an attempt is found in the history seconds after it was made", async () => {
    const received = receive((n) => (n === 1 ? 500 : 200));
    const { owner, task, place } = await start({ retry: { delaysSeconds: [1] } });
    const deliveries = await eventually(async () => {
      const found = await admin<{ deliveries: Json[] }>("GET", `/deliveries?task=${task}&config=c`);
      return found.deliveries.length === 3 && found.deliveries;
    });
    expect(deliveries.map(({ outcome, attempt, sequence }) => [outcome, attempt, sequence])).toEqual([
      ["delivered", 1, 2],
      ["delivered", 2, 1],
      ["retry", 1, 1],
    ]);
    expect(deliveries[0]).toMatchObject({ owner, origin, target: `${origin}/hook`, status: 200 });
    expect(deliveries.map(({ notification }) => notification)).toEqual(ids(received).toReversed());
    const one = await admin<{ attempts: Json[] }>("GET", `/notifications/${ids(received)[0]}`);
    expect(one.attempts).toMatchObject([{ status: 500, response: "said the receiver" }, { status: 200 }]);
    expect(await admin("GET", place)).toMatchObject({
      state: "active",
      health: { delivered: 2, pending: 0, dead: 0, lastStatus: 200 },
    });
    const failed = await admin<{ deliveries: Json[] }>("GET", `/deliveries?owner=${owner}&outcome=failed`);
    expect(failed.deliveries).toHaveLength(1);
    const analytics = await admin<{ mostActive: { endpoints: Json[] } }>("GET", "/analytics?top=100");
    expect(analytics.mostActive.endpoints).toContainEqual(
      expect.objectContaining({ owner, origin, attempts: 3, delivered: 2, retries: 1 }),
    );
  });

  it("a notification that dies is filed, retried with its own id, and delivered", async () => {
    let status = 500;
    const received = receive(() => status);
    const { owner } = await start({ events: ["completed"], retry: { delaysSeconds: [1] } });
    const list = (state: string) =>
      admin<{ deadLetters: Json[] }>("GET", `/dead-letters?owner=${owner}&state=${state}`);
    const [letter] = await eventually(async () => {
      const { deadLetters } = await list("dead");
      return deadLetters.length > 0 && deadLetters;
    });
    expect(letter).toMatchObject({
      origin,
      status: 500,
      attempts: 2,
      reason: expect.stringContaining("500"),
    });
    const full = await admin<{ body: string }>("GET", `/dead-letters/${letter?.id}`);
    expect(full.body).toBe(received[0]?.text);
    status = 200;
    expect(await admin("POST", `/dead-letters/${letter?.id}:retry`)).toMatchObject({ state: "retrying" });
    await eventually(async () => (await list("delivered")).deadLetters.length === 1);
    expect(new Set(ids(received))).toEqual(new Set([letter?.id]));
    expect(await admin("GET", `/notifications/${letter?.id}`)).toMatchObject({
      attempts: [{ attempt: 1 }, { attempt: 2 }, { attempt: 1, outcome: "delivered" }],
      deadLetter: { state: "delivered" },
    });
  });

  it("many are retried by one job, through the queue and by the cron", async () => {
    let status = 404;
    receive(() => status);
    const { owner } = await start({ retry: { delaysSeconds: [1] } });
    const dead = () => admin<{ deadLetters: Json[] }>("GET", `/dead-letters?owner=${owner}&state=dead`);
    await eventually(async () => (await dead()).deadLetters.length === 2);
    status = 200;
    const { id } = await admin<{ id: string }>("POST", "/retry-jobs", { owner });
    await cron();
    const job = await eventually(async () => {
      const { state, ...rest } = await admin("GET", `/retry-jobs/${id}`);
      return state === "done" && rest;
    });
    expect(job).toMatchObject({ retried: 2, gone: 0, failed: 0 });
    await eventually(async () => {
      const { deadLetters } = await admin<{ deadLetters: Json[] }>(
        "GET",
        `/dead-letters?owner=${owner}&state=delivered`,
      );
      return deadLetters.length === 2;
    });
  });

  it("what a config received is sent again, with the ids and the numbers that it had", async () => {
    const received = receive(() => 200);
    const { home, task } = await start();
    await eventually(async () => received.length === 2);
    const body = { home, task, config: "c", from: "2020-01-01T00:00:00Z", to: "2999-01-01T00:00:00Z" };
    // What was just delivered may not have been settled yet.
    await eventually(async () => (await admin("POST", "/replays", body)).notifications === 2);
    await eventually(async () => received.length >= 4);
    expect(ids(received.slice(-2))).toEqual(ids(received.slice(0, 2)));
    expect(received.slice(-2).map(({ text }) => text)).toEqual(received.slice(0, 2).map(({ text }) => text));
  });

  it("a config is paused and resumed, and then gets in order what it missed", async () => {
    const received = receive(() => 200);
    const { place, task, client } = await start({ events: ["inputRequired", "completed"] });
    await eventually(async () => received.length === 1);
    const second = await client.sendForTask("input", {
      configuration: { taskPushNotificationConfig: { id: "p", url: `${origin}/hook` } },
    });
    expect(second.id).not.toBe(task);
    const other = place.replace(encodeURIComponent(task), encodeURIComponent(second.id)).replace(/c$/, "p");
    await eventually(
      async () => (await SELF.fetch(`https://agents.test/admin/v1${other}`, { headers: KEY })).ok,
    );
    await eventually(async () => (await admin<{ health: Json }>("GET", other)).health.pending === 0);
    expect(await admin("POST", `${other}:pause`)).toMatchObject({ state: "paused" });
    const before = received.length;
    await client.send({ says: "go on", taskId: second.id });
    await scheduler.wait(300);
    expect(received).toHaveLength(before);
    expect(await admin("GET", other)).toMatchObject({ health: { state: "paused", delivered: before - 1 } });
    expect(await admin("POST", `${other}:resume`)).toMatchObject({ state: "active" });
    await eventually(async () => received.length > before);
    const sequences = received.slice(1).map(({ headers }) => Number(headers.get("webhook-sequence")));
    expect(sequences).toEqual(sequences.map((_, i) => i + 1));
  });

  it("an endpoint is seen, paused, resumed and challenged", async () => {
    const received = receive(() => 200);
    const { owner, client } = await start();
    await eventually(async () => received.length === 2);
    const { endpoints } = await admin<{ endpoints: Json[] }>("GET", `/endpoints?origin=${origin}`);
    expect(endpoints).toEqual([{ owner, origin, configs: { active: 1, paused: 0, disabled: 0 } }]);
    const one = `/endpoints/${encodeURIComponent(owner)}/${encodeURIComponent(origin)}`;
    expect(await admin("GET", one)).toMatchObject({ pausedAt: null, queued: 0 });
    expect(await admin("POST", `${one}:pause`)).toMatchObject({ pausedAt: expect.any(String) });
    await client.send("again", {
      configuration: { taskPushNotificationConfig: { url: `${origin}/hook` } },
    });
    await scheduler.wait(300);
    expect(received).toHaveLength(2);
    expect(await admin("POST", `${one}:resume`)).toMatchObject({ pausedAt: null });
    await eventually(async () => received.length === 4);
    expect(await admin("POST", `${one}:challenge`)).toMatchObject({ passed: true, error: null });
  });

  it("a secret is rotated, and both sign while they overlap", async () => {
    const first = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const received = receive(() => 200);
    const { place, home, task } = await start({ secret: first, events: ["completed"] });
    await eventually(async () => received.length === 1);
    const { secret } = await admin<{ secret: string }>("POST", `${place}:rotateSecret`, {
      overlapSeconds: 600,
    });
    const body = { home, task, config: "c", from: "2020-01-01T00:00:00Z", to: "2999-01-01T00:00:00Z" };
    await eventually(async () => (await admin("POST", "/replays", body)).notifications === 1);
    await eventually(async () => received.length >= 2);
    const { text, headers } = received.at(-1) ?? { text: "", headers: new Headers() };
    for (const valid of [first, secret]) {
      expect(new Webhook(valid).verify(text, Object.fromEntries(headers))).toEqual(JSON.parse(text));
    }
    const other = new Webhook("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD");
    expect(() => other.verify(text, Object.fromEntries(headers))).toThrow();
  });
});
