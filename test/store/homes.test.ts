// What D1 knows of homes, and the cron that lives on it: a home whose alarm was lost is woken within minutes.

import { abortAllDurableObjects, createScheduledController, env, runInDurableObject } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it, type MockInstance, vi } from "vitest";
import worker from "../../src/index.ts";
import { checkHomes, reportHome, takeOverdueHomes } from "../../src/store/homes.ts";
import { createClient, eventually, homeOf } from "../support/client.ts";

type Row = { id: string; name: string; due_at: number | null; seen_at: number };

const rowOf = (id: string) => env.DB.prepare("SELECT * FROM homes WHERE id = ?").bind(id).first<Row>();
const setDue = (id: string, at: number) =>
  env.DB.prepare("UPDATE homes SET due_at = ? WHERE id = ?").bind(at, id).run();
const cron = () => worker.scheduled(createScheduledController(), env);

let logged: MockInstance;

beforeEach(async () => {
  await env.DB.prepare("DELETE FROM homes").run();
  logged = vi.spyOn(console, "error").mockImplementation(() => {});
});
afterEach(() => void vi.restoreAllMocks());

describe("reportHome", () => {
  it("makes the row with the first report and changes it with the next", async () => {
    await reportHome(env.DB, { id: "h", name: "o/0", dueAt: 5 }, 1);
    expect(await rowOf("h")).toEqual({ id: "h", name: "o/0", due_at: 5, seen_at: 1 });
    await reportHome(env.DB, { id: "h", name: undefined, dueAt: 9 }, 2);
    expect(await rowOf("h")).toEqual({ id: "h", name: "o/0", due_at: 9, seen_at: 2 });
    await reportHome(env.DB, { id: "h", name: undefined, dueAt: undefined }, 3);
    expect(await rowOf("h")).toEqual({ id: "h", name: "o/0", due_at: null, seen_at: 3 });
  });

  it("takes a first report without a name", async () => {
    await reportHome(env.DB, { id: "h", name: undefined, dueAt: 5 }, 1);
    expect((await rowOf("h"))?.id).toBe("h");
  });

  it("keeps homes apart", async () => {
    await reportHome(env.DB, { id: "a", name: "o/0", dueAt: 1 }, 1);
    await reportHome(env.DB, { id: "b", name: "o/1", dueAt: 2 }, 1);
    await reportHome(env.DB, { id: "a", name: undefined, dueAt: 3 }, 2);
    expect((await rowOf("b"))?.due_at).toBe(2);
  });
});

describe("takeOverdueHomes", () => {
  const dues = { late: 10, later: 30, latest: 5, now: 40, future: 50, idle: undefined };
  const prepare = async () => {
    for (const [id, dueAt] of Object.entries(dues)) await reportHome(env.DB, { id, name: id, dueAt }, 1);
  };

  it("takes what was due before a time, the longest first, and no more than asked for", async () => {
    await prepare();
    expect((await takeOverdueHomes(env.DB, { before: 40, again: 99, limit: 2 })).toSorted()).toEqual([
      "late",
      "latest",
    ]);
    expect(await takeOverdueHomes(env.DB, { before: 40, again: 99, limit: 2 })).toEqual(["later"]);
    expect(await takeOverdueHomes(env.DB, { before: 40, again: 99, limit: 2 })).toEqual([]);
  });

  it("puts what it took off until later, and touches no other", async () => {
    await prepare();
    await takeOverdueHomes(env.DB, { before: 40, again: 99, limit: 10 });
    const rows = await env.DB.prepare("SELECT id, due_at FROM homes").all<Row>();
    expect(Object.fromEntries(rows.results.map((row) => [row.id, row.due_at ?? undefined]))).toEqual({
      ...dues,
      late: 99,
      later: 99,
      latest: 99,
    });
    expect(await takeOverdueHomes(env.DB, { before: 100, again: 200, limit: 10 })).toHaveLength(5);
  });

  it("finds them by an index, however many homes there are", async () => {
    const { results } = await env.DB.prepare(
      "EXPLAIN QUERY PLAN SELECT id FROM homes WHERE due_at < ? ORDER BY due_at LIMIT ?",
    )
      .bind(1, 1)
      .all<{ detail: string }>();
    const plan = results.map((row) => row.detail).join();
    expect(plan).toContain("homes_by_due");
    expect(plan).not.toContain("TEMP B-TREE");
  });
});

describe("checkHomes", () => {
  it("passes when the table can be read, empty or not", async () => {
    await checkHomes(env.DB);
    await reportHome(env.DB, { id: "h", name: "o/0", dueAt: 5 }, 1);
    await checkHomes(env.DB);
  });

  it("fails when it cannot", async () => {
    const db = { prepare: () => ({ run: () => Promise.reject(new Error("no such table")) }) };
    await expect(checkHomes(db as unknown as D1Database)).rejects.toThrow("no such table");
  });
});

describe("a home", () => {
  it("registers with its first write, under its owner and shard", async () => {
    const client = createClient();
    await client.sendForTask("hello");
    const id = homeOf(client.owner).id.toString();
    const row = await eventually(async () => (await rowOf(id)) ?? false);
    expect(row.name).toBe(`open::${client.owner}/0`);
    expect(row.due_at).toBeGreaterThan(Date.now());
  });

  it("that was only read from does not", async () => {
    const client = createClient();
    await client.list();
    await client.error("GetTask", { id: "0-x" });
    await scheduler.wait(100);
    expect(await rowOf(homeOf(client.owner).id.toString())).toBeNull();
  });
});

describe("the cron", () => {
  it("wakes a home whose alarm was lost, which then sees to its job and sets its alarm again", {
    timeout: 20_000,
  }, async () => {
    const client = createClient({ agent: "long-running" });
    const { id } = await client.start("a job of 60 steps");
    const home = homeOf(client.owner);
    await eventually(async () => (await client.get(id)).status.state === "TASK_STATE_WORKING");
    // Everything stops, and the alarm is gone: nothing would ever happen here again.
    await runInDurableObject(home, (_, state) => state.storage.deleteAlarm());
    await abortAllDurableObjects();
    const alarm = () => runInDurableObject(homeOf(client.owner), (_, state) => state.storage.getAlarm());
    expect(await alarm()).toBeNull();
    await reportHome(env.DB, { id: home.id.toString(), name: "x", dueAt: Date.now() - 600_000 });
    await cron();
    expect(await alarm()).not.toBeNull();
    await eventually(async () => (await client.get(id)).status.state === "TASK_STATE_COMPLETED");
  });

  it("leaves homes alone that are not overdue by two minutes", async () => {
    const client = createClient();
    await client.sendForTask("hello");
    const id = homeOf(client.owner).id.toString();
    await eventually(async () => (await rowOf(id)) !== null);
    const due = Date.now() - 60_000;
    await setDue(id, due);
    await cron();
    expect((await rowOf(id))?.due_at).toBe(due);
  });

  it("is told a new time by the home it wakes, and so wakes it once", async () => {
    const client = createClient();
    await client.sendForTask("hello");
    const id = homeOf(client.owner).id.toString();
    await eventually(async () => (await rowOf(id)) !== null);
    await setDue(id, Date.now() - 600_000);
    await abortAllDurableObjects();
    await cron();
    expect((await rowOf(id))?.due_at).toBeGreaterThan(Date.now());
  });

  it("wakes the others when one cannot be woken, and logs that one", async () => {
    const client = createClient();
    await client.sendForTask("hello");
    const id = homeOf(client.owner).id.toString();
    await eventually(async () => (await rowOf(id)) !== null);
    await setDue(id, Date.now() - 600_000);
    await abortAllDurableObjects();
    await reportHome(env.DB, { id: "no-object-id", name: "x", dueAt: Date.now() - 900_000 });
    await cron();
    expect((await rowOf(id))?.due_at).toBeGreaterThan(Date.now());
    expect(logged).toHaveBeenCalled();
  });

  it("is not held up for ever by homes that answer nothing new", { timeout: 20_000 }, async () => {
    // A hundred rows of homes that hold nothing, older than the one that needs waking.
    const batch = Array.from({ length: 100 }, (_, i) => ({
      id: env.HOMES.idFromName(`gone/${i}`).toString(),
      name: `gone/${i}`,
      dueAt: Date.now() - 900_000,
    }));
    for (const home of batch) await reportHome(env.DB, home);
    const client = createClient();
    await client.sendForTask("hello");
    const id = homeOf(client.owner).id.toString();
    await eventually(async () => (await rowOf(id)) !== null);
    await setDue(id, Date.now() - 600_000);
    await abortAllDurableObjects();
    await cron();
    await cron();
    expect((await rowOf(id))?.due_at).toBeGreaterThan(Date.now());
  });
});
