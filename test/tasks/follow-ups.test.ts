// Follow-ups (§3.4.3): messages that name a task, which waits for them, is at work, has ended or is not theirs.

import { describe, expect, it, vi } from "vitest";
import { type Client, createClient, eventually, textOf } from "../support/client.ts";

vi.hoisted(() => vi.resetModules());
vi.mock("../../src/agents/registry.ts", async (original) => (await import("./stage.ts")).withStage(original));
const { act, forever, runsOf } = await import("./stage.ts");

const INPUT = "TASK_STATE_INPUT_REQUIRED";
const COMPLETED = "TASK_STATE_COMPLETED";
const text = (value: string) => [{ text: value }];
const message = (says: string, more: object = {}) => ({
  message: { messageId: "m", role: "ROLE_USER", parts: text(says), ...more },
});
const historyOf = (task: { history?: { parts: { text?: string }[] }[] | undefined }) =>
  task.history?.map((entry) => entry.parts[0]?.text);

const ask = act("ask", (task) => task.inputRequired("?"));
const end = act("end", (task) => task.complete("!"));

describe("a follow-up", () => {
  it("on a task that waits begins its next turn, with the whole conversation", async () => {
    const client = createClient({ agent: "stage" });
    const seen: unknown[] = [];
    const looks = act("looks back", async (task) => {
      seen.push(historyOf({ history: [...task.history] }), task.input.text);
      await task.complete("done");
    });
    const { id, contextId } = await client.sendForTask(ask);
    const task = await client.sendForTask({ says: looks, taskId: id });
    expect(seen).toEqual([["ask", "?", "looks back"], "looks back"]);
    expect(task).toMatchObject({ id, contextId, status: { state: COMPLETED } });
    expect(historyOf(task)).toEqual(["ask", "?", "looks back", "done"]);
  });

  it("takes its context from the task, or names it rightly", async () => {
    const client = createClient({ agent: "stage" });
    const { id, contextId } = await client.sendForTask({ says: ask, contextId: "ctx" });
    expect((await client.sendForTask({ says: ask, taskId: id })).contextId).toBe("ctx");
    expect(
      (await client.sendForTask({ says: end, taskId: id, contextId: contextId ?? "" })).status.state,
    ).toBe(COMPLETED);
  });

  it("with another context than its task's is refused and not kept (§3.4.3)", async () => {
    const client = createClient({ agent: "stage" });
    const before = await client.sendForTask(ask);
    const other = await client.sendForTask({ says: ask, contextId: "other" });
    for (const contextId of ["other", "unknown", `${before.contextId} `]) {
      const error = await client.error("SendMessage", message(end, { taskId: before.id, contextId }));
      expect(error).toMatchObject({ code: -32602 });
      expect(JSON.stringify(error.data)).toContain("message.contextId");
    }
    expect(await client.get(before.id)).toEqual(before);
    expect(await client.get(other.id)).toEqual(other);
  });

  it.each([
    ["completed", end],
    ["failed", act("fail", (task) => task.fail("no"))],
    ["rejected", act("reject", (task) => task.reject("no"))],
  ])("on a task that has %s is UnsupportedOperation, and not kept", async (_, says) => {
    const client = createClient({ agent: "stage" });
    const before = await client.sendForTask(says);
    for (const method of ["SendMessage", "SendStreamingMessage"]) {
      expect(await client.error(method, message(end, { taskId: before.id }))).toMatchObject({
        code: -32004,
        data: [{ reason: "UNSUPPORTED_OPERATION", metadata: { taskId: before.id } }],
      });
    }
    expect(await client.get(before.id)).toEqual(before);
  });

  it("on a canceled task is UnsupportedOperation", async () => {
    const client = createClient({ agent: "stage" });
    const { id } = await client.sendForTask(ask);
    await client.cancel(id);
    expect((await client.error("SendMessage", message(end, { taskId: id }))).code).toBe(-32004);
  });

  it("on an unknown, forged or foreign task is TaskNotFound, all alike, and makes none", async () => {
    const [mine, other] = [createClient({ agent: "stage" }), createClient({ agent: "stage" })];
    const theirs = await other.sendForTask(ask);
    const elsewhere = await createClient({ agent: "conformance", owner: mine.owner }).sendForTask("input");
    const forged = [
      "nothing",
      "0-018f0000-0000-7000-8000-000000000000",
      "9-018f0000-0000-7000-8000-000000000000",
    ];
    const errors = await Promise.all(
      [theirs.id, elsewhere.id, ...forged].map((taskId) =>
        mine.error("SendMessage", message(end, { taskId })),
      ),
    );
    for (const { code, message: said, data } of errors) {
      expect([code, said, data[0]?.reason, Object.keys(data[0]?.metadata ?? {})]).toEqual([
        -32001,
        "Task not found",
        "TASK_NOT_FOUND",
        ["taskId"],
      ]);
    }
    expect((await mine.list()).totalSize).toBe(0);
    expect(await other.get(theirs.id)).toEqual(theirs);
  });
});

describe("a message to a task at work", () => {
  /** A task whose first turn asks when `let go` is called. */
  async function busy(client: Client, name: string) {
    const gate = Promise.withResolvers<void>();
    const says = act(name, async (task) => {
      await task.working();
      await gate.promise;
      await task.inputRequired(`${name}?`);
    });
    const { id } = await client.start(says);
    return { id, letGo: () => gate.resolve() };
  }

  it("waits for the turn's end and is answered by the next", async () => {
    const client = createClient({ agent: "stage" });
    const { id, letGo } = await busy(client, "first");
    const queued = client.sendForTask({ says: end, taskId: id });
    await eventually(async () => (await client.get(id)).history?.length === 2);
    expect((await client.get(id)).status.state).toBe("TASK_STATE_WORKING");
    letGo();
    const task = await queued;
    expect(task.status.state).toBe(COMPLETED);
    expect(historyOf(task)).toEqual(["first", "end", "first?", "!"]);
    expect(runsOf(end, id)).toBe(1);
  });

  it("is one of several, each answered in the order they came", async () => {
    const client = createClient({ agent: "stage" });
    const order: string[] = [];
    const says = ["a", "b", "c"].map((name) =>
      act(`queued ${name}`, async (task) => {
        order.push(name);
        await task.inputRequired(`${name}?`);
      }),
    );
    const { id, letGo } = await busy(client, "several");
    for (const one of says) {
      await client.send({ says: one, taskId: id }, { configuration: { returnImmediately: true } });
    }
    letGo();
    await eventually(async () => order.length === 3);
    const task = await client.get(id);
    expect(order).toEqual(["a", "b", "c"]);
    expect(task.status.state).toBe(INPUT);
    expect(task.history?.filter(({ role }) => role === "ROLE_AGENT").map(textOf)).toEqual([
      "several?",
      "a?",
      "b?",
      "c?",
    ]);
  });

  it("is answered with the task when that ends without it", async () => {
    const client = createClient({ agent: "stage" });
    const gate = Promise.withResolvers<void>();
    const says = act("ends soon", async (task) => {
      await task.working();
      await gate.promise;
      await task.complete("too late");
    });
    const { id } = await client.start(says);
    const queued = client.sendForTask({ says: end, taskId: id });
    await eventually(async () => (await client.get(id)).history?.length === 2);
    gate.resolve();
    expect(await queued).toMatchObject({
      id,
      status: { state: COMPLETED, message: { parts: text("too late") } },
    });
    expect(runsOf(end, id)).toBe(0);
  });

  it("leaves the sender before it with the answer of its own turn", async () => {
    const client = createClient({ agent: "stage" });
    const gate = Promise.withResolvers<void>();
    const says = act("asks when let", async (task) => {
      await task.working();
      await gate.promise;
      await task.inputRequired("What?");
    });
    const first = client.sendForTask(says);
    const { id } = await eventually(async () => (await client.list()).tasks[0]);
    const hangs = act("hangs", () => forever);
    await client.send({ says: hangs, taskId: id }, { configuration: { returnImmediately: true } });
    gate.resolve();
    expect(historyOf(await first)).toContain("What?");
    await client.cancel(id);
  });
});
