// CancelTask (§3.1.5) in every state, and what it does to the turn that runs.

import { describe, expect, it, vi } from "vitest";
import { createClient, eventually, kindOf, textOf } from "../support/client.ts";
import { crash, ring } from "../support/home.ts";

vi.hoisted(() => vi.resetModules());
vi.mock("../../src/agents/registry.ts", async (original) => (await import("./stage.ts")).withStage(original));
const { act, forever, runsOf } = await import("./stage.ts");

const CANCELED = "TASK_STATE_CANCELED";
const ask = act("ask", (task) => task.inputRequired("?"));

describe("CancelTask", () => {
  it.each([
    ["input-required", ask],
    ["auth-required", act("ask for auth", (task) => task.authRequired("?"))],
  ])("cancels a task in %s, and keeps what it has", async (_, says) => {
    const client = createClient({ agent: "stage" });
    const before = await client.sendForTask(says);
    const task = await client.cancel(before.id);
    expect(task).toMatchObject({ id: before.id, status: { state: CANCELED, timestamp: expect.any(String) } });
    expect(task.history).toEqual(before.history);
    await crash();
    expect(await client.get(before.id)).toEqual(task);
  });

  it("cancels a task at work, fires its signal, and drops all it emits from then on", async () => {
    const seen: unknown[] = [];
    const over = Promise.withResolvers<void>();
    const says = act("goes on when canceled", async (task) => {
      await task.working("busy");
      await task.artifact({ artifactId: "before", parts: [{ text: "kept" }] });
      await new Promise((resolve) => task.signal.addEventListener("abort", resolve));
      seen.push(task.signal.aborted, (task.signal.reason as Error).name);
      await task.artifact({ artifactId: "after", parts: [{ text: "dropped" }] });
      await task.complete("dropped");
      over.resolve();
    });
    const client = createClient({ agent: "stage" });
    const waiting = client.sendForTask(says);
    const { id } = await eventually(
      async () => (await client.list({ status: "TASK_STATE_WORKING" })).tasks[0],
    );
    const canceled = await client.cancel(id);
    await over.promise;
    expect(seen).toEqual([true, "AbortError"]);
    expect(canceled.status.state).toBe(CANCELED);
    expect(await client.get(id)).toEqual(canceled);
    expect(await waiting).toEqual(canceled);
    expect(canceled.artifacts?.map(({ artifactId }) => artifactId)).toEqual(["before"]);
  });

  it("cancels a task before its agent has acted", async () => {
    const client = createClient({ agent: "stage" });
    const { id, status } = await client.start(act("hangs", () => forever));
    expect(status.state).toBe("TASK_STATE_SUBMITTED");
    expect((await client.cancel(id)).status.state).toBe(CANCELED);
  });

  it("is final: nothing runs a canceled task again", async () => {
    const client = createClient({ agent: "stage" });
    const says = act("hangs at work", async (task) => {
      await task.working();
      await forever;
    });
    const { id } = await client.start(says);
    await eventually(async () => (await client.get(id)).status.state === "TASK_STATE_WORKING");
    const canceled = await client.cancel(id);
    await crash();
    await ring(client.owner);
    expect(await client.get(id)).toEqual(canceled);
    expect(runsOf(says, id)).toBe(1);
  });

  it("leaves a message that was waiting unanswered", async () => {
    const client = createClient({ agent: "stage" });
    const { id } = await client.start(act("hangs still", () => forever));
    const queued = client.sendForTask({ says: ask, taskId: id });
    await eventually(async () => (await client.get(id)).history?.length === 2);
    const canceled = await client.cancel(id);
    expect(await queued).toEqual(canceled);
    expect(runsOf(ask, id)).toBe(0);
  });

  it("ends every stream of the task with the canceled status", async () => {
    const client = createClient({ agent: "stage" });
    const first = await client.sendStream(
      act("hangs for streams", async (task) => {
        await task.working();
        await forever;
      }),
    );
    const [opening] = await first.until((event) => kindOf(event) === "TASK_STATE_WORKING");
    const id = opening?.event.task?.id ?? "";
    const second = await client.subscribe(id);
    await second.next();
    await client.cancel(id);
    for (const stream of [first, second]) {
      expect((await stream.rest()).map(({ event }) => kindOf(event))).toEqual([CANCELED]);
    }
  });

  it.each([
    ["completed", act("complete", (task) => task.complete()), "TASK_STATE_COMPLETED"],
    ["failed", act("fail", (task) => task.fail("no")), "TASK_STATE_FAILED"],
    ["rejected", act("reject", (task) => task.reject("no")), "TASK_STATE_REJECTED"],
  ])("of a task that has %s is TaskNotCancelable, and changes nothing", async (_, says, state) => {
    const client = createClient({ agent: "stage" });
    const before = await client.sendForTask(says);
    expect(await client.error("CancelTask", { id: before.id })).toMatchObject({
      code: -32002,
      data: [{ reason: "TASK_NOT_CANCELABLE", metadata: { taskId: before.id, state } }],
    });
    expect(await client.get(before.id)).toEqual(before);
  });

  it("of a canceled task is TaskNotCancelable", async () => {
    const client = createClient({ agent: "stage" });
    const { id } = await client.sendForTask(ask);
    await client.cancel(id);
    expect((await client.error("CancelTask", { id })).code).toBe(-32002);
  });

  it("by many at once succeeds once", async () => {
    const client = createClient({ agent: "stage" });
    const { id } = await client.start(act("hangs for many", () => forever));
    const answers = await Promise.all(Array.from({ length: 10 }, () => client.answer("CancelTask", { id })));
    expect(answers.filter(({ error }) => error?.code === -32002)).toHaveLength(9);
    expect(answers.filter(({ result }) => result)).toHaveLength(1);
  });

  it("of an unknown, forged or foreign task is TaskNotFound", async () => {
    const [mine, other] = [createClient({ agent: "stage" }), createClient({ agent: "stage" })];
    const theirs = await other.sendForTask(ask);
    const elsewhere = createClient({ agent: "conformance", owner: other.owner });
    for (const [client, id] of [
      [mine, theirs.id],
      [elsewhere, theirs.id],
      [mine, "0-018f0000-0000-7000-8000-000000000000"],
      [mine, "63-018f0000-0000-7000-8000-000000000000"],
      [mine, "__proto__"],
    ] as const) {
      expect((await client.error("CancelTask", { id })).code).toBe(-32001);
    }
    expect(await other.get(theirs.id)).toEqual(theirs);
  });

  it("answers with all of the task: history, artifacts, status", async () => {
    const says = act("makes things", async (task) => {
      await task.artifact({ artifactId: "a", parts: [{ text: "x" }] });
      await task.inputRequired("more?");
    });
    const client = createClient({ agent: "stage" });
    const before = await client.sendForTask(says);
    const after = await client.cancel(before.id);
    expect(after.artifacts).toEqual(before.artifacts);
    expect(after.history?.map(textOf)).toEqual([says, "more?"]);
  });
});
