// ListTasks (§3.1.4) over one shard and over several, against a list made by brute force.

import { abortAllDurableObjects, env, runInDurableObject } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { ListTasksResponse, SendMessageResponse } from "../../src/protocol/requests.ts";
import type { TaskState } from "../../src/protocol/state.ts";
import type { Task } from "../../src/protocol/task.ts";
import { createOperations, type Operations } from "../support/operations.ts";

type Sent = Partial<Task> & { id: string };

let sent = 0;

async function send(
  on: Operations,
  says: string,
  more: { contextId?: string; taskId?: string } = {},
): Promise<Task> {
  sent += 1;
  const message = { messageId: `m-${sent}`, role: "ROLE_USER", parts: [{ text: says }], ...more };
  const configuration = { returnImmediately: says.startsWith("slow") };
  const { task } = await on.value<SendMessageResponse>("SendMessage", { message, configuration });
  if (!task) throw new Error("answered without a task");
  return task;
}

const list = (on: Operations, params: object = {}) => on.value<ListTasksResponse>("ListTasks", params);

/** Every page of a list, and what each of them said. */
async function pages(on: Operations, params: object): Promise<ListTasksResponse[]> {
  const found: ListTasksResponse[] = [];
  let pageToken = "";
  do {
    const page = await list(on, { ...params, ...(pageToken !== "" && { pageToken }) });
    found.push(page);
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  return found;
}

const idsOf = (found: ListTasksResponse[]) => found.flatMap((page) => page.tasks.map((task) => task.id));
const timeOf = (task: Task) => Date.parse(task.status.timestamp ?? "");
const newestFirst = (a: Task, b: Task) => timeOf(b) - timeOf(a) || (a.id < b.id ? 1 : -1);
const shardsOf = (tasks: Sent[]) => new Set(tasks.map((task) => task.id.split("-")[0]));

// Agents that throw and turns that run again are logged, as they should be.
beforeEach(() => {
  for (const level of ["error", "info", "log"] as const)
    vi.spyOn(console, level).mockImplementation(() => {});
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

describe.each([1, 4])("over %i shards", (homeShards) => {
  const on = createOperations({ settings: { homeShards } });
  const others = createOperations({ settings: { homeShards }, owner: on.owner, agent: "interview" });
  const says = ["hello", "hello", "input", "auth", "throw", "slow:60000", "slow:600001", "stream:3:0"];
  const all: Task[] = [];

  /** Tasks of every state, in contexts of the server's and of the client's making, and some of another agent. */
  async function prepare(): Promise<void> {
    if (all.length > 0) return;
    const own: string[] = [];
    for (let i = 0; i < 48; i++) {
      const contextId = [undefined, "mine", own[i % 3], undefined][i % 4];
      const task = await send(on, says[i % says.length] ?? "", contextId === undefined ? {} : { contextId });
      if (own.length < 3 && i % 4 === 0) own.push(task.contextId ?? "");
      all.push(task);
      if (i % 6 === 0) await send(others, "hello");
    }
    const running = all.filter((task) => task.status.state === "TASK_STATE_WORKING" || isNew(task));
    for (const { id } of running.slice(0, 2)) await on.value("CancelTask", { id });
    for (const [index, { id }] of all.entries()) all[index] = await on.value<Task>("GetTask", { id });
    all.sort(newestFirst);
  }
  const isNew = (task: Task) => task.status.state === "TASK_STATE_SUBMITTED";

  it("has made tasks in every shard, of almost every state", async () => {
    await prepare();
    expect(shardsOf(all).size).toBe(homeShards);
    expect(new Set(all.map((task) => task.status.state)).size).toBeGreaterThanOrEqual(7);
  });

  it("lists all tasks newest status first, 50 to a page", async () => {
    await prepare();
    const page = await list(on);
    expect(page.tasks.map((task) => task.id)).toEqual(all.map((task) => task.id));
    expect(page).toMatchObject({ totalSize: 48, pageSize: 50, nextPageToken: "" });
  });

  it("gives the same tasks in pages of every size, none twice and none left out", {
    timeout: 30_000,
  }, async () => {
    await prepare();
    for (const pageSize of [1, 2, 7, 16, 24, 47, 48, 49, 100]) {
      const found = await pages(on, { pageSize });
      expect(idsOf(found)).toEqual(all.map((task) => task.id));
      expect(found).toHaveLength(Math.max(1, Math.ceil(48 / pageSize)));
      for (const page of found) expect(page).toMatchObject({ pageSize, totalSize: 48 });
      for (const page of found.slice(0, -1)) expect(page.tasks).toHaveLength(pageSize);
    }
  });

  const states = Object.keys({
    TASK_STATE_SUBMITTED: 1,
    TASK_STATE_WORKING: 1,
    TASK_STATE_COMPLETED: 1,
    TASK_STATE_FAILED: 1,
    TASK_STATE_CANCELED: 1,
    TASK_STATE_INPUT_REQUIRED: 1,
    TASK_STATE_REJECTED: 1,
    TASK_STATE_AUTH_REQUIRED: 1,
  } satisfies Record<TaskState, 1>) as TaskState[];

  it("agrees with brute force for every combination of filters", { timeout: 60_000 }, async () => {
    await prepare();
    const contexts = [undefined, "mine", "nobody's", ...new Set(all.map((task) => task.contextId))].slice(
      0,
      7,
    );
    const times = [undefined, timeOf(all[10] as Task), timeOf(all[47] as Task), Date.now() + 60_000];
    let compared = 0;
    for (const contextId of contexts) {
      for (const status of [undefined, ...states]) {
        for (const since of times) {
          const expected = all.filter(
            (task) =>
              (contextId === undefined || task.contextId === contextId) &&
              (status === undefined || task.status.state === status) &&
              (since === undefined || timeOf(task) >= since),
          );
          const filters = {
            ...(contextId !== undefined && { contextId }),
            ...(status !== undefined && { status }),
            ...(since !== undefined && { statusTimestampAfter: new Date(since).toISOString() }),
          };
          const found = await pages(on, { ...filters, pageSize: 9 });
          expect(idsOf(found), JSON.stringify(filters)).toEqual(expected.map((task) => task.id));
          for (const page of found) expect(page.totalSize, JSON.stringify(filters)).toBe(expected.length);
          compared += 1;
        }
      }
    }
    expect(compared).toBe(contexts.length * 9 * 4);
  });

  it("lists an agent's own tasks only", async () => {
    await prepare();
    const page = await list(others);
    expect(page.totalSize).toBe(8);
    const mine = new Set(all.map((task) => task.id));
    expect(page.tasks.filter((task) => mine.has(task.id))).toEqual([]);
  });

  it("includes the statuses of the very millisecond of statusTimestampAfter (§3.1.4)", async () => {
    await prepare();
    const [newest] = all as [Task];
    const at = await list(on, { statusTimestampAfter: newest.status.timestamp });
    expect(at.tasks.map((task) => task.id)).toContain(newest.id);
    const after = await list(on, { statusTimestampAfter: new Date(timeOf(newest) + 1).toISOString() });
    expect(after).toMatchObject({ tasks: [], totalSize: 0, nextPageToken: "" });
    const offset = `${new Date(timeOf(newest) + 7_200_000).toISOString().slice(0, -1)}+02:00`;
    expect(await list(on, { statusTimestampAfter: offset })).toEqual(at);
  });

  it("orders statuses of one millisecond by id, over any number of pages", async () => {
    const now = 1_900_000_000_000;
    vi.useFakeTimers({ toFake: ["Date"], now });
    // The homes of this owner are made now, with the time standing still.
    const still = createOperations({ settings: { homeShards }, now: () => now });
    const tied: string[] = [];
    for (let i = 0; i < 12; i++) tied.push((await send(still, "hello")).id);
    expect(shardsOf(tied.map((id) => ({ id }))).size > 1).toBe(homeShards > 1);
    const sorted = tied.toSorted().toReversed();
    for (const pageSize of [1, 5, 12]) expect(idsOf(await pages(still, { pageSize }))).toEqual(sorted);
  });

  it("shows no task twice while tasks come and change between pages, and every task that did not", async () => {
    const busy = createOperations({ settings: { homeShards } });
    const before: Task[] = [];
    for (let i = 0; i < 20; i++) before.push(await send(busy, i % 2 ? "input" : "hello"));
    const waiting = before.filter((task) => task.status.state === "TASK_STATE_INPUT_REQUIRED");
    const changed = new Set<string>();
    const seen: string[] = [];
    let pageToken = "";
    do {
      const page = await list(busy, { pageSize: 3, ...(pageToken !== "" && { pageToken }) });
      seen.push(...page.tasks.map((task) => task.id));
      pageToken = page.nextPageToken;
      await send(busy, "hello");
      const next = waiting.shift();
      if (next) {
        changed.add(next.id);
        await send(busy, "done", { taskId: next.id });
      }
    } while (pageToken !== "");
    expect(new Set(seen).size).toBe(seen.length);
    const unchanged = before.map((task) => task.id).filter((id) => !changed.has(id));
    expect(unchanged.filter((id) => !seen.includes(id))).toEqual([]);
    expect(changed.size).toBeGreaterThan(5);
    const top = (await list(busy, { pageSize: 100 })).tasks.slice(0, 2 * changed.size).map((task) => task.id);
    for (const id of changed) expect(top).toContain(id);
  });

  it("counts a task as it changes, and again after its home was restarted", async () => {
    const own = createOperations({ settings: { homeShards } });
    const total = async (status: TaskState) => (await list(own, { status, pageSize: 1 })).totalSize;
    const { id } = await send(own, "input");
    expect(await total("TASK_STATE_INPUT_REQUIRED")).toBe(1);
    expect(await total("TASK_STATE_COMPLETED")).toBe(0);
    await send(own, "done", { taskId: id });
    expect(await total("TASK_STATE_INPUT_REQUIRED")).toBe(0);
    expect(await total("TASK_STATE_COMPLETED")).toBe(1);
    await send(own, "hello");
    await abortAllDurableObjects();
    expect(await total("TASK_STATE_COMPLETED")).toBe(2);
    await send(own, "hello");
    expect(await total("TASK_STATE_COMPLETED")).toBe(3);
    expect((await list(own)).totalSize).toBe(3);
  });
});

describe("the view of a listed task", () => {
  it("omits artifacts unless they are asked for, and then shows an empty list too (§3.1.4)", async () => {
    const on = createOperations();
    const made = await send(on, "hello");
    const bare = await send(on, "input");
    for (const params of [{}, { includeArtifacts: false }]) {
      for (const task of (await list(on, params)).tasks) expect(task).not.toHaveProperty("artifacts");
    }
    const { tasks } = await list(on, { includeArtifacts: true });
    const byId = new Map(tasks.map((task) => [task.id, task]));
    expect(byId.get(made.id)?.artifacts).toEqual(made.artifacts);
    expect(byId.get(bare.id)?.artifacts).toEqual([]);
  });

  it.each([
    [undefined, 4],
    [0, undefined],
    [1, 1],
    [3, 3],
    [100, 4],
  ])("holds the newest messages of historyLength %s (§3.2.4)", async (historyLength, length) => {
    const on = createOperations();
    const { id } = await send(on, "input");
    await send(on, "input", { taskId: id });
    const whole = await on.value<Task>("GetTask", { id });
    const params = historyLength === undefined ? {} : { historyLength };
    const [task] = (await list(on, params)).tasks;
    if (length === undefined) expect(task).not.toHaveProperty("history");
    else expect(task?.history).toEqual(whole.history?.slice(-length));
    expect(task?.history?.length).toBe(length === 4 ? whole.history?.length : length);
    expect(task?.status).toEqual(whole.status);
  });

  it("is that of GetTask, artifacts included", async () => {
    const on = createOperations({ settings: { homeShards: 3 } });
    for (const says of ["hello", "input", "throw", "stream:5:0"]) await send(on, says);
    for (const task of (await list(on, { includeArtifacts: true })).tasks) {
      const { artifacts = [], ...rest } = await on.value<Task>("GetTask", { id: task.id });
      expect(task).toEqual({ ...rest, artifacts });
    }
  });

  it("is complete where a page holds more than one RPC can carry", { timeout: 30_000 }, async () => {
    // 32 MiB is the most that one call of a Durable Object answers with.
    const on = createOperations();
    const text = "x".repeat(5_000_000);
    const made: string[] = [];
    for (let i = 0; i < 5; i++) made.unshift((await send(on, `${i}${text}`)).id);
    const found = await pages(on, { includeArtifacts: true });
    expect(idsOf(found)).toEqual(made);
    for (const task of found.flatMap((page) => page.tasks)) {
      expect(task.artifacts?.[0]?.parts[0]?.text).toHaveLength(text.length + 1 + "echo: ".length);
    }
  });
});

describe("pages of large tasks over three shards", () => {
  it("are cut where they must be, and together hold every task once and in order", {
    timeout: 60_000,
  }, async () => {
    const on = createOperations({ settings: { homeShards: 3 } });
    const made: Task[] = [];
    // Large and small in every shard, so that one shard is cut before the others are.
    for (let i = 0; i < 18; i++) {
      const text = i % 3 === 0 ? `${i} ${"x".repeat(3_000_000)}` : `${i}`;
      const { id } = await send(on, text);
      made.push(await on.value<Task>("GetTask", { id, historyLength: 0 }));
    }
    made.sort(newestFirst);
    for (const pageSize of [4, 100]) {
      const found = await pages(on, { includeArtifacts: true, pageSize });
      expect(idsOf(found)).toEqual(made.map((task) => task.id));
      expect(found.every((page) => page.totalSize === 18 && page.tasks.length > 0)).toBe(true);
      for (const task of found.flatMap((page) => page.tasks)) {
        const whole = made.find(({ id }) => id === task.id);
        expect(task.artifacts?.[0]?.parts[0]?.text?.length).toBe(
          whole?.artifacts?.[0]?.parts[0]?.text?.length,
        );
      }
    }
  });
});

describe("pageSize", () => {
  it.each([0, -1, 101, 2_147_483_648, 1.5, "many"])("of %s is refused (§3.1.4)", async (pageSize) => {
    const failure = await createOperations().failure("ListTasks", { pageSize });
    expect(failure).toMatchObject({ reason: "INVALID_PARAMS", violations: [{ field: "pageSize" }] });
  });

  it.each([1, 100, "7"])("of %s is taken and repeated in the answer", async (pageSize) => {
    expect((await list(createOperations(), { pageSize })).pageSize).toBe(Number(pageSize));
  });

  it("is 50 by default", async () => {
    expect((await list(createOperations())).pageSize).toBe(50);
  });
});

describe("a cursor", () => {
  const refused = { reason: "INVALID_PARAMS", violations: [{ field: "pageToken" }] };

  async function firstPage(filters: object = {}) {
    const on = createOperations({ settings: { homeShards: 2 } });
    for (let i = 0; i < 3; i++) await send(on, "hello", { contextId: "c" });
    const { nextPageToken } = await list(on, { ...filters, pageSize: 1 });
    expect(nextPageToken).not.toBe("");
    return { on, nextPageToken };
  }

  it("may change its page size on the way", async () => {
    const { on, nextPageToken } = await firstPage();
    expect((await list(on, { pageToken: nextPageToken, pageSize: 100 })).tasks).toHaveLength(2);
  });

  it("that is empty is none", async () => {
    const { on } = await firstPage();
    expect((await list(on, { pageToken: "" })).tasks).toHaveLength(3);
  });

  it("is refused to another owner", async () => {
    const { nextPageToken } = await firstPage();
    expect(await createOperations().failure("ListTasks", { pageToken: nextPageToken })).toMatchObject(
      refused,
    );
  });

  it("is refused by another agent", async () => {
    const { on, nextPageToken } = await firstPage();
    const other = createOperations({ owner: on.owner, agent: "echo" });
    expect(await other.failure("ListTasks", { pageToken: nextPageToken })).toMatchObject(refused);
  });

  it.each([
    [{}, { contextId: "c" }],
    [{ contextId: "c" }, {}],
    [{ contextId: "c" }, { contextId: "d" }],
    [{}, { status: "TASK_STATE_COMPLETED" }],
    [{ status: "TASK_STATE_COMPLETED" }, { status: "TASK_STATE_FAILED" }],
    [{}, { statusTimestampAfter: "2020-01-01T00:00:00Z" }],
  ])("of the filters %j is refused with %j", async (made, used) => {
    const { on, nextPageToken } = await firstPage(made);
    const failure = await on.failure("ListTasks", { ...used, pageToken: nextPageToken });
    expect(failure).toMatchObject(refused);
  });

  const base64Url = (text: string) =>
    btoa(text).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

  it.each([
    "garbage",
    "!!!!",
    "%00",
    base64Url("not json"),
    base64Url("null"),
    base64Url("{}"),
    base64Url("[]"),
    base64Url("[1,2,3]"),
    base64Url('[1,"0-x"]'),
    base64Url('[1,"0-x","0123456789abcdef"]'),
    base64Url('[1,"0-x","0123456789abcdef",4]'),
    base64Url('["1","0-x","0123456789abcdef"]'),
    base64Url('[1e400,"0-x","0123456789abcdef"]'),
    base64Url('{"length":3,"0":1,"1":"x","2":"y"}'),
    `${base64Url('[1,"0-x","0123456789abcdef"]')}=`,
    "\u0000",
    "é",
    "x".repeat(100_000),
  ])("that was forged is refused (%#)", async (pageToken) => {
    expect(await createOperations().failure("ListTasks", { pageToken })).toMatchObject(refused);
  });

  it("that was cut or lengthened is refused", async () => {
    const { on, nextPageToken } = await firstPage();
    for (const pageToken of [nextPageToken.slice(0, -3), `${nextPageToken}abc`, nextPageToken.slice(1)]) {
      expect(await on.failure("ListTasks", { pageToken })).toMatchObject(refused);
    }
  });

  it("says nothing about the owner", async () => {
    const { on, nextPageToken } = await firstPage();
    const text = atob(nextPageToken.replaceAll("-", "+").replaceAll("_", "/"));
    expect(text).not.toContain(on.owner);
  });
});

describe("an unknown owner", () => {
  it("has an empty list, and asking for it writes nothing", async () => {
    const on = createOperations({ settings: { homeShards: 3 } });
    expect(await list(on)).toEqual({ tasks: [], nextPageToken: "", pageSize: 50, totalSize: 0 });
    expect((await on.failure("GetTask", { id: "0-x" })).reason).toBe("TASK_NOT_FOUND");
    expect((await on.failure("CancelTask", { id: "0-x" })).reason).toBe("TASK_NOT_FOUND");
    expect((await on.failure("SubscribeToTask", { id: "0-x" })).reason).toBe("TASK_NOT_FOUND");
    for (const shard of [0, 1, 2]) {
      const home = env.HOMES.get(env.HOMES.idFromName(`${on.owner}/${shard}`));
      await runInDurableObject(home, async (_, state) => {
        const tables = state.storage.sql.exec(
          "SELECT name FROM sqlite_master WHERE name NOT LIKE '\\_cf%' ESCAPE '\\'",
        );
        expect(tables.toArray()).toEqual([]);
        expect(await state.storage.getAlarm()).toBeNull();
      });
    }
  });
});

describe("the filter contextId", () => {
  it("asks one shard only", async () => {
    const asked: string[] = [];
    const homes = new Proxy(env.HOMES, {
      get(target, name) {
        if (name === "idFromName") {
          return (text: string) => {
            asked.push(text.split("/")[1] ?? "");
            return target.idFromName(text);
          };
        }
        const value: unknown = Reflect.get(target, name);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
    const on = createOperations({ settings: { homeShards: 4 }, homes });
    await list(on);
    expect(asked.splice(0)).toEqual(["0", "1", "2", "3"]);
    await list(on, { contextId: "of a client" });
    expect(asked.splice(0)).toEqual(["0"]);
    await list(on, { contextId: "2-018f0000-0000-7000-8000-000000000000" });
    expect(asked.splice(0)).toEqual(["2"]);
    const beyond = await list(on, { contextId: "4-018f0000-0000-7000-8000-000000000000" });
    expect(beyond).toEqual({ tasks: [], nextPageToken: "", pageSize: 50, totalSize: 0 });
    expect(asked).toEqual([]);
  });
});

it("gives every task whose id its client chose, where letters sort otherwise in SQLite than in JavaScript", async () => {
  const on = createOperations();
  vi.useFakeTimers({ toFake: ["Date"] });
  // Above the surrogates in UTF-16, and below what those stand for in UTF-8.
  const ids = ["a", "\uff21", "\u{1f600}", "\uff22", "\u{1f601}", "\ue000"];
  for (const taskId of ids) {
    const message = { messageId: "m", role: "ROLE_USER", parts: [{ text: "input" }], taskId };
    await on.value("SendMessage", { message }, { choosesTask: true });
  }
  for (const pageSize of [1, 2, 3, 4, 5, 6]) {
    const found = idsOf(await pages(on, { pageSize }));
    expect(found.toSorted()).toEqual(ids.toSorted());
  }
});
