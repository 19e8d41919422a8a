// What the specification asks of any server, from outside and over both bindings alike. Each test is a sentence of
// it; what depends on one binding only stands in the tests of that transport.

import { abortAllDurableObjects } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Message } from "../../src/protocol/message.ts";
import type { OperationName } from "../../src/protocol/operations.ts";
import type { ListTasksResponse, SendMessageResponse } from "../../src/protocol/requests.ts";
import type { Task } from "../../src/protocol/task.ts";
import { BINDINGS, type Binding, call, type Outcome, open, request, toOutcome } from "../support/bindings.ts";
import { type Client, createClient, eventually, kindOf, textOf, toMessage } from "../support/client.ts";
import { serveWith } from "../support/server.ts";

// The agent that is asked to throw is logged, as it should be.
beforeEach(() => void vi.spyOn(console, "error").mockImplementation(() => {}));
afterEach(() => void vi.restoreAllMocks());

const MISSING = "0-018f0000-0000-7000-8000-000000000000";
const TIMESTAMP = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

/** A text that ends the conformance agent's task in each terminal state; cancel does the fourth. */
const endings = {
  TASK_STATE_COMPLETED: "hello",
  TASK_STATE_FAILED: "throw",
  TASK_STATE_REJECTED: "slow:600001",
  TASK_STATE_CANCELED: "input",
};

const ended = Object.keys(endings) as (keyof typeof endings)[];

async function endIn(client: Client, state: keyof typeof endings): Promise<Task> {
  const task = await client.sendForTask(endings[state]);
  return state === "TASK_STATE_CANCELED" ? client.cancel(task.id) : task;
}

const newClient = () => createClient({ agent: "conformance" });

/** Every member of a JSON value, by the name it has. */
function* members(value: unknown): Generator<[name: string, value: unknown]> {
  if (typeof value !== "object" || value === null) return;
  for (const [name, member] of Object.entries(value)) {
    yield [name, member];
    yield* members(member);
  }
}

describe.each(BINDINGS)("over %s", (binding: Binding) => {
  const ask = (
    client: Client,
    name: OperationName,
    params: object,
    headers?: Record<string, string>,
  ): Promise<Outcome> => call(binding, client, name, params as Record<string, unknown>, headers);

  async function value<T>(
    client: Client,
    name: OperationName,
    params: object,
    headers?: Record<string, string>,
  ) {
    const outcome = await ask(client, name, params, headers);
    if ("reason" in outcome) throw new Error(`${name} answered ${JSON.stringify(outcome)}`);
    return outcome.result as T;
  }

  async function reason(
    client: Client,
    name: OperationName,
    params: object,
    headers?: Record<string, string>,
  ) {
    const outcome = await ask(client, name, params, headers);
    return "reason" in outcome ? outcome.reason : `no failure: ${JSON.stringify(outcome.result)}`;
  }

  const send = (client: Client, message: Message, configuration?: object) =>
    value<SendMessageResponse>(client, "SendMessage", { message, ...(configuration && { configuration }) });

  async function sendForTask(client: Client, message: Message, configuration?: object): Promise<Task> {
    const { task } = await send(client, message, configuration);
    if (!task) throw new Error("answered without a task");
    return task;
  }

  describe("objects (§4)", () => {
    it("a task has an id, a context, a status and no members that are empty", async () => {
      const task = await sendForTask(newClient(), toMessage("input"));
      expect(Object.keys(task).toSorted()).toEqual(["contextId", "history", "id", "status"]);
      expect(Object.keys(task.status).toSorted()).toEqual(["message", "state", "timestamp"]);
      for (const [name, member] of members(task)) {
        expect(member, name).not.toBeNull();
        expect(member, name).not.toBe("");
        expect(member, name).not.toEqual([]);
      }
    });

    it("an agent's message belongs to its task, has an id of its own and the agent's role", async () => {
      const task = await sendForTask(newClient(), toMessage("input"));
      expect(task.status.message).toMatchObject({
        messageId: expect.stringMatching(/./),
        role: "ROLE_AGENT",
        taskId: task.id,
        contextId: task.contextId,
      });
      const ids = task.history?.map((message) => message.messageId) ?? [];
      expect(new Set(ids).size).toBe(ids.length);
    });

    it("timestamps are UTC with milliseconds (§5.6)", async () => {
      const client = newClient();
      for (const says of ["hello", "input", "stream:2:0"]) await client.send(says);
      const list = await value<ListTasksResponse>(client, "ListTasks", { includeArtifacts: true });
      const times = [...members(list)].filter(([name]) => name === "timestamp").map(([, time]) => time);
      expect(times.length).toBeGreaterThanOrEqual(3);
      for (const time of times) expect(time).toMatch(TIMESTAMP);
    });

    it("an answer holds exactly one of task and message (§3.1.1)", async () => {
      const client = newClient();
      expect(Object.keys(await send(client, toMessage("hello")))).toEqual(["task"]);
      expect(Object.keys(await send(client, toMessage("message")))).toEqual(["message"]);
    });

    it("a direct Message is the agent's, in a context, and of no task (§3.4.1)", async () => {
      const client = newClient();
      const { message } = await send(client, toMessage("message"));
      expect(message).toMatchObject({ role: "ROLE_AGENT", messageId: expect.stringMatching(/./) });
      expect(message?.contextId).toMatch(/./);
      expect(message).not.toHaveProperty("taskId");
      const kept = await send(client, toMessage({ says: "message", contextId: "mine" }));
      expect(kept.message?.contextId).toBe("mine");
      expect((await client.list()).totalSize).toBe(0);
    });

    it("parts keep their one content, media type, file name and metadata", async () => {
      const parts = [
        { text: "both", mediaType: "text/markdown" },
        { raw: "AAEC/w==", filename: "a.bin", mediaType: "application/octet-stream", metadata: { a: [1] } },
        { url: "https://example.com/x", filename: "x" },
        { data: { a: null, b: [1.5, "c"] } },
        { data: [1, 2] },
        { data: "text" },
        { data: 0 },
        { data: null },
      ];
      const task = await sendForTask(newClient(), toMessage(parts as Message["parts"]));
      expect(task.history?.[0]?.parts).toEqual(parts);
    });
  });

  describe("what is read (ProtoJSON, §5.5)", () => {
    it("both spellings of a field name, and numbers as text", async () => {
      const client = newClient();
      const snake = {
        message: {
          message_id: "m",
          role: "ROLE_USER",
          context_id: "mine",
          parts: [{ text: "input", media_type: "text/plain" }],
          reference_task_ids: ["x"],
        },
        configuration: {
          history_length: "0",
          return_immediately: false,
          accepted_output_modes: ["text/plain"],
        },
      };
      const { task } = await value<SendMessageResponse>(client, "SendMessage", snake);
      expect(task).toMatchObject({ contextId: "mine", status: { state: "TASK_STATE_INPUT_REQUIRED" } });
      expect(task).not.toHaveProperty("history");
      const list = await value<ListTasksResponse>(client, "ListTasks", {
        page_size: "7",
        context_id: "mine",
      });
      expect(list).toMatchObject({ pageSize: 7, totalSize: 1 });
      const got = await value<Task>(client, "GetTask", { id: task?.id, history_length: "1" });
      expect(got.history).toHaveLength(1);
    });

    it("enums by number, base64 in both alphabets, null as absent, and unknown fields not at all", async () => {
      const message = {
        messageId: "m",
        role: 1,
        contextId: null,
        parts: [{ raw: "_-8" }, { raw: "/+8=", metadata: null }, { text: "x", sound: "y" }],
        future: { deep: [{}] },
      };
      const params = { message, configuration: null, another: 1 };
      const { task } = await value<SendMessageResponse>(newClient(), "SendMessage", params);
      expect(task?.history?.[0]?.role).toBe("ROLE_USER");
      expect(task?.history?.[0]?.parts).toMatchObject([{ raw: "/+8=" }, { raw: "/+8=" }, { text: "x" }]);
      expect(JSON.stringify(task)).not.toMatch(/future|sound|another/);
    });

    it("a message without parts or with an empty part is refused by the field's name (§5.7)", async () => {
      for (const [parts, field] of [
        [[], "message.parts"],
        [[{}], "message.parts[0]"],
        [[{ text: "a" }, { text: "a", url: "https://b.example" }], "message.parts[1]"],
      ] as const) {
        const outcome = await ask(newClient(), "SendMessage", { message: { ...toMessage("x"), parts } });
        expect(outcome).toMatchObject({ reason: "INVALID_PARAMS" });
        const [violations] = "details" in outcome ? outcome.details : [];
        expect(violations?.fieldViolations).toMatchObject([
          { field, description: expect.stringMatching(/./) },
        ]);
      }
    });

    it("a message of the agent's role is refused: a client speaks as the user", async () => {
      const message = { ...toMessage("x"), role: "ROLE_AGENT" };
      expect(await reason(newClient(), "SendMessage", { message })).toBe("INVALID_PARAMS");
    });
  });

  describe("ids (§3.4)", () => {
    it("of tasks and contexts are the server's, and other ones each time", async () => {
      const client = newClient();
      const tasks = [
        await sendForTask(client, toMessage("hello")),
        await sendForTask(client, toMessage("hello")),
      ];
      expect(new Set(tasks.map((task) => task.id)).size).toBe(2);
      expect(new Set(tasks.map((task) => task.contextId)).size).toBe(2);
    });

    it("a client's own contextId is kept on a new task, and taken up again", async () => {
      const client = newClient();
      const contextId = "a client's own / context? #1 \u{1F600}";
      const first = await sendForTask(client, toMessage({ says: "input", contextId }));
      expect(first.contextId).toBe(contextId);
      const second = await sendForTask(client, toMessage({ says: "hello", contextId }));
      expect(second).toMatchObject({ contextId });
      expect(second.id).not.toBe(first.id);
      const list = await value<ListTasksResponse>(client, "ListTasks", { contextId });
      expect(list.totalSize).toBe(2);
    });

    it("a taskId alone implies its context; with another context it is refused", async () => {
      const client = newClient();
      const task = await sendForTask(client, toMessage("input"));
      const other = { message: toMessage({ says: "x", taskId: task.id, contextId: "another" }) };
      expect(await reason(client, "SendMessage", other)).toBe("INVALID_PARAMS");
      expect(await client.get(task.id)).toEqual(task);
      const next = await sendForTask(client, toMessage({ says: "x", taskId: task.id }));
      expect(next).toMatchObject({ id: task.id, contextId: task.contextId });
    });

    it("a task that does not exist is TaskNotFound in every operation on one", async () => {
      const client = newClient();
      const message = toMessage({ says: "x", taskId: MISSING });
      for (const name of ["GetTask", "CancelTask", "SubscribeToTask"] as const) {
        expect(await reason(client, name, { id: MISSING }), name).toBe("TASK_NOT_FOUND");
      }
      for (const name of ["SendMessage", "SendStreamingMessage"] as const) {
        expect(await reason(client, name, { message }), name).toBe("TASK_NOT_FOUND");
      }
    });

    it("the same messageId is no duplicate by itself", async () => {
      const client = newClient();
      const message = toMessage("hello");
      const [one, two] = [await sendForTask(client, message), await sendForTask(client, message)];
      expect(one.id).not.toBe(two.id);
      expect((await client.list()).totalSize).toBe(2);
    });
  });

  describe("Idempotency-Key", () => {
    const key = { "idempotency-key": "k-1" };

    it("makes one task of the same request, whether it has ended or not", async () => {
      const client = newClient();
      for (const says of ["hello", "input"]) {
        const params = { message: toMessage(says) };
        const headers = { "idempotency-key": `k-${says}` };
        const first = await value<SendMessageResponse>(client, "SendMessage", params, headers);
        expect(await value<SendMessageResponse>(client, "SendMessage", params, headers)).toEqual(first);
      }
      expect((await client.list()).totalSize).toBe(2);
    });

    it("gives the same Message again", async () => {
      const client = newClient();
      const params = { message: toMessage("message") };
      const first = await value<SendMessageResponse>(client, "SendMessage", params, key);
      expect(await value<SendMessageResponse>(client, "SendMessage", params, key)).toEqual(first);
    });

    it("refuses another request under the same key, naming the header", async () => {
      const client = newClient();
      await value(client, "SendMessage", { message: toMessage("hello") }, key);
      const outcome = await ask(client, "SendMessage", { message: toMessage("hello") }, key);
      expect(outcome).toMatchObject({ reason: "INVALID_PARAMS" });
      expect(JSON.stringify(outcome)).toContain("Idempotency-Key");
      expect((await client.list()).totalSize).toBe(1);
    });

    it("means another thing to another owner, another agent, and a stream", async () => {
      const client = newClient();
      const params = { message: toMessage("hello") };
      const ids = new Set<string>();
      const clients = [client, newClient(), createClient({ owner: client.owner, agent: "echo" })];
      for (const one of clients) {
        ids.add((await value<SendMessageResponse>(one, "SendMessage", params, key)).task?.id ?? "");
      }
      const stream = await open(binding, client, "SendStreamingMessage", params, key);
      ids.add((await stream.rest())[0]?.event.task?.id ?? "");
      expect(ids.size).toBe(4);
    });

    it("lets a second stream join the first one's task", async () => {
      const client = newClient();
      const params = { message: toMessage("stream:4:30") };
      const first = await open(binding, client, "SendStreamingMessage", params, key);
      const opening = await first.next();
      const second = await open(binding, client, "SendStreamingMessage", params, key);
      const joined = await second.rest();
      expect(joined[0]?.event.task?.id).toBe(opening?.event.task?.id);
      expect(joined.at(-1)).toEqual((await first.rest()).at(-1));
      expect((await client.list()).totalSize).toBe(1);
    });
  });

  describe("sending (§3.1.1, §3.2.2)", () => {
    it.each(ended)("to a task that is %s is UnsupportedOperation", async (state) => {
      const client = newClient();
      const task = await endIn(client, state);
      expect(task.status.state).toBe(state);
      const params = { message: toMessage({ says: "more", taskId: task.id }) };
      expect(await reason(client, "SendMessage", params)).toBe("UNSUPPORTED_OPERATION");
      expect(await reason(client, "SendStreamingMessage", params)).toBe("UNSUPPORTED_OPERATION");
      expect(await client.get(task.id)).toEqual(task);
    });

    it.each([
      ["hello", "TASK_STATE_COMPLETED"],
      ["slow:150", "TASK_STATE_COMPLETED"],
      ["throw", "TASK_STATE_FAILED"],
      ["slow:600001", "TASK_STATE_REJECTED"],
      ["input", "TASK_STATE_INPUT_REQUIRED"],
      ["auth", "TASK_STATE_AUTH_REQUIRED"],
    ])("waits for %s to be %s", async (says, state) => {
      expect((await sendForTask(newClient(), toMessage(says))).status.state).toBe(state);
      const waiting = { returnImmediately: false };
      expect((await sendForTask(newClient(), toMessage(says), waiting)).status.state).toBe(state);
    });

    it("comes back with the task under way when returnImmediately is asked for, and has no say in a Message", async () => {
      const client = newClient();
      const begun = Date.now();
      const task = await sendForTask(client, toMessage("slow:2000"), { returnImmediately: true });
      expect(Date.now() - begun).toBeLessThan(1_500);
      expect(["TASK_STATE_SUBMITTED", "TASK_STATE_WORKING"]).toContain(task.status.state);
      expect((await client.get(task.id)).id).toBe(task.id);
      await client.cancel(task.id);
    });

    it("answers with every artifact, in the order of their making", async () => {
      const task = await sendForTask(newClient(), toMessage("stream:5:0"));
      expect(task.artifacts).toMatchObject([{ artifactId: "stream", name: "stream" }]);
      expect(task.artifacts?.[0]?.parts.map((part) => part.text)).toEqual(
        [1, 2, 3, 4, 5].map((chunk) => `chunk-${chunk} `),
      );
    });

    it("keeps both sides of the conversation, oldest first, and the newest as the status message", async () => {
      const client = newClient();
      const first = await sendForTask(client, toMessage("input"));
      const second = await sendForTask(client, toMessage({ says: "Rome", taskId: first.id }));
      expect((second.history ?? []).map((message) => [message.role, textOf(message)])).toEqual([
        ["ROLE_USER", "input"],
        ["ROLE_AGENT", "Input required"],
        ["ROLE_USER", "Rome"],
      ]);
      for (const message of second.history ?? []) {
        expect(message).toMatchObject({ taskId: first.id, contextId: first.contextId });
      }
    });

    it("a media type that the card does not list is refused (§3.3.2)", async () => {
      const client = createClient({ agent: "echo" });
      const message = toMessage([{ text: "x", mediaType: "application/x-unknown" }]);
      expect(await reason(client, "SendMessage", { message })).toBe("CONTENT_TYPE_NOT_SUPPORTED");
      for (const mediaType of ["text/plain", "TEXT/PLAIN", "text/plain; charset=utf-8"]) {
        expect((await sendForTask(client, toMessage([{ text: "x", mediaType }]))).status.state).toBe(
          "TASK_STATE_COMPLETED",
        );
      }
      expect((await client.list()).totalSize).toBe(3);
    });

    it("a webhook in the message is refused while push is off, and nothing starts (§3.3.4)", async () => {
      const client = newClient();
      const configuration = { taskPushNotificationConfig: { url: "https://example.com/hook" } };
      const params = { message: toMessage("hello"), configuration };
      for (const name of ["SendMessage", "SendStreamingMessage"] as const) {
        expect(await reason(client, name, params), name).toBe("PUSH_NOTIFICATION_NOT_SUPPORTED");
      }
      expect((await client.list()).totalSize).toBe(0);
    });
  });

  describe("historyLength (§3.2.4)", () => {
    async function conversation() {
      const client = newClient();
      const { id } = await client.sendForTask("input");
      await client.sendForTask({ says: "input", taskId: id });
      const whole = await client.get(id);
      return { client, id, whole };
    }

    it("absent is all, 0 is no member at all, n is the newest n, oldest first", async () => {
      const { client, id, whole } = await conversation();
      const length = whole.history?.length ?? 0;
      expect(length).toBeGreaterThanOrEqual(3);
      expect(await value<Task>(client, "GetTask", { id })).toEqual(whole);
      const none = await value<Task>(client, "GetTask", { id, historyLength: 0 });
      expect(none).not.toHaveProperty("history");
      for (const n of [1, 2, length, length + 1, 1_000, 2_147_483_647]) {
        const some = await value<Task>(client, "GetTask", { id, historyLength: n });
        expect(some.history).toEqual(whole.history?.slice(-n));
      }
    });

    it("counts for what SendMessage answers with as well", async () => {
      const client = newClient();
      const none = await sendForTask(client, toMessage("input"), { historyLength: 0 });
      expect(none).not.toHaveProperty("history");
      const one = await sendForTask(client, toMessage({ says: "x", taskId: none.id }), { historyLength: 1 });
      expect(one.history).toHaveLength(1);
      expect(textOf(one.history?.[0])).toBe("x");
    });

    it("counts for the first event of a stream", async () => {
      const client = newClient();
      const params = { message: toMessage("hello"), configuration: { historyLength: 0 } };
      const stream = await open(binding, client, "SendStreamingMessage", params);
      expect((await stream.rest())[0]?.event.task).not.toHaveProperty("history");
    });

    it("negative is refused", async () => {
      const { client, id } = await conversation();
      expect(await reason(client, "GetTask", { id, historyLength: -1 })).toBe("INVALID_PARAMS");
      const params = { message: toMessage("hello"), configuration: { historyLength: -1 } };
      expect(await reason(client, "SendMessage", params)).toBe("INVALID_PARAMS");
      expect(await reason(client, "ListTasks", { historyLength: -1 })).toBe("INVALID_PARAMS");
    });
  });

  describe("canceling (§3.1.5)", () => {
    it.each(["input", "auth", "slow:60000"])(
      "ends a task that is at %s, and answers with it",
      async (says) => {
        const client = newClient();
        const { id } = await client.start(says);
        const task = await value<Task>(client, "CancelTask", { id });
        expect(task).toMatchObject({ id, status: { state: "TASK_STATE_CANCELED" } });
        expect(task.status.timestamp).toMatch(TIMESTAMP);
        expect(await client.get(id)).toEqual(task);
      },
    );

    it.each(ended)("a task that is %s is TaskNotCancelable", async (state) => {
      const client = newClient();
      const task = await endIn(client, state);
      expect(await reason(client, "CancelTask", { id: task.id })).toBe("TASK_NOT_CANCELABLE");
      expect(await client.get(task.id)).toEqual(task);
    });

    it("takes metadata and does nothing with it", async () => {
      const client = newClient();
      const { id } = await client.start("input");
      const params = { id, metadata: { why: "because" } };
      expect((await value<Task>(client, "CancelTask", params)).status.state).toBe("TASK_STATE_CANCELED");
    });

    it("releases whoever waits for the task", async () => {
      const client = newClient();
      const contextId = crypto.randomUUID();
      const waiting = sendForTask(client, toMessage({ says: "slow:60000", contextId }));
      const id = await eventually(async () => (await client.list({ contextId })).tasks[0]?.id);
      await client.cancel(id);
      expect((await waiting).status.state).toBe("TASK_STATE_CANCELED");
    });
  });

  describe("streams (§3.1.2, §3.1.6)", () => {
    const openSend = (client: Client, message: Message) =>
      open(binding, client, "SendStreamingMessage", { message });
    const subscribe = (client: Client, id: string, last?: string) =>
      open(binding, client, "SubscribeToTask", { id }, last === undefined ? {} : { "last-event-id": last });

    it("begin with the task, then tell everything in its order, and end with the task's end", async () => {
      const frames = await (await openSend(newClient(), toMessage("stream:3:0"))).rest();
      expect(frames.map(({ event }) => kindOf(event))).toEqual([
        "task",
        "TASK_STATE_WORKING",
        "artifact",
        "artifact",
        "artifact",
        "TASK_STATE_COMPLETED",
      ]);
      for (const { event } of frames) expect(Object.keys(event)).toHaveLength(1);
    });

    it("or are exactly one Message", async () => {
      const frames = await (await openSend(newClient(), toMessage("message"))).rest();
      expect(frames.map(({ event }) => kindOf(event))).toEqual(["message"]);
      expect(frames[0]?.id).toBeUndefined();
    });

    it("name task and context in every event, and know no final and no kind", async () => {
      const frames = await (await openSend(newClient(), toMessage("stream:2:0"))).rest();
      const { id, contextId } = frames[0]?.event.task as Task;
      for (const { event } of frames.slice(1)) {
        expect(event.statusUpdate ?? event.artifactUpdate).toMatchObject({ taskId: id, contextId });
      }
      const names = new Set([...members(frames.map(({ event }) => event))].map(([name]) => name));
      for (const name of ["final", "kind", "taskStatusUpdate", "index", "createdAt"])
        expect(names).not.toContain(name);
    });

    it("add chunks to an artifact and mark its last, which is the task's artifact in the end (§4.2.2)", async () => {
      const client = newClient();
      const frames = await (await openSend(client, toMessage("stream:3:0"))).rest();
      const updates = frames.flatMap(({ event }) => event.artifactUpdate ?? []);
      expect(updates.map(({ append, lastChunk }) => [append ?? false, lastChunk ?? false])).toEqual([
        [false, false],
        [true, false],
        [true, true],
      ]);
      const { artifacts } = await client.get(frames[0]?.event.task?.id ?? "");
      expect(artifacts?.[0]?.parts).toEqual(updates.flatMap(({ artifact }) => artifact.parts));
    });

    it("have ids that only grow", async () => {
      const frames = await (await openSend(newClient(), toMessage("stream:20:1"))).rest();
      const ids = frames.map(({ id }) => Number(id));
      expect(ids.every((id, index) => index === 0 || id > (ids[index - 1] ?? 0))).toBe(true);
    });

    it("close at input-required when they came with the message", async () => {
      const frames = await (await openSend(newClient(), toMessage("input"))).rest();
      expect(frames.map(({ event }) => kindOf(event)).at(-1)).toBe("TASK_STATE_INPUT_REQUIRED");
    });

    it("stay open at auth-required until the end (§7.6.1)", async () => {
      const client = newClient();
      const stream = await openSend(client, toMessage("auth"));
      const frames = await stream.until((event) => kindOf(event) === "TASK_STATE_AUTH_REQUIRED");
      await client.sendForTask({ says: "granted", taskId: frames[0]?.event.task?.id });
      expect((await stream.rest()).map(({ event }) => kindOf(event)).at(-1)).toBe("TASK_STATE_COMPLETED");
    });

    it("stay open across input-required when they were subscribed to", async () => {
      const client = newClient();
      const { id } = await client.sendForTask("input");
      const stream = await subscribe(client, id);
      expect((await stream.next())?.event.task).toEqual(await client.get(id));
      await client.sendForTask({ says: "input", taskId: id });
      await client.cancel(id).catch(() => {});
      const kinds = (await stream.rest()).map(({ event }) => kindOf(event));
      expect(kinds.at(-1)).toMatch(/^TASK_STATE_(CANCELED|COMPLETED)$/);
    });

    it("can be subscribed to while nothing runs, also after a restart", async () => {
      const client = newClient();
      const { id } = await client.sendForTask("input");
      await abortAllDurableObjects();
      const stream = await subscribe(client, id);
      expect((await stream.next())?.event.task?.status.state).toBe("TASK_STATE_INPUT_REQUIRED");
      await client.sendForTask({ says: "go on", taskId: id });
      expect((await stream.rest()).map(({ event }) => kindOf(event)).at(-1)).toBe("TASK_STATE_COMPLETED");
    });

    it("tell every subscriber the same, and one that leaves takes nothing from the others", async () => {
      const client = newClient();
      const first = await openSend(client, toMessage("stream:12:20"));
      const opening = await first.next();
      const id = opening?.event.task?.id ?? "";
      const [leaving, staying, late] = await Promise.all([
        subscribe(client, id, opening?.id),
        subscribe(client, id, opening?.id),
        subscribe(client, id),
      ]);
      await leaving.next();
      await leaving.leave();
      const all = await first.rest();
      expect(await staying.rest()).toEqual(all);
      const seen = await late.rest();
      expect(seen.slice(1)).toEqual(all.slice(all.length - seen.length + 1));
      expect((await client.get(id)).status.state).toBe("TASK_STATE_COMPLETED");
    });

    it.each(ended)("of a task that is %s are UnsupportedOperation, as a plain error", async (state) => {
      const client = newClient();
      const { id } = await endIn(client, state);
      const response = await request(
        binding,
        client,
        "SubscribeToTask",
        { id },
        { accept: "text/event-stream" },
      );
      expect(response.headers.get("content-type")).toMatch(/^application\/(a2a\+)?json$/);
      expect(await toOutcome(binding, response)).toMatchObject({ reason: "UNSUPPORTED_OPERATION" });
    });

    it.each(ended)("of a task that is %s meanwhile replay what was missed, and close", async (state) => {
      const client = newClient();
      const stream = await openSend(client, toMessage(endings[state]));
      const opening = await stream.next();
      const id = opening?.event.task?.id ?? "";
      const live = await stream.rest();
      if (state === "TASK_STATE_CANCELED") await client.cancel(id);
      const replay = await (await subscribe(client, id, opening?.id)).rest();
      expect(replay.slice(0, live.length)).toEqual(live);
      expect(replay.map(({ event }) => kindOf(event)).at(-1)).toBe(state);
      const last = replay.at(-1)?.id ?? "";
      expect(await (await subscribe(client, id, last)).rest()).toEqual([]);
      for (const [index, frame] of replay.entries()) {
        expect(await (await subscribe(client, id, frame.id)).rest()).toEqual(replay.slice(index + 1));
      }
    });

    it("from a Last-Event-ID that never was are refused", async () => {
      const client = newClient();
      const { id } = await client.sendForTask("hello");
      for (const last of ["999999", "-1", "abc", "1.5", "9007199254740993"]) {
        const headers = { "last-event-id": last };
        expect(await reason(client, "SubscribeToTask", { id }, headers), last).toBe("INVALID_PARAMS");
      }
    });
  });

  describe("capabilities that are off (§3.3.4)", () => {
    it("STREAMING=false: no streams, and the card says so", async () => {
      const client = createClient({ agent: "conformance", fetch: serveWith({ streaming: false }) });
      const { id } = await client.sendForTask("input");
      const card = await (await client.request("/.well-known/agent-card.json")).json();
      expect(card).toMatchObject({ capabilities: { streaming: false } });
      expect(await reason(client, "SendStreamingMessage", { message: toMessage("hello") })).toBe(
        "UNSUPPORTED_OPERATION",
      );
      expect(await reason(client, "SubscribeToTask", { id })).toBe("UNSUPPORTED_OPERATION");
      expect((await client.list()).totalSize).toBe(1);
    });

    it("push is off in all four operations, for tasks that exist and that do not", async () => {
      const client = newClient();
      const { id } = await client.sendForTask("input");
      for (const taskId of [id, MISSING]) {
        const asked = [
          ["CreateTaskPushNotificationConfig", { taskId, url: "https://example.com/hook" }],
          ["GetTaskPushNotificationConfig", { taskId, id: "c" }],
          ["ListTaskPushNotificationConfigs", { taskId }],
          ["DeleteTaskPushNotificationConfig", { taskId, id: "c" }],
        ] as const;
        for (const [name, params] of asked) {
          expect(await reason(client, name, params), name).toBe("PUSH_NOTIFICATION_NOT_SUPPORTED");
        }
      }
    });

    it("EXTENDED_CARD=false: no extended card, and the card says so", async () => {
      const client = createClient({ agent: "enterprise", fetch: serveWith({ extendedCard: false }) });
      const card = await (await client.request("/.well-known/agent-card.json")).json<{
        capabilities: object;
      }>();
      expect(card.capabilities).not.toMatchObject({ extendedAgentCard: true });
      expect(await reason(client, "GetExtendedAgentCard", {})).toBe("UNSUPPORTED_OPERATION");
    });

    it("the extended card has all of the card, and more skills", async () => {
      const client = createClient({ agent: "enterprise" });
      const card = await (await client.request("/.well-known/agent-card.json")).json<{ skills: unknown[] }>();
      const extended = await value<{ skills: unknown[] }>(client, "GetExtendedAgentCard", {});
      expect(extended).toMatchObject({ ...card, skills: expect.arrayContaining(card.skills) });
      expect(extended.skills.length).toBeGreaterThan(card.skills.length);
    });

    it("a required extension is required of every operation, and named in the answer when it is there", async () => {
      const uri = "https://example.com/ext/v1";
      const client = createClient({ agent: "conformance", fetch: serveWith({ requiredExtensions: [uri] }) });
      const operations = [
        ["SendMessage", { message: toMessage("hello") }],
        ["SendStreamingMessage", { message: toMessage("hello") }],
        ["GetTask", { id: MISSING }],
        ["ListTasks", {}],
        ["CancelTask", { id: MISSING }],
        ["SubscribeToTask", { id: MISSING }],
        ["GetExtendedAgentCard", {}],
      ] as const;
      for (const [name, params] of operations) {
        expect(await reason(client, name, params), name).toBe("EXTENSION_SUPPORT_REQUIRED");
      }
      const headers = { "a2a-extensions": `urn:other , ${uri},${uri}` };
      const response = await request(binding, client, "ListTasks", {}, headers);
      expect(response.headers.get("a2a-extensions")).toBe(uri);
      expect(await toOutcome(binding, response)).toMatchObject({ result: { totalSize: 0 } });
    });
  });

  describe("errors (§5.4)", () => {
    it("carry ErrorInfo of the specification's domain, with texts for metadata", async () => {
      const client = newClient();
      const { id } = await client.sendForTask("hello");
      const failures = [
        await ask(client, "GetTask", { id: MISSING }),
        await ask(client, "CancelTask", { id }),
        await ask(client, "SubscribeToTask", { id }),
        await ask(client, "ListTaskPushNotificationConfigs", { taskId: id }),
        await ask(client, "ListTasks", { pageSize: 0 }),
        await ask(client, "ListTasks", {}, { "a2a-version": "7.0" }),
      ];
      const reasons = failures.map((failure) => ("reason" in failure ? failure.reason : "none"));
      expect(reasons).toEqual([
        "TASK_NOT_FOUND",
        "TASK_NOT_CANCELABLE",
        "UNSUPPORTED_OPERATION",
        "PUSH_NOTIFICATION_NOT_SUPPORTED",
        "INVALID_PARAMS",
        "VERSION_NOT_SUPPORTED",
      ]);
      for (const failure of failures) {
        if (!("details" in failure)) throw new Error("no failure");
        for (const detail of failure.details)
          expect(detail["@type"]).toMatch(/^type\.googleapis\.com\/google\.rpc\./);
        const info = failure.details.find((detail) => detail.reason !== undefined);
        expect(info?.domain).toBe("a2a-protocol.org");
        for (const text of Object.values(info?.metadata ?? {})) expect(text).toBeTypeOf("string");
      }
    });

    it("have the code and the status of their table", async () => {
      const client = newClient();
      const { id } = await client.sendForTask("hello");
      const table: [Outcome, number, number][] = [
        [await ask(client, "GetTask", { id: MISSING }), -32001, 404],
        [await ask(client, "CancelTask", { id }), -32002, 400],
        [await ask(client, "ListTaskPushNotificationConfigs", { taskId: id }), -32003, 400],
        [await ask(client, "SubscribeToTask", { id }), -32004, 400],
        [await ask(client, "ListTasks", {}, { "a2a-version": "7.0" }), -32009, 400],
        [await ask(client, "ListTasks", { pageSize: 0 }), -32602, 400],
      ];
      for (const [outcome, rpc, http] of table) {
        const expected = binding === "JSON-RPC" ? { code: rpc, status: 200 } : { code: http, status: http };
        expect(outcome).toMatchObject(expected);
      }
    });
  });
});

describe("one task over both bindings", () => {
  it("is the same task, field by field", async () => {
    const client = newClient();
    for (const says of ["hello", "input", "throw", "stream:3:0"]) {
      const { id } = await client.sendForTask(says);
      const [one, two] = await Promise.all(
        BINDINGS.map((binding) => call(binding, client, "GetTask", { id })),
      );
      expect(one).toEqual(two);
    }
    const params = { pageSize: "2", includeArtifacts: "true" };
    const list = await (await client.request(`/tasks?${new URLSearchParams(params)}`)).json();
    expect(list).toEqual(await client.list({ pageSize: 2, includeArtifacts: true }));
  });

  it("can be begun over one, followed over the other, and canceled over the first", async () => {
    const client = newClient();
    const { id } = await client.start("slow:60000");
    const stream = await open("HTTP+JSON", client, "SubscribeToTask", { id });
    await stream.next();
    await client.cancel(id);
    expect((await stream.rest()).map(({ event }) => kindOf(event)).at(-1)).toBe("TASK_STATE_CANCELED");
  });
});

describe("a card (§4.4.1)", () => {
  // Kits validate it with additionalProperties: false.
  const known = {
    card: [
      "name",
      "description",
      "supportedInterfaces",
      "provider",
      "version",
      "documentationUrl",
      "capabilities",
      "securitySchemes",
      "securityRequirements",
      "defaultInputModes",
      "defaultOutputModes",
      "skills",
      "signatures",
      "iconUrl",
    ],
    interface: ["url", "protocolBinding", "tenant", "protocolVersion"],
    capabilities: ["streaming", "pushNotifications", "extensions", "extendedAgentCard"],
    skill: [
      "id",
      "name",
      "description",
      "tags",
      "examples",
      "inputModes",
      "outputModes",
      "securityRequirements",
    ],
  };
  type Card = {
    [member: string]: unknown;
    supportedInterfaces: Record<string, string>[];
    capabilities: object;
    skills: Record<string, unknown>[];
  };

  it.each(["echo", "long-running", "enterprise", "interview", "conformance"])(
    "of %s holds what is required, nothing of 0.3, and addresses that answer",
    async (agent) => {
      for (const fetch of [undefined, serveWith({ authMode: "api-key" })]) {
        const client = createClient({ agent, ...(fetch && { fetch }) });
        const card = await (await client.request("/.well-known/agent-card.json")).json<Card>();
        expect(Object.keys(card).filter((name) => !known.card.includes(name))).toEqual([]);
        for (const name of ["name", "description", "version"]) expect(card[name], name).toMatch(/./);
        for (const name of ["supportedInterfaces", "defaultInputModes", "defaultOutputModes", "skills"]) {
          expect(card[name], name).not.toHaveLength(0);
        }
        expect(Object.keys(card.capabilities).filter((name) => !known.capabilities.includes(name))).toEqual(
          [],
        );
        for (const skill of card.skills) {
          expect(Object.keys(skill).filter((name) => !known.skill.includes(name))).toEqual([]);
          for (const name of ["id", "name", "description"]) expect(skill[name], name).toMatch(/./);
          expect(skill.tags).not.toHaveLength(0);
        }
        expect(card.supportedInterfaces.map((one) => one.protocolBinding)).toEqual(["JSONRPC", "HTTP+JSON"]);
        for (const one of card.supportedInterfaces) {
          expect(Object.keys(one).filter((name) => !known.interface.includes(name))).toEqual([]);
          expect(one.protocolVersion).toBe("1.0");
          expect(one.url).toMatch(/^https:\/\/agents\.test/);
        }
      }
    },
  );

  it("says how to authenticate where that is needed, and only there (§4.5)", async () => {
    const open = await (await createClient().request("/.well-known/agent-card.json")).json<Card>();
    expect(open).not.toHaveProperty("securitySchemes");
    expect(open).not.toHaveProperty("securityRequirements");
    const closed = createClient({ fetch: serveWith({ authMode: "api-key" }) });
    const card = await (await closed.request("/.well-known/agent-card.json")).json<Card>();
    const schemes = Object.keys(card.securitySchemes as object);
    expect(schemes.length).toBeGreaterThan(0);
    for (const requirement of card.securityRequirements as { schemes: object }[]) {
      for (const name of Object.keys(requirement.schemes)) expect(schemes).toContain(name);
    }
  });
});
