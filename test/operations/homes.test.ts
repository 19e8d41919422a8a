// Which home a call goes to, and what happens when the home does not answer as it should (design.md, rules 1 to 4).

import { env, listDurableObjectIds, runInDurableObject } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import { mintId, randomShard, shardOf, shardOfKey } from "../../src/operations/homes.ts";
import type { Deps } from "../../src/operations/index.ts";
import { operations } from "../../src/protocol/operations.ts";
import type { ListTasksResponse, SendMessageResponse } from "../../src/protocol/requests.ts";
import type { Task } from "../../src/protocol/task.ts";
import { textOf } from "../support/client.ts";
import { createOperations, type Operations } from "../support/operations.ts";

type Homes = Deps["homes"];
type Method = (...args: unknown[]) => Promise<unknown>;
type Around = (method: string, call: () => Promise<unknown>, args: unknown[]) => Promise<unknown>;

const UUID = "018f0000-0000-7000-8000-000000000000";

const message = (text: string, more: object = {}) => ({
  message: { messageId: crypto.randomUUID(), role: "ROLE_USER", parts: [{ text }], ...more },
});

async function send(on: Operations, text: string, more: object = {}, key?: string): Promise<Task> {
  const call = key === undefined ? {} : { idempotencyKey: key };
  const { task } = await on.value<SendMessageResponse>("SendMessage", message(text, more), call);
  if (!task) throw new Error("answered without a task");
  return task;
}

/** The real homes, with every call of a method passing `around`. Each object asked for is noted in `asked`. */
function homesThrough(around: Around) {
  const asked: string[] = [];
  let stubs = 0;
  const homes = {
    idFromName(name: string) {
      asked.push(name);
      return env.HOMES.idFromName(name);
    },
    get(id: DurableObjectId) {
      stubs += 1;
      const stub = env.HOMES.get(id) as unknown as Record<string, Method>;
      return new Proxy(
        {},
        {
          get:
            (_, method: string) =>
            (...args: unknown[]) =>
              around(method, () => (stub[method] as Method)(...args), args),
        },
      );
    },
  };
  return { homes: homes as unknown as Homes, asked, stubs: () => stubs };
}

const broken = (properties: object) => Object.assign(new Error("Network connection lost."), properties);

describe("an id", () => {
  it("names its shard and is found there, whatever its shard", () => {
    for (const shard of [0, 1, 9, 10, 63]) expect(shardOf(mintId(shard, Date.now()), 64)).toBe(shard);
  });

  it.each([
    [`4-${UUID}`, 4, undefined],
    [`4-${UUID}`, 5, 4],
    [`64-${UUID}`, 64, undefined],
    [`9999-${UUID}`, 64, undefined],
    [`0-${UUID}`, 1, 0],
  ])("%s of %i shards is in shard %s", (id, shards, shard) => {
    expect(shardOf(id, shards)).toBe(shard);
  });

  it.each([
    `00-${UUID}`,
    `01-${UUID}`,
    `+1-${UUID}`,
    `-1-${UUID}`,
    ` 1-${UUID}`,
    `1-${UUID} `,
    `1-${UUID}\n`,
    `1e1-${UUID}`,
    `0x1-${UUID}`,
    `1.0-${UUID}`,
    `\u0661-${UUID}`,
    `10000-${UUID}`,
    `1-${UUID.toUpperCase()}`,
    `1-${UUID.replace("-7", "-4")}`,
    `1-${UUID.replace("-8", "-c")}`,
    `1_${UUID}`,
    `1-${UUID}-1`,
    UUID,
    "1",
    "",
    "a client's own",
  ])("%j is not of our own form, and so in shard 0", (id) => {
    expect(shardOf(id, 64)).toBe(0);
  });

  it("is spread over all shards, at random or by key, and a key always meets itself", () => {
    const random = new Set(Array.from({ length: 400 }, () => randomShard(8)));
    expect([...random].toSorted()).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    const keyed = Array.from({ length: 400 }, (_, i) => shardOfKey(`key-${i}`, 8));
    expect([...new Set(keyed)].toSorted()).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect(Array.from({ length: 400 }, (_, i) => shardOfKey(`key-${i}`, 8))).toEqual(keyed);
    for (const shards of [1, 3, 64]) expect(shardOfKey("", shards)).toBeLessThan(shards);
  });
});

describe("a task id of a shard that does not exist", () => {
  const operations = ["GetTask", "CancelTask", "SubscribeToTask"] as const;

  it.each(operations)("is TaskNotFound for %s without touching an object", async (name) => {
    const { homes, asked } = homesThrough((_, call) => call());
    const on = createOperations({ settings: { homeShards: 4 }, homes });
    const id = `4-${UUID}`;
    const failure = await on.failure(name, { id });
    expect(failure).toMatchObject({ reason: "TASK_NOT_FOUND", metadata: { taskId: id } });
    expect(asked).toEqual([]);
    // No object says it in other words.
    expect(failure).toEqual({ ...(await on.failure(name, { id: `3-${UUID}` })), metadata: { taskId: id } });
  });

  it.each(["SendMessage", "SendStreamingMessage"] as const)("is TaskNotFound for %s", async (name) => {
    const { homes, asked } = homesThrough((_, call) => call());
    const on = createOperations({ settings: { homeShards: 4 }, homes });
    expect(await on.failure(name, message("hi", { taskId: `4-${UUID}` }))).toMatchObject({
      reason: "TASK_NOT_FOUND",
    });
    expect(asked).toEqual([]);
  });

  it("makes no object that lasts when it is a stranger's text", async () => {
    const before = (await listDurableObjectIds(env.HOMES)).length;
    const on = createOperations({ settings: { homeShards: 4 } });
    for (const id of ["nothing", `99-${UUID}`, "__proto__"]) await on.failure("GetTask", { id });
    expect((await listDurableObjectIds(env.HOMES)).length - before).toBeLessThanOrEqual(1);
  });
});

describe("a new task", () => {
  it("gets ids of one shard, and its context stays there", async () => {
    const on = createOperations({ settings: { homeShards: 4 } });
    for (let i = 0; i < 8; i++) {
      const first = await send(on, "hello");
      expect(shardOf(first.id, 4)).toBe(shardOf(first.contextId ?? "", 4));
      const second = await send(on, "hello", { contextId: first.contextId });
      expect(second.contextId).toBe(first.contextId);
      expect(shardOf(second.id, 4)).toBe(shardOf(first.id, 4));
    }
  });

  it("with a client's own contextId lives in shard 0, also one that looks almost like ours", async () => {
    const on = createOperations({ settings: { homeShards: 4 } });
    for (const contextId of ["mine", `03-${UUID}`, `3-${UUID.replace("-7", "-4")}`, "3", "../3", "3/3"]) {
      const task = await send(on, "hello", { contextId });
      expect(task.contextId).toBe(contextId);
      expect(task.id.startsWith("0-")).toBe(true);
    }
  });

  it("with a contextId of our form and a shard that does not exist is refused, never silently moved (§3.4.1)", async () => {
    const { homes, asked } = homesThrough((_, call) => call());
    const on = createOperations({ settings: { homeShards: 4 }, homes });
    expect(await on.failure("SendMessage", message("hi", { contextId: `7-${UUID}` }))).toMatchObject({
      reason: "INVALID_PARAMS",
      violations: [{ field: "message.contextId" }],
    });
    expect(asked).toEqual([]);
  });

  it("cannot be given its id by a client (§3.4.2)", async () => {
    const on = createOperations({ settings: { homeShards: 4 } });
    for (const taskId of [`0-${UUID}`, `2-${UUID}`, "mine"]) {
      expect((await on.failure("SendMessage", message("hi", { taskId }))).reason).toBe("TASK_NOT_FOUND");
    }
    expect((await on.value<ListTasksResponse>("ListTasks", {})).totalSize).toBe(0);
  });

  it("meets itself by its Idempotency-Key in whatever shard", async () => {
    const on = createOperations({ settings: { homeShards: 16 } });
    const body = message("hello");
    for (let i = 0; i < 10; i++) {
      const call = { idempotencyKey: `key-${i}` };
      const [one, two] = await Promise.all([
        on.value<SendMessageResponse>("SendMessage", body, call),
        on.value<SendMessageResponse>("SendMessage", body, call),
      ]);
      expect(one.task?.id).toBe(two.task?.id);
      expect(shardOf(one.task?.id ?? "", 16)).toBe(shardOfKey(`key-${i}`, 16));
    }
    expect((await on.value<ListTasksResponse>("ListTasks", {})).totalSize).toBe(10);
  });
});

describe("a raise of HOME_SHARDS", () => {
  it("keeps every task and context where it was", async () => {
    const before = createOperations({ settings: { homeShards: 2 } });
    const tasks = [
      await send(before, "input"),
      await send(before, "input"),
      await send(before, "input", { contextId: "mine" }),
      await send(before, "hello"),
    ];
    const after = createOperations({ settings: { homeShards: 8 }, owner: before.owner });
    for (const task of tasks) expect(await after.value("GetTask", { id: task.id })).toEqual(task);
    const list = await after.value<ListTasksResponse>("ListTasks", {});
    expect(list.totalSize).toBe(4);
    const [first] = tasks as [Task];
    expect((await send(after, "more", { taskId: first.id })).status.state).toBe("TASK_STATE_COMPLETED");
    const again = await send(after, "hello", { contextId: first.contextId });
    expect(shardOf(again.id, 8)).toBe(shardOf(first.id, 8));
    const mine = await after.value<ListTasksResponse>("ListTasks", { contextId: "mine" });
    expect(mine.tasks.map((task) => task.id)).toEqual([tasks[2]?.id]);
  });
});

describe("a home whose answer is lost", () => {
  /** Loses the answer of the first call of each method that has been carried out. */
  function losing(times = 1) {
    const calls: string[] = [];
    return {
      calls,
      ...homesThrough(async (method, call) => {
        calls.push(method);
        const answer = await call();
        if (calls.filter((name) => name === method).length <= times) throw broken({ retryable: true });
        return answer;
      }),
    };
  }

  it("is called once more through a new stub, with the same ids, and there is one task", async () => {
    const { homes, calls, stubs } = losing();
    const on = createOperations({ homes });
    const task = await send(on, "hello");
    expect(task.status.state).toBe("TASK_STATE_COMPLETED");
    expect(task.artifacts?.[0]?.parts[0]?.text).toBe("echo: hello");
    expect(calls).toEqual(["send", "send"]);
    expect(stubs()).toBe(2);
    expect(
      (await createOperations({ owner: on.owner }).value<ListTasksResponse>("ListTasks", {})).totalSize,
    ).toBe(1);
  });

  it("has the stream of the one task when it is called once more", async () => {
    const { homes } = losing();
    const on = createOperations({ homes });
    const answer = await on.run("SendStreamingMessage", message("stream:3:10"));
    if (answer.kind !== "stream") throw new Error("no stream");
    const lines = (await new Response(answer.lines).text()).trim().split("\n");
    expect(lines[0]).toContain('"task"');
    expect(lines.at(-1)).toContain("TASK_STATE_COMPLETED");
    expect((await on.value<ListTasksResponse>("ListTasks", {})).totalSize).toBe(1);
  });

  it("takes a follow-up once", async () => {
    const real = createOperations();
    const { id } = await send(real, "input");
    const on = createOperations({ owner: real.owner, homes: losing().homes });
    const task = await send(on, "the answer", { taskId: id });
    expect(task.status.state).toBe("TASK_STATE_COMPLETED");
    const answers = (task.history ?? []).filter((one) => textOf(one) === "the answer");
    expect(answers).toHaveLength(1);
  });

  it("takes one answer of an interview as one answer", async () => {
    const real = createOperations({ agent: "interview" });
    const { id } = await send(real, "hello");
    const on = createOperations({ owner: real.owner, agent: "interview", homes: losing().homes });
    const task = await send(on, "Ada", { taskId: id });
    expect(textOf(task.status.message)).toBe("Nice to meet you, Ada. What is your role?");
  });

  it("takes the same follow-up text twice when it was sent twice", async () => {
    const on = createOperations({ agent: "interview" });
    const { id } = await send(on, "hello");
    await send(on, "Ada", { taskId: id });
    const task = await send(on, "Ada", { taskId: id });
    expect(textOf(task.status.message)).toContain("Which topic");
  });

  it("answers a cancellation that succeeded with the canceled task", async () => {
    const real = createOperations();
    const { id } = await send(real, "input");
    const on = createOperations({ owner: real.owner, homes: losing().homes });
    expect((await on.value<Task>("CancelTask", { id })).status.state).toBe("TASK_STATE_CANCELED");
    expect((await real.failure("CancelTask", { id })).reason).toBe("TASK_NOT_CANCELABLE");
  });

  it("is UNAVAILABLE when it is lost twice, and says when to come back", async () => {
    const { homes, calls } = losing(2);
    const on = createOperations({ homes });
    const failure = await on.failure("SendMessage", message("hello"));
    expect(failure).toMatchObject({ reason: "UNAVAILABLE", retryAfterSeconds: expect.any(Number) });
    expect(calls).toEqual(["send", "send"]);
  });

  it.each(["GetTask", "ListTasks"] as const)("answers %s at the second try", async (name) => {
    const real = createOperations();
    const { id } = await send(real, "hello");
    const on = createOperations({ owner: real.owner, homes: losing().homes });
    const params = name === "GetTask" ? { id } : {};
    expect(await on.value(name, params)).toEqual(await real.value(name, params));
  });
});

describe("a home that is overloaded", () => {
  const all = [
    ["SendMessage", message("hello")],
    ["SendStreamingMessage", message("hello")],
    ["GetTask", { id: `0-${UUID}` }],
    ["ListTasks", {}],
    ["CancelTask", { id: `0-${UUID}` }],
    ["SubscribeToTask", { id: `0-${UUID}` }],
  ] as const;

  it.each(all)("makes %s UNAVAILABLE at once, with the time to wait", async (name, params) => {
    let calls = 0;
    const { homes } = homesThrough(() => {
      calls += 1;
      return Promise.reject(broken({ overloaded: true, retryable: true }));
    });
    const failure = await createOperations({ homes }).failure(name, params);
    expect(failure).toMatchObject({ reason: "UNAVAILABLE", retryAfterSeconds: 2 });
    expect(calls).toBe(1);
  });

  it("also after a first call that was lost", async () => {
    const errors = [broken({ retryable: true }), broken({ overloaded: true })];
    const { homes } = homesThrough(() => Promise.reject(errors.shift()));
    const failure = await createOperations({ homes }).failure("GetTask", { id: `0-${UUID}` });
    expect(failure.reason).toBe("UNAVAILABLE");
  });
});

describe("a home that fails", () => {
  it("in another way at the second try keeps that error", async () => {
    const errors = [broken({ retryable: true }), new Error("a bug")];
    const { homes } = homesThrough(() => Promise.reject(errors.shift()));
    await expect(createOperations({ homes }).run("ListTasks", {})).rejects.toThrow("a bug");
  });

  it.each([{}, { retryable: false }, { retryable: "true" }, { remote: true }])(
    "for good (%j) is called once, and its error stays a bug",
    async (properties) => {
      let calls = 0;
      const { homes } = homesThrough(() => {
        calls += 1;
        return Promise.reject(broken(properties));
      });
      const on = createOperations({ homes });
      await expect(on.run("SendMessage", message("hello"))).rejects.toThrow("Network connection lost.");
      expect(calls).toBe(1);
    },
  );

  it("leaves a list of several shards without an answer rather than with half of one", async () => {
    const { homes } = homesThrough(
      (() => {
        let calls = 0;
        return (_: string, call: () => Promise<unknown>) =>
          ++calls === 3 ? Promise.reject(broken({ overloaded: true })) : call();
      })(),
    );
    const on = createOperations({ settings: { homeShards: 4 }, homes });
    expect((await on.failure("ListTasks", {})).reason).toBe("UNAVAILABLE");
  });
});

describe("a call of a home", () => {
  const taskId = `0-${UUID}`;
  const config = { taskId, id: "c" };
  const all = [
    ["SendMessage", message("hello")],
    ["SendStreamingMessage", message("hello")],
    ["GetTask", { id: taskId }],
    ["ListTasks", {}],
    ["CancelTask", { id: taskId }],
    ["SubscribeToTask", { id: taskId }],
    ["CreateTaskPushNotificationConfig", { ...config, url: "https://example.com/hook" }],
    ["GetTaskPushNotificationConfig", config],
    ["ListTaskPushNotificationConfigs", { taskId }],
    ["DeleteTaskPushNotificationConfig", config],
  ] as const;

  it.each(all)("says who acts when it is made for %s, also the second time", async (name, params) => {
    const given: unknown[] = [];
    const { homes } = homesThrough((_, __, args) => {
      given.push(args);
      return Promise.reject(broken({ retryable: true }));
    });
    const caller = {
      owner: "key::team",
      actor: "key:team:key-7",
      scopes: "all",
      adminScopes: new Set<never>(),
    } as const;
    await createOperations({ homes }).failure(name, params, { caller });
    const by = expect.objectContaining({ by: { owner: "key::team", actor: "key:team:key-7" } });
    expect(given).toEqual([[by], [by]]);
  });

  it("is made by every operation but the one that asks no home", () => {
    const others = Object.keys(operations).filter((name) => !all.some(([listed]) => listed === name));
    expect(others).toEqual(["GetExtendedAgentCard"]);
  });
});

describe("the name of a home", () => {
  it("is owner/shard, so that owners never meet", async () => {
    const { homes, asked } = homesThrough((_, call) => call());
    await createOperations({ homes, owner: "key::a" }).value("ListTasks", {});
    expect(asked).toEqual(["key::a/0"]);
  });

  it("keeps what an owner has out of every other object", async () => {
    const on = createOperations({ owner: "key::alone" });
    const { id } = await send(on, "hello");
    const home = env.HOMES.get(env.HOMES.idFromName("key::alone/0"));
    const rows = await runInDurableObject(home, (_, state) =>
      state.storage.sql.exec("SELECT id FROM tasks").toArray(),
    );
    expect(rows).toEqual([{ id }]);
  });
});
