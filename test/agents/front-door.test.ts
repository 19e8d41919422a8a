// The demonstration agents through the front door: JSON-RPC in, what the home made of it out.

import { SELF } from "cloudflare:test";
import { describe, expect, test } from "vitest";
import type { StreamResponse } from "../../src/protocol/events.ts";
import type { Message } from "../../src/protocol/message.ts";
import type { Part } from "../../src/protocol/part.ts";
import type { Task } from "../../src/protocol/task.ts";

type Sending = Partial<Message> & { says: string | Part[] };
type SendResult = { task?: Task; message?: Message };

function call(agent: string, method: string, params: unknown): Promise<Response> {
  return SELF.fetch(`https://agents.example/${agent}`, {
    method: "POST",
    headers: { "Content-Type": "application/json", "A2A-Version": "1.0" },
    body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params }),
  });
}

async function result<T>(response: Promise<Response>): Promise<T> {
  const { result, error } = await (await response).json<{ result?: T; error?: unknown }>();
  if (result === undefined) throw new Error(`answered with ${JSON.stringify(error)}`);
  return result;
}

function toMessage({ says, ...rest }: Sending): Message {
  const parts = typeof says === "string" ? [{ text: says }] : says;
  return { messageId: crypto.randomUUID(), role: "ROLE_USER", parts, ...rest };
}

async function send(agent: string, sending: Sending, configuration?: object): Promise<SendResult> {
  return result(
    call(agent, "SendMessage", { message: toMessage(sending), ...(configuration && { configuration }) }),
  );
}

async function sendForTask(agent: string, sending: Sending, configuration?: object): Promise<Task> {
  const { task } = await send(agent, sending, configuration);
  if (!task) throw new Error("answered without a task");
  return task;
}

async function stream(agent: string, sending: Sending): Promise<StreamResponse[]> {
  const response = await call(agent, "SendStreamingMessage", { message: toMessage(sending) });
  expect(response.headers.get("Content-Type")).toContain("text/event-stream");
  const data = (await response.text()).split("\n").filter((line) => line.startsWith("data:"));
  return data.map((line) => JSON.parse(line.slice("data:".length)).result);
}

const textOf = (message: Message | undefined) => message?.parts.map((part) => part.text).join("\n");
const partsOf = (task: Task) => (task.artifacts ?? []).map((artifact) => artifact.parts);

describe("conformance", () => {
  const file = { filename: "output.txt", mediaType: "text/plain" };
  const rows: [prefix: string, state: string, message: string | undefined, artifacts: Part[][]][] = [
    ["tck-complete-task", "TASK_STATE_COMPLETED", "Hello from TCK", []],
    ["tck-input-required", "TASK_STATE_INPUT_REQUIRED", "Input required", []],
    ["tck-auth-required", "TASK_STATE_AUTH_REQUIRED", "Authorization required", []],
    ["tck-reject-task", "TASK_STATE_REJECTED", "Rejected", []],
    ["tck-artifact-text", "TASK_STATE_COMPLETED", undefined, [[{ text: "Generated text content" }]]],
    [
      "tck-artifact-file",
      "TASK_STATE_COMPLETED",
      undefined,
      [[{ raw: btoa("Generated file content"), ...file }]],
    ],
    [
      "tck-artifact-file-url",
      "TASK_STATE_COMPLETED",
      undefined,
      [[{ url: "https://example.com/output.txt", ...file }]],
    ],
    ["tck-artifact-data", "TASK_STATE_COMPLETED", undefined, [[{ data: { key: "value", count: 42 } }]]],
    ["tck-stream-001", "TASK_STATE_COMPLETED", undefined, [[{ text: "Stream hello from TCK" }]]],
    ["tck-stream-003", "TASK_STATE_COMPLETED", undefined, [[{ text: "Stream hello from TCK" }]]],
    ["tck-stream-artifact-text", "TASK_STATE_COMPLETED", undefined, [[{ text: "Stream hello from TCK" }]]],
    ["tck-stream-ordering-001", "TASK_STATE_COMPLETED", undefined, [[{ text: "Ordered output" }]]],
    [
      "tck-stream-artifact-chunked",
      "TASK_STATE_COMPLETED",
      undefined,
      [[{ text: "chunk-1 " }, { text: "chunk-2" }]],
    ],
    ["unknown-prefix", "TASK_STATE_COMPLETED", undefined, [[{ text: "echo: hello" }]]],
  ];

  test.each(rows)("%s ends in %s", async (prefix, state, message, artifacts) => {
    const task = await sendForTask("conformance", { says: "hello", messageId: `${prefix}-${Date.now()}` });
    expect(task.status.state).toBe(state);
    expect(textOf(task.status.message)).toBe(message);
    expect(partsOf(task)).toEqual(artifacts);
  });

  test.each(["tck-stream-001", "tck-stream-003", "tck-stream-artifact-text", "tck-stream-ordering-001"])(
    "%s streams working, the artifact, completed",
    async (messageId) => {
      const events = await stream("conformance", { says: "hello", messageId });
      expect(Object.keys(events[0] ?? {})).toEqual(["task"]);
      expect(events.slice(1).map(kindOf)).toEqual(["TASK_STATE_WORKING", "artifact", "TASK_STATE_COMPLETED"]);
    },
  );

  test("tck-message-response answers with a Message and makes no task", async () => {
    const context = crypto.randomUUID();
    const answer = await send("conformance", {
      says: "hello",
      messageId: "tck-message-response-1",
      contextId: context,
    });
    expect(answer.task).toBeUndefined();
    expect(answer.message?.role).toBe("ROLE_AGENT");
    expect(textOf(answer.message)).toBe("Direct message response");
    const list = await result<{ totalSize: number }>(
      call("conformance", "ListTasks", { contextId: context }),
    );
    expect(list.totalSize).toBe(0);
  });

  test("tck-complete-task as a follow-up completes an interrupted task", async () => {
    const { id } = await sendForTask("conformance", { says: "hello", messageId: "tck-input-required-1" });
    const task = await sendForTask("conformance", {
      says: "more",
      messageId: "tck-complete-task-1",
      taskId: id,
    });
    expect(task.id).toBe(id);
    expect(task.status.state).toBe("TASK_STATE_COMPLETED");
    expect(textOf(task.status.message)).toBe("Hello from TCK");
  });

  test("tck-delayed-complete keeps a blocking caller for about two seconds", async () => {
    const start = Date.now();
    const task = await sendForTask("conformance", { says: "hello", messageId: "tck-delayed-complete-1" });
    expect(Date.now() - start).toBeGreaterThanOrEqual(1_900);
    expect(task.status.state).toBe("TASK_STATE_COMPLETED");
  });

  test("test-resubscribe-message-id is still working after four seconds", async () => {
    const sending = { says: "hello", messageId: "test-resubscribe-message-id-1" };
    const { id } = await sendForTask("conformance", sending, { returnImmediately: true });
    await scheduler.wait(4_000);
    const task = await result<Task>(call("conformance", "GetTask", { id }));
    expect(task.status.state).toBe("TASK_STATE_WORKING");
    await result(call("conformance", "CancelTask", { id }));
  });

  test.each([
    ["input", "TASK_STATE_INPUT_REQUIRED"],
    ["auth", "TASK_STATE_AUTH_REQUIRED"],
  ])("the text %s ends in %s, and a follow-up completes it", async (says, state) => {
    const first = await sendForTask("conformance", { says });
    expect(first.status.state).toBe(state);
    const second = await sendForTask("conformance", { says: "here it is", taskId: first.id });
    expect(second.status.state).toBe("TASK_STATE_COMPLETED");
    expect(partsOf(second)).toEqual([[{ text: "echo: here it is" }]]);
  });

  test("the text message answers with a Message", async () => {
    expect(textOf((await send("conformance", { says: "message" })).message)).toBe("Direct message response");
  });

  test("the text throw fails the task and tells nothing of the error", async () => {
    const task = await sendForTask("conformance", { says: "throw" });
    expect(task.status.state).toBe("TASK_STATE_FAILED");
    expect(textOf(task.status.message)).toBe("The agent failed with an internal error.");
  });

  test("the text slow:MS echoes after that long", async () => {
    const start = Date.now();
    const task = await sendForTask("conformance", { says: "slow:300" });
    expect(Date.now() - start).toBeGreaterThanOrEqual(290);
    expect(partsOf(task)).toEqual([[{ text: "echo: slow:300" }]]);
  });

  test("the text slow:MS can be canceled", async () => {
    const { id } = await sendForTask("conformance", { says: "slow:600000" }, { returnImmediately: true });
    const task = await result<Task>(call("conformance", "CancelTask", { id }));
    expect(task.status.state).toBe("TASK_STATE_CANCELED");
  });

  test("the text stream:11:0 streams working, 11 chunks of one artifact, completed", async () => {
    const events = await stream("conformance", { says: "stream:11:0" });
    expect(events.slice(1).map(kindOf)).toEqual([
      "TASK_STATE_WORKING",
      ...Array(11).fill("artifact"),
      "TASK_STATE_COMPLETED",
    ]);
  });

  test("the text slow:600001 is rejected", async () => {
    const task = await sendForTask("conformance", { says: "slow:600001" });
    expect(task.status.state).toBe("TASK_STATE_REJECTED");
    expect(textOf(task.status.message)).toContain("at most 600000 milliseconds");
  });
});

describe("interview", () => {
  test("holds a conversation and remembers it in a second task of the context", async () => {
    const first = await sendForTask("interview", { says: "Hi" });
    expect(first.status.state).toBe("TASK_STATE_INPUT_REQUIRED");
    expect(textOf(first.status.message)).toBe("Hello! What is your name?");
    const { id: taskId, contextId } = first;
    const second = await sendForTask("interview", { says: "Ada", taskId });
    expect(textOf(second.status.message)).toBe("Nice to meet you, Ada. What is your role?");
    await sendForTask("interview", { says: "Engineer", taskId });
    const last = await sendForTask("interview", { says: "Engines", taskId });
    expect(last.status.state).toBe("TASK_STATE_COMPLETED");
    expect(partsOf(last)[0]?.[0]?.data).toEqual({ name: "Ada", role: "Engineer", topic: "Engines" });
    expect(last.history?.map((message) => message.role)).toContain("ROLE_USER");

    const again = await sendForTask("interview", { says: "Hi again", contextId: contextId ?? "" });
    expect(again.id).not.toBe(taskId);
    expect(again.contextId).toBe(contextId);
    expect(textOf(again.status.message)).toBe("Welcome back, Ada! Which topic would you like to talk about?");
  });

  test("asks again after an empty answer, and ends when told to stop", async () => {
    const { id: taskId } = await sendForTask("interview", { says: "Hi" });
    const asked = await sendForTask("interview", { says: " ", taskId });
    expect(asked.status.state).toBe("TASK_STATE_INPUT_REQUIRED");
    expect(textOf(asked.status.message)).toBe("I need an answer in words. What is your name?");
    const stopped = await sendForTask("interview", { says: "stop", taskId });
    expect(stopped.status.state).toBe("TASK_STATE_REJECTED");
  });
});

describe("long-running", () => {
  test("does quick work while the caller waits", async () => {
    const task = await sendForTask("long-running", { says: "a quick check" });
    expect(task.status.state).toBe("TASK_STATE_COMPLETED");
    expect(textOf(task.status.message)).toBe("Finished the quick job.");
    expect(partsOf(task)[0]?.[0]?.data).toEqual({ steps: 3 });
  });

  test("works through a durable job", { timeout: 30_000 }, async () => {
    const events = await stream("long-running", { says: "a job of 1 step" });
    const texts = events.flatMap((event) => textOf(event.statusUpdate?.status.message) ?? []);
    expect(texts).toEqual([
      expect.stringMatching(
        /^Started a job of 1 step, .* Subscribe to this task to follow it, or poll it\.$/,
      ),
      "Processing step 1/1 (100% complete)",
      "Finished all 1 of 1 steps.",
    ]);
    expect(events.map(kindOf).at(-1)).toBe("TASK_STATE_COMPLETED");
  });
});

describe("enterprise", () => {
  test("makes an artifact per file and a summary", async () => {
    const task = await sendForTask("enterprise", {
      says: [
        { text: "process the files" },
        { raw: "aGVsbG8=", filename: "hello.bin", mediaType: "application/octet-stream" },
        { url: "https://example.com/a.pdf", filename: "a.pdf", mediaType: "application/pdf" },
      ],
    });
    expect(task.status.state).toBe("TASK_STATE_COMPLETED");
    expect(task.artifacts?.map((artifact) => artifact.name)).toEqual(["hello.bin", "a.pdf", "summary"]);
  });

  test("completes a secure task that has no webhook, with a note", async () => {
    const task = await sendForTask("enterprise", { says: "a secure task" });
    expect(task.status.state).toBe("TASK_STATE_COMPLETED");
    expect(textOf(task.status.message)).toContain("it has no webhook");
  });

  test("can be canceled in the middle of a batch", async () => {
    const { id } = await sendForTask(
      "enterprise",
      { says: "batch of 100 items" },
      { returnImmediately: true },
    );
    const task = await result<Task>(call("enterprise", "CancelTask", { id }));
    expect(task.status.state).toBe("TASK_STATE_CANCELED");
  });
});

/** The state of a status update, or the kind of another event. */
function kindOf(event: StreamResponse): string {
  if (event.statusUpdate) return event.statusUpdate.status.state;
  return event.artifactUpdate ? "artifact" : (Object.keys(event)[0] ?? "nothing");
}
