// Differential tests against the codec of the official SDK (@a2a-js/sdk, generated from the same proto):
// what we write it reads and writes back unchanged, what it writes we read to the same, in every spelling.

import * as sdk from "@a2a-js/sdk";
import { describe, expect, it } from "vitest";
import * as z from "zod/mini";
import { AgentCard } from "../../src/protocol/agent-card.ts";
import { Artifact } from "../../src/protocol/artifact.ts";
import { StreamResponse, TaskArtifactUpdateEvent, TaskStatusUpdateEvent } from "../../src/protocol/events.ts";
import { Message } from "../../src/protocol/message.ts";
import { Part } from "../../src/protocol/part.ts";
import { TaskPushNotificationConfig } from "../../src/protocol/push-config.ts";
import * as requests from "../../src/protocol/requests.ts";
import type { EnumSchema } from "../../src/protocol/scalars.ts";
import {
  type FieldSpecs,
  type MessageSchema,
  type OneofSpecs,
  type Schema,
  toProtoName,
} from "../../src/protocol/schema.ts";
import { SecurityScheme } from "../../src/protocol/security.ts";
import { Task, TaskStatus } from "../../src/protocol/task.ts";
import { arbitrary, type Random, seeded } from "./arbitrary.ts";

type AnyMessage = MessageSchema<FieldSpecs, OneofSpecs>;
type Codec = { fromJSON(object: unknown): unknown; toJSON(message: unknown): unknown };

const CASES_PER_MESSAGE = 40;

const { Empty: _, CreateTaskPushNotificationConfigRequest: _create, ...requestMessages } = requests;
const compared: Record<string, AnyMessage> = {
  ...requestMessages,
  AgentCard,
  Artifact,
  Message,
  Part,
  SecurityScheme,
  StreamResponse,
  Task,
  TaskArtifactUpdateEvent,
  TaskPushNotificationConfig,
  TaskStatus,
  TaskStatusUpdateEvent,
};

function codecOf(name: string): Codec {
  return (sdk as unknown as Record<string, Codec>)[name] as Codec;
}

/** What leaves the SDK: its objects, as text and back. */
function throughSdk(name: string, wire: unknown): unknown {
  const codec = codecOf(name);
  return JSON.parse(JSON.stringify(codec.toJSON(codec.fromJSON(wire))));
}

/** The same object as a client with snake_case names and numbered enums writes it. */
function protoSpelling(schema: AnyMessage, wire: Record<string, unknown>): Record<string, unknown> {
  const output: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(wire)) {
    const spec = schema.fields[name] ?? (schema.oneof[name] as Schema<unknown>);
    const field = "presence" in spec ? spec.schema : spec;
    output[toProtoName(name)] = respell(field, value);
  }
  return output;
}

function respell(schema: Schema<unknown>, value: unknown): unknown {
  if (schema.element !== undefined) {
    const element = schema.element;
    if (Array.isArray(value)) return value.map((item) => respell(element, item));
    return Object.fromEntries(
      Object.entries(value as object).map(([key, item]) => [key, respell(element, item)]),
    );
  }
  if ("fields" in schema) return protoSpelling(schema as AnyMessage, value as Record<string, unknown>);
  if ("numbers" in schema) return (schema as EnumSchema<string>).numbers[value as string];
  return value;
}

describe.each(Object.entries(compared))("%s", (name, schema) => {
  const samples = (random: Random) =>
    Array.from({ length: CASES_PER_MESSAGE }, () => arbitrary(random, schema));

  it("is read to the same object that was sent", () => {
    for (const wire of samples(seeded(1))) expect(z.parse(schema, wire)).toEqual(wire);
  });

  it("is read by the SDK and written back identically", () => {
    for (const wire of samples(seeded(2))) expect(throughSdk(name, wire)).toEqual(wire);
  });

  it("is read to the same when the SDK has written it", () => {
    for (const wire of samples(seeded(3))) expect(z.parse(schema, throughSdk(name, wire))).toEqual(wire);
  });

  it("is read to the same from the proto's spelling, here and by the SDK", () => {
    for (const wire of samples(seeded(4))) {
      const spelled = protoSpelling(schema, wire);
      expect(z.parse(schema, spelled)).toEqual(wire);
      expect(throughSdk(name, spelled)).toEqual(wire);
    }
  });
});

describe("what proto defaults do to the wire", () => {
  const status = { state: "TASK_STATE_WORKING" };
  const cases: [string, AnyMessage, Record<string, unknown>][] = [
    [
      "Message",
      Message,
      { messageId: "m", contextId: "", taskId: "", role: 1, parts: [{ text: "" }], extensions: [] },
    ],
    ["Task", Task, { id: "t", contextId: "", status, artifacts: [], history: [], metadata: {} }],
    ["Part", Part, { raw: "", filename: "", mediaType: "" }],
    ["Part", Part, { data: 0 }],
    ["Part", Part, { data: false }],
    ["Part", Part, { data: "" }],
    ["Part", Part, { data: [] }],
    ["Part", Part, { raw: "-_-_" }],
    ["Part", Part, { raw: "QQ" }],
    ["GetTaskRequest", requests.GetTaskRequest, { tenant: "", id: "t", historyLength: 0 }],
    ["GetTaskRequest", requests.GetTaskRequest, { id: "t", history_length: "7", historyLength: null }],
    [
      "ListTasksRequest",
      requests.ListTasksRequest,
      { contextId: "", pageToken: "", includeArtifacts: false },
    ],
    [
      "ListTaskPushNotificationConfigsRequest",
      requests.ListTaskPushNotificationConfigsRequest,
      { taskId: "t", pageSize: 0 },
    ],
    [
      "TaskArtifactUpdateEvent",
      TaskArtifactUpdateEvent,
      {
        taskId: "t",
        contextId: "c",
        artifact: { artifactId: "a", parts: [{ text: "x" }] },
        append: false,
        lastChunk: false,
      },
    ],
    [
      "SendMessageRequest",
      requests.SendMessageRequest,
      {
        message: { messageId: "m", role: "ROLE_USER", parts: [{ text: "x" }] },
        configuration: { returnImmediately: false },
      },
    ],
  ];

  it.each(cases)("%s is normalised as the SDK writes it (%#)", (name, schema, wire) => {
    expect(z.parse(schema, wire)).toEqual(throughSdk(name, wire));
  });

  it("keeps all four members of a last, empty page, which the SDK leaves out (§3.1.4)", () => {
    const page = { tasks: [], nextPageToken: "", pageSize: 0, totalSize: 0 };
    expect(throughSdk("ListTasksResponse", page)).toEqual({});
    expect(z.parse(requests.ListTasksResponse, {})).toEqual(page);
  });

  it("keeps an empty map of scopes, which the SDK leaves out (§4.5.7)", () => {
    const flow = { clientCredentials: { tokenUrl: "https://a.example/token", scopes: {} } };
    const scheme = { oauth2SecurityScheme: { flows: flow } };
    expect(z.parse(SecurityScheme, throughSdk("SecurityScheme", scheme))).toEqual(scheme);
  });

  it("reads null in data as a value, where the SDK sees a part without content (§4.1.6)", () => {
    expect(z.parse(Part, { data: null })).toEqual({ data: null });
    expect(throughSdk("Part", { data: null })).toEqual({});
  });
});
