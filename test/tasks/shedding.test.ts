// Load shedding: when new work is refused, when it is taken again, and that old work does not notice.

import { env } from "cloudflare:test";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { Config } from "../../src/config.ts";
import { judge, Shedding, type Signals } from "../../src/tasks/shedding.ts";
import { BINDINGS, over, request } from "../support/bindings.ts";
import { createClient, eventually } from "../support/client.ts";
import { advance } from "../support/home.ts";

vi.hoisted(() => vi.resetModules());
vi.mock("../../src/config.ts", async (original) => (await import("./limited.ts")).withSettings(original));
const { settings } = await import("./limited.ts");
const { serveWith } = await import("../support/server.ts");

afterEach(() => {
  for (const name of Object.keys(settings)) delete settings[name as keyof Config];
});

const message = (text: string) => ({ messageId: "m", role: "ROLE_USER" as const, parts: [{ text }] });
const webhook = { id: "c", url: "http://127.0.0.1:1/hook" };

describe("shedding", () => {
  it.each([
    ["begins at the limit", undefined, 1, 10_000],
    ["begins not a little below", undefined, 0.99, undefined],
    ["goes on above half of it", 1_000, 0.51, 1_000],
    ["ends at half of it", 1_000, 0.5, undefined],
    ["goes on for five seconds, whatever happens", 5_001, 0, 5_001],
  ])("%s", (_, before, load, after) => {
    expect(judge(before, load, 10_000)).toBe(after);
  });

  function setUp(limits: Partial<Config> = {}) {
    const signals: Signals = { waiting: 0, commitMs: undefined, overdueMs: 0, backlog: 0 };
    const clock = { now: 100_000 };
    const [began, refused]: string[][] = [[], []];
    const looks = vi.fn((_endpoint: string): Pick<Signals, "overdueMs" | "backlog"> => signals);
    const shedding = new Shedding({
      limits: { shedWaiting: 10, shedCommitMs: 100, shedOverdueMs: 1_000, shedBacklog: 50, ...limits },
      now: () => clock.now,
      home: () => signals,
      notifications: looks,
      began: (cause) => void began?.push(cause),
      refused: (cause) => void refused?.push(cause),
    });
    return { signals, clock, began, refused, looks, shedding };
  }

  it.each([
    ["waiting", 10, "home"],
    ["commitMs", 100, "home"],
    ["overdueMs", 1_000, "notifications"],
    ["backlog", 50, "notifications"],
  ] as const)("enters by %s at %i and leaves again, and says so once", (signal, limit, cause) => {
    const { signals, clock, began, refused, shedding } = setUp();
    const ask = () => {
      clock.now += 1_000;
      return shedding.refusal("a");
    };
    expect(ask()).toBeUndefined();
    signals[signal] = limit;
    const told = { reason: "UNAVAILABLE", metadata: { behind: cause }, retryAfterSeconds: 5 };
    expect(ask()).toMatchObject(told);
    signals[signal] = limit * 0.6;
    for (let i = 0; i < 20; i++) expect(ask()).toMatchObject(told);
    signals[signal] = limit / 2;
    expect(ask()).toBeUndefined();
    signals[signal] = limit * 0.9;
    expect(ask()).toBeUndefined();
    expect(began).toEqual([cause]);
    expect(refused).toHaveLength(21);
  });

  it("refuses nothing that makes nothing worse: work without notifications while only those are behind", () => {
    const { signals, shedding } = setUp();
    signals.backlog = 1_000;
    expect(shedding.refusal(undefined)).toBeUndefined();
    expect(shedding.refusal("a")).toBeDefined();
    signals.waiting = 100;
    expect(shedding.refusal(undefined)).toBeDefined();
  });

  it("refuses for what waits at an endpoint nothing that goes to another", () => {
    const { clock, began, looks, shedding } = setUp();
    looks.mockImplementation((endpoint) =>
      endpoint === "slow" ? { overdueMs: 9_000, backlog: 900 } : { overdueMs: 0, backlog: 0 },
    );
    for (let i = 0; i < 3; i++) {
      clock.now += 1_000;
      expect(shedding.refusal("slow")).toBeDefined();
      expect(shedding.refusal("quick")).toBeUndefined();
    }
    expect(began).toEqual(["notifications"]);
  });

  it("judges endpoints that are too many to be remembered anew, and as before", () => {
    const { looks, shedding } = setUp();
    looks.mockImplementation((endpoint) => ({ overdueMs: endpoint === "slow" ? 9_000 : 0, backlog: 0 }));
    expect(shedding.refusal("slow")).toBeDefined();
    for (let i = 0; i < 3_000; i++) expect(shedding.refusal(`quick ${i}`)).toBeUndefined();
    expect(shedding.refusal("slow")).toBeDefined();
  });

  it("looks at the notifications of an endpoint once a second, and never where nothing is limited", () => {
    const { clock, looks, shedding } = setUp();
    for (let i = 0; i < 100; i++) shedding.refusal("a");
    expect(looks).toHaveBeenCalledTimes(1);
    clock.now += 1_000;
    shedding.refusal("a");
    expect(looks).toHaveBeenCalledTimes(2);
    const none = setUp({ shedWaiting: 0, shedCommitMs: 0, shedOverdueMs: 0, shedBacklog: 0 });
    Object.assign(none.signals, { waiting: 1e9, commitMs: 1e9, overdueMs: 1e9, backlog: 1e9 });
    expect(none.shedding.refusal("a")).toBeUndefined();
    expect(none.looks).not.toHaveBeenCalled();
  });
});

describe.each(BINDINGS)("over %s", (binding) => {
  const { ask } = over(binding);

  it("a home that is behind refuses new work with 503 and Retry-After, and nothing else, until it is not", async () => {
    Object.assign(settings, { shedWaiting: 1 });
    const client = createClient({ agent: "conformance" });
    const { id } = await client.sendForTask("input");
    const other = await client.sendForTask("input");
    const oldest = async (id: string) => {
      const params = { id, message: { role: "user", parts: [{ type: "text", text: "input" }] } };
      return (await client.rpc("tasks/send", params, { "a2a-version": "" })).status;
    };
    expect(await oldest("chosen")).toBe(200);
    // Enough at once that some wait for the commit of others.
    const refused = await eventually(async () => {
      const sent = Array.from({ length: 40 }, () =>
        request(binding, client, "SendMessage", { message: message("hello") }),
      );
      const answers = await Promise.all(sent);
      return answers.find(({ status }) => status === 503);
    });
    expect(refused.headers.get("retry-after")).toBe("5");
    expect(await refused.text()).toContain('"UNAVAILABLE"');
    const taskId = id;
    expect(await ask(client, "SendMessage", { message: message("hello") })).toMatchObject({ status: 503 });
    expect(await ask(client, "CreateTaskPushNotificationConfig", { taskId, ...webhook })).toMatchObject({
      status: 503,
      reason: "UNAVAILABLE",
    });
    const followUp = { ...message("input"), taskId: id };
    const old = [
      ["GetTask", { id }],
      ["ListTasks", {}],
      ["SendMessage", { message: followUp }],
      ["CancelTask", { id: other.id }],
    ] as const;
    for (const [name, params] of old) {
      expect(await ask(client, name, params), name).toMatchObject({ status: 200, result: {} });
    }
    // A client that chose its task's id names it in each message, and only the home knows whether it is there.
    expect([await oldest("chosen"), await oldest("chosen-now")]).toEqual([200, 503]);
    advance(5_000);
    expect(await ask(client, "SendMessage", { message: message("hello") })).toMatchObject({ status: 200 });
  });
});

describe("notifications that are behind", () => {
  it("refuse new ones, let tasks go on, and take new ones when the backlog is gone", async () => {
    Object.assign(settings, { shedBacklog: 2 });
    const client = createClient({ agent: "conformance" });
    const { id: taskId } = await client.sendForTask("input");
    const configs = ["a", "b"].map((id) => ({ ...webhook, taskId, id }));
    for (const config of configs) await client.result("CreateTaskPushNotificationConfig", config);
    // Nobody listens at that port, so what happens now waits.
    await client.send({ ...message("input"), taskId });
    const another = { ...webhook, taskId, id: "another" };
    const { data } = await eventually(async () => {
      advance(1_000);
      const { error } = await client.answer("CreateTaskPushNotificationConfig", another);
      return error;
    });
    expect(data).toMatchObject([{ reason: "UNAVAILABLE", metadata: { behind: "notifications" } }]);
    const configuration = { taskPushNotificationConfig: webhook };
    expect((await client.error("SendMessage", { message: message("hi"), configuration })).code).toBe(-31503);
    await client.sendForTask("hello");
    // Another origin has nothing to do with it.
    const elsewhere = { ...webhook, url: "http://127.0.0.1:2/hook" };
    await client.result("CreateTaskPushNotificationConfig", { ...elsewhere, taskId });
    const configured = { taskPushNotificationConfig: elsewhere };
    await client.result("SendMessage", { message: message("hi"), configuration: configured });
    for (const { id } of configs) {
      await client.result("DeleteTaskPushNotificationConfig", { taskId, id });
    }
    advance(6_000);
    await client.result("CreateTaskPushNotificationConfig", another);
  });

  it("are no reason where load shedding is off", async () => {
    Object.assign(settings, { shedBacklog: 1 });
    const fetch = serveWith({ loadShedding: false });
    const client = createClient({ agent: "conformance", fetch });
    const { id: taskId } = await client.sendForTask("input");
    await client.result("CreateTaskPushNotificationConfig", { ...webhook, taskId });
    await client.send({ ...message("input"), taskId });
    for (let i = 0; i < 3; i++) {
      advance(1_000);
      await client.result("CreateTaskPushNotificationConfig", { ...webhook, taskId, id: `c-${i}` });
    }
  });
});

it("counts in the metrics how often it began and what it refused", async () => {
  const metrics = env.METRICS.get(env.METRICS.idFromName("all"));
  await eventually(async () => {
    const text = await metrics.read();
    const value = (key: string) =>
      Number(
        text
          .split("\n")
          .find((line) => line.startsWith(key))
          ?.split(" ")[1],
      );
    return (
      value('a2a_shedding_total{reason="home"}') >= 2 &&
      value('a2a_shedding_total{reason="notifications"}') >= 1 &&
      value('a2a_refused_total{limit="home_behind"}') >= 2 &&
      value('a2a_refused_total{limit="notifications_behind"}') >= 2
    );
  });
});
