// What a home does without anybody asking: it tells D1 that it exists, and is woken by its alarm for whatever is
// due, or by the cron when the alarm was lost.

import { createScheduledController, env, runInDurableObject } from "cloudflare:test";
import { afterEach, describe, expect, it, vi } from "vitest";
import { type Client, createClient, eventually, homeOf } from "../support/client.ts";
import { advance, alarmOf, crash, query, ring } from "../support/home.ts";

vi.hoisted(() => vi.resetModules());
vi.mock("../../src/agents/registry.ts", async (original) => (await import("./stage.ts")).withStage(original));
const { act, forever } = await import("./stage.ts");
const { default: worker } = await import("../../src/index.ts");

const DAY_MS = 86_400_000;
const end = act("end", (task) => task.complete("!"));

type Registered = { id: string; name: string; due_at: number | null; seen_at: number };
const registered = (client: Client) =>
  env.DB.prepare("SELECT * FROM homes WHERE id = ?")
    .bind(homeOf(client.owner).id.toString())
    .first<Registered>();

/** Rings the alarm that a home sets at its first write. The clock is ahead here, so it may not ring by itself. */
async function ringFirst(client: Client): Promise<void> {
  await eventually(async () => {
    await ring(client.owner);
    const [row] = await query<{ at: number }>(client.owner, "SELECT at FROM due WHERE kind = 'register'");
    return row === undefined || row.at > Date.now();
  });
}

/** A client whose home has told D1 of itself. */
async function settled(): Promise<Client> {
  const client = createClient({ agent: "stage" });
  await client.sendForTask(end);
  await ringFirst(client);
  return client;
}

async function cron(): Promise<void> {
  await worker.scheduled(createScheduledController() as ScheduledController, env);
}

afterEach(() => vi.restoreAllMocks());

describe("registration", () => {
  it("writes the home to D1 under its name, when its alarm rings after its first write", async () => {
    const client = await settled();
    const row = await registered(client);
    expect(row).toMatchObject({ name: `open::${client.owner}/0`, seen_at: expect.any(Number) });
    expect(row?.due_at).toBeGreaterThan(Date.now() + DAY_MS / 2);
  });

  it("keeps the name when the alarm, or the cron, wakes a home that does not know its own", async () => {
    const client = await settled();
    const name = `open::${client.owner}/0`;
    await crash();
    advance(2 * DAY_MS);
    await ring(client.owner);
    expect((await registered(client))?.name).toBe(name);
    await crash();
    await env.HOMES.get(env.HOMES.idFromString(homeOf(client.owner).id.toString())).poke();
    expect((await registered(client))?.name).toBe(name);
  });

  it("has the name also when the object died before its first alarm", async () => {
    const client = createClient({ agent: "stage" });
    vi.spyOn(Object.getPrototypeOf(env.DB) as D1Database, "prepare").mockImplementation(() => {
      throw new Error("D1 is down");
    });
    await client.sendForTask(end);
    await ringFirst(client);
    vi.restoreAllMocks();
    await crash();
    advance(DAY_MS);
    await ring(client.owner);
    expect((await registered(client))?.name).toBe(`open::${client.owner}/0`);
  });

  it("is tried again when D1 fails, which nobody notices", async () => {
    vi.spyOn(Object.getPrototypeOf(env.DB) as D1Database, "prepare").mockImplementation(() => {
      throw new Error("D1 is down");
    });
    const client = createClient({ agent: "stage" });
    expect((await client.sendForTask(end)).status.state).toBe("TASK_STATE_COMPLETED");
    await ringFirst(client);
    const alarm = (await alarmOf(client.owner)) ?? Number.POSITIVE_INFINITY;
    expect(alarm - Date.now()).toBeLessThanOrEqual(60_000);
    expect((await client.sendForTask(end)).status.state).toBe("TASK_STATE_COMPLETED");
    vi.restoreAllMocks();
    expect(await registered(client)).toBeNull();
    advance(61_000);
    await ring(client.owner);
    expect((await registered(client))?.name).toBe(`open::${client.owner}/0`);
  });

  it("costs D1 nothing while alarms watch a turn", async () => {
    const client = await settled();
    await client.start(act("hangs", () => forever));
    const prepare = vi.spyOn(Object.getPrototypeOf(env.DB) as D1Database, "prepare");
    for (let i = 0; i < 5; i++) expect(await ring(client.owner)).toBe(true);
    expect(prepare).not.toHaveBeenCalled();
  });
});

describe("the alarm", () => {
  it("is set again for the next thing due, for as long as the home lives", async () => {
    const client = await settled();
    for (let day = 1; day <= 3; day++) {
      const alarm = (await alarmOf(client.owner)) ?? 0;
      expect(alarm - Date.now()).toBeLessThanOrEqual(DAY_MS);
      expect(alarm - Date.now()).toBeGreaterThan(0);
      advance(DAY_MS);
      expect(await ring(client.owner)).toBe(true);
    }
  });

  it("is at most five seconds away while a turn runs, and rings for the trim again after", async () => {
    const client = await settled();
    const { id } = await client.start(act("hangs a while", () => forever));
    for (let i = 0; i < 3; i++) {
      await eventually(
        async () => ((await alarmOf(client.owner)) ?? Number.POSITIVE_INFINITY) <= Date.now() + 5_000,
      );
      await ring(client.owner);
    }
    await client.cancel(id);
    // What the audit was told is shipped by then.
    advance(10_000);
    await ring(client.owner);
    expect((await alarmOf(client.owner)) ?? 0).toBeGreaterThan(Date.now() + DAY_MS / 2);
  });

  it("that rings in a home without a database makes none", async () => {
    const client = createClient();
    await client.list();
    await runInDurableObject(homeOf(client.owner), (_, { storage }) => storage.setAlarm(Date.now() + DAY_MS));
    expect(await ring(client.owner)).toBe(true);
    expect(await query(client.owner, "SELECT name FROM sqlite_master WHERE name = 'tasks'")).toEqual([]);
  });

  it("survives what goes wrong in it, and comes back", async () => {
    const client = await settled();
    await runInDurableObject(homeOf(client.owner), (_, { storage }) => {
      storage.sql.exec(
        "CREATE TRIGGER stuck BEFORE UPDATE ON due WHEN NEW.kind = 'trim' BEGIN SELECT RAISE(ABORT, 'stuck'); END",
      );
    });
    advance(2 * DAY_MS);
    await ring(client.owner);
    expect(((await alarmOf(client.owner)) ?? Number.POSITIVE_INFINITY) - Date.now()).toBeLessThanOrEqual(
      5_000,
    );
    await runInDurableObject(homeOf(client.owner), (_, { storage }) => {
      storage.sql.exec("DROP TRIGGER stuck");
    });
    await ring(client.owner);
    expect((await alarmOf(client.owner)) ?? 0).toBeGreaterThan(Date.now() + DAY_MS / 2);
  });
});

describe("the cron", () => {
  /** A home whose alarm was lost, and which should have woken long ago. */
  async function lost(): Promise<Client> {
    const client = await settled();
    await crash();
    await runInDurableObject(homeOf(client.owner), (_, { storage }) => storage.deleteAlarm());
    await crash();
    return client;
  }

  it("wakes a home that is two minutes overdue, which then does what was due and sets its alarm", async () => {
    const client = await lost();
    const before = await registered(client);
    advance(31 * DAY_MS);
    await cron();
    expect((await client.list()).totalSize).toBe(0);
    expect((await alarmOf(client.owner)) ?? 0).toBeGreaterThan(Date.now());
    expect((await registered(client))?.due_at).toBeGreaterThan(Math.max(Date.now(), before?.due_at ?? 0));
  });

  it("leaves alone a home that is not overdue", async () => {
    const client = await lost();
    await cron();
    expect(await alarmOf(client.owner)).toBeNull();
  });

  it("wakes the others when one cannot be woken", async () => {
    const client = await lost();
    const insert = env.DB.prepare("INSERT INTO homes VALUES (?, ?, ?, ?)");
    await insert.bind("not an id", "broken/0", 1, 1).run();
    await insert.bind("f".repeat(64), "another deployment/0", 2, 2).run();
    advance(31 * DAY_MS);
    await cron();
    expect((await client.list()).totalSize).toBe(0);
  });
});
