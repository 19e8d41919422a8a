// The official client against the whole server, over both bindings: every operation it has, and every error it
// knows by name.

import { ListTasksRequest, TaskPushNotificationConfig, TaskState } from "@a2a-js/sdk";
import {
  ContentTypeNotSupportedError,
  PushNotificationNotSupportedError,
  RequestMalformedError,
  TaskNotCancelableError,
  TaskNotFoundError,
  UnsupportedOperationError,
} from "@a2a-js/sdk/errors";
import { describe, expect, it } from "vitest";
import { BINDINGS, connect, payloadsOf, saying, task, textsOf } from "../support/sdk.ts";
import { serveWith } from "../support/server.ts";
import { send } from "./front-door.ts";

describe.each(BINDINGS)("the official client over %s", (binding) => {
  it("sends a message to the default agent and gets the completed task", async () => {
    const client = await connect({ binding, agent: "" });
    expect(client.transport.protocolName).toBe(binding);
    const answer = await task(client, saying("hello"));
    expect(answer.status?.state).toBe(TaskState.TASK_STATE_COMPLETED);
    expect(textsOf(answer)).toEqual(["echo: hello"]);
  });

  it("gets a Message from an agent that makes no task", async () => {
    const client = await connect({ binding });
    const answer = await client.sendMessage(saying("message"));
    expect(answer).toMatchObject({
      messageId: expect.stringMatching(/./),
      contextId: expect.stringMatching(/./),
    });
    expect((await client.listTasks(ListTasksRequest.fromJSON({}))).totalSize).toBe(0);
  });

  it("streams the task first, then its events, and ends at the terminal state", async () => {
    const client = await connect({ binding });
    const events = await payloadsOf(client.sendMessageStream(saying("stream:3:1")));
    expect(events[0]?.$case).toBe("task");
    const chunks = events.flatMap((event) => (event.$case === "artifactUpdate" ? [event.value] : []));
    expect(chunks.map(({ append, lastChunk }) => [append, lastChunk])).toEqual([
      [false, false],
      [true, false],
      [true, true],
    ]);
    expect(events.at(-1)).toMatchObject({
      $case: "statusUpdate",
      value: { status: { state: TaskState.TASK_STATE_COMPLETED } },
    });
  });

  it("streams exactly one Message from an agent that makes no task", async () => {
    const client = await connect({ binding });
    const events = await payloadsOf(client.sendMessageStream(saying("message")));
    expect(events.map(({ $case }) => $case)).toEqual(["message"]);
  });

  it("gets a task, with as much history as it asks for", async () => {
    const client = await connect({ binding });
    const { id } = await task(client, saying("hello"));
    const whole = await client.getTask({ tenant: "", id });
    expect(whole.history).toHaveLength(1);
    expect(textsOf(whole)).toEqual(["echo: hello"]);
    expect((await client.getTask({ tenant: "", id, historyLength: 0 })).history).toEqual([]);
  });

  it("lists its tasks, newest first, page by page", async () => {
    const client = await connect({ binding });
    const ids = [];
    for (const text of ["a", "b", "c"]) ids.unshift((await task(client, saying(text))).id);
    const filter = { tenant: "", contextId: "", pageToken: "", statusTimestampAfter: undefined };
    const status = TaskState.TASK_STATE_COMPLETED;
    const first = await client.listTasks({ ...filter, status, pageSize: 2, includeArtifacts: true });
    expect(first).toMatchObject({ totalSize: 3, pageSize: 2 });
    const pageToken = first.nextPageToken;
    const second = await client.listTasks({
      ...filter,
      status,
      pageSize: 2,
      pageToken,
      includeArtifacts: true,
    });
    expect(second.nextPageToken).toBe("");
    expect([...first.tasks, ...second.tasks].map(({ id }) => id)).toEqual(ids);
    expect(first.tasks.flatMap(textsOf)).toEqual(["echo: c", "echo: b"]);
    const working = await client.listTasks({ ...filter, status: TaskState.TASK_STATE_WORKING });
    expect(working.totalSize).toBe(0);
  });

  it("holds a conversation over several turns of one task", async () => {
    const client = await connect({ binding });
    const asked = await task(client, saying("input"));
    expect(asked.status?.state).toBe(TaskState.TASK_STATE_INPUT_REQUIRED);
    const answered = await task(client, saying("Paris", { taskId: asked.id, contextId: asked.contextId }));
    expect(answered).toMatchObject({ id: asked.id, contextId: asked.contextId });
    expect(answered.status?.state).toBe(TaskState.TASK_STATE_COMPLETED);
    expect(textsOf(answered)).toEqual(["echo: Paris"]);
  });

  it("cancels a task", async () => {
    const client = await connect({ binding });
    const { id } = await task(client, saying("input"));
    const canceled = await client.cancelTask({ tenant: "", id, metadata: undefined });
    expect(canceled.status?.state).toBe(TaskState.TASK_STATE_CANCELED);
  });

  it("comes back at once when asked to, and follows the task by subscribing", async () => {
    const client = await connect({ binding });
    const { id, status } = await task(client, saying("slow:300", {}, { returnImmediately: true }));
    expect(status?.state).not.toBe(TaskState.TASK_STATE_COMPLETED);
    const events = await payloadsOf(client.resubscribeTask({ tenant: "", id }));
    expect(events[0]).toMatchObject({ $case: "task", value: { id } });
    expect(events.at(-1)).toMatchObject({
      $case: "statusUpdate",
      value: { taskId: id, status: { state: TaskState.TASK_STATE_COMPLETED } },
    });
  });

  it("stays subscribed while a task waits for input", async () => {
    const client = await connect({ binding });
    const { id } = await task(client, saying("input"));
    const stream = client.resubscribeTask({ tenant: "", id });
    const first = await stream.next();
    expect(first.value).toMatchObject({ payload: { $case: "task", value: { id } } });
    await task(client, saying("Rome", { taskId: id }));
    const rest = await payloadsOf(stream);
    expect(rest.at(-1)).toMatchObject({ value: { status: { state: TaskState.TASK_STATE_COMPLETED } } });
  });

  it("fetches the extended card", async () => {
    const response = await send("/enterprise/.well-known/agent-card.json");
    const { skills } = await response.json<{ skills: unknown[] }>();
    const card = await (await connect({ binding, agent: "enterprise" })).getAgentCard();
    expect(card.skills.length).toBeGreaterThan(skills.length);
  });

  describe("is told by name", () => {
    const missing = { tenant: "", id: "0-018f0000-0000-7000-8000-000000000000" };

    it("that a task is not there", async () => {
      const client = await connect({ binding });
      await expect(client.getTask(missing)).rejects.toBeInstanceOf(TaskNotFoundError);
      await expect(client.cancelTask({ ...missing, metadata: undefined })).rejects.toBeInstanceOf(
        TaskNotFoundError,
      );
      await expect(payloadsOf(client.resubscribeTask(missing))).rejects.toBeInstanceOf(TaskNotFoundError);
      await expect(client.sendMessage(saying("x", { taskId: missing.id }))).rejects.toBeInstanceOf(
        TaskNotFoundError,
      );
    });

    it("that a task has ended", async () => {
      const client = await connect({ binding });
      const { id } = await task(client, saying("hello"));
      const ended = { tenant: "", id };
      await expect(client.cancelTask({ ...ended, metadata: undefined })).rejects.toBeInstanceOf(
        TaskNotCancelableError,
      );
      await expect(payloadsOf(client.resubscribeTask(ended))).rejects.toBeInstanceOf(
        UnsupportedOperationError,
      );
      await expect(client.sendMessage(saying("x", { taskId: id }))).rejects.toBeInstanceOf(
        UnsupportedOperationError,
      );
    });

    it("that its params are wrong", async () => {
      const client = await connect({ binding });
      await expect(client.sendMessage(saying("x", { parts: [] }))).rejects.toBeInstanceOf(
        RequestMalformedError,
      );
      await expect(client.getTask({ ...missing, historyLength: -1 })).rejects.toBeInstanceOf(
        RequestMalformedError,
      );
    });

    it("that push notifications are off, in each operation on them", async () => {
      const { transport } = await connect({ binding, serve: serveWith({ pushNotifications: false }) });
      const config = { tenant: "", taskId: missing.id, id: "c" };
      const list = { tenant: "", taskId: missing.id, pageSize: 0, pageToken: "" };
      const url = TaskPushNotificationConfig.fromJSON({ ...config, url: "https://example.com/hook" });
      for (const ask of [
        () => transport.createTaskPushNotificationConfig(url),
        () => transport.getTaskPushNotificationConfig(config),
        () => transport.listTaskPushNotificationConfig(list),
        () => transport.deleteTaskPushNotificationConfig(config),
      ]) {
        await expect(ask()).rejects.toBeInstanceOf(PushNotificationNotSupportedError);
      }
    });

    it("that the agent does not take a media type", async () => {
      const client = await connect({ binding, agent: "echo" });
      const request = saying("x", { parts: [{ text: "x", mediaType: "video/mp4" }] });
      await expect(client.sendMessage(request)).rejects.toBeInstanceOf(ContentTypeNotSupportedError);
    });
  });
});
