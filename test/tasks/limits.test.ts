// What one caller may ask of its home: by the minute, and at once; and that others do not notice.

import { env } from "cloudflare:test";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { Config } from "../../src/config.ts";
import { ok } from "../../src/lib/result.ts";
import { type LimitName, Limits } from "../../src/tasks/limits.ts";
import { BINDINGS, over, request } from "../support/bindings.ts";
import { type Client, createClient, eventually, newOwner } from "../support/client.ts";
import { advance } from "../support/home.ts";

vi.hoisted(() => vi.resetModules());
vi.mock("../../src/config.ts", async (original) => (await import("./limited.ts")).withSettings(original));
const { settings } = await import("./limited.ts");
const { serveWith } = await import("../support/server.ts");

const unlimited = {
  callerSendsPerMinute: 0,
  callerReadsPerMinute: 0,
  callerPushConfigsPerMinute: 0,
  callerBurstMs: 60_000,
  callerStreams: 0,
  callerWaitingSends: 0,
  ownerTurns: 0,
};

afterEach(() => {
  vi.restoreAllMocks();
  for (const name of Object.keys(settings)) delete settings[name as keyof Config];
});

const message = (text: string) => ({ messageId: "m", role: "ROLE_USER" as const, parts: [{ text }] });
const retryAfter = (response: Response) => Number(response.headers.get("retry-after"));

// First, because homes hand over what they have counted some seconds later.
describe("refusals", () => {
  it("are counted in the metrics", async () => {
    const metrics = env.METRICS.get(env.METRICS.idFromName("all"));
    const counted = async () =>
      Number(/^a2a_refused_total\{limit="push_configs"\} (\d+)$/m.exec(await metrics.read())?.[1]);
    const before = await counted();
    Object.assign(settings, { ...unlimited, callerPushConfigsPerMinute: 1 });
    const client = createClient();
    const { id: taskId } = await client.sendForTask("hello");
    const params = { taskId, id: "c", url: "http://127.0.0.1:1/hook" };
    await client.result("CreateTaskPushNotificationConfig", params);
    for (let i = 0; i < 3; i++) await client.error("DeleteTaskPushNotificationConfig", params);
    await eventually(async () => (await counted()) === before + 3);
  });
});

describe.each(BINDINGS)("over %s", (binding) => {
  const { ask, value } = over(binding);

  const kinds = [
    ["callerSendsPerMinute", "SendMessage", () => ({ message: message("hello") })],
    ["callerReadsPerMinute", "GetTask", (id: string) => ({ id })],
    ["callerReadsPerMinute", "ListTasks", () => ({})],
    [
      "callerPushConfigsPerMinute",
      "CreateTaskPushNotificationConfig",
      (taskId: string) => ({ taskId, id: "c", url: "http://127.0.0.1:1/hook" }),
    ],
  ] as const;

  it.each(kinds)("%s refuses %s with 429 and a Retry-After that is true", async (setting, name, params) => {
    Object.assign(settings, { ...unlimited, [setting]: 3 });
    const client = createClient({ agent: "conformance" });
    // Of the three messages of this caller, where those are counted.
    const { id } = await client.sendForTask("input");
    let [admitted, response] = [name === "SendMessage" ? 1 : 0, undefined as Response | undefined];
    for (; admitted < 10; admitted++) {
      response = await request(binding, client, name, params(id));
      if (response.status === 429) break;
      expect(response.status).toBe(200);
      await response.arrayBuffer();
    }
    expect(admitted).toBe(3);
    const refused = response as Response;
    const body = await refused.text();
    expect(body).toContain('"RATE_LIMIT_EXCEEDED"');
    if (binding === "JSON-RPC") expect(JSON.parse(body)).toMatchObject({ id: 1, error: { code: -31429 } });
    // One in 20 s; some have passed.
    expect(retryAfter(refused)).toBeGreaterThan(10);
    expect(retryAfter(refused)).toBeLessThanOrEqual(20);
    advance(retryAfter(refused) * 1_000 - 5_000);
    expect(await ask(client, name, params(id))).toMatchObject({ status: 429, reason: "RATE_LIMIT_EXCEEDED" });
    advance(5_000);
    expect(await ask(client, name, params(id))).toMatchObject({ status: 200 });
  });

  it("opens no more streams than a caller may have, and another when one is closed", async () => {
    Object.assign(settings, { ...unlimited, callerStreams: 2 });
    const client = createClient({ agent: "conformance" });
    const { id } = await client.sendForTask("input");
    const streams = [await client.subscribe(id), await client.subscribe(id)];
    const open = [
      ["SubscribeToTask", { id }],
      ["SendStreamingMessage", { message: message("hello") }],
    ] as const;
    for (const [name, params] of open) {
      const outcome = await ask(client, name, params);
      expect(outcome).toMatchObject({ status: 429, reason: "RATE_LIMIT_EXCEEDED" });
    }
    expect((await client.list()).totalSize).toBe(1);
    await streams[0]?.leave();
    await eventually(async () => {
      const stream = await client.subscribe(id).catch(() => undefined);
      await stream?.leave();
      return stream;
    });
    await streams[1]?.leave();
    // A stream that is refused, one that is a Message and one that has ended take no place.
    for (let i = 0; i < 3; i++) {
      await ask(client, "SubscribeToTask", { id: "0-unknown" });
      await (await client.sendStream("message")).rest();
      await (await client.sendStream("hello")).rest();
    }
  });

  it("lets no more sends wait than a caller may have waiting", async () => {
    Object.assign(settings, { ...unlimited, callerWaitingSends: 2 });
    const client = createClient({ agent: "conformance" });
    const waiting = [client.sendForTask("slow:2000"), client.sendForTask("slow:2000")];
    await eventually(async () => (await client.list()).totalSize === 2);
    expect(await ask(client, "SendMessage", { message: message("hello") })).toMatchObject({ status: 429 });
    const configuration = { returnImmediately: true };
    await value(client, "SendMessage", { message: message("hello"), configuration });
    await Promise.all(waiting);
    await value(client, "SendMessage", { message: message("hello") });
  });

  it("begins no more turns than an owner may have running; what runs takes messages", async () => {
    Object.assign(settings, { ...unlimited, ownerTurns: 1 });
    const client = createClient({ agent: "conformance" });
    const configuration = { returnImmediately: true };
    const { id } = await client.sendForTask("slow:60000", { configuration });
    expect(await ask(client, "SendMessage", { message: message("hello") })).toMatchObject({ status: 429 });
    const followUp = { ...message("hello"), taskId: id };
    expect(await ask(client, "SendMessage", { message: followUp, configuration })).toMatchObject({
      status: 200,
    });
    await client.result("CancelTask", { id });
    expect(await ask(client, "SendMessage", { message: message("hello") })).toMatchObject({ status: 200 });
  });
});

describe("a caller that floods its home", () => {
  /** Two callers of one owner, so of one home. */
  function pair(limits: object): [flooding: Client, other: Client] {
    Object.assign(settings, { ...unlimited, ...limits });
    const owner = newOwner();
    const serve = serveWith(settings, {
      authenticate: async (request) => {
        const actor = request.headers.get("x-dev-owner") ?? "";
        return ok({
          owner,
          actor,
          scopes: "all",
          adminScopes: new Set(),
          basis: { kind: "open", expiresAt: null },
        });
      },
    });
    return [
      createClient({ owner: "flooding", fetch: serve }),
      createClient({ owner: "other", fetch: serve }),
    ];
  }

  // How much sooner the other's answers come would depend on the machine; what the home is spared does not.
  it("costs it no more tasks than it may start, and another caller of the same owner nothing", async () => {
    const flooded = async (limits: object) => {
      const [flooding, other] = pair(limits);
      const before = performance.now();
      let [left, admitted, refused] = [300, 0, 0];
      const flood = Array.from({ length: 30 }, async () => {
        while (left-- > 0) {
          const response = await flooding.rpc("SendMessage", { message: message("stream:10:0") });
          await response.arrayBuffer();
          if (response.status === 200) admitted++;
          else refused++;
        }
      });
      for (let i = 0; i < 9; i++) {
        expect((await other.sendForTask("hello")).status.state).toBe("TASK_STATE_COMPLETED");
      }
      await Promise.all(flood);
      const seconds = (performance.now() - before) / 1_000;
      const { totalSize } = await other.result<{ totalSize: number }>("ListTasks", {});
      expect(totalSize).toBe(admitted + 9);
      return { admitted, refused, seconds };
    };
    expect(await flooded({})).toMatchObject({ admitted: 300, refused: 0 });
    const held = await flooded({ callerSendsPerMinute: 60, callerBurstMs: 30_000 });
    expect(held.admitted).toBeGreaterThanOrEqual(30);
    expect(held.admitted).toBeLessThanOrEqual(30 + Math.ceil(held.seconds));
    expect(held.refused).toBe(300 - held.admitted);
  }, 60_000);
});

describe("limits", () => {
  function limitsOf(config: Partial<typeof unlimited>) {
    const refused: LimitName[] = [];
    let now = 0;
    const limits = new Limits({
      config: { ...unlimited, ...config },
      now: () => now,
      refused: (limit) => void refused.push(limit),
    });
    return { limits, refused, advance: (ms: number) => (now += ms) };
  }

  it("that are 0 refuse nothing", () => {
    const { limits, refused } = limitsOf({});
    for (let i = 0; i < 10_000; i++) expect(limits.call("sends", { actor: "a" })).toBeUndefined();
    expect(limits.turn(1_000_000)).toBeUndefined();
    expect(refused).toEqual([]);
  });

  it("let at least one call through, however low they are", () => {
    const { limits, refused, advance } = limitsOf({ callerReadsPerMinute: 1, callerBurstMs: 1_000 });
    expect(limits.call("reads", { actor: "a" })).toBeUndefined();
    expect(limits.call("reads", { actor: "a" })).toMatchObject({ retryAfterSeconds: 60 });
    advance(60_000);
    expect(limits.call("reads", { actor: "a" })).toBeUndefined();
    expect(refused).toEqual(["reads"]);
  });

  it("of one kind leave the others alone", () => {
    const { limits } = limitsOf({ callerSendsPerMinute: 1, callerBurstMs: 1_000 });
    limits.call("sends", { actor: "a" });
    expect(limits.call("sends", { actor: "a" })).toMatchObject({ metadata: { limit: "sends" } });
    for (const kind of ["reads", "push_configs"] as const) {
      expect(limits.call(kind, { actor: "a" })).toBeUndefined();
    }
    expect(limits.call("sends", { actor: "b" })).toBeUndefined();
  });

  it("are those of the credential for all the sessions that were made from it", async () => {
    const { limits } = limitsOf({ callerSendsPerMinute: 2, callerStreams: 1, callerWaitingSends: 1 });
    const sessions = ["key:a:k1/s1", "key:a:k1/s2", "key:a:k1"].map((actor) => ({ actor }));
    const calls = sessions.map((by) => limits.call("sends", by)?.reason);
    expect(calls).toEqual([undefined, undefined, "RATE_LIMIT_EXCEEDED"]);
    const never = () => new Promise<never>(() => {});
    for (const crowd of ["stream", "wait"] as const) {
      void limits[crowd]({ actor: "key:a:k1/s1" }, never);
      for (const by of sessions) expect((await limits[crowd](by, never)).ok).toBe(false);
    }
    expect(limits.call("sends", { actor: "key:a:k2/s3" })).toBeUndefined();
  });

  it("give back a place when what took it throws, and only one when it is closed twice", async () => {
    const { limits } = limitsOf({ callerStreams: 1, callerWaitingSends: 1 });
    const by = { actor: "a" };
    const fail = () => Promise.reject(new Error("broken"));
    for (let i = 0; i < 3; i++) {
      await expect(limits.stream(by, fail)).rejects.toThrow("broken");
      await expect(limits.wait(by, fail)).rejects.toThrow("broken");
    }
    const closing: (() => void)[] = [];
    const open = () => limits.stream(by, async (closed) => ok(closing.push(closed)));
    expect((await open()).ok).toBe(true);
    closing[0]?.();
    closing[0]?.();
    expect((await open()).ok).toBe(true);
    expect((await open()).ok).toBe(false);
    closing[0]?.();
    expect((await open()).ok).toBe(false);
  });
});
