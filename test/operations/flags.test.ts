// Flags at run time: what they take away, when isolates read them, and that no request waits for it.

import { env } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createFlags, features, withFlags } from "../../src/operations/flags.ts";
import { servedVersions, VERSIONS } from "../../src/protocol/version.ts";
import { deleteFlag, readFlags, saveFlag } from "../../src/store/flags.ts";
import { createClient } from "../support/client.ts";
import { advance } from "../support/home.ts";
import { configWith } from "../support/operations.ts";

const { default: worker } = await import("../../src/index.ts");

const set = (name: string, isOn: boolean) =>
  saveFlag(env.DB, { name, isOn, changedAt: 1, changedBy: "operator::test" });

beforeEach(() => env.DB.prepare("DELETE FROM flags").run());
afterEach(() => void vi.restoreAllMocks());

describe("flags", () => {
  const off = (...names: string[]) =>
    withFlags(
      configWith(),
      names.map((name) => ({ name, isOn: false })),
    );

  it("take away what they name and nothing else", () => {
    const config = configWith();
    expect(withFlags(config, [])).toEqual(config);
    expect(off("streaming")).toEqual({ ...config, streaming: false });
    expect(off("push")).toEqual({ ...config, pushNotifications: false });
    expect(off("load-shedding")).toEqual({ ...config, loadShedding: false });
    expect(servedVersions(off("version-0.3"))).toEqual(VERSIONS.filter((version) => version !== "0.3"));
    expect(servedVersions(off(...VERSIONS.map((version) => `version-${version}`)))).toEqual([]);
  });

  it("open nothing that the settings do not allow", () => {
    const closed = configWith({ streaming: false, pushNotifications: false, loadShedding: false });
    const rows = [...features.keys()].map((name) => ({ name, isOn: true }));
    expect(withFlags(closed, rows)).toEqual(closed);
  });

  it("of other servers mean nothing", () => {
    expect(off("version-9.9", "__proto__", "constructor", "")).toEqual(configWith());
  });
});

describe("an isolate", () => {
  function setUp(db: D1Database = env.DB) {
    const clock = { now: 1_000_000 };
    const reading: Promise<unknown>[] = [];
    const flags = createFlags({
      config: configWith(),
      db,
      now: () => clock.now,
      waitUntil: (promise) => void reading.push(promise),
    });
    const read = async () => {
      const count = reading.length;
      await Promise.all(reading.splice(0));
      return count;
    };
    return { clock, flags, read };
  }

  it("serves what the settings say until it has read, and has then read", async () => {
    await set("streaming", false);
    const { flags, read } = setUp();
    expect(flags.config.streaming).toBe(true);
    expect(await read()).toBe(1);
    expect(flags.config.streaming).toBe(false);
  });

  it("reads once in 30 s, however much it is asked, or when it has switched something itself", async () => {
    const { clock, flags, read } = setUp();
    for (let i = 0; i < 1_000; i++) expect(flags.config.streaming).toBe(true);
    expect(await read()).toBe(1);
    await set("streaming", false);
    clock.now += 29_999;
    expect(flags.config.streaming).toBe(true);
    expect(await read()).toBe(0);
    clock.now += 1;
    expect(flags.config.streaming).toBe(true);
    expect(await read()).toBe(1);
    expect(flags.config.streaming).toBe(false);
    await deleteFlag(env.DB, "streaming");
    flags.changed();
    expect(flags.config.streaming).toBe(false);
    await read();
    expect(flags.config.streaming).toBe(true);
  });

  it("keeps what it knew while the database is down, and the same settings while nothing changes", async () => {
    await set("push", false);
    const warned = vi.spyOn(console, "warn").mockImplementation(() => {});
    const { clock, flags, read } = setUp();
    void flags.config;
    await read();
    const known = flags.config;
    const prepare = vi.spyOn(Object.getPrototypeOf(env.DB) as D1Database, "prepare");
    prepare.mockImplementation(() => {
      throw new Error("down");
    });
    clock.now += 30_000;
    void flags.config;
    await read();
    expect(flags.config).toBe(known);
    expect(warned).toHaveBeenCalledOnce();
    prepare.mockRestore();
    clock.now += 30_000;
    void flags.config;
    await read();
    expect(flags.config).toBe(known);
  });
});

describe("the server", () => {
  const client = createClient({
    fetch: (request) => {
      const context = { waitUntil() {}, passThroughOnException() {}, props: {} } as unknown;
      return worker.fetch(request as never, env, context as ExecutionContext) as Promise<Response>;
    },
  });
  const card = async (headers: Record<string, string> = {}) => {
    const response = await client.request("/.well-known/agent-card.json", { headers });
    return { status: response.status, card: await response.json<{ [member: string]: unknown }>() };
  };
  /** What has been switched is in force after the next reading. */
  const settle = async (holds: () => Promise<boolean>) => {
    advance(31_000);
    await vi.waitFor(async () => expect(await holds()).toBe(true), { timeout: 10_000 });
  };

  it("says in its cards what is on, refuses what is off as the specification says, and serves it again", async () => {
    const isStreaming = async () => {
      const answered = await card();
      return (answered.card.capabilities as { streaming: boolean }).streaming;
    };
    expect(await isStreaming()).toBe(true);
    await set("streaming", false);
    await set("push", false);
    await settle(async () => !(await isStreaming()));
    const message = { messageId: "m", role: "ROLE_USER", parts: [{ text: "hello" }] };
    expect((await client.error("SendStreamingMessage", { message })).code).toBe(-32004);
    const query = { taskId: "0-x", id: "c" };
    expect((await client.error("GetTaskPushNotificationConfig", query)).code).toBe(-32003);
    expect((await card()).card.capabilities).toMatchObject({ streaming: false, pushNotifications: false });
    await deleteFlag(env.DB, "streaming");
    await set("push", true);
    await settle(isStreaming);
    expect((await (await client.sendStream("hello")).rest()).length).toBeGreaterThan(0);
  });

  it("serves no version that is off: no call, no card, no interface", async () => {
    const versions = async () => {
      const { supportedInterfaces } = (await card()).card as {
        supportedInterfaces: { protocolVersion: string }[];
      };
      return [...new Set(supportedInterfaces.map(({ protocolVersion }) => protocolVersion))];
    };
    expect(await versions()).toContain("0.3");
    await set("version-0.3", false);
    await settle(async () => !(await versions()).includes("0.3"));
    expect((await client.error("message/send", {}, { "a2a-version": "" })).code).toBe(-32009);
    const made = "0-018f0000-0000-7000-8000-000000000000";
    expect((await client.error("tasks/get", { id: made }, { "a2a-version": "" })).code).toBe(-32009);
    expect((await client.error("tasks/get", { id: "x" }, { "a2a-version": "0.3" })).code).toBe(-32009);
    // Without a version such an id is a client's own, as they were in 0.1, which is on.
    expect((await client.error("tasks/get", { id: "x" }, { "a2a-version": "" })).code).toBe(-32001);
    expect((await card({ "a2a-version": "0.3" })).status).toBe(400);
    expect((await client.request("/.well-known/agent.json")).status).toBe(404);
    await client.sendForTask("hello");
    await set("version-0.3", true);
    await set("version-1.0", false);
    await settle(async () => (await card({ "a2a-version": "" })).card.protocolVersion === "0.3.0");
    expect((await client.error("ListTasks")).code).toBe(-32009);
    expect(await readFlags(env.DB)).toHaveLength(2);
  });
});
