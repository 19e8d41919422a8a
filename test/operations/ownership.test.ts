// A task belongs to an owner and an agent (§13.1): to everybody else it is not there, for every operation of the
// table over both bindings, and nothing in the answer tells "not yours" from "not existing".

import { describe, expect, it } from "vitest";
import { type OperationName, operations } from "../../src/protocol/operations.ts";
import { type Client, createClient, newOwner, toMessage } from "../support/client.ts";

/** The params of each operation that names a task; null where there is none to name. The compiler asks for all. */
const naming = {
  SendMessage: (taskId) => ({ message: { ...toMessage("hello"), messageId: "m", taskId } }),
  SendStreamingMessage: (taskId) => ({ message: { ...toMessage("hello"), messageId: "m", taskId } }),
  GetTask: (id) => ({ id }),
  ListTasks: null,
  CancelTask: (id) => ({ id }),
  SubscribeToTask: (id) => ({ id }),
  CreateTaskPushNotificationConfig: (taskId) => ({ taskId, url: "https://example.com/hook" }),
  GetTaskPushNotificationConfig: (taskId) => ({ taskId, id: "c" }),
  ListTaskPushNotificationConfigs: (taskId) => ({ taskId }),
  DeleteTaskPushNotificationConfig: (taskId) => ({ taskId, id: "c" }),
  GetExtendedAgentCard: null,
} satisfies Record<OperationName, ((task: string) => Record<string, unknown>) | null>;

type Way = { title: string; call(client: Client, task: string): Promise<Response> };

/** Every way there is to name a task: each operation, over JSON-RPC and over each of its paths. */
const ways: Way[] = Object.entries(naming).flatMap(([name, params]) => {
  if (params === null) return [];
  const overRpc: Way = {
    title: `${name} over JSON-RPC`,
    call: (client, task) => client.rpc(name, params(task)),
  };
  const overRest = operations[name as OperationName].rest.map(({ verb, path }): Way => {
    return {
      title: `${verb} ${path}`,
      call: (client, task) => {
        const values: Record<string, unknown> = params(task);
        const filled = path.replace(/\{(\w+)\}/g, (_, field: string) =>
          encodeURIComponent(String(values[field])),
        );
        const body = verb === "POST" ? JSON.stringify(values) : undefined;
        return client.request(filled, {
          method: verb,
          headers: { "content-type": "application/json" },
          ...(body !== undefined && { body }),
        });
      },
    };
  });
  return [overRpc, ...overRest];
});

/** All that a client sees of an answer, with the id it asked for blotted out. */
async function seen(response: Response, task: string): Promise<string> {
  const headers = [...response.headers].filter(([name]) => name !== "x-request-id" && name !== "date");
  return `${response.status} ${JSON.stringify(headers)} ${await response.text()}`.replaceAll(task, "<id>");
}

/** An id of the form and length of a real one that no task has. */
const missing = (like: string) => `${like.slice(0, -12)}${"0123456789ab"}`;

const strangers: [string, (owner: string) => Client][] = [
  ["another owner", () => createClient({ agent: "conformance" })],
  ["the same owner at another agent", (owner) => createClient({ owner, agent: "interview" })],
  ["the same owner at the default agent", (owner) => createClient({ owner })],
  [
    "an owner whose name begins alike",
    (owner) => createClient({ owner: `${owner}/0`, agent: "conformance" }),
  ],
  [
    "an owner whose name differs in case",
    (owner) => createClient({ owner: owner.toUpperCase(), agent: "conformance" }),
  ],
];

describe.each(ways)("$title", ({ call }) => {
  it.each(strangers)("answers %s as if the task did not exist", async (_, stranger) => {
    const owner = newOwner();
    const mine = createClient({ owner, agent: "conformance" });
    for (const says of ["hello", "input"]) {
      const task = await mine.sendForTask(says);
      const named = { taskId: task.id, id: "c" };
      await mine.result("CreateTaskPushNotificationConfig", { ...named, url: "https://mine.example/hook" });
      const config = await mine.result("GetTaskPushNotificationConfig", named);
      const other = stranger(owner);
      const gone = missing(task.id);
      expect(await seen(await call(other, task.id), task.id)).toBe(await seen(await call(other, gone), gone));
      // And nothing has come of it.
      expect(await mine.get(task.id)).toEqual(task);
      expect(await mine.result("ListTaskPushNotificationConfigs", { taskId: task.id })).toEqual({
        configs: [config],
        nextPageToken: "",
      });
    }
  });
});

describe("naming a task", () => {
  it("is done by nine operations over nineteen ways", () => {
    expect(ways).toHaveLength(9 + 10);
    expect(Object.values(naming).filter((params) => params !== null)).toHaveLength(9);
  });

  it("lets its owner through where a stranger is not", async () => {
    const mine = createClient({ agent: "conformance" });
    const { id } = await mine.sendForTask("input");
    expect((await mine.get(id)).id).toBe(id);
    expect((await createClient({ agent: "conformance" }).error("GetTask", { id })).code).toBe(-32001);
  });

  it("of a stranger in a context of one's own starts nothing (§3.4.3)", async () => {
    const theirs = await createClient({ agent: "conformance" }).sendForTask({
      says: "input",
      contextId: "c",
    });
    const mine = createClient({ agent: "conformance" });
    const message = { ...toMessage("hello"), taskId: theirs.id, contextId: "c" };
    expect((await mine.error("SendMessage", { message })).code).toBe(-32001);
    expect((await mine.list()).totalSize).toBe(0);
  });

  it("of a stranger in a message with a webhook says nothing about it either", async () => {
    const theirs = await createClient({ agent: "conformance" }).sendForTask("input");
    const mine = createClient({ agent: "conformance" });
    const configuration = { taskPushNotificationConfig: { id: "c", url: "https://mine.example/hook" } };
    for (const taskId of [theirs.id, missing(theirs.id)]) {
      const message = { ...toMessage("hello"), taskId };
      expect((await mine.error("SendMessage", { message, configuration })).code).toBe(-32001);
    }
    expect((await mine.list()).totalSize).toBe(0);
  });

  it("of a stranger as a reference says nothing about it", async () => {
    const theirs = await createClient({ agent: "conformance" }).sendForTask("hello");
    const mine = createClient({ agent: "conformance" });
    const task = await mine.sendForTask({ says: "hello", referenceTaskIds: [theirs.id] });
    const blind = await mine.sendForTask({ says: "hello", referenceTaskIds: [missing(theirs.id)] });
    expect(task.status.state).toBe(blind.status.state);
    expect(task.artifacts?.[0]?.parts).toEqual(blind.artifacts?.[0]?.parts);
  });
});

describe("a list (§3.1.4)", () => {
  it("holds the caller's tasks of the agent that is asked, and nothing else's", async () => {
    const owner = newOwner();
    const mine = createClient({ owner, agent: "conformance" });
    const own = [await mine.sendForTask("hello"), await mine.sendForTask("input")].map((task) => task.id);
    for (const [, stranger] of strangers) {
      const other = stranger(owner);
      await other.sendForTask("hello");
      const listed = (await other.list({ pageSize: 100 })).tasks.map((task) => task.id);
      expect(listed.filter((id) => own.includes(id))).toEqual([]);
    }
    expect((await mine.list()).tasks.map((task) => task.id).toSorted()).toEqual(own.toSorted());
  });

  it("by a foreign context is empty, though the context is known elsewhere", async () => {
    const theirs = createClient({ agent: "conformance" });
    const { contextId } = await theirs.sendForTask("hello");
    const mine = createClient({ agent: "conformance" });
    expect(await mine.list({ contextId })).toEqual({
      tasks: [],
      nextPageToken: "",
      pageSize: 50,
      totalSize: 0,
    });
  });
});

describe("a contextId", () => {
  it("of somebody else's is a new conversation of one's own", async () => {
    const theirs = createClient({ agent: "interview" });
    const first = await theirs.sendForTask({ says: "hello", contextId: "shared-name" });
    await theirs.sendForTask({ says: "Ada", taskId: first.id });
    const mine = createClient({ agent: "interview" });
    const task = await mine.sendForTask({ says: "hello", contextId: "shared-name" });
    expect(task.status.message?.parts[0]?.text).toBe("Hello! What is your name?");
  });
});
