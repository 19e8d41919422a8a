// A2A 0.1 (April 2025) over JSON-RPC, as its clients send it and as it stands on the wire: every method, streams,
// ownership, errors, restarts.

import { describe, expect, it } from "vitest";
import wire from "../fixtures/v0_1/wire.json";
import { flawsOf } from "../protocol/v0_1/shapes.ts";
import { type Client, createClient, eventually, newOwner } from "../support/client.ts";
import { crash, query } from "../support/home.ts";

type Json = Record<string, unknown>;
type Status = { state: string; message?: { parts: { text?: string }[] } };
type Task = { id: string; sessionId: string; status: Status; artifacts?: Json[]; history?: Json[] };
type Event = { id: string; status?: Status; final?: boolean; artifact?: Json };
type Failure = {
  code: number;
  message: string;
  data: { details: { reason?: string; fieldViolations?: Json[] }[] };
};

const MISSING = "0-018f0000-0000-7000-8000-000000000000";
const hook = "https://hooks.example/a2a";

/** A client that has never heard of a version. */
const newClient = (options: Parameters<typeof createClient>[0] = {}) =>
  createClient({ agent: "conformance", ...options, headers: { "a2a-version": "", ...options.headers } });

const saying = (id: string, text: string, more: object = {}) => ({
  id,
  message: { role: "user", parts: [{ type: "text", text }] },
  ...more,
});

const send = (client: Client, id: string, text: string, more?: object) =>
  client.result<Task>("tasks/send", saying(id, text, more));
const refusal = async (client: Client, method: string, params: unknown, headers?: Record<string, string>) => {
  const { error } = await (await client.rpc(method, params, headers)).json<{ error: Failure }>();
  expect(flawsOf("JSONRPCError", error)).toEqual([]);
  return error;
};

/** What the JavaScript client of that time makes of a stream: it reads frames that begin with data and no others. */
async function eventsOf(response: Response): Promise<(Event & { error?: Failure })[]> {
  expect(response.headers.get("content-type")).toBe("text/event-stream");
  const frames = (await response.text()).split("\n\n").filter((frame) => frame !== "" && frame !== ":");
  return frames.map((frame) => {
    expect(frame.startsWith("data: ")).toBe(true);
    const { jsonrpc, id, result, error } = JSON.parse(frame.slice("data: ".length));
    expect([jsonrpc, id]).toEqual(["2.0", 1]);
    if (error) return { error } as never;
    const shape = result.artifact ? "TaskArtifactUpdateEvent" : "TaskStatusUpdateEvent";
    expect(flawsOf(shape, result)).toEqual([]);
    return result;
  });
}

const outline = (events: Event[]) =>
  events.map(({ status, final, artifact }) =>
    artifact ? `artifact ${artifact.index}` : `${status?.state} ${final}`,
  );

describe("on the wire", () => {
  const owner = newOwner();
  const times = /"timestamp":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"/g;

  it.each(wire)("stands $says", async ({ before, request, response }) => {
    const client = newClient({ owner });
    if (before) await client.result(before.method, before.params);
    const answer = await client.request("/", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(request),
    });
    expect([answer.status, answer.headers.get("a2a-version")]).toEqual([200, "0.1"]);
    const text = await answer.text();
    expect(JSON.parse(text.replace(times, '"timestamp":"<time>"'))).toEqual(response);
  });
});

describe("tasks/send", () => {
  it("makes the task of its id, asks, and goes on with it", async () => {
    const client = newClient({ agent: "interview" });
    const first = await send(client, "talk", "hello", { sessionId: "s" });
    expect(flawsOf("Task", first)).toEqual([]);
    expect(first).toMatchObject({ id: "talk", sessionId: "s", status: { state: "input-required" } });
    expect(first.status.message?.parts[0]?.text).toBe("Hello! What is your name?");
    const second = await send(client, "talk", "Ada", { historyLength: 9 });
    expect(second.id).toBe("talk");
    expect(JSON.stringify(second.status.message)).toContain("Ada");
    expect(second.history).toHaveLength(4);
  });

  it("does so at the root as well, whatever session a later message names", async () => {
    const client = createClient({ headers: { "a2a-version": "" } });
    const task = await send(client, "t", "hello", { sessionId: "s" });
    expect(task).toMatchObject({ sessionId: "s", status: { state: "completed" } });
    expect((await refusal(client, "tasks/send", saying("t", "x", { sessionId: "y" }))).code).toBe(-32004);
  });

  it("makes a session of the server's where none is named", async () => {
    const { sessionId } = await send(newClient(), "t", "hello");
    expect(sessionId).toMatch(/^0-[0-9a-f-]{36}$/);
  });

  it("is a task also where the agent answers with a message alone", async () => {
    const task = await send(newClient(), "t", "message");
    expect(flawsOf("Task", task)).toEqual([]);
    expect(task).toMatchObject({ id: "t", status: { state: "completed", message: { role: "agent" } } });
  });

  it("says of a task that waits for authentication that it waits for input, and takes it", async () => {
    const client = newClient();
    expect((await send(client, "t", "auth")).status.state).toBe("input-required");
    expect((await send(client, "t", "here")).status.state).toBe("completed");
  });

  it("is the same task for clients of every version", async () => {
    const owner = newOwner();
    const oldest = newClient({ owner });
    const task = await send(oldest, "shared", "input", { sessionId: "s" });
    const current = createClient({ owner, agent: "conformance" });
    expect(await current.get("shared")).toMatchObject({ id: "shared", contextId: "s" });
    const legacy = newClient({ owner, headers: { "a2a-version": "0.3" } });
    expect(await legacy.result("tasks/get", { id: "shared" })).toMatchObject({
      kind: "task",
      contextId: "s",
    });
    const { task: done } = await current.send({ says: "done", taskId: task.id });
    expect(done?.status.state).toBe("TASK_STATE_COMPLETED");
    expect((await oldest.result<Task>("tasks/get", { id: "shared" })).status.state).toBe("completed");
  });

  it("continues a task whose id the server made, and never makes one", async () => {
    const client = newClient();
    const made = await createClient({ owner: client.owner, agent: "conformance" }).sendForTask("input");
    expect((await send(client, made.id, "go on", { sessionId: "any" })).status.state).toBe("completed");
    expect((await refusal(client, "tasks/send", saying(MISSING, "hello"))).code).toBe(-32001);
  });

  it("with an Idempotency-Key happens once, though its message has no id", async () => {
    const client = newClient();
    const key = { "idempotency-key": "k" };
    const first = await client.result("tasks/send", saying("t", "input"), key);
    expect(await client.result("tasks/send", saying("t", "input"), key)).toEqual(first);
    await crash();
    expect(await client.result("tasks/send", saying("t", "input"), key)).toEqual(first);
    const other = await refusal(client, "tasks/send", saying("t", "other"), key);
    expect(other.code).toBe(-32602);
  });

  it("keeps files and data as they are", async () => {
    const client = newClient();
    const message = {
      role: "user",
      parts: [
        { type: "file", file: { name: "f.txt", mimeType: "text/plain", bytes: "AQI=" }, metadata: { a: 1 } },
        { type: "data", data: { city: "Rome" } },
        { type: "text", text: "hi" },
      ],
      metadata: { m: 1 },
    };
    const task = await client.result<Task>("tasks/send", { id: "t", message, historyLength: 1 });
    const { history } = await client.result<Task>("tasks/get", { id: "t", historyLength: 5 });
    expect(history?.[0]).toEqual(message);
    expect(task.history).toHaveLength(1);
  });
});

describe("tasks/sendSubscribe", () => {
  it("streams statuses and artifacts, the last of them final, in frames of data alone", async () => {
    const client = newClient();
    const events = await eventsOf(await client.rpc("tasks/sendSubscribe", saying("t", "stream:2:1")));
    expect(new Set(events.map(({ id }) => id))).toEqual(new Set(["t"]));
    expect(outline(events)).toEqual([
      "submitted false",
      "working false",
      "artifact 0",
      "artifact 0",
      "completed true",
    ]);
    expect(events[3]?.artifact).toMatchObject({ append: true, parts: [{ type: "text" }] });
  });

  it("ends with a question, finally, and goes on with the answer", async () => {
    const client = newClient();
    const asked = await eventsOf(await client.rpc("tasks/sendSubscribe", saying("t", "input")));
    expect(outline(asked).at(-1)).toBe("input-required true");
    const answered = await eventsOf(await client.rpc("tasks/sendSubscribe", saying("t", "done")));
    expect(outline(answered)).toEqual(["working false", "artifact 0", "completed true"]);
  });

  it("ends with a request for authentication as with a question, for its clients know nothing else", async () => {
    const client = newClient();
    const asked = await eventsOf(await client.rpc("tasks/sendSubscribe", saying("t", "auth")));
    expect(outline(asked).at(-1)).toBe("input-required true");
    const answered = await eventsOf(await client.rpc("tasks/sendSubscribe", saying("t", "granted")));
    expect(outline(answered).at(-1)).toBe("completed true");
  });

  it("is refused in an event and by the status, since its clients look at one of them (0.1 §7.2)", async () => {
    const client = newClient();
    await send(client, "t", "hello");
    const ended = await client.rpc("tasks/sendSubscribe", saying("t", "again"));
    expect(ended.status).toBe(400);
    const [event, ...more] = await eventsOf(ended);
    expect(event?.error?.code).toBe(-32004);
    expect(more).toEqual([]);
    const malformed = await client.rpc("tasks/sendSubscribe", { id: "t" });
    expect(malformed.status).toBe(400);
    const [wrong] = await eventsOf(malformed);
    expect(wrong?.error).toMatchObject({
      code: -32602,
      message: expect.stringContaining("message is required"),
    });
  });
});

describe("tasks/resubscribe", () => {
  it("begins with the present status, stays over a question, and ends with the task", async () => {
    const client = newClient();
    await send(client, "t", "input");
    const response = await client.rpc("tasks/resubscribe", { id: "t" });
    const events = eventsOf(response);
    await scheduler.wait(50);
    await send(client, "t", "done");
    expect(outline(await events)).toEqual([
      "input-required false",
      "working false",
      "artifact 0",
      "completed true",
    ]);
  });

  it("goes on after the object of the task has died", async () => {
    const client = newClient();
    const first = await client.rpc("tasks/sendSubscribe", saying("t", "slow:400"));
    const reader = first.body?.getReader();
    await reader?.read();
    await crash();
    await reader?.cancel().catch(() => {});
    const events = await eventsOf(await client.rpc("tasks/resubscribe", { id: "t" }));
    expect(outline(events).at(-1)).toBe("completed true");
  });

  it("is refused in an event: of a task that has ended, and of one that is not there", async () => {
    const client = newClient();
    await send(client, "t", "hello");
    for (const [id, code] of [
      ["t", -32004],
      ["nothing", -32001],
    ] as const) {
      const response = await client.rpc("tasks/resubscribe", { id });
      // It may be a client of 0.3, which reads no stream under another status.
      expect(response.status).toBe(200);
      const [event] = await eventsOf(response);
      expect(event?.error?.code).toBe(code);
    }
  });
});

describe("tasks/get and tasks/cancel", () => {
  it("answer in 0.1 for ids that clients chose, in 0.3 for those of a server, where no version is named", async () => {
    const client = newClient();
    await send(client, "mine", "hello");
    const { id } = await createClient({ owner: client.owner, agent: "conformance" }).sendForTask("hello");
    expect(await client.result("tasks/get", { id: "mine" })).not.toHaveProperty("kind");
    expect(await client.result("tasks/get", { id })).toHaveProperty("kind", "task");
    const named = { "a2a-version": "0.1" };
    expect(await client.result("tasks/get", { id }, named)).toHaveProperty("sessionId");
    expect((await client.rpc("tasks/cancel", { id: "mine" })).headers.get("a2a-version")).toBe("0.1");
    expect((await client.rpc("tasks/cancel", { id })).headers.get("a2a-version")).toBe("0.3");
  });

  it("cut the history to what is asked for, which is nothing unless it is said", async () => {
    const client = newClient();
    await send(client, "t", "input");
    expect(await client.result("tasks/get", { id: "t" })).not.toHaveProperty("history");
    expect((await client.result<Task>("tasks/get", { id: "t", historyLength: 1 })).history).toHaveLength(1);
  });

  it("cancel a task at work once", async () => {
    const client = newClient();
    void client.rpc("tasks/send", saying("t", "slow:60000"));
    await eventually(async () => !(await client.answer("tasks/get", { id: "t" })).error);
    expect(await client.result("tasks/cancel", { id: "t" })).toMatchObject({ status: { state: "canceled" } });
    expect((await refusal(client, "tasks/cancel", { id: "t" })).code).toBe(-32002);
  });
});

describe("tasks/pushNotification/set and get", () => {
  const config = { url: hook, token: "t0ken", authentication: { schemes: ["Bearer"], credentials: "c" } };

  it("set the one config of a task, and show it without its secrets", async () => {
    const client = newClient();
    await send(client, "t", "input");
    const shown = {
      id: "t",
      pushNotificationConfig: {
        url: hook,
        token: "[redacted]",
        authentication: { schemes: ["Bearer"], credentials: "[redacted]" },
      },
    };
    const params = { id: "t", pushNotificationConfig: config };
    expect(await client.result("tasks/pushNotification/set", params)).toEqual(shown);
    expect(await client.result("tasks/pushNotification/get", { id: "t" })).toEqual(shown);
    expect(flawsOf("TaskPushNotificationConfig", shown)).toEqual([]);
    const other = { id: "t", pushNotificationConfig: { url: `${hook}/2` } };
    await client.result("tasks/pushNotification/set", other);
    expect(await client.result("tasks/pushNotification/get", { id: "t" })).toEqual(other);
    expect(await query(client.owner, "SELECT id, version FROM configs")).toEqual([
      { id: "default", version: "0.1" },
    ]);
  });

  it("may come with the message", async () => {
    const client = newClient();
    await send(client, "t", "input", { pushNotification: config });
    expect(await client.result("tasks/pushNotification/get", { id: "t" })).toHaveProperty(
      "pushNotificationConfig.url",
      hook,
    );
  });

  it("refuse by the names of that time", async () => {
    const client = newClient();
    await send(client, "t", "input");
    const bad = { url: "ftp://hooks.example", authentication: { schemes: ["a b"] } };
    const set = await refusal(client, "tasks/pushNotification/set", { id: "t", pushNotificationConfig: bad });
    expect(JSON.stringify(set)).toContain('"field":"pushNotificationConfig.url"');
    expect(JSON.stringify(set)).toContain('"field":"pushNotificationConfig.authentication.schemes"');
    const sent = await refusal(client, "tasks/send", saying("u", "x", { pushNotification: bad }));
    expect(JSON.stringify(sent)).toContain('"field":"pushNotification.url"');
    expect((await refusal(client, "tasks/get", { id: "u" })).code).toBe(-32001);
    expect((await refusal(client, "tasks/pushNotification/get", { id: "t" })).code).toBe(-32001);
  });
});

describe("what is not one's own", () => {
  const ways: [string, (id: string) => object][] = [
    ["tasks/get", (id) => ({ id })],
    ["tasks/cancel", (id) => ({ id })],
    ["tasks/pushNotification/get", (id) => ({ id })],
    ["tasks/pushNotification/set", (id) => ({ id, pushNotificationConfig: { url: hook } })],
  ];

  it.each(ways)("is not there for %s", async (method, params) => {
    const owner = newOwner();
    const mine = newClient({ owner });
    const task = await send(mine, "t", "input");
    for (const other of [newClient(), newClient({ owner, agent: "interview" })]) {
      const failure = await refusal(other, method, params("t"));
      const missing = await refusal(other, method, params("nothing"));
      expect(JSON.stringify(failure)).toBe(JSON.stringify(missing).replaceAll("nothing", "t"));
    }
    expect(await mine.result("tasks/get", { id: "t" })).toEqual(task);
  });

  it("does not keep an id from being one's own: each owner has a task of it", async () => {
    const [mine, theirs] = [newClient(), newClient()];
    await send(theirs, "t", "input", { sessionId: "their session" });
    const own = await send(mine, "t", "hello");
    expect(own).toMatchObject({ id: "t", status: { state: "completed" } });
    expect(own.sessionId).not.toBe("their session");
    expect(await theirs.result("tasks/get", { id: "t" })).toMatchObject({
      status: { state: "input-required" },
    });
  });

  it("at another agent of one's own is neither continued nor made a second time", async () => {
    const owner = newOwner();
    await send(newClient({ owner }), "t", "input");
    const other = newClient({ owner, agent: "interview" });
    expect((await refusal(other, "tasks/send", saying("t", "hello"))).code).toBe(-32001);
    const [event] = await eventsOf(await other.rpc("tasks/sendSubscribe", saying("t", "hello")));
    expect(event?.error?.code).toBe(-32001);
  });
});

describe("hostile params", () => {
  const wrong: [string, unknown, string][] = [
    ["tasks/send", { ...saying("t", "x"), id: undefined }, "id is required"],
    ["tasks/send", saying("x".repeat(257), "x"), "id must be at most 256 characters long"],
    ["tasks/send", saying("a\u0000", "x"), "id must not contain control characters"],
    [
      "tasks/send",
      saying("t", "x", { sessionId: "1-018f0000-0000-7000-8000-000000000000" }),
      "sessionId belongs to",
    ],
    ["tasks/send", saying("t", "x", { historyLength: "many" }), "historyLength must be a whole number"],
    [
      "tasks/send",
      { id: "t", message: { role: "agent", parts: [{ type: "text", text: "x" }] } },
      "message.role",
    ],
    [
      "tasks/send",
      { id: "t", message: { role: "user", parts: [{ type: "tool" }] } },
      "message.parts[0].type",
    ],
    ["tasks/get", { id: ["t"] }, "id must be a string"],
    ["tasks/pushNotification/set", { id: "t" }, "pushNotificationConfig is required"],
    ["tasks/pushNotification/get", {}, "id is required"],
  ];

  it.each(wrong)("of %s are refused by name: %j", async (method, params, text) => {
    const failure = await refusal(newClient(), method, params, { "a2a-version": "0.1" });
    expect(failure.code).toBe(-32602);
    expect(failure.message).toContain(text);
  });

  it("of many parts and of great depth are refused as a whole", async () => {
    const client = newClient();
    const parts = Array.from({ length: 1_001 }, () => ({ type: "text", text: "x" }));
    const many = await refusal(client, "tasks/send", { id: "t", message: { role: "user", parts } });
    expect(many.message).toContain("message.parts must hold at most");
    let deep: unknown = 1;
    for (let i = 0; i < 80; i++) deep = [deep];
    const text = { id: "t", message: { role: "user", parts: [{ type: "data", data: { deep } }] } };
    // Refused before anybody knows which version it is.
    const { error } = await client.answer("tasks/send", text);
    expect(error?.code).toBe(-32600);
    expect((await refusal(client, "tasks/get", { id: "t" })).code).toBe(-32001);
  });

  it.each(["message/send", "SendMessage", "tasks/list", "tasks/pushNotificationConfig/set", "constructor"])(
    "cannot ask for %s in 0.1",
    async (method) => {
      const failure = await refusal(newClient(), method, saying("t", "x"), { "a2a-version": "0.1" });
      expect(failure.code).toBe(-32601);
    },
  );

  it.each(["1.0", "0.3"])("cannot ask for tasks/send in %s", async (version) => {
    const { error } = await newClient().answer("tasks/send", saying("t", "x"), { "a2a-version": version });
    expect(error?.code).toBe(-32601);
  });
});
