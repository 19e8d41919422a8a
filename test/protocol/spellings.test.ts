// What a conforming client may send, and the one form it is stored and sent in: the reading side of
// ProtoJSON (§5.5, §5.6, https://protobuf.dev/programming-guides/json/).

import { describe, expect, it } from "vitest";
import * as z from "zod/mini";
import { Message } from "../../src/protocol/message.ts";
import { parseParams } from "../../src/protocol/parse.ts";
import { Part } from "../../src/protocol/part.ts";
import * as requests from "../../src/protocol/requests.ts";
import type { Schema } from "../../src/protocol/schema.ts";
import { AuthorizationCodeOAuthFlow, SecurityRequirement } from "../../src/protocol/security.ts";
import { TaskState } from "../../src/protocol/state.ts";
import { TaskStatus } from "../../src/protocol/task.ts";

const message = { messageId: "m1", role: "ROLE_USER", parts: [{ text: "hi" }] };

function params<T>(schema: Schema<T>, value: unknown): T {
  const parsed = parseParams(schema, value);
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.error));
  return parsed.value;
}

describe("names", () => {
  it("reads snake_case as camelCase, at every level (§5.5)", () => {
    const sent = {
      message: {
        message_id: "m1",
        context_id: "c1",
        task_id: "t1",
        role: "ROLE_USER",
        reference_task_ids: ["t0"],
        parts: [{ text: "hi", media_type: "text/plain" }],
      },
      configuration: {
        accepted_output_modes: ["text/plain"],
        history_length: 3,
        return_immediately: true,
        task_push_notification_config: { url: "https://a.example", authentication: { scheme: "Bearer" } },
      },
    };
    expect(params(requests.SendMessageRequest, sent)).toEqual({
      message: {
        messageId: "m1",
        contextId: "c1",
        taskId: "t1",
        role: "ROLE_USER",
        referenceTaskIds: ["t0"],
        parts: [{ text: "hi", mediaType: "text/plain" }],
      },
      configuration: {
        acceptedOutputModes: ["text/plain"],
        historyLength: 3,
        returnImmediately: true,
        taskPushNotificationConfig: { url: "https://a.example", authentication: { scheme: "Bearer" } },
      },
    });
  });

  it("prefers camelCase when both spellings are there, unless it is null", () => {
    expect(params(requests.ListTasksRequest, { contextId: "a", context_id: "b" })).toEqual({
      contextId: "a",
    });
    expect(params(requests.ListTasksRequest, { contextId: null, context_id: "b" })).toEqual({
      contextId: "b",
    });
    expect(params(requests.ListTasksRequest, { contextId: null, context_id: null })).toEqual({});
  });

  it("ignores unknown fields at every level (§5.7)", () => {
    const sent = {
      kind: "x",
      message: { ...message, kind: "message", parts: [{ kind: "text", text: "hi", extra: { deep: [1] } }] },
      configuration: { blocking: true },
    };
    expect(params(requests.SendMessageRequest, sent)).toEqual({ message, configuration: {} });
  });

  it("keeps the keys of a Struct as they are, in both spellings", () => {
    const metadata = { snake_case: { inner_key: null }, camelCase: [1, "2"] };
    expect(z.parse(Message, { ...message, metadata }).metadata).toEqual(metadata);
  });
});

describe("absence", () => {
  it("takes null for absent in every optional field", () => {
    const sent = {
      ...message,
      contextId: null,
      taskId: null,
      metadata: null,
      extensions: null,
      reference_task_ids: null,
    };
    expect(z.parse(Message, sent)).toEqual(message);
  });

  it("takes null in data for the value null, and keeps null inside data and metadata (§4.1.6)", () => {
    for (const part of [
      { data: null },
      { data: { a: null, b: [null] } },
      { text: "x", metadata: { a: null } },
    ]) {
      expect(z.parse(Part, part)).toEqual(part);
    }
  });

  it("takes an empty string, false, 0 and an empty list for absent where the proto does", () => {
    expect(z.parse(Message, { ...message, contextId: "", taskId: "", extensions: [] })).toEqual(message);
    expect(params(requests.ListTasksRequest, { tenant: "", contextId: "", pageToken: "" })).toEqual({});
    expect(z.parse(requests.SendMessageConfiguration, { returnImmediately: false })).toEqual({});
    expect(z.parse(SecurityRequirement, { schemes: {} })).toEqual({});
  });

  it("keeps an explicit default where the proto says optional (§5.7)", () => {
    const explicit = { historyLength: 0, includeArtifacts: false };
    expect(params(requests.ListTasksRequest, explicit)).toEqual(explicit);
  });

  it("keeps an empty text and empty bytes as the content of a part", () => {
    expect(z.parse(Part, { text: "" })).toEqual({ text: "" });
    expect(z.parse(Part, { raw: "" })).toEqual({ raw: "" });
  });

  it("takes absent and null params for empty ones", () => {
    for (const value of [undefined, null, {}]) {
      expect(params(requests.ListTasksRequest, value)).toEqual({});
      expect(params(requests.GetExtendedAgentCardRequest, value)).toEqual({});
    }
  });
});

describe("enums", () => {
  it.each(Object.entries(TaskState.numbers))(
    "reads %s by name and by its number %i (§5.5)",
    (name, number) => {
      for (const state of [name, number]) expect(z.parse(TaskStatus, { state })).toEqual({ state: name });
    },
  );

  it.each([0, "TASK_STATE_UNSPECIFIED", null])("takes status %j for no filter in ListTasks", (status) => {
    expect(params(requests.ListTasksRequest, { status })).toEqual({});
  });
});

describe("int32", () => {
  it.each([
    [10, 10],
    ["10", 10],
    [10.0, 10],
    ["10.0", 10],
    ["1e1", 10],
    [-0, 0],
    ["2147483647", 2147483647],
  ])("reads %j as %i", (sent, read) => {
    expect(params(requests.GetTaskRequest, { id: "t", historyLength: sent }).historyLength).toBe(read);
  });
});

describe("bytes", () => {
  it.each([
    ["QQ==", "QQ=="],
    ["QQ", "QQ=="],
    ["QUI", "QUI="],
    ["QUJD", "QUJD"],
    ["-_-_", "+/+/"],
    ["-_8=", "+/8="],
    ["-_8", "+/8="],
    // Bits beyond the last byte are dropped.
    ["QR==", "QQ=="],
    ["QUJDQUK", "QUJDQUI="],
  ])("reads %s as %s (RFC 4648 §3.5, §4, §5)", (sent, read) => {
    expect(z.parse(Part, { raw: sent })).toEqual({ raw: read });
  });
});

describe("timestamps", () => {
  it.each([
    ["2023-10-27T10:00:00Z", "2023-10-27T10:00:00.000Z"],
    ["2023-10-27T10:00:00.1Z", "2023-10-27T10:00:00.100Z"],
    ["2023-10-27T10:00:00.999999999Z", "2023-10-27T10:00:00.999Z"],
    ["2023-10-27T10:00:00.123456+02:00", "2023-10-27T08:00:00.123Z"],
    ["2023-10-27T10:00:00-05:30", "2023-10-27T15:30:00.000Z"],
    ["2023-12-31T23:30:00-01:00", "2024-01-01T00:30:00.000Z"],
    ["2024-02-29T00:00:00+00:00", "2024-02-29T00:00:00.000Z"],
    ["0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000Z"],
    ["9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z"],
    ["1969-12-31T23:59:59.5Z", "1969-12-31T23:59:59.500Z"],
  ])("reads %s as %s (§5.6.1)", (sent, read) => {
    expect(params(requests.ListTasksRequest, { statusTimestampAfter: sent })).toEqual({
      statusTimestampAfter: read,
    });
  });
});

describe("Struct and Value", () => {
  it("hands metadata and data on by reference, so that no key is copied", () => {
    const metadata = JSON.parse('{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}');
    const data = JSON.parse('{"__proto__":{"polluted":1}}');
    const read = z.parse(Message, { ...message, metadata, parts: [{ data }] });
    expect(read.metadata).toBe(metadata);
    expect(read.parts[0]?.data).toBe(data);
    expect(JSON.stringify(read.metadata)).toBe(JSON.stringify(metadata));
  });

  it("pollutes no prototype, whatever keys come in", () => {
    const hostile = '{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}}}';
    const sent = JSON.parse(
      `{"message":{"messageId":"m1","role":1,"parts":[{"text":"hi","__proto__":{"polluted":true}}],"metadata":${hostile},"__proto__":${hostile}},"__proto__":${hostile}}`,
    );
    const read = params(requests.SendMessageRequest, sent);
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
    expect((read as Record<string, unknown>).polluted).toBeUndefined();
    expect(Object.getPrototypeOf(read.message)).toBe(Object.prototype);
    expect(Object.keys(read.message).sort()).toEqual(["messageId", "metadata", "parts", "role"]);
  });

  it("keeps __proto__ as a key like any other in a map", () => {
    const scopes = JSON.parse('{"__proto__":"a","read":"b"}');
    const flow = { authorizationUrl: "https://a.example", tokenUrl: "https://a.example", scopes };
    const read = z.parse(AuthorizationCodeOAuthFlow, flow);
    expect(Object.entries(read.scopes)).toEqual([
      ["__proto__", "a"],
      ["read", "b"],
    ]);
    expect(Object.getPrototypeOf(read.scopes)).toBe(Object.prototype);
  });
});
