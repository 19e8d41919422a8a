// The re-run rule: a quick turn whose object died runs again from its start, at most three times in all. What a
// client has seen stays true: no event id comes twice, and whoever folds the events has the task's artifacts.

import { runInDurableObject } from "cloudflare:test";
import { describe, expect, it, vi } from "vitest";
import type { Artifact } from "../../src/protocol/artifact.ts";
import {
  type Client,
  createClient,
  eventually,
  type Frame,
  homeOf,
  kindOf,
  textOf,
} from "../support/client.ts";
import { crash, query, ring } from "../support/home.ts";

vi.hoisted(() => vi.resetModules());
vi.mock("../../src/agents/registry.ts", async (original) => (await import("./stage.ts")).withStage(original));
const { act, forever, runsOf } = await import("./stage.ts");

const text = (value: string) => [{ text: value }];

/** Waits for the task to end and says how its artifacts read. */
async function endOf(client: Client, id: string) {
  const task = await eventually(async () => {
    const task = await client.get(id);
    return /COMPLETED|FAILED|REJECTED|CANCELED/.test(task.status.state) && task;
  });
  return { task, state: task.status.state, artifacts: read(task.artifacts ?? []) };
}

function read(artifacts: Artifact[]): Record<string, string> {
  const texts = artifacts.map(({ artifactId, parts }) => [
    artifactId,
    parts.map((part) => part.text).join(""),
  ]);
  expect(new Set(texts.map(([id]) => id)).size).toBe(texts.length);
  return Object.fromEntries(texts);
}

/** The artifacts as a client makes them from events (§4.2.2). */
function fold(frames: Frame[]): Record<string, string> {
  const artifacts = new Map<string, Artifact>();
  for (const { event } of frames) {
    if (!event.artifactUpdate) continue;
    const { artifact, append } = event.artifactUpdate;
    const known = artifacts.get(artifact.artifactId);
    if (append && known) known.parts.push(...artifact.parts);
    else artifacts.set(artifact.artifactId, structuredClone(artifact));
  }
  return read([...artifacts.values()]);
}

/** Every event of a task, from its first; their ids are in order and none is there twice. */
async function replay(client: Client, id: string): Promise<Frame[]> {
  const frames = await (await client.subscribe(id, "0")).rest();
  const ids = frames.map((frame) => Number(frame.id));
  expect(ids).toEqual([...new Set(ids)].sort((a, b) => a - b));
  return frames;
}

/** Starts a task, and kills its object when its journal has `rows` rows. */
async function startAndCrash(client: Client, says: string, rows: number): Promise<string> {
  const { id } = await client.start(says);
  await crashAt(client, id, rows);
  return id;
}

async function crashAt(client: Client, id: string, rows: number): Promise<void> {
  await eventually(async () => {
    const [row] = await query<{ seq: number }>(client.owner, "SELECT seq FROM tasks WHERE id = ?", id);
    return row && row.seq >= rows;
  });
  await crash();
}

describe("a quick turn whose object died", () => {
  it("runs again at the next alarm, and repeats nothing", async () => {
    const client = createClient({ agent: "conformance" });
    const id = await startAndCrash(client, "slow:300", 2);
    expect(await ring(client.owner)).toBe(true);
    const { state, artifacts } = await endOf(client, id);
    expect(state).toBe("TASK_STATE_COMPLETED");
    expect(Object.values(artifacts)).toEqual(["echo: slow:300"]);
    const kinds = (await replay(client, id)).map(({ event }) => kindOf(event));
    expect(kinds).toEqual(["TASK_STATE_WORKING", "artifact", "TASK_STATE_COMPLETED"]);
  });

  it("has an alarm within five seconds, whoever forgets it", async () => {
    const client = createClient({ agent: "conformance" });
    await client.start("slow:60000");
    const alarm = await eventually(async () => {
      const at = await runInDurableObject(homeOf(client.owner), (_, state) => state.storage.getAlarm());
      return at !== null && at <= Date.now() + 5_000 && at;
    });
    expect(alarm).toBeGreaterThan(Date.now() - 5_000);
  });

  it("runs again at the next request, also for another task", async () => {
    const client = createClient({ agent: "conformance" });
    const id = await startAndCrash(client, "slow:100", 2);
    await client.sendForTask("something else");
    expect((await endOf(client, id)).state).toBe("TASK_STATE_COMPLETED");
  });

  it("sends every chunk once and in order when it dies between chunks", async () => {
    const client = createClient({ agent: "conformance" });
    const id = await startAndCrash(client, "stream:8:30", 5);
    const { state, artifacts } = await endOf(client, id);
    expect(state).toBe("TASK_STATE_COMPLETED");
    const whole = Array.from({ length: 8 }, (_, i) => `chunk-${i + 1} `).join("");
    expect(artifacts).toEqual({ stream: whole });
    const frames = await replay(client, id);
    expect(frames).toHaveLength(10);
    expect(fold(frames)).toEqual({ stream: whole });
  });

  it("lets a subscriber who comes back with Last-Event-ID see every event once", async () => {
    const client = createClient({ agent: "conformance" });
    const stream = await client.sendStream("stream:8:30");
    const first = await stream.until((event) => kindOf(event) === "artifact");
    const id = first[0]?.event.task?.id ?? "";
    await crash();
    await stream.rest().catch(() => {});
    const second = await (await client.subscribe(id, first.at(-1)?.id)).rest();
    const seen = [...first.slice(1), ...second];
    expect(seen).toEqual(await replay(client, id));
    expect(seen.map(({ event }) => kindOf(event))).toEqual([
      "TASK_STATE_WORKING",
      ...Array(8).fill("artifact"),
      "TASK_STATE_COMPLETED",
    ]);
  });

  it("fails after three runs, and keeps what they emitted once", async () => {
    const says = act("dies in every run", async (task) => {
      await task.working("Here we go");
      await task.artifact({ artifactId: "a", parts: text("first") });
      await forever;
    });
    const client = createClient({ agent: "stage" });
    const { id } = await client.start(says);
    for (let run = 1; run <= 3; run++) {
      await eventually(async () => runsOf(says, id) === run);
      await crashAt(client, id, 3);
      await ring(client.owner);
    }
    const { task, state, artifacts } = await endOf(client, id);
    expect(state).toBe("TASK_STATE_FAILED");
    expect(textOf(task.status.message)).toBe("The server stopped during this turn 3 times.");
    expect(artifacts).toEqual({ a: "first" });
    expect(runsOf(says, id)).toBe(3);
    await crash();
    await ring(client.owner);
    expect(await client.get(id)).toEqual(task);
    expect(await replay(client, id)).toHaveLength(3);
  });

  it("does not run again once it has ended or waits for its caller", async () => {
    const ends = act("ends and hangs", async (task) => {
      await task.complete("done");
      await forever;
    });
    const asks = act("asks and hangs", async (task) => {
      await task.inputRequired("More?");
      await forever;
    });
    const client = createClient({ agent: "stage" });
    const done = await client.sendForTask(ends);
    const asked = await client.sendForTask(asks);
    await crash();
    await ring(client.owner);
    expect(await client.get(done.id)).toEqual(done);
    expect(await client.get(asked.id)).toEqual(asked);
    expect([runsOf(ends, done.id), runsOf(asks, asked.id)]).toEqual([1, 1]);
  });

  it("sees the same input, history and memory as in its first run", async () => {
    const seen: unknown[] = [];
    const says = act("looks around", async (task, run) => {
      await task.working("Thinking");
      seen.push({ input: task.input, history: [...task.history], memory: task.memory.get("place") });
      task.memory.set("place", `run ${run}`);
      if (run === 1) await forever;
      await task.complete(`memory of run ${run}`);
    });
    const client = createClient({ agent: "stage" });
    const id = await startAndCrash(client, says, 2);
    await endOf(client, id);
    expect(seen).toHaveLength(2);
    expect(seen[1]).toEqual(seen[0]);
    expect(seen[0]).toMatchObject({ history: [{ parts: text(says) }], memory: undefined });
  });

  it("is followed by the answer to a message that came while it ran first", async () => {
    const says = act("asks late", async (task, run) => {
      await task.working();
      if (run === 1) await forever;
      await task.inputRequired("And then?");
    });
    const more = act("and that", (task) => task.complete("Thanks."));
    const client = createClient({ agent: "stage" });
    const { id } = await client.start(says);
    await client.send({ says: more, taskId: id }, { configuration: { returnImmediately: true } });
    await crashAt(client, id, 3);
    await ring(client.owner);
    const { task } = await endOf(client, id);
    expect(task.history?.map(textOf)).toEqual([says, more, "And then?", "Thanks."]);
    expect(runsOf(more, id)).toBe(1);
  });

  it("can be canceled while it runs again", async () => {
    const client = createClient({ agent: "conformance" });
    const id = await startAndCrash(client, "slow:60000", 2);
    expect((await client.cancel(id)).status.state).toBe("TASK_STATE_CANCELED");
    await crash();
    expect((await client.get(id)).status.state).toBe("TASK_STATE_CANCELED");
  });
});

describe("a turn that runs again and differs", () => {
  it("replaces a whole artifact that is different now", async () => {
    const says = act("differs in the second", async (task, run) => {
      await task.artifact({ artifactId: "a", parts: text("same") });
      await task.artifact({ artifactId: "b", parts: text(`of run ${run}`) });
      if (run === 1) await forever;
    });
    const client = createClient({ agent: "stage" });
    const id = await startAndCrash(client, says, 3);
    await ring(client.owner);
    const { state, artifacts } = await endOf(client, id);
    expect(state).toBe("TASK_STATE_COMPLETED");
    expect(artifacts).toEqual({ a: "same", b: "of run 2" });
    const frames = await replay(client, id);
    expect(fold(frames)).toEqual(artifacts);
    expect(frames.filter(({ event }) => event.artifactUpdate?.artifact.artifactId === "a")).toHaveLength(1);
  });

  it("starts an artifact over with append: false from the first chunk that is different", async () => {
    const says = act("differs in a chunk", async (task, run) => {
      const chunks = ["one ", `two of ${run} `, "three "];
      for (const [index, chunk] of chunks.entries()) {
        await task.artifact({ artifactId: "a", parts: text(chunk), append: index > 0 });
      }
      if (run === 1) await forever;
    });
    const client = createClient({ agent: "stage" });
    const id = await startAndCrash(client, says, 4);
    await ring(client.owner);
    const { artifacts } = await endOf(client, id);
    expect(artifacts).toEqual({ a: "one two of 2 three " });
    const frames = await replay(client, id);
    expect(fold(frames)).toEqual(artifacts);
    const restarted = frames.filter(({ event }) => event.artifactUpdate).at(3)?.event.artifactUpdate;
    expect(restarted?.append ?? false).toBe(false);
    expect(restarted?.artifact.parts).toEqual([...text("one "), ...text("two of 2 ")]);
  });

  it("leaves nothing of an artifact that it does not emit again", async () => {
    const says = act("emits less", async (task, run) => {
      await task.artifact({ artifactId: "a", parts: text("kept") });
      if (run === 1) {
        await task.artifact({ artifactId: "b", parts: text("never again") });
        await forever;
      }
    });
    const client = createClient({ agent: "stage" });
    const id = await startAndCrash(client, says, 3);
    await ring(client.owner);
    expect((await endOf(client, id)).artifacts).toEqual({ a: "kept" });
    await replay(client, id);
  });

  it("leaves nothing of its first run when it emits something else from the start", async () => {
    const says = act("emits something else", async (task, run) => {
      if (run === 1) await task.working("I will do A");
      await task.artifact({ artifactId: `of run ${run}`, parts: text(`${run}`) });
      if (run === 1) await forever;
      await task.complete(`run ${run}`);
    });
    const client = createClient({ agent: "stage" });
    const id = await startAndCrash(client, says, 3);
    await ring(client.owner);
    const { task, artifacts } = await endOf(client, id);
    expect(artifacts).toEqual({ "of run 2": "2" });
    expect(task.history?.map(textOf)).toEqual([says, "run 2"]);
  });

  it("keeps artifacts of earlier turns when it appends to one of them", async () => {
    const asks = act("begins the report", async (task) => {
      await task.artifact({ artifactId: "report", parts: text("intro ") });
      await task.inputRequired("Go on?");
    });
    const goes = act("goes on", async (task, run) => {
      await task.artifact({ artifactId: "report", parts: text(`body ${run} `), append: true });
      if (run === 1) await forever;
      await task.artifact({ artifactId: "report", parts: text("end"), append: true });
    });
    const client = createClient({ agent: "stage" });
    const { id } = await client.sendForTask(asks);
    await client.send({ says: goes, taskId: id }, { configuration: { returnImmediately: true } });
    await crashAt(client, id, 6);
    await ring(client.owner);
    const { artifacts } = await endOf(client, id);
    expect(artifacts).toEqual({ report: "intro body 2 end" });
    expect(fold(await replay(client, id))).toEqual(artifacts);
  });

  it("gives subscribers the task's artifacts also when its third run differs from its second", async () => {
    const says = act("differs twice", async (task, run) => {
      const emit = (chunk: string, append: boolean) =>
        task.artifact({ artifactId: "a", parts: text(chunk), append });
      await emit("one ", false);
      if (run === 1) {
        await emit("two ", true);
        await emit("three ", true);
        await forever;
      }
      await task.artifact({ artifactId: "b", parts: text("other") });
      if (run === 2) await forever;
      await emit("two ", true);
    });
    const client = createClient({ agent: "stage" });
    const id = await startAndCrash(client, says, 4);
    await ring(client.owner);
    await crashAt(client, id, 6);
    await ring(client.owner);
    const { artifacts } = await endOf(client, id);
    expect(artifacts).toEqual({ a: "one two ", b: "other" });
    expect(fold(await replay(client, id))).toEqual(artifacts);
  });

  it("takes back from subscribers the chunks that it does not append again", async () => {
    const says = act("appends less", async (task, run) => {
      await task.artifact({ artifactId: "a", parts: text("one ") });
      if (run > 1) return;
      await task.artifact({ artifactId: "a", parts: text("two "), append: true });
      await forever;
    });
    const client = createClient({ agent: "stage" });
    const id = await startAndCrash(client, says, 3);
    await ring(client.owner);
    const { artifacts } = await endOf(client, id);
    expect(artifacts).toEqual({ a: "one " });
    expect(fold(await replay(client, id))).toEqual(artifacts);
  });
});
