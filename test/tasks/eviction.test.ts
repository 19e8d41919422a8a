// A home that was evicted for being idle: whatever was in its memory is rebuilt from its database, and nobody
// can tell.

import { evictDurableObject } from "cloudflare:test";
import { describe, expect, it, vi } from "vitest";
import { createClient, eventually, homeOf, kindOf, textOf } from "../support/client.ts";
import { countCosts, query } from "../support/home.ts";

vi.hoisted(() => vi.resetModules());
vi.mock("../../src/agents/registry.ts", async (original) => (await import("./stage.ts")).withStage(original));
const { act, runsOf } = await import("./stage.ts");

const ask = act("ask", (task) => task.inputRequired("?"));
const end = act("end", (task) => task.complete("!"));
const counts = act("counts", (task) => {
  const visits = ((task.memory.get("visits") as number | undefined) ?? 0) + 1;
  task.memory.set("visits", visits);
  return task.inputRequired(`visit ${visits}`);
});

const evict = (owner: string) => evictDurableObject(homeOf(owner));

describe("a home that was evicted", () => {
  it("answers GetTask and ListTasks as before, totals included", async () => {
    const client = createClient({ agent: "stage" });
    const task = await client.sendForTask(end);
    await client.sendForTask(ask);
    const list = await client.list({ includeArtifacts: true });
    await evict(client.owner);
    expect(await client.get(task.id)).toEqual(task);
    expect(await client.list({ includeArtifacts: true })).toEqual(list);
    expect((await client.list({ status: "TASK_STATE_COMPLETED" })).totalSize).toBe(1);
  });

  it("counts on from its totals, through new tasks, changes and cancellations", async () => {
    const client = createClient({ agent: "stage" });
    const { id } = await client.sendForTask(ask);
    const totals = async () =>
      Promise.all(
        ["INPUT_REQUIRED", "COMPLETED", "CANCELED"].map(
          async (state) => (await client.list({ status: `TASK_STATE_${state}` })).totalSize,
        ),
      );
    const seen: number[][] = [];
    for (const change of [
      () => client.send(end),
      () => client.send(ask),
      () => client.send({ says: end, taskId: id }),
      async () =>
        client.cancel((await client.list({ status: "TASK_STATE_INPUT_REQUIRED" })).tasks[0]?.id ?? ""),
    ]) {
      await evict(client.owner);
      await change();
      seen.push(await totals());
    }
    expect(seen).toEqual([
      [1, 1, 0],
      [2, 1, 0],
      [1, 2, 0],
      [0, 2, 1],
    ]);
  });

  it("takes a follow-up and remembers the conversation", async () => {
    const client = createClient({ agent: "stage" });
    const first = await client.sendForTask(counts);
    await evict(client.owner);
    const second = await client.sendForTask({ says: counts, taskId: first.id });
    await evict(client.owner);
    const third = await client.sendForTask({ says: counts, contextId: first.contextId ?? "" });
    expect([first, second, third].map((task) => textOf(task.status.message))).toEqual([
      "visit 1",
      "visit 2",
      "visit 3",
    ]);
  });

  it("runs no turn again that had ended", async () => {
    const client = createClient({ agent: "stage" });
    const { id } = await client.sendForTask(ask);
    await evict(client.owner);
    await client.get(id);
    expect(runsOf(ask, id)).toBe(1);
  });

  it("streams on: a subscriber after it sees what another client causes", async () => {
    const client = createClient({ agent: "stage" });
    const { id } = await client.sendForTask(ask);
    await evict(client.owner);
    const stream = await client.subscribe(id);
    expect((await stream.next())?.event.task?.status.state).toBe("TASK_STATE_INPUT_REQUIRED");
    await client.send({ says: end, taskId: id });
    expect((await stream.rest()).map(({ event }) => kindOf(event))).toEqual([
      "TASK_STATE_WORKING",
      "TASK_STATE_COMPLETED",
    ]);
  });

  it("knows when its alarm rings, and does not set it again for nothing", async () => {
    const client = createClient({ agent: "stage" });
    await client.sendForTask(end);
    await eventually(
      async () => (await query(client.owner, "SELECT 1 FROM due WHERE kind = 'register'")).length === 0,
    );
    await evict(client.owner);
    const costs = await countCosts(client.owner);
    await client.sendForTask(end);
    expect(await costs()).toMatchObject({ rows: 7, alarms: 0 });
  });
});
