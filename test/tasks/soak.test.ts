// A home under random load whose object dies again and again: whatever was acknowledged is there, once, and
// nothing is left at work. Seeded, so that a failure can be repeated.

import { describe, expect, it, vi } from "vitest";
import type { Task } from "../../src/protocol/task.ts";
import { type Client, createClient, eventually, type Frame } from "../support/client.ts";
import { crash, ring } from "../support/home.ts";
import { createRandom } from "./random.ts";

vi.hoisted(() => vi.resetModules());
vi.mock("../../src/agents/registry.ts", async (original) => (await import("./stage.ts")).withStage(original));
const { act } = await import("./stage.ts");

const CHUNKS = ["one ", "two ", "three ", "four "];
const acts = [
  act("quick", (task) => task.artifact({ artifactId: "a", parts: [{ text: "quick" }] })),
  act("chunks", async (task) => {
    for (const [index, text] of CHUNKS.entries()) {
      await task.artifact({ artifactId: "a", parts: [{ text }], append: index > 0 });
      await scheduler.wait(3);
    }
  }),
  act("thinks", async (task) => {
    await scheduler.wait(8);
    await task.complete("thought");
  }),
  act("asks", async (task) => {
    await task.working("Let me see");
    await scheduler.wait(3);
    await task.inputRequired("More?");
  }),
  act("asks at once", (task) => task.inputRequired("More?")),
];

/** What clients were told: tasks with the ids of the messages that were acknowledged for each. */
type Ledger = { messages: Map<string, Set<string>>; canceled: Set<string>; streams: Frame[][] };

/** One request of a client; what is refused or lost in a crash is not in the ledger. */
async function operate(client: Client, ledger: Ledger, random: (below: number) => number): Promise<void> {
  const says = acts[random(acts.length)] as string;
  const known = [...ledger.messages.keys()];
  const target = known[random(known.length || 1)];
  const messageId = crypto.randomUUID();
  const note = (id: string) => {
    const messages = ledger.messages.get(id) ?? new Set();
    ledger.messages.set(id, messages.add(messageId));
  };
  switch (target === undefined ? 0 : random(7)) {
    case 0:
      return note((await client.sendForTask({ says, messageId })).id);
    case 1: {
      const configuration = { returnImmediately: true };
      return note((await client.sendForTask({ says, messageId }, { configuration })).id);
    }
    case 2: {
      const stream = await client.sendStream({ says, messageId });
      const frames: Frame[] = [];
      ledger.streams.push(frames);
      for (let frame = await stream.next(); frame; frame = await stream.next()) {
        if (frame.event.task) note(frame.event.task.id);
        frames.push(frame);
      }
      return;
    }
    case 3:
    case 4:
      await client.sendForTask({ says, messageId, taskId: target ?? "" });
      return note(target ?? "");
    case 5:
      await client.cancel(target ?? "");
      ledger.canceled.add(target ?? "");
      return;
    default:
      await client.list({ pageSize: 1 + random(5) });
  }
}

async function everyTask(client: Client): Promise<Task[]> {
  const tasks: Task[] = [];
  let pageToken = "";
  do {
    const page = await client.list({ pageSize: 7, includeArtifacts: true, ...(pageToken && { pageToken }) });
    tasks.push(...page.tasks);
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  return tasks;
}

/** All events of a task that has ended or waits. */
async function replay(client: Client, { id, status }: Task): Promise<Frame[]> {
  const stream = await client.subscribe(id, "0");
  const frames = await stream.until(({ statusUpdate }) => {
    const { state, timestamp } = statusUpdate?.status ?? {};
    return state === status.state && timestamp === status.timestamp;
  });
  await stream.leave();
  return frames;
}

describe("a home that dies again and again", () => {
  it.each([1, 2, 3, 4])("loses nothing that it acknowledged (seed %i)", { timeout: 60_000 }, async (seed) => {
    // Each request that a crash takes along is logged as the failure it is.
    const errors = vi.spyOn(console, "error").mockImplementation(() => {});
    const random = createRandom(seed);
    const client = createClient({ agent: "stage" });
    const ledger: Ledger = { messages: new Map(), canceled: new Set(), streams: [] };
    for (let round = 0; round < 12; round++) {
      const requests = Array.from({ length: 12 }, () => operate(client, ledger, random).catch(() => {}));
      await scheduler.wait(random(60));
      await crash();
      await Promise.all(requests);
    }
    errors.mockRestore();

    await ring(client.owner);
    await eventually(async () => {
      const atWork = ["TASK_STATE_SUBMITTED", "TASK_STATE_WORKING"];
      const lists = await Promise.all(atWork.map((status) => client.list({ status })));
      return lists.every(({ totalSize }) => totalSize === 0);
    });
    const tasks = await everyTask(client);
    expect(new Set(tasks.map(({ id }) => id)).size).toBe(tasks.length);
    expect(tasks.length).toBeGreaterThan(10);
    for (const state of new Set(tasks.map((task) => task.status.state))) {
      const { totalSize } = await client.list({ status: state });
      expect(totalSize).toBe(tasks.filter((task) => task.status.state === state).length);
    }

    const byId = new Map(tasks.map((task) => [task.id, task]));
    for (const [id, messages] of ledger.messages) {
      const inHistory = byId.get(id)?.history?.map(({ messageId }) => messageId) ?? [];
      expect(new Set(inHistory).size).toBe(inHistory.length);
      for (const message of messages) expect(inHistory).toContain(message);
    }
    for (const id of ledger.canceled) expect(byId.get(id)?.status.state).toBe("TASK_STATE_CANCELED");

    const sent = new Map<string, Frame>();
    for (const task of tasks) {
      const frames = await replay(client, task);
      const ids = frames.map(({ id }) => Number(id));
      expect(ids).toEqual([...new Set(ids)].sort((a, b) => a - b));
      for (const frame of frames) sent.set(`${task.id} ${frame.id}`, frame);
      const text = task.artifacts?.flatMap(({ parts }) => parts.map((part) => part.text)).join("") ?? "";
      if (task.status.state === "TASK_STATE_COMPLETED")
        expect([CHUNKS.join(""), "quick", ""]).toContain(text);
    }
    for (const [first, ...events] of ledger.streams) {
      for (const frame of events) expect(frame).toEqual(sent.get(`${first?.event.task?.id} ${frame.id}`));
    }
  });
});
