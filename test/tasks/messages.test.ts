// What a message means for a task (§3.1.1, §3.4): new tasks, follow-ups in each state, contexts, and how much of
// the history comes back.

import { env } from "cloudflare:test";
import { describe, expect, it, vi } from "vitest";
import { type Client, createClient, eventually, textOf } from "../support/client.ts";
import { query } from "../support/home.ts";

vi.hoisted(() => vi.resetModules());
vi.mock("../../src/agents/registry.ts", async (original) => (await import("./stage.ts")).withStage(original));
const { act, forever, runsOf } = await import("./stage.ts");

const OWN_ID = /^0-[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
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

describe("SendMessage without a task", () => {
  it("makes a task with ids of the server, the message in its history, and answers when it has ended", async () => {
    const task = await createClient().sendForTask("hello");
    expect(task.id).toMatch(OWN_ID);
    expect(task.contextId).toMatch(OWN_ID);
    expect(task.status).toMatchObject({
      state: COMPLETED,
      timestamp: expect.stringMatching(/^\d{4}-.*\.\d{3}Z$/),
    });
    expect(task.history).toMatchObject([
      { role: "ROLE_USER", parts: text("hello"), taskId: task.id, contextId: task.contextId },
    ]);
    expect(task.artifacts?.map(({ parts }) => parts)).toEqual([text("echo: hello")]);
  });

  it("waits for a terminal or interrupted state (§3.2.2)", async () => {
    const client = createClient({ agent: "conformance" });
    expect((await client.sendForTask("slow:80")).status.state).toBe(COMPLETED);
    expect((await client.sendForTask("input")).status.state).toBe(INPUT);
    expect((await client.sendForTask("auth")).status.state).toBe("TASK_STATE_AUTH_REQUIRED");
  });

  it("answers as soon as the task exists with returnImmediately, and the task goes on", async () => {
    const client = createClient({ agent: "conformance" });
    const begin = Date.now();
    const { id, status } = await client.start("slow:300");
    expect(Date.now() - begin).toBeLessThan(250);
    expect(["TASK_STATE_SUBMITTED", "TASK_STATE_WORKING"]).toContain(status.state);
    await eventually(async () => (await client.get(id)).status.state === COMPLETED);
  });

  it("makes a task with returnImmediately even of what would be a Message, and the Message completes it", async () => {
    const client = createClient({ agent: "conformance" });
    const { id } = await client.start("message");
    const task = await eventually(async () => {
      const task = await client.get(id);
      return task.status.state === COMPLETED && task;
    });
    expect(textOf(task.status.message)).toBe("Direct message response");
  });

  it("answered with a Message stores nothing (§3.1.1)", async () => {
    const client = createClient({ agent: "conformance" });
    await client.sendForTask("hello");
    const tables = async () =>
      Promise.all(
        ["tasks", "journal", "idempotency", "memory"].map((table) =>
          query(client.owner, `SELECT * FROM ${table}`),
        ),
      );
    const before = await tables();
    const answer = await client.send("message");
    expect(answer.message).toMatchObject({ role: "ROLE_AGENT", contextId: expect.stringMatching(OWN_ID) });
    expect(answer.message).not.toHaveProperty("taskId");
    expect(await tables()).toEqual(before);
  });

  it("with the same messageId twice makes two tasks: that alone is no duplicate", async () => {
    const client = createClient();
    const first = await client.sendForTask({ says: "hello", messageId: "same" });
    const second = await client.sendForTask({ says: "hello", messageId: "same" });
    expect(second.id).not.toBe(first.id);
  });
});

describe("a contextId", () => {
  it("of the client's own is kept, and later tasks join it (§3.4.1)", async () => {
    const client = createClient();
    const first = await client.sendForTask({ says: "one", contextId: "my context" });
    const second = await client.sendForTask({ says: "two", contextId: "my context" });
    expect([first.contextId, second.contextId]).toEqual(["my context", "my context"]);
    expect(second.id).not.toBe(first.id);
    const list = await client.list({ contextId: "my context" });
    expect(list.tasks.map(({ id }) => id)).toEqual([second.id, first.id]);
  });

  it("that the server made is joined by the next task", async () => {
    const client = createClient();
    const first = await client.sendForTask("one");
    const second = await client.sendForTask({ says: "two", contextId: first.contextId ?? "" });
    expect(second.contextId).toBe(first.contextId);
  });

  it("of another owner makes no way into that owner's context", async () => {
    const [mine, other] = [createClient(), createClient()];
    const { contextId } = await mine.sendForTask({ says: "mine", contextId: "shared name" });
    await other.sendForTask({ says: "theirs", contextId: contextId ?? "" });
    expect((await mine.list({ contextId })).totalSize).toBe(1);
    expect((await other.list({ contextId })).totalSize).toBe(1);
  });

  it("of our form with a shard that does not exist is refused without asking any object", async () => {
    const client = createClient();
    const contextId = "1-018f0000-0000-7000-8000-000000000000";
    const get = vi.spyOn(env.HOMES, "get");
    const error = await client.error("SendMessage", message("x", { contextId }));
    expect(error).toMatchObject({ code: -32602 });
    expect(JSON.stringify(error.data)).toContain("message.contextId");
    expect(get).not.toHaveBeenCalled();
    get.mockRestore();
  });

  it.each([
    "00-018f0000-0000-7000-8000-000000000000",
    "1-018f0000-0000-4000-8000-000000000000",
    "-1-018f0000-0000-7000-8000-000000000000",
    "1-018F0000-0000-7000-8000-000000000000",
    "__proto__",
    "../1",
    "é\u{1F600}",
  ])("that only looks like ours, or like an attack, is the client's own: %s", async (contextId) => {
    const client = createClient();
    expect((await client.sendForTask({ says: "x", contextId })).contextId).toBe(contextId);
    expect((await client.list({ contextId })).totalSize).toBe(1);
  });
});

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

describe("historyLength", () => {
  const all = ["ask", "?", "ask", "?", "end", "!"];

  async function conversation(client: Client, configuration?: object) {
    const { id } = await client.sendForTask(ask);
    await client.sendForTask({ says: ask, taskId: id });
    return client.sendForTask({ says: end, taskId: id }, configuration && { configuration });
  }

  it.each<[number | undefined, string[] | undefined]>([
    [undefined, all],
    [0, undefined],
    [1, all.slice(-1)],
    [4, all.slice(-4)],
    [6, all],
    [100, all],
  ])(
    "%s gives the newest of them, oldest first, from send, get and list alike (§3.2.4)",
    async (n, expected) => {
      const client = createClient({ agent: "stage" });
      const sent = await conversation(client, n === undefined ? undefined : { historyLength: n });
      const { tasks } = await client.list(n === undefined ? {} : { historyLength: n });
      for (const task of [sent, await client.get(sent.id, n), tasks[0] ?? {}]) {
        expect(historyOf(task)).toEqual(expected);
        if (expected === undefined) expect(task).not.toHaveProperty("history");
      }
      // The status keeps its message, whatever the history.
      expect(textOf(sent.status.message)).toBe("!");
      expect(textOf(tasks[0]?.status.message)).toBe("!");
    },
  );

  it("that is negative or no integer is refused", async () => {
    const client = createClient();
    const { id } = await client.sendForTask("hello");
    for (const historyLength of [-1, 1.5, "x", 2 ** 31]) {
      expect((await client.error("GetTask", { id, historyLength })).code).toBe(-32602);
      expect((await client.error("ListTasks", { historyLength })).code).toBe(-32602);
      const configuration = { historyLength };
      expect((await client.error("SendMessage", { ...message("x"), configuration })).code).toBe(-32602);
    }
    expect((await client.list()).totalSize).toBe(1);
  });
});

describe("reply()", () => {
  it("after another act completes the task with its text", async () => {
    const says = act("works, then replies", async (task) => {
      await task.artifact({ parts: text("a") });
      await task.reply("That was it.");
    });
    const task = await createClient({ agent: "stage" }).sendForTask(says);
    expect(task.status).toMatchObject({
      state: COMPLETED,
      message: { parts: text("That was it."), taskId: task.id },
    });
  });

  it("to a follow-up completes its task: the task is there already", async () => {
    const client = createClient({ agent: "stage" });
    const { id } = await client.sendForTask(ask);
    const task = await client.sendForTask({ says: act("reply", (task) => task.reply("Bye")), taskId: id });
    expect(task).toMatchObject({ id, status: { state: COMPLETED, message: { parts: text("Bye") } } });
  });
});
