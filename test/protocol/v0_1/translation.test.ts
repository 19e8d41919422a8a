// The translation to and from A2A 0.1: whatever the core says has the shape of that time, and what clients of that
// time say means the same to the core.

import { describe, expect, it } from "vitest";
import * as z from "zod/mini";
import { StreamResponse } from "../../../src/protocol/events.ts";
import { parseParams } from "../../../src/protocol/parse.ts";
import { TaskPushNotificationConfig } from "../../../src/protocol/push-config.ts";
import { GetTaskRequest, SendMessageRequest } from "../../../src/protocol/requests.ts";
import type { FieldSpecs, MessageSchema, OneofSpecs, Schema } from "../../../src/protocol/schema.ts";
import { isTerminal, TaskState } from "../../../src/protocol/state.ts";
import { Task } from "../../../src/protocol/task.ts";
import { createEventWriter } from "../../../src/protocol/v0_1/events.ts";
import { toOldestPart } from "../../../src/protocol/v0_1/part.ts";
import {
  OldestTaskPushConfig,
  toCoreTaskPushConfig,
  toOldestTaskPushConfig,
} from "../../../src/protocol/v0_1/push-config.ts";
import * as requests from "../../../src/protocol/v0_1/requests.ts";
import { toOldestState } from "../../../src/protocol/v0_1/state.ts";
import { toOldestTask } from "../../../src/protocol/v0_1/task.ts";
import { arbitrary, seeded } from "../arbitrary.ts";
import { flawsOf } from "./shapes.ts";

function samples<T>(seed: number, schema: unknown): T[] {
  const random = seeded(seed);
  return Array.from(
    { length: 200 },
    () => arbitrary(random, schema as MessageSchema<FieldSpecs, OneofSpecs>) as T,
  );
}

const text = (value: string) => ({ type: "text", text: value });
const sent = (more: object = {}) => ({ id: "t", message: { role: "user", parts: [text("hi")] }, ...more });

function read(params: unknown): requests.TaskSendParams {
  const parsed = parseParams(requests.TaskSendParams, params);
  if (!parsed.ok) throw new Error(parsed.error.message);
  return parsed.value;
}

function refusals(schema: Schema<unknown>, value: unknown): string[] {
  const parsed = parseParams(schema, value);
  return parsed.ok
    ? []
    : (parsed.error.violations ?? []).map(({ field, description }) => `${field} ${description}`);
}

describe("what the core says", () => {
  it("of a task has the shape of that time", () => {
    for (const task of samples<Task>(1, Task)) expect(flawsOf("Task", toOldestTask(task))).toEqual([]);
  });

  it("in a stream has the shape of that time, a status or an artifact", () => {
    const write = createEventWriter(isTerminal);
    for (const event of samples<StreamResponse>(2, StreamResponse)) {
      if (event.message) continue;
      const shape = event.artifactUpdate ? "TaskArtifactUpdateEvent" : "TaskStatusUpdateEvent";
      expect(flawsOf(shape, write(event))).toEqual([]);
    }
  });

  it("of a push notification config has the shape of that time", () => {
    for (const config of samples<TaskPushNotificationConfig>(3, TaskPushNotificationConfig)) {
      const oldest = toOldestTaskPushConfig({ ...config, taskId: "t" });
      expect(flawsOf("TaskPushNotificationConfig", oldest)).toEqual([]);
    }
  });

  it("keeps the content of every part", () => {
    for (const { artifacts = [] } of samples<Task>(4, Task)) {
      for (const part of artifacts.flatMap(({ parts }) => parts)) {
        const written = JSON.stringify(toOldestPart(part));
        expect(written).toContain(JSON.stringify(part.text ?? part.raw ?? part.url ?? part.data));
      }
    }
  });

  it.each([
    ["TASK_STATE_REJECTED", "failed"],
    ["TASK_STATE_AUTH_REQUIRED", "input-required"],
    ["TASK_STATE_INPUT_REQUIRED", "input-required"],
    ["TASK_STATE_CANCELED", "canceled"],
  ] as const)("calls %s %s", (state, oldest) => {
    expect(toOldestState(state)).toBe(oldest);
  });

  it("says of every state that it is one of that time", () => {
    for (const state of Object.keys(TaskState.numbers) as TaskState[]) {
      const task = { id: "t", contextId: "s", status: { state } };
      expect(flawsOf("Task", toOldestTask(task))).toEqual([]);
    }
  });

  it("is this task, written out", () => {
    const task: Task = {
      id: "t",
      contextId: "s",
      status: {
        state: "TASK_STATE_INPUT_REQUIRED",
        message: { messageId: "m2", taskId: "t", contextId: "s", role: "ROLE_AGENT", parts: [{ text: "?" }] },
        timestamp: "2025-04-10T12:00:00.000Z",
      },
      artifacts: [
        { artifactId: "a", name: "n", description: "d", parts: [{ raw: "AQ==", filename: "f" }] },
        { artifactId: "b", parts: [{ data: 1 }], extensions: ["x"], metadata: { m: 1 } },
      ],
      history: [
        {
          messageId: "m1",
          role: "ROLE_USER",
          parts: [{ text: "hi", mediaType: "text/plain" }],
          metadata: { k: 1 },
        },
      ],
      metadata: { z: 1 },
    };
    expect(toOldestTask(task)).toEqual({
      id: "t",
      sessionId: "s",
      status: {
        state: "input-required",
        message: { role: "agent", parts: [text("?")] },
        timestamp: "2025-04-10T12:00:00.000Z",
      },
      artifacts: [
        {
          name: "n",
          description: "d",
          parts: [{ type: "file", file: { bytes: "AQ==", name: "f" } }],
          index: 0,
        },
        {
          parts: [{ type: "data", data: { value: 1 }, metadata: { data_part_compat: true } }],
          index: 1,
          metadata: { m: 1 },
        },
      ],
      history: [{ role: "user", parts: [text("hi")], metadata: { k: 1 } }],
      metadata: { z: 1 },
    });
  });
});

describe("the shapes of that time", () => {
  it("refuse what is of a later one", () => {
    expect(flawsOf("Task", { kind: "task", id: "t", status: { state: "rejected" } })).toEqual([
      "Task.kind is unknown",
      "Task.status.state is none of submitted, working, input-required, completed, canceled, failed, unknown",
    ]);
    const artifact = { artifactId: "a", parts: [{ kind: "text", text: "" }] };
    expect(flawsOf("TaskArtifactUpdateEvent", { id: "t", artifact })).toEqual([
      "TaskArtifactUpdateEvent.artifact.artifactId is unknown",
      "TaskArtifactUpdateEvent.artifact.parts[0] is no part",
    ]);
  });
});

describe("a stream", () => {
  const status = (state: TaskState) => ({
    statusUpdate: { taskId: "t", contextId: "s", status: { state }, metadata: { m: 1 } },
  });
  const artifact = (artifactId: string, more: object = {}) => ({
    artifactUpdate: {
      taskId: "t",
      contextId: "s",
      artifact: { artifactId, parts: [{ text: artifactId }] },
      ...more,
    },
  });

  it("begins with the status of its task, which is final if it has ended", () => {
    const opening = (state: TaskState) =>
      createEventWriter(isTerminal)({ task: { id: "t", contextId: "s", status: { state } } });
    expect(opening("TASK_STATE_WORKING")).toEqual({ id: "t", status: { state: "working" }, final: false });
    expect(opening("TASK_STATE_COMPLETED")).toMatchObject({ final: true });
  });

  it("says which status is its last", () => {
    const write = createEventWriter((state) => state === "TASK_STATE_INPUT_REQUIRED");
    expect(write(status("TASK_STATE_WORKING"))).toEqual({
      id: "t",
      status: { state: "working" },
      final: false,
      metadata: { m: 1 },
    });
    expect(write(status("TASK_STATE_INPUT_REQUIRED"))).toMatchObject({ final: true });
    expect(write(status("TASK_STATE_AUTH_REQUIRED"))).toMatchObject({
      status: { state: "input-required" },
      final: false,
    });
  });

  it("numbers artifacts by their first appearance, counting those that were there before", () => {
    const write = createEventWriter(isTerminal);
    write({
      task: {
        id: "t",
        status: { state: "TASK_STATE_WORKING" },
        artifacts: [{ artifactId: "old", parts: [{ text: "x" }] }],
      },
    });
    const chunks = [
      artifact("new"),
      artifact("old", { append: true }),
      artifact("new", { append: true, lastChunk: true, metadata: { m: 1 } }),
    ];
    expect(chunks.map((chunk) => write(chunk))).toEqual([
      { id: "t", artifact: { parts: [text("new")], index: 1 } },
      { id: "t", artifact: { parts: [text("old")], index: 0, append: true } },
      {
        id: "t",
        artifact: { parts: [text("new")], index: 1, append: true, lastChunk: true },
        metadata: { m: 1 },
      },
    ]);
  });

  it("has no word for a message without a task", () => {
    const message = { messageId: "m", role: "ROLE_AGENT" as const, parts: [{ text: "hi" }] };
    expect(() => createEventWriter(isTerminal)({ message })).toThrow("cannot be said");
  });
});

describe("what a client sends", () => {
  it("is a message of the core, whose id the core will choose", () => {
    const core = requests.toCoreSendRequest(
      read(
        sent({
          sessionId: "s",
          acceptedOutputModes: ["text"],
          historyLength: 3,
          metadata: { r: 1 },
          message: {
            role: "user",
            parts: [
              text(""),
              { type: "file", file: { name: "f", mimeType: "a/b", bytes: "AQ" }, metadata: { k: 1 } },
              { type: "file", file: { uri: "https://a.example/" } },
              { type: "data", data: { a: [1] } },
            ],
            metadata: { m: 1 },
          },
          pushNotification: {
            url: "https://a.example/hook",
            token: "t0",
            authentication: { schemes: ["Bearer", "Basic"], credentials: "c" },
          },
        }),
      ),
    );
    expect(core).toEqual({
      message: {
        messageId: "",
        taskId: "t",
        contextId: "s",
        role: "ROLE_USER",
        parts: [
          { text: "" },
          { raw: "AQ==", filename: "f", mediaType: "a/b", metadata: { k: 1 } },
          { url: "https://a.example/" },
          { data: { a: [1] } },
        ],
        metadata: { m: 1 },
      },
      configuration: {
        acceptedOutputModes: ["text"],
        historyLength: 3,
        taskPushNotificationConfig: {
          id: "default",
          url: "https://a.example/hook",
          token: "t0",
          authentication: { scheme: "Bearer", credentials: "c" },
        },
      },
      metadata: { r: 1 },
    });
    // But for that id, it is what the core's own schema would have read.
    const { message } = core;
    const named = { ...core, message: { ...message, messageId: "m" } };
    expect(z.parse(SendMessageRequest, JSON.parse(JSON.stringify(named)))).toEqual(named);
  });

  it("by the clients of that time holds null for what is not said", () => {
    const nothing = {
      sessionId: null,
      acceptedOutputModes: null,
      pushNotification: null,
      historyLength: null,
    };
    const part = { ...text("hi"), name: null, metadata: null };
    const message = { role: "user", parts: [part], metadata: null };
    const full = read({ ...sent(), ...nothing, metadata: null, message });
    expect(requests.toCoreSendRequest(full)).toEqual(requests.toCoreSendRequest(read(sent())));
  });

  it("asks for no history unless it says how much", () => {
    expect(requests.toCoreSendRequest(read(sent())).configuration?.historyLength).toBe(0);
    expect(requests.toCoreGetRequest({ id: "t" })).toEqual({ id: "t", historyLength: 0 });
    const query = z.parse(requests.TaskQueryParams, { id: "t", historyLength: 2, metadata: {} });
    const core = requests.toCoreGetRequest(query);
    expect(z.parse(GetTaskRequest, core)).toEqual({ id: "t", historyLength: 2 });
  });

  it("as a push notification config is the task's default one, whatever id it brings", () => {
    const config = z.parse(OldestTaskPushConfig, {
      id: "t",
      pushNotificationConfig: {
        id: "mine",
        url: "https://a.example/",
        authentication: { schemes: ["Bearer"] },
      },
    });
    const core = toCoreTaskPushConfig(config);
    expect(core).toEqual({
      taskId: "t",
      id: "default",
      url: "https://a.example/",
      authentication: { scheme: "Bearer" },
    });
    expect(toOldestTaskPushConfig(core)).toEqual({
      id: "t",
      pushNotificationConfig: { url: "https://a.example/", authentication: { schemes: ["Bearer"] } },
    });
    expect(requests.toCoreGetConfig({ id: "t" })).toEqual({ taskId: "t", id: "default" });
  });

  const wrong: [unknown, string][] = [
    [{ ...sent(), id: undefined }, "id is required"],
    [{ ...sent(), id: "" }, "id must not be empty"],
    [{ ...sent(), id: 1 }, "id must be a string, not a number"],
    [{ ...sent(), id: "x".repeat(513) }, "id must be at most 512 characters long"],
    [{ ...sent(), sessionId: {} }, "sessionId must be a string, not an object"],
    [{ id: "t" }, "message is required"],
    [sent({ message: "hi" }), "message must be an object, not a string"],
    [sent({ message: { role: "ROLE_USER", parts: [text("a")] } }), "message.role must be one of user, agent"],
    [sent({ message: { role: "user", parts: [] } }), "message.parts must hold at least one element"],
    [sent({ message: { role: "user", parts: ["a"] } }), "message.parts[0] must be an object, not a string"],
    [
      sent({ message: { role: "user", parts: [{ text: "a" }] } }),
      "message.parts[0].type must be one of text, file, data",
    ],
    [
      sent({ message: { role: "user", parts: [{ kind: "text", text: "a" }] } }),
      "message.parts[0].type must be one of text, file, data",
    ],
    [
      sent({ message: { role: "user", parts: [{ type: "__proto__" }] } }),
      "message.parts[0].type must be one of text, file, data",
    ],
    [
      sent({ message: { role: "user", parts: [{ type: "file", file: { name: "f" } }] } }),
      "message.parts[0].file must hold exactly one of bytes, uri; it holds none",
    ],
    [
      sent({ message: { role: "user", parts: [{ type: "data", data: {}, metadata: 1 }] } }),
      "message.parts[0].metadata must be an object, not a number",
    ],
    [sent({ historyLength: -1 }), "historyLength must be from 0 to 2147483647"],
    [sent({ pushNotification: {} }), "pushNotification.url is required"],
    [
      sent({ pushNotification: { url: "https://a.example", authentication: { credentials: "c" } } }),
      "pushNotification.authentication must name a scheme for its credentials",
    ],
  ];

  it.each(wrong)("%j is refused", (params, refusal) => {
    expect(refusals(requests.TaskSendParams, params)).toEqual([refusal]);
  });
});
