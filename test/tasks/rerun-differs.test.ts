// An agent that says something else when its turn runs again: from the first difference on its earlier run is
// replaced, and whoever folds the events still has the task's artifacts.

import { describe, expect, it, vi } from "vitest";
import { createClient, textOf } from "../support/client.ts";
import { ring } from "../support/home.ts";
import { crashAt, endOf, fold, replay, startAndCrash, text } from "./crashes.ts";

vi.hoisted(() => vi.resetModules());
vi.mock("../../src/agents/registry.ts", async (original) => (await import("./stage.ts")).withStage(original));
const { act, forever } = await import("./stage.ts");

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
