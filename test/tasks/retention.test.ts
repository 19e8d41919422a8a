// What a home forgets: tasks 30 days after they have ended, with all that belongs to them, and the oldest of them
// sooner when it is full.

import { runInDurableObject } from "cloudflare:test";
import { describe, expect, it, vi } from "vitest";
import { type Client, createClient, homeOf, newOwner } from "../support/client.ts";
import { advance, alarmOf, query, ring } from "../support/home.ts";

vi.hoisted(() => vi.resetModules());
vi.mock("../../src/agents/registry.ts", async (original) => (await import("./stage.ts")).withStage(original));
const { act } = await import("./stage.ts");

const DAY_MS = 86_400_000;
const end = act("end", (task) => {
  task.memory.set("seen", true);
  return task.complete("!");
});
const ask = act("ask", (task) => task.inputRequired("?"));

const countRows = async (client: Client, table: string) =>
  (await query<{ n: number }>(client.owner, `SELECT COUNT(*) AS n FROM ${table}`))[0]?.n;

describe("retention", () => {
  it("deletes tasks with all that belongs to them 30 days after they ended, and nothing younger", async () => {
    const client = createClient({ agent: "stage" });
    const old = await client.sendForTask(end, { headers: { "idempotency-key": "k" } });
    const waiting = await client.sendForTask(ask);
    advance(2 * DAY_MS);
    const young = await client.sendForTask(end);
    advance(28.5 * DAY_MS);
    await ring(client.owner);
    expect((await client.error("GetTask", { id: old.id })).code).toBe(-32001);
    const { tasks, totalSize } = await client.list();
    expect([totalSize, ...tasks.map(({ id }) => id)]).toEqual([2, young.id, waiting.id]);
    expect(await client.get(young.id)).toEqual(young);
    expect(await query(client.owner, "SELECT 1 FROM journal WHERE task = ?", old.id)).toEqual([]);
    expect(await countRows(client, "idempotency")).toBe(0);
    expect((await query(client.owner, "SELECT context_id FROM memory"))[0]?.context_id).toBe(young.contextId);
  });

  it("never deletes a task that waits for its caller, however old, and it can go on", async () => {
    const client = createClient({ agent: "stage" });
    const { id } = await client.sendForTask(ask);
    advance(400 * DAY_MS);
    await ring(client.owner);
    expect((await client.sendForTask({ says: end, taskId: id })).status.state).toBe("TASK_STATE_COMPLETED");
  });

  it("keeps what an agent remembers as long as there is a task of that conversation", async () => {
    const client = createClient({ agent: "stage" });
    const learns = act("learns for long", (task) => {
      task.memory.set("name", "Ada");
      return task.inputRequired("And?");
    });
    const recalls = act("recalls after long", (task) => task.complete(`${task.memory.get("name")}`));
    const { id } = await client.sendForTask(learns);
    advance(40 * DAY_MS);
    await ring(client.owner);
    const task = await client.sendForTask({ says: recalls, taskId: id });
    expect(task.status.message?.parts).toEqual([{ text: "Ada" }]);
    advance(31 * DAY_MS);
    await ring(client.owner);
    await ring(client.owner);
    expect(await countRows(client, "memory")).toBe(0);
  });

  it("counts from the end of a task, not from its beginning", async () => {
    const client = createClient({ agent: "stage" });
    const { id } = await client.sendForTask(ask);
    advance(40 * DAY_MS);
    await client.sendForTask({ says: end, taskId: id });
    await ring(client.owner);
    advance(29 * DAY_MS);
    await ring(client.owner);
    expect((await client.get(id)).id).toBe(id);
  });

  it("refuses whatever names a deleted task, as if it had never been", async () => {
    const client = createClient({ agent: "stage" });
    const { id } = await client.sendForTask(end);
    advance(31 * DAY_MS);
    await ring(client.owner);
    const message = { messageId: "m", role: "ROLE_USER", taskId: id, parts: [{ text: end }] };
    expect((await client.error("SendMessage", { message })).code).toBe(-32001);
    expect((await client.error("SubscribeToTask", { id }, { "last-event-id": "1" })).code).toBe(-32001);
    expect((await client.error("CancelTask", { id })).code).toBe(-32001);
  });

  it("deletes a hundred at a time, and goes on a second later", { timeout: 20_000 }, async () => {
    const client = createClient({ agent: "stage" });
    await Promise.all(Array.from({ length: 230 }, () => client.send(end)));
    advance(31 * DAY_MS);
    const left: number[] = [];
    for (let i = 0; i < 3; i++) {
      await ring(client.owner);
      left.push((await client.list()).totalSize);
      const alarm = (await alarmOf(client.owner)) ?? 0;
      expect(alarm - Date.now()).toBeLessThanOrEqual(i < 2 ? 1_000 : DAY_MS);
      advance(1_500);
    }
    expect(left).toEqual([130, 30, 0]);
    expect(await countRows(client, "journal")).toBe(0);
  });
});

/** Makes a home believe that it holds more than 8 GB. */
async function fill(client: Client): Promise<void> {
  await runInDurableObject(homeOf(client.owner), (_, { storage }) => {
    Object.defineProperty(storage.sql, "databaseSize", { value: 8_100_000_000 });
  });
}

/** Sends new tasks until there is no room; a home looks at its size with every fiftieth. */
async function untilRefused(client: Client): Promise<Response> {
  for (let i = 0; i < 50; i++) {
    const answer = await client.rpc("SendMessage", {
      message: { messageId: `m${i}`, role: "ROLE_USER", parts: [{ text: end }] },
    });
    if (answer.status === 503) return answer;
    expect(answer.status).toBe(200);
  }
  throw new Error("the home took fifty tasks more");
}

describe("a home that is full", () => {
  it("refuses new tasks with 503, goes on with those it has, and makes room with the oldest ended ones", async () => {
    const client = createClient({ agent: "stage" });
    const { id } = await client.sendForTask(ask);
    const oldest = await client.sendForTask(end);
    await fill(client);
    expect(Number((await untilRefused(client)).headers.get("retry-after"))).toBeGreaterThan(0);
    expect((await client.sendForTask({ says: ask, taskId: id })).status.state).toBe(
      "TASK_STATE_INPUT_REQUIRED",
    );
    await ring(client.owner);
    expect((await client.error("GetTask", { id: oldest.id })).code).toBe(-32001);
    expect((await client.get(id)).id).toBe(id);
  });

  it("keeps what its agents remember of conversations that go on", async () => {
    const client = createClient({ agent: "stage" });
    const learns = act("learns", (task) => {
      task.memory.set("name", "Ada");
      return task.inputRequired("And?");
    });
    const recalls = act("recalls", (task) => task.complete(`${task.memory.get("name")}`));
    const { id } = await client.sendForTask(learns);
    await fill(client);
    await untilRefused(client);
    await ring(client.owner);
    const task = await client.sendForTask({ says: recalls, taskId: id });
    expect(task.status.message?.parts).toEqual([{ text: "Ada" }]);
  });

  it("is full by what it holds, not by what it held: deleted rows count no more", async () => {
    const sizes = await runInDurableObject(homeOf(newOwner()), async (_, { storage: { sql } }) => {
      sql.exec("CREATE TABLE big (body TEXT)");
      for (let i = 0; i < 20; i++) sql.exec("INSERT INTO big VALUES (?)", "x".repeat(1_000_000));
      const full = sql.databaseSize;
      sql.exec("DELETE FROM big");
      return { full, after: sql.databaseSize };
    });
    expect(sizes.full).toBeGreaterThan(20_000_000);
    expect(sizes.after).toBeLessThan(1_000_000);
  });
});
