// What a message means that names no task (§3.1.1, §3.4): a new task or a Message, in a context of the server's or
// of the client's own.

import { env } from "cloudflare:test";
import { describe, expect, it, vi } from "vitest";
import { createClient, eventually, textOf } from "../support/client.ts";
import { query } from "../support/home.ts";

vi.hoisted(() => vi.resetModules());
vi.mock("../../src/agents/registry.ts", async (original) => (await import("./stage.ts")).withStage(original));
const { act } = await import("./stage.ts");

const OWN_ID = /^0-[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const INPUT = "TASK_STATE_INPUT_REQUIRED";
const COMPLETED = "TASK_STATE_COMPLETED";
const text = (value: string) => [{ text: value }];
const message = (says: string, more: object = {}) => ({
  message: { messageId: "m", role: "ROLE_USER", parts: text(says), ...more },
});

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
    const { id, status } = await client.start("slow:500");
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
    const { id } = await client.sendForTask(act("ask", (task) => task.inputRequired("?")));
    const task = await client.sendForTask({ says: act("reply", (task) => task.reply("Bye")), taskId: id });
    expect(task).toMatchObject({ id, status: { state: COMPLETED, message: { parts: text("Bye") } } });
  });
});
