// Writes that the database refuses, which a trigger does here to whatever says "poison": the request that asked
// for it fails, and nothing else does.

import { runInDurableObject } from "cloudflare:test";
import { describe, expect, it, vi } from "vitest";
import type { QuickTask } from "../../src/agents/agent.ts";
import { type Client, createClient, eventually, homeOf } from "../support/client.ts";
import { crash, query } from "../support/home.ts";

vi.hoisted(() => vi.resetModules());
vi.mock("../../src/agents/registry.ts", async (original) => (await import("./stage.ts")).withStage(original));
const { act } = await import("./stage.ts");

const fine = act("fine", (task) => task.artifact({ parts: [{ text: "fine" }] }));
const poison = act("poisonous from the start", (task) => task.artifact({ parts: [{ text: "poison" }] }));
const late = act("poisonous later", async (task) => {
  await task.working();
  await scheduler.wait(20);
  await task.artifact({ parts: [{ text: "poison" }] });
});

/** A client whose home's journal takes no poison. */
async function poisonable(): Promise<Client> {
  const client = createClient({ agent: "stage" });
  await client.sendForTask(fine);
  await runInDurableObject(homeOf(client.owner), (_, state) => {
    state.storage.sql.exec(
      `CREATE TRIGGER poison BEFORE INSERT ON journal WHEN NEW.kind = 'artifact' AND NEW.body LIKE '%poison%'
       BEGIN SELECT RAISE(ABORT, 'poisoned'); END`,
    );
    state.storage.sql.exec(
      `CREATE TRIGGER poisoned_memory BEFORE INSERT ON memory WHEN NEW.body LIKE '%poison%'
       BEGIN SELECT RAISE(ABORT, 'poisoned'); END`,
    );
  });
  return client;
}

const send = (client: Client, says: string, key?: string) =>
  client.answer(
    "SendMessage",
    { message: { messageId: "m", role: "ROLE_USER", parts: [{ text: says }] } },
    key === undefined ? {} : { "idempotency-key": key },
  );

describe("a write that fails", () => {
  it("is an internal error to its caller, tells nothing of the database, and leaves no row", async () => {
    const client = await poisonable();
    const { error } = await send(client, poison);
    expect(error?.code).toBe(-32603);
    expect(JSON.stringify(error)).not.toMatch(/poison|sql/i);
    expect((await client.list()).totalSize).toBe(1);
    expect(await query(client.owner, "SELECT * FROM journal WHERE body LIKE '%poisonous%'")).toEqual([]);
  });

  it("leaves alone the requests that share its transaction, also on disk", async () => {
    const client = await poisonable();
    const answers = await Promise.all(
      Array.from({ length: 40 }, (_, i) => send(client, i % 4 === 1 ? poison : fine)),
    );
    expect(answers.filter(({ error }) => error)).toHaveLength(10);
    expect(answers.filter((answer) => JSON.stringify(answer).includes("TASK_STATE_COMPLETED"))).toHaveLength(
      30,
    );
    expect((await client.list()).totalSize).toBe(31);
    await crash();
    const { tasks, totalSize } = await client.list({ includeArtifacts: true });
    expect(totalSize).toBe(31);
    expect(tasks.map((task) => task.artifacts?.length)).toEqual(Array(31).fill(1));
  });

  it("keeps no answer for its Idempotency-Key", async () => {
    const client = await poisonable();
    expect((await send(client, poison, "key")).error?.code).toBe(-32603);
    expect((await send(client, fine, "key")).result).toHaveProperty("task");
  });

  it("fails a task that exists already, and its caller is answered", async () => {
    const client = await poisonable();
    const { result } = await send(client, late);
    expect(result).toMatchObject({ task: { status: { state: "TASK_STATE_FAILED" } } });
    expect((await client.list({ status: "TASK_STATE_FAILED" })).totalSize).toBe(1);
  });

  it("ends the streams of its task", async () => {
    const client = await poisonable();
    const stream = await client.sendStream(late);
    const frames = await stream.rest();
    expect(frames.at(-1)?.event.statusUpdate?.status.state).toBe("TASK_STATE_FAILED");
  });

  it("does not disturb reads of other tasks", async () => {
    const client = await poisonable();
    const { id } = await client.start(late);
    const other = await client.sendForTask(fine);
    await eventually(async () => {
      expect(await client.get(other.id)).toEqual(other);
      return (await client.get(id)).status.state !== "TASK_STATE_WORKING";
    });
  });

  it.each<[string, (task: QuickTask) => Promise<void>]>([
    ["a reply", (task) => task.reply("noted")],
    ["a task", (task) => task.complete("noted")],
  ])("of what an agent wants remembered after %s answers its caller", async (name, end) => {
    const client = await poisonable();
    const says = act(`remembers poison after ${name}`, async (task) => {
      task.memory.set("x", "poison");
      await end(task);
    });
    const { error, result } = await send(client, says);
    if (error) expect(error.code).toBe(-32603);
    else expect(result).toMatchObject({ task: { status: { state: "TASK_STATE_FAILED" } } });
    expect(await query(client.owner, "SELECT * FROM memory")).toEqual([]);
  });
});
