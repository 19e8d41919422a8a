// The event streams of SendStreamingMessage and SubscribeToTask: how they begin, and when they end (§3.1.2, §3.1.6,
// §11.7).

import { runInDurableObject } from "cloudflare:test";
import { describe, expect, it, vi } from "vitest";
import { createClient, eventually, type Frame, homeOf, kindOf, textOf } from "../support/client.ts";
import { crash } from "../support/home.ts";

vi.hoisted(() => vi.resetModules());
vi.mock("../../src/agents/registry.ts", async (original) => (await import("./stage.ts")).withStage(original));
const { act, forever } = await import("./stage.ts");

const text = (value: string) => [{ text: value }];
const kinds = (frames: Frame[]) => frames.map(({ event }) => kindOf(event));
const ids = (frames: Frame[]) => frames.map(({ id }) => Number(id));

const WORKING = "TASK_STATE_WORKING";
const COMPLETED = "TASK_STATE_COMPLETED";
const INPUT = "TASK_STATE_INPUT_REQUIRED";
const AUTH = "TASK_STATE_AUTH_REQUIRED";

describe("SendStreamingMessage", () => {
  it("begins with the Task as it was created, then says what happens in order (§3.1.2)", async () => {
    const client = createClient({ agent: "conformance" });
    const frames = await (await client.sendStream("stream:3:0")).rest();
    expect(kinds(frames)).toEqual(["task", WORKING, "artifact", "artifact", "artifact", COMPLETED]);
    const task = frames[0]?.event.task;
    expect(task).toMatchObject({
      status: { state: "TASK_STATE_SUBMITTED" },
      history: [{ parts: text("stream:3:0") }],
    });
    expect(task?.artifacts).toBeUndefined();
    for (const { event } of frames.slice(1)) {
      expect(event.statusUpdate ?? event.artifactUpdate).toMatchObject({
        taskId: task?.id,
        contextId: task?.contextId,
      });
    }
    expect(ids(frames)).toEqual([...ids(frames)].sort((a, b) => a - b));
    expect(new Set(ids(frames)).size).toBe(frames.length);
  });

  it("sends the first event before the agent has finished", async () => {
    const client = createClient({ agent: "conformance" });
    const stream = await client.sendStream("slow:60000");
    expect(kinds(await stream.until((event) => kindOf(event) === WORKING))).toEqual(["task", WORKING]);
    await stream.leave();
  });

  it("is exactly one Message when the agent answers with one", async () => {
    const frames = await (await createClient({ agent: "conformance" }).sendStream("message")).rest();
    expect(frames).toMatchObject([{ id: undefined, event: { message: { role: "ROLE_AGENT" } } }]);
  });

  it("ends at input-required, and the follow-up's stream begins with the task as it then is", async () => {
    const client = createClient({ agent: "conformance" });
    const frames = await (await client.sendStream("input")).rest();
    expect(kinds(frames)).toEqual(["task", INPUT]);
    const taskId = frames[0]?.event.task?.id ?? "";
    const second = await (await client.sendStream({ says: "more", taskId })).rest();
    expect(kinds(second)).toEqual(["task", "artifact", COMPLETED]);
    expect(second[0]?.event.task?.history?.map(textOf)).toEqual(["input", "Input required", "more"]);
  });

  it("stays open at auth-required until the task has ended (§7.6.1)", async () => {
    const client = createClient({ agent: "conformance" });
    const stream = await client.sendStream("auth");
    const first = await stream.until((event) => kindOf(event) === AUTH);
    const taskId = first[0]?.event.task?.id ?? "";
    await client.send({ says: "here", taskId });
    expect(kinds(await stream.rest())).toEqual([WORKING, "artifact", COMPLETED]);
  });

  it("ends at the input-required that answers its message, also when its reader is slow", async () => {
    const asks = act("asks after a megabyte", async (task) => {
      // More than lies in any buffer between the home and its reader.
      for (let i = 0; i < 100; i++) await task.artifact({ parts: text("x".repeat(10_000)) });
      await task.inputRequired("More?");
    });
    const client = createClient({ agent: "stage" });
    const slow = await client.sendStream(asks);
    const { id } = await eventually(async () => (await client.list({ status: INPUT })).tasks[0]);
    await client.send({ says: act("more", (task) => task.complete()), taskId: id });
    const frames = await slow.rest();
    expect(frames).toHaveLength(102);
    expect(kinds(frames).at(-1)).toBe(INPUT);
  });

  it("that follows up on a running turn ends with its own answer, not with the answer before", async () => {
    const gate = Promise.withResolvers<void>();
    const asks = act("asks when let", async (task) => {
      await task.working();
      await gate.promise;
      await task.inputRequired("Which?");
    });
    const asksMore = act("asks more", (task) => task.inputRequired("Which other?"));
    const client = createClient({ agent: "stage" });
    const first = await client.sendStream(asks);
    const begun = await first.until((event) => kindOf(event) === WORKING);
    const taskId = begun[0]?.event.task?.id ?? "";
    const second = await client.sendStream({ says: asksMore, taskId });
    expect(kinds(await second.until(() => true))).toEqual(["task"]);
    gate.resolve();
    const questions = (frames: Frame[]) =>
      frames.flatMap(({ event }) => textOf(event.statusUpdate?.status.message) ?? []);
    expect(questions(await second.rest())).toEqual(["Which?", "Which other?"]);
    expect(questions(await first.rest())).toEqual(["Which?"]);
  });

  it("is there before its first event when the agent thinks before it acts", async () => {
    const gate = Promise.withResolvers<void>();
    const thinks = act("thinks", async (task) => {
      await gate.promise;
      await task.complete("Done.");
    });
    // Resolves with the head of the answer.
    const stream = await createClient({ agent: "stage" }).sendStream(thinks);
    gate.resolve();
    expect(kinds(await stream.rest())).toEqual(["task", COMPLETED]);
  });

  it("ends with the error that comes instead of its first event", async () => {
    const client = createClient({ agent: "stage" });
    const stream = await client.sendStream(act("is never heard of", () => forever));
    await crash();
    await expect(stream.rest()).rejects.toThrow("the stream broke");
  });

  it("is nobody's any more when the client leaves while the agent thinks, and the task goes on", async () => {
    const gate = Promise.withResolvers<void>();
    const thinks = act("thinks alone", async (task) => {
      await gate.promise;
      await task.working();
      await task.complete("Done.");
    });
    const client = createClient({ agent: "stage" });
    await (await client.sendStream(thinks)).leave();
    gate.resolve();
    await eventually(async () => (await client.list({ status: COMPLETED })).tasks[0]);
    await eventually(() => runInDurableObject(homeOf(client.owner), (home) => home.subscribers === 0));
  });

  it("honours historyLength in its first event", async () => {
    const client = createClient({ agent: "conformance" });
    const none = await (await client.sendStream("hello", { configuration: { historyLength: 0 } })).rest();
    expect(none[0]?.event.task).not.toHaveProperty("history");
  });
});

describe("SubscribeToTask", () => {
  it("begins with the current Task, and stays open across input-required (§3.1.6)", async () => {
    const client = createClient({ agent: "conformance" });
    const { id } = await client.sendForTask("input");
    const stream = await client.subscribe(id);
    const first = await stream.next();
    expect(first?.event.task).toMatchObject({ id, status: { state: INPUT }, history: [{}, {}] });
    await client.send({ says: "more", taskId: id });
    expect(kinds(await stream.rest())).toEqual([WORKING, "artifact", COMPLETED]);
  });

  it("sees several questions in one task", async () => {
    const client = createClient({ agent: "stage" });
    const ask = act("ask", (task) => task.inputRequired("?"));
    const end = act("end", (task) => task.complete("."));
    const { id } = await client.sendForTask(ask);
    const stream = await client.subscribe(id);
    await stream.next();
    await client.send({ says: ask, taskId: id });
    await client.send({ says: ask, taskId: id });
    await client.send({ says: end, taskId: id });
    expect(kinds(await stream.rest())).toEqual([WORKING, INPUT, WORKING, INPUT, WORKING, COMPLETED]);
  });

  it("works for a task that nothing runs on, also after its object has died", async () => {
    const client = createClient({ agent: "conformance" });
    const { id } = await client.sendForTask("auth");
    await crash();
    const stream = await client.subscribe(id);
    expect((await stream.next())?.event.task?.status.state).toBe(AUTH);
    await client.send({ says: "here", taskId: id });
    expect(kinds(await stream.rest())).toEqual([WORKING, "artifact", COMPLETED]);
  });

  it("ends with the cancellation of the task", async () => {
    const client = createClient({ agent: "conformance" });
    const { id } = await client.start("slow:60000");
    const stream = await client.subscribe(id);
    await stream.next();
    await client.cancel(id);
    expect(kinds(await stream.rest()).at(-1)).toBe("TASK_STATE_CANCELED");
  });

  it("is refused without Last-Event-ID for a task that has ended, as plain JSON", async () => {
    const client = createClient({ agent: "conformance" });
    const { id } = await client.sendForTask("hello");
    expect(await client.error("SubscribeToTask", { id })).toMatchObject({
      code: -32004,
      data: [{ reason: "UNSUPPORTED_OPERATION" }],
    });
  });

  it("with Last-Event-ID replays what was missed of a task that has ended meanwhile, and closes", async () => {
    const client = createClient({ agent: "conformance" });
    const all = await (await client.sendStream("stream:5:0")).rest();
    const id = all[0]?.event.task?.id ?? "";
    for (const [index, frame] of all.entries()) {
      expect(await (await client.subscribe(id, frame.id)).rest()).toEqual(all.slice(index + 1));
    }
    expect(await (await client.subscribe(id, "0")).rest()).toEqual(all.slice(1));
  });

  it("refuses a Last-Event-ID that was never sent, and one that is no number", async () => {
    const client = createClient({ agent: "conformance" });
    const { id } = await client.sendForTask("hello");
    for (const lastEventId of [
      "4",
      "1000",
      "9999999999999999",
      "-1",
      "x",
      "1.5",
      "0x1",
      "99999999999999999",
    ]) {
      const error = await client.error("SubscribeToTask", { id }, { "last-event-id": lastEventId });
      expect(error).toMatchObject({ code: -32602 });
      expect(JSON.stringify(error.data)).toContain('"field":"Last-Event-ID"');
    }
  });

  it("of a foreign, forged or unknown task is TaskNotFound, with and without Last-Event-ID", async () => {
    const [mine, other] = [createClient({ agent: "conformance" }), createClient({ agent: "conformance" })];
    const { id } = await mine.sendForTask("input");
    const elsewhere = createClient({ agent: "interview", owner: mine.owner });
    for (const [client, task] of [
      [other, id],
      [elsewhere, id],
      [mine, "0-018f0000-0000-7000-8000-000000000000"],
      [mine, `7${id.slice(1)}`],
      [mine, "x"],
    ] as const) {
      for (const header of [{}, { "last-event-id": "1" }]) {
        expect(await client.error("SubscribeToTask", { id: task }, header as never)).toMatchObject({
          code: -32001,
        });
      }
    }
  });
});
