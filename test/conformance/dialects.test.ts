// Clients of A2A 0.3 and of 1.0, over both bindings, at one server at the same time: the official client in both its
// versions, found by the card that each of them would ask for. They work for one owner, so that each sees what the
// others have done.

import { SELF } from "cloudflare:test";
import { TaskPushNotificationConfig, TaskState } from "@a2a-js/sdk";
import type { Client } from "@a2a-js/sdk/client";
import {
  ContentTypeNotSupportedError,
  PushNotificationNotSupportedError,
  RequestMalformedError,
  TaskNotCancelableError,
  TaskNotFoundError,
  UnsupportedOperationError,
} from "@a2a-js/sdk/errors";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { newOwner, ORIGIN } from "../support/client.ts";
import { BINDINGS, connect, payloadsOf, saying, task, textsOf } from "../support/sdk.ts";
import { serveWith } from "../support/server.ts";
import { MISSING } from "./tasks.ts";

const VERSIONS = ["1.0", "0.3"] as const;
const callers = VERSIONS.flatMap((version) => BINDINGS.map((binding) => ({ version, binding })));

// No receiver of these webhooks is there.
beforeEach(() => {
  vi.spyOn(globalThis, "fetch").mockImplementation(async () => new Response(null, { status: 503 }));
  vi.spyOn(console, "log").mockImplementation(() => {});
});
afterEach(() => void vi.restoreAllMocks());

const one = (id: string) => ({ tenant: "", id });
const configOf = (taskId: string, id: string) => ({ tenant: "", taskId, id });

/** Everything a client does with tasks in its life. */
async function live(client: Client, text: string): Promise<string> {
  const done = await task(client, saying(text));
  expect(done.status?.state).toBe(TaskState.TASK_STATE_COMPLETED);
  expect(textsOf(done)).toEqual([`echo: ${text}`]);

  const direct = await client.sendMessage(saying("message"));
  expect(direct).toMatchObject({ messageId: expect.stringMatching(/./) });

  const events = await payloadsOf(client.sendMessageStream(saying("stream:3:1")));
  expect(events[0]?.$case).toBe("task");
  expect(events.filter(({ $case }) => $case === "artifactUpdate")).toHaveLength(3);
  expect(events.at(-1)).toMatchObject({ value: { status: { state: TaskState.TASK_STATE_COMPLETED } } });

  const asked = await task(client, saying("input"));
  expect(asked.status?.state).toBe(TaskState.TASK_STATE_INPUT_REQUIRED);
  const answered = await task(client, saying("Paris", { taskId: asked.id, contextId: asked.contextId }));
  expect(answered).toMatchObject({ id: asked.id, status: { state: TaskState.TASK_STATE_COMPLETED } });

  const slow = await task(client, saying("slow:200", {}, { returnImmediately: true }));
  expect(slow.status?.state).not.toBe(TaskState.TASK_STATE_COMPLETED);
  const followed = await payloadsOf(client.resubscribeTask(one(slow.id)));
  expect(followed[0]).toMatchObject({ $case: "task", value: { id: slow.id } });
  expect(followed.at(-1)).toMatchObject({ value: { status: { state: TaskState.TASK_STATE_COMPLETED } } });

  const waiting = await task(client, saying("input"));
  const canceled = await client.cancelTask({ ...one(waiting.id), metadata: undefined });
  expect(canceled.status?.state).toBe(TaskState.TASK_STATE_CANCELED);

  const whole = await client.getTask(one(answered.id));
  expect(whole.history.map(({ role }) => role)).toContain(1);
  const short = await client.getTask({ ...one(answered.id), historyLength: 1 });
  expect(short.history).toHaveLength(1);

  const url = "https://hooks.example/a2a";
  const created = await client.createTaskPushNotificationConfig(
    TaskPushNotificationConfig.fromJSON({ ...configOf(done.id, "c"), url, token: "t" }),
  );
  expect(created).toMatchObject({ taskId: done.id, id: "c", url });
  expect(await client.getTaskPushNotificationConfig(configOf(done.id, "c"))).toMatchObject({ id: "c", url });
  const list = { tenant: "", taskId: done.id, pageSize: 0, pageToken: "" };
  expect((await client.listTaskPushNotificationConfig(list)).configs).toMatchObject([{ id: "c" }]);
  await client.deleteTaskPushNotificationConfig(configOf(done.id, "c"));
  expect((await client.listTaskPushNotificationConfig(list)).configs).toEqual([]);
  return done.id;
}

describe("clients of both versions, over both bindings, at once", () => {
  it("do all they can, and see what the others have done", async () => {
    const owner = newOwner();
    const clients = await Promise.all(callers.map((caller) => connect({ ...caller, owner })));
    const ids = await Promise.all(clients.map((client, index) => live(client, `slow:${index}`)));
    for (const client of clients) {
      for (const [index, id] of ids.entries()) {
        expect(textsOf(await client.getTask(one(id)))).toEqual([`echo: slow:${index}`]);
      }
    }
  });

  it("hear the same events of one task, in the same order", async () => {
    const owner = newOwner();
    const clients = await Promise.all(callers.map((caller) => connect({ ...caller, owner })));
    const [first] = clients;
    if (!first) throw new Error("there are no clients");
    const { id } = await task(first, saying("stream:5:60", {}, { returnImmediately: true }));
    const streams = await Promise.all(clients.map((client) => payloadsOf(client.resubscribeTask(one(id)))));
    const ends = streams.map((events) => events.slice(-3).map(({ $case, value }) => [$case, textsIn(value)]));
    for (const end of ends) expect(end).toEqual(ends[0]);
  });

  function textsIn(value: object): string[] {
    return JSON.stringify(value).match(/"chunk[^"]*"|"state":\d/g) ?? [];
  }
});

describe.each(callers)("the official client of $version over $binding", (caller) => {
  it("fetches the extended card", async () => {
    const client = await connect({ ...caller, agent: "enterprise" });
    const card = await client.getAgentCard();
    const file = caller.version === "0.3" ? "agent.json" : "agent-card.json";
    const response = await SELF.fetch(`${ORIGIN}/enterprise/.well-known/${file}`);
    const { skills } = await response.json<{ skills: unknown[] }>();
    expect(card.skills.length).toBeGreaterThan(skills.length);
  });

  it("brings files and data, and gets them back", async () => {
    const client = await connect(caller);
    const parts = [
      { raw: "AQID", mediaType: "application/octet-stream" },
      { url: "https://a.example/x", mediaType: "text/plain" },
      { data: { key: [1, { x: null }] } },
    ];
    const { history } = await task(client, saying("", { parts }));
    const contents = history[0]?.parts.map(({ content, mediaType }) => [content?.$case, mediaType]);
    expect(contents).toEqual([
      ["raw", "application/octet-stream"],
      ["url", "text/plain"],
      ["data", ""],
    ]);
    const [raw, , data] = history[0]?.parts.map(({ content }) => content?.value) ?? [];
    expect(Uint8Array.from(raw as Uint8Array)).toEqual(Uint8Array.of(1, 2, 3));
    expect(data).toEqual({ key: [1, { x: null }] });
  });

  it("takes a webhook with it in a message", async () => {
    const client = await connect(caller);
    const taskPushNotificationConfig = { id: "mine", url: "https://hooks.example/a2a" };
    const { id } = await task(client, saying("hello", {}, { taskPushNotificationConfig }));
    expect(await client.getTaskPushNotificationConfig(configOf(id, "mine"))).toMatchObject({ id: "mine" });
  });

  describe("is told by name", () => {
    const stranger = { ...one(MISSING), metadata: undefined };

    it("that a task is not there", async () => {
      const client = await connect(caller);
      for (const ask of [
        () => client.getTask(one(MISSING)),
        () => client.cancelTask(stranger),
        () => client.sendMessage(saying("x", { taskId: MISSING })),
        () => payloadsOf(client.sendMessageStream(saying("x", { taskId: MISSING }))),
        () => client.getTaskPushNotificationConfig(configOf(MISSING, "c")),
      ]) {
        await expect(ask()).rejects.toBeInstanceOf(TaskNotFoundError);
      }
      await expect(payloadsOf(client.resubscribeTask(one(MISSING)))).rejects.toSatisfy(is(TaskNotFoundError));
    });

    it("that a task has ended", async () => {
      const client = await connect(caller);
      const { id } = await task(client, saying("slow:0"));
      await expect(client.cancelTask({ ...stranger, id })).rejects.toBeInstanceOf(TaskNotCancelableError);
      await expect(client.sendMessage(saying("x", { taskId: id }))).rejects.toBeInstanceOf(
        UnsupportedOperationError,
      );
      await expect(payloadsOf(client.resubscribeTask(one(id)))).rejects.toSatisfy(
        is(UnsupportedOperationError),
      );
    });

    it("that its params are wrong", async () => {
      const client = await connect(caller);
      await expect(client.sendMessage(saying("x", { parts: [] }))).rejects.toBeInstanceOf(
        RequestMalformedError,
      );
      await expect(client.getTask({ ...one(MISSING), historyLength: -1 })).rejects.toBeInstanceOf(
        RequestMalformedError,
      );
    });

    it("that push notifications are off", async () => {
      const { transport } = await connect({ ...caller, serve: serveWith({ pushNotifications: false }) });
      await expect(transport.getTaskPushNotificationConfig(configOf(MISSING, "c"))).rejects.toBeInstanceOf(
        PushNotificationNotSupportedError,
      );
    });

    it("that the agent does not take a media type", async () => {
      const client = await connect({ ...caller, agent: "echo" });
      const request = saying("", { parts: [{ url: "https://a.example/", mediaType: "video/mp4" }] });
      await expect(client.sendMessage(request)).rejects.toBeInstanceOf(ContentTypeNotSupportedError);
    });
  });

  /** 0.3 over JSON-RPC tells of it in the stream, and there the client wraps what it understood. */
  function is(kind: new (...args: never[]) => Error): (error: unknown) => boolean {
    const isWrapped = caller.version === "0.3" && caller.binding === "JSONRPC";
    return (error) => (isWrapped && error instanceof Error ? error.cause : error) instanceof kind;
  }
});
