// What the specification asks of any server about messages and tasks, from outside and over both bindings alike. Each
// test is a sentence of it; what depends on one binding only stands in the tests of that transport.

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Message } from "../../src/protocol/message.ts";
import type { ListTasksResponse, SendMessageResponse } from "../../src/protocol/requests.ts";
import type { Task } from "../../src/protocol/task.ts";
import { BINDINGS, type Binding, open, over } from "../support/bindings.ts";
import { createClient, eventually, textOf, toMessage } from "../support/client.ts";
import { ended, endIn, MISSING, members, newClient, TIMESTAMP, withoutPush } from "./tasks.ts";

// The agent that is asked to throw is logged, as it should be.
beforeEach(() => void vi.spyOn(console, "error").mockImplementation(() => {}));
afterEach(() => void vi.restoreAllMocks());

describe.each(BINDINGS)("over %s", (binding: Binding) => {
  const { ask, value, reason, send, sendForTask } = over(binding);

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
      const client = createClient({ agent: "enterprise" });
      const task = await sendForTask(client, toMessage(parts as Message["parts"]));
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

    it("comes back with the task under way when returnImmediately is asked for", async () => {
      const client = newClient();
      const task = await sendForTask(client, toMessage("slow:60000"), { returnImmediately: true });
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

    it("a webhook in the message is refused where push is off, and nothing starts (§3.3.4)", async () => {
      const client = withoutPush();
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
});
