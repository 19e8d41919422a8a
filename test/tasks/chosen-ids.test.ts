// Tasks whose ids their clients chose, as they did before A2A 0.2: a message continues the task of the id it names,
// or makes it. Over the operations; what such clients send is another test's matter.

import { env } from "cloudflare:test";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { execute } from "../../src/operations/index.ts";
import type { SendMessageResponse } from "../../src/protocol/requests.ts";
import type { Task } from "../../src/protocol/task.ts";
import { eventually, textOf } from "../support/client.ts";
import { advance, countCosts, crash, query, ring } from "../support/home.ts";
import { createOperations, type Operations, type Setting } from "../support/operations.ts";

vi.hoisted(() => vi.resetModules());
vi.mock("../../src/agents/registry.ts", async (original) => (await import("./stage.ts")).withStage(original));
const { act, runsOf } = await import("./stage.ts");

const UUID = "018f0000-0000-7000-8000-000000000000";
const ask = act("ask", (task) => task.inputRequired("?"));
const end = act("end", (task) => task.complete("!"));
const hang = act("hang", async (task) => {
  await task.working();
  await new Promise(() => {});
});

let names = 0;

/** The operations of a new owner on the stage; the home is that of an owner of open mode, so that it can be looked at. */
function operations(setting: Setting = {}) {
  names += 1;
  const name = `chosen-${names}`;
  return { name, ...createOperations({ agent: "stage", owner: `open::${name}`, ...setting }) };
}

const params = (says: string, taskId: string, more: object = {}) => ({
  message: { messageId: "m", role: "ROLE_USER", parts: [{ text: says }], taskId, ...more },
});

const chosen = { choosesTask: true };

async function send(on: Operations, says: string, id: string, more: object = {}, call = {}): Promise<Task> {
  const { task } = await on.value<SendMessageResponse>("SendMessage", params(says, id, more), {
    ...chosen,
    ...call,
  });
  if (!task) throw new Error("answered without a task");
  return task;
}

const refused = (on: Operations, says: string, id: string, more: object = {}) =>
  on.failure("SendMessage", params(says, id, more), chosen);
const count = async (on: Operations) => (await on.value<{ totalSize: number }>("ListTasks", {})).totalSize;
const get = (on: Operations, id: string) => on.value<Task>("GetTask", { id });
const rowsOf = async (name: string) => (await query(name, "SELECT seq FROM journal")).length;
const texts = (task: Task) => task.history?.map(textOf);

describe("a chosen id", () => {
  it("makes a task of that very id, with a context of its own", async () => {
    const on = operations();
    const task = await send(on, ask, "my task");
    expect(task).toMatchObject({ id: "my task", status: { state: "TASK_STATE_INPUT_REQUIRED" } });
    expect(task.contextId).toMatch(/^0-/);
    expect(task.history?.map((message) => message.taskId)).toEqual(["my task", "my task"]);
    expect(await get(on, "my task")).toEqual(task);
    expect(await count(on)).toBe(1);
  });

  it("continues the task that has it", async () => {
    const on = operations();
    await send(on, ask, "t");
    const task = await send(on, end, "t");
    expect(texts(task)).toEqual(["ask", "?", "end", "!"]);
    expect(await count(on)).toBe(1);
  });

  it("is refused when its task has ended: a task is not opened again", async () => {
    const on = operations();
    const task = await send(on, end, "t");
    expect(await refused(on, end, "t")).toMatchObject({
      reason: "UNSUPPORTED_OPERATION",
      metadata: { taskId: "t", state: "TASK_STATE_COMPLETED" },
    });
    expect(await get(on, "t")).toEqual(task);
  });

  it("is free again when its task has been removed", async () => {
    const on = operations();
    const first = await send(on, end, "t");
    advance(31 * 86_400_000);
    await ring(on.name);
    expect(await count(on)).toBe(0);
    const second = await send(on, ask, "t");
    expect(second.contextId).not.toBe(first.contextId);
    expect(texts(second)).toEqual(["ask", "?"]);
  });

  it("makes a task also where the agent only replies", async () => {
    const says = act("replies", (task) => task.reply("hello"));
    const on = operations();
    const task = await send(on, says, "t");
    expect(task).toMatchObject({ id: "t", status: { state: "TASK_STATE_COMPLETED" } });
    expect(texts(task)).toEqual([says, "hello"]);
  });

  it("lives in shard 0, however many there are", async () => {
    const on = operations({ settings: { homeShards: 8 } });
    for (let i = 0; i < 5; i++) {
      const { contextId = "" } = await send(on, ask, `t${i}`);
      expect(contextId).toMatch(/^0-/);
    }
    expect(await query(on.name, "SELECT id FROM tasks")).toHaveLength(5);
    expect(await count(on)).toBe(5);
  });

  it("streams the task it makes, and the one it continues", async () => {
    const on = operations();
    const lines = async (says: string) => {
      const answer = await on.run("SendStreamingMessage", params(says, "t"), chosen);
      if (answer.kind !== "stream") throw new Error("no stream");
      const text = await new Response(answer.lines).text();
      answer.release();
      return text.split("\n").filter((line) => line !== "");
    };
    const first = await lines(ask);
    expect(first[0]).toMatch(/^1 \{"task":\{"id":"t",/);
    expect(first.at(-1)).toContain("TASK_STATE_INPUT_REQUIRED");
    expect((await lines(end)).at(-1)).toContain("TASK_STATE_COMPLETED");
    expect(await count(on)).toBe(1);
  });

  it("takes a message without an id for its own call's", async () => {
    const on = operations();
    // What no schema of 1.0 lets through, and the translation of an older message makes.
    const message = { messageId: "", role: "ROLE_USER", parts: [{ text: ask }], taskId: "t" };
    await execute(on.deps, "SendMessage", { ...on.call, ...chosen, params: { message } });
    const [first] = (await get(on, "t")).history ?? [];
    expect(first?.messageId).toMatch(/^0-[0-9a-f-]{36}$/);
  });

  it("costs the rows of the task twice, and one commit like any other message", async () => {
    const on = operations();
    await send(on, end, "first");
    const costs = await countCosts(on.name);
    await send(on, end, "second");
    // Seven with the message, one of them the audit's, and five with the end: the task is stored twice.
    expect(await costs()).toMatchObject({ rows: 12, alarms: 0 });
  });
});

describe("what cannot be chosen", () => {
  it.each([`0-${UUID}`, `3-${UUID}`, `4-${UUID}`, `9999-${UUID}`])(
    "is an id of our own form that no task has: %s",
    async (id) => {
      const on = operations({ settings: { homeShards: 4 } });
      expect(await refused(on, end, id)).toMatchObject({
        reason: "TASK_NOT_FOUND",
        metadata: { taskId: id },
      });
      expect(await count(on)).toBe(0);
    },
  );

  it("is continued when the server has made it", async () => {
    const on = operations({ settings: { homeShards: 4 } });
    const { task } = await on.value<SendMessageResponse>("SendMessage", {
      message: { messageId: "m", role: "ROLE_USER", parts: [{ text: ask }] },
    });
    const { id = "" } = task ?? {};
    expect(texts(await send(on, end, id, { contextId: "another" }))).toEqual(["ask", "?", "end", "!"]);
  });

  it.each([
    ["longer than 256 characters", "x".repeat(257), "message.taskId must be at most 256 characters long"],
    ["longer than any id", "x".repeat(513), "message.taskId must be at most 512 characters long"],
    ["with a control character", "a\u0000b", "message.taskId must not contain control characters"],
    ["that no URL can hold", "..", "message.taskId must not be . or .., which no URL can hold"],
    ["that no URL can hold either", ".", "message.taskId must not be . or .., which no URL can hold"],
    ["half of a surrogate pair", "\ud800", "message.taskId must not contain a lone surrogate"],
  ])("is an id %s", async (_, id, says) => {
    const on = operations();
    expect((await refused(on, end, id)).message).toContain(says);
    expect(await count(on)).toBe(0);
  });

  it.each(["x".repeat(256), "é/..?#%00 ", "__proto__", "constructor", "😀", "t".padEnd(200, ".")])(
    "is not %j: it is an id like any other",
    async (id) => {
      const on = operations();
      expect((await send(on, ask, id)).id).toBe(id);
      expect(texts(await send(on, end, id))).toEqual(["ask", "?", "end", "!"]);
      await crash();
      expect((await get(on, id)).id).toBe(id);
    },
  );
});

describe("the context of a chosen task", () => {
  it("is the client's, when the task is new", async () => {
    const on = operations();
    const task = await send(on, ask, "t", { contextId: "session" });
    expect(task.contextId).toBe("session");
    const { tasks } = await on.value<{ tasks: Task[] }>("ListTasks", { contextId: "session" });
    expect(tasks.map(({ id }) => id)).toEqual(["t"]);
  });

  it("stays what it is when a later message names another", async () => {
    const on = operations();
    await send(on, ask, "t", { contextId: "session" });
    const task = await send(on, end, "t", { contextId: "another" });
    expect(task.contextId).toBe("session");
    expect(task.history?.map((message) => message.contextId)).toEqual(new Array(4).fill("session"));
  });

  it("may be one that the server made for such a task, and not one of another shard", async () => {
    const on = operations({ settings: { homeShards: 4 } });
    const first = await send(on, end, "a");
    expect((await send(on, end, "b", { contextId: first.contextId })).contextId).toBe(first.contextId);
    for (const contextId of [`3-${UUID}`, `4-${UUID}`]) {
      expect((await refused(on, end, "c", { contextId })).message).toContain("message.contextId belongs to");
    }
    expect(await count(on)).toBe(2);
  });
});

describe("an id that somebody else has chosen", () => {
  it("is free for every other owner", async () => {
    const [mine, theirs] = [operations(), operations()];
    await send(theirs, ask, "t");
    expect(texts(await send(mine, end, "t"))).toEqual(["end", "!"]);
    expect(texts(await get(theirs, "t"))).toEqual(["ask", "?"]);
  });

  it("at another agent of the same owner is neither taken over nor shown", async () => {
    const on = operations();
    const task = await send(on, ask, "t", { contextId: "secret context" });
    const other = createOperations({ agent: "echo", owner: on.owner });
    const failure = await refused(other, "hello", "t");
    // The answer to any id that is not there.
    expect(failure).toEqual({
      ...(await refused(other, "hello", `0-${UUID}`)),
      metadata: { taskId: "t" },
    });
    expect((await other.failure("GetTask", { id: "t" })).reason).toBe("TASK_NOT_FOUND");
    expect(await count(other)).toBe(0);
    expect(await get(on, "t")).toEqual(task);
  });
});

describe("an Idempotency-Key", () => {
  const key = { idempotencyKey: "k" };

  it("makes a repeated creation the same task, and not a message to it", async () => {
    const on = operations();
    const first = await send(on, ask, "t", {}, key);
    expect(await send(on, ask, "t", {}, key)).toEqual(first);
    await crash();
    expect(await send(on, ask, "t", {}, key)).toEqual(first);
    expect(texts(await send(on, end, "t"))).toEqual(["ask", "?", "end", "!"]);
    // The task has ended: without the key this would be refused.
    expect((await send(on, ask, "t", {}, key)).status.state).toBe("TASK_STATE_COMPLETED");
  });

  it("is refused with another id", async () => {
    const on = operations();
    await send(on, ask, "t", {}, key);
    const failure = await on.failure("SendMessage", params(ask, "u"), { ...chosen, ...key });
    expect(failure.violations?.[0]?.field).toBe("Idempotency-Key");
  });
});

describe("a chosen task at work", () => {
  it("runs again under its id when its object dies", async () => {
    const on = operations();
    await on.run(
      "SendMessage",
      { ...params(hang, "at work"), configuration: { returnImmediately: true } },
      chosen,
    );
    await crash();
    expect((await get(on, "at work")).status.state).toBe("TASK_STATE_WORKING");
    await eventually(async () => runsOf(hang, "at work") === 2);
    expect((await on.value<Task>("CancelTask", { id: "at work" })).status.state).toBe("TASK_STATE_CANCELED");
  });
});

// Last: the runtime does not survive a crash of objects after what these do with promises of two isolates' calls.

describe("two messages that choose the same id at once", () => {
  it("are one task: the first makes it, the others continue it", async () => {
    const says = act("asks", (task, run) => task.inputRequired(`${run}?`));
    const on = operations();
    await Promise.all(Array.from({ length: 5 }, () => send(on, says, "t")));
    expect(await count(on)).toBe(1);
    expect(runsOf(says, "t")).toBe(5);
    expect(texts(await get(on, "t"))?.filter((text) => text === says)).toHaveLength(5);
  });

  it("are one task also when the agent has done nothing yet", async () => {
    const gate = Promise.withResolvers<void>();
    const begun = Promise.withResolvers<void>();
    const says = act("thinks first", async (task, run) => {
      begun.resolve();
      if (run === 1) await gate.promise;
      await task.inputRequired("?");
    });
    const on = operations();
    const first = send(on, says, "t");
    await begun.promise;
    const second = send(on, says, "t");
    await eventually(async () => (await rowsOf(on.name)) === 2);
    gate.resolve();
    await Promise.all([first, second]);
    expect(await count(on)).toBe(1);
    expect(runsOf(says, "t")).toBe(2);
  });
});

describe("a call whose answer is lost", () => {
  const fates: ("lose" | Promise<void>)[] = [];
  const lost = () => Object.assign(new Error("Network connection lost."), { retryable: true });
  const unreliable = new Proxy(env.HOMES, {
    get(target, name) {
      if (name !== "get") return (Reflect.get(target, name) as (...args: unknown[]) => unknown).bind(target);
      return (id: DurableObjectId) =>
        new Proxy(target.get(id), {
          get: (stub, method) => {
            const member: unknown = Reflect.get(stub, method);
            return async (...args: unknown[]) => {
              const fate = fates.shift();
              const answer = Reflect.apply(member as never, stub, args) as Promise<unknown>;
              if (fate === undefined) return answer;
              await (fate === "lose" ? answer : fate);
              throw lost();
            };
          },
        });
    },
  });

  beforeEach(() => {
    fates.length = 0;
  });

  it("makes the chosen task once", async () => {
    const on = operations({ homes: unreliable });
    fates.push("lose");
    const task = await send(on, ask, "t");
    expect(texts(task)).toEqual(["ask", "?"]);
    expect(runsOf(ask, "t")).toBeGreaterThan(0);
    expect(await count(on)).toBe(1);
  });

  it("makes it once also while its agent thinks", async () => {
    const gate = Promise.withResolvers<void>();
    const begun = Promise.withResolvers<void>();
    const says = act("thinks a while", async (task) => {
      begun.resolve();
      await gate.promise;
      await task.complete("thought");
    });
    const on = operations({ homes: unreliable });
    fates.push(begun.promise);
    const sent = send(on, says, "lost while thinking");
    await begun.promise;
    await scheduler.wait(50);
    gate.resolve();
    expect(texts(await sent)).toEqual([says, "thought"]);
    expect(runsOf(says, "lost while thinking")).toBe(1);
  });

  it("continues it once, and a message of the same call is no follow-up of itself", async () => {
    const on = operations({ homes: unreliable });
    await send(on, ask, "t");
    fates.push("lose");
    expect(texts(await send(on, ask, "t"))).toEqual(["ask", "?", "ask", "?"]);
  });

  it("is one follow-up of the task that another call has made", async () => {
    const on = operations({ homes: unreliable });
    const rival = createOperations({ agent: "stage", owner: on.owner });
    await send(rival, ask, "t");
    fates.push("lose");
    expect(texts(await send(on, end, "t"))).toEqual(["ask", "?", "end", "!"]);
  });
});
