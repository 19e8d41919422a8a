// The single cases of the translation to and from A2A 0.3: what is told apart, what is refused and under which name,
// and what becomes of what one side cannot say.

import { describe, expect, it } from "vitest";
import * as z from "zod/mini";
import type { Part } from "../../../src/protocol/part.ts";
import type { Schema } from "../../../src/protocol/schema.ts";
import { TaskState } from "../../../src/protocol/state.ts";
import { LegacyEvent, toLegacyEvent } from "../../../src/protocol/v0_3/events.ts";
import { LegacyMessage } from "../../../src/protocol/v0_3/message.ts";
import { LegacyPart, toCorePart, toLegacyPart } from "../../../src/protocol/v0_3/part.ts";
import {
  LegacyPushConfig,
  toCorePushConfig,
  toLegacyPushConfig,
} from "../../../src/protocol/v0_3/push-config.ts";
import {
  MessageSendParams,
  TaskListParams,
  toCoreListRequest,
  toCoreSendRequest,
} from "../../../src/protocol/v0_3/requests.ts";
import { toCoreState, toLegacyState } from "../../../src/protocol/v0_3/state.ts";
import { fieldPath } from "../../../src/protocol/violations.ts";

const message = { messageId: "m", role: "user", parts: [{ kind: "text", text: "hi" }] };

function refusals(schema: Schema<unknown>, value: unknown): string[] {
  const parsed = z.safeParse(schema, value);
  return parsed.success
    ? []
    : parsed.error.issues.map(({ path, message }) => `${fieldPath(path)} ${message}`);
}

describe("parts", () => {
  const pairs: [Record<string, unknown>, Part][] = [
    [{ kind: "text", text: "" }, { text: "" }],
    [
      { kind: "text", text: "a", metadata: { b: 1 } },
      { text: "a", metadata: { b: 1 } },
    ],
    [{ kind: "file", file: { bytes: "AQ==" } }, { raw: "AQ==" }],
    [
      { kind: "file", file: { bytes: "AQ==", name: "n", mimeType: "a/b" } },
      { raw: "AQ==", filename: "n", mediaType: "a/b" },
    ],
    [
      { kind: "file", file: { uri: "https://a.example/", mimeType: "a/b" } },
      { url: "https://a.example/", mediaType: "a/b" },
    ],
    [{ kind: "data", data: { value: 1 } }, { data: { value: 1 } }],
    [{ kind: "data", data: { value: null }, metadata: { data_part_compat: true } }, { data: null }],
    [{ kind: "data", data: { value: [1] }, metadata: { data_part_compat: true } }, { data: [1] }],
    [
      { kind: "data", data: { value: "x" }, metadata: { a: 1, data_part_compat: true } },
      { data: "x", metadata: { a: 1 } },
    ],
  ];

  it.each(pairs)("%j is a part of both versions", (legacy, core) => {
    expect(toCorePart(z.parse(LegacyPart, legacy))).toEqual(core);
    expect(toLegacyPart(core)).toEqual(legacy);
  });

  it("keep data that is marked as wrapped and is not", () => {
    const part = { kind: "data" as const, data: [1], metadata: { data_part_compat: true } };
    expect(toCorePart(part)).toEqual({ data: [1] });
  });

  it("keep a key __proto__ of their metadata a key, with and without the mark", () => {
    const metadata = JSON.parse('{"__proto__":{"admin":true},"data_part_compat":true}');
    const core = toCorePart({ kind: "data", data: { value: 1 }, metadata });
    expect(JSON.stringify(core)).toBe('{"data":1,"metadata":{"__proto__":{"admin":true}}}');
    expect(JSON.stringify(toLegacyPart(core))).toContain('"metadata":{"__proto__":{"admin":true},');
  });

  it("read base64 in every spelling, and write it in one", () => {
    const part = z.parse(LegacyPart, { kind: "file", file: { bytes: "-_8" } });
    expect(toCorePart(part)).toEqual({ raw: "+/8=" });
  });

  const wrong: [unknown, string][] = [
    [{ text: "a" }, "kind must be one of text, file, data"],
    [{ kind: "constructor" }, "kind must be one of text, file, data"],
    [{ kind: ["text"], text: "a" }, "kind must be one of text, file, data"],
    ["a", " must be an object, not a string"],
    [null, " must be an object, not null"],
    [{ kind: "text" }, " must hold exactly one of text; it holds none"],
    [{ kind: "text", text: 1 }, "text must be a string, not a number"],
    [{ kind: "text", text: "\ud800" }, "text must not contain a lone surrogate"],
    [{ kind: "text", text: "a", metadata: [] }, "metadata must be an object, not an array"],
    [{ kind: "file" }, "file is required"],
    [{ kind: "file", file: {} }, "file must hold exactly one of bytes, uri; it holds none"],
    [
      { kind: "file", file: { bytes: "", uri: "https://a.example/" } },
      "file must hold exactly one of bytes, uri; it holds bytes, uri",
    ],
    [{ kind: "file", file: { bytes: "%" } }, "file.bytes must be base64"],
    [{ kind: "file", file: { uri: "" } }, "file.uri must not be empty"],
    [{ kind: "data" }, " must hold exactly one of data; it holds none"],
  ];

  it.each(wrong)("%j is refused", (part, refusal) => {
    expect(refusals(LegacyPart, part)).toEqual([refusal]);
  });
});

describe("messages", () => {
  const wrong: [object, string][] = [
    [{ ...message, kind: "task" }, "kind must be one of message"],
    [{ ...message, role: "ROLE_USER" }, "role must be one of user, agent"],
    [{ ...message, role: undefined }, "role is required"],
    [{ ...message, parts: [] }, "parts must hold at least one element"],
    [
      { ...message, parts: [{ kind: "text", text: "a" }, { kind: "x" }] },
      "parts[1].kind must be one of text, file, data",
    ],
    [{ ...message, messageId: "" }, "messageId must not be empty"],
  ];

  it.each(wrong)("%j is refused", (value, refusal) => {
    expect(refusals(LegacyMessage, value)).toEqual([refusal]);
  });
});

describe("states", () => {
  it("are the same nine, except for unknown, which is none", () => {
    for (const state of Object.keys(TaskState.numbers) as TaskState[]) {
      expect(toCoreState(toLegacyState(state))).toBe(state);
      // TASK_STATE_INPUT_REQUIRED and input-required.
      expect(toLegacyState(state)).toBe(state.slice("TASK_STATE_".length).toLowerCase().replace("_", "-"));
    }
    expect(refusals(LegacyEvent, { kind: "task", id: "t", status: { state: "unknown" } })).toHaveLength(1);
  });

  it.each(Object.keys(TaskState.numbers) as TaskState[])(
    "%s is final where the stream of a message ends",
    (state) => {
      const event = { statusUpdate: { taskId: "t", contextId: "c", status: { state } } };
      const open = ["TASK_STATE_SUBMITTED", "TASK_STATE_WORKING", "TASK_STATE_AUTH_REQUIRED"];
      expect(toLegacyEvent(event)).toMatchObject({ final: !open.includes(state) });
    },
  );
});

describe("a send", () => {
  const immediately = { returnImmediately: true };
  const configurations: [object | undefined, object | undefined][] = [
    [undefined, undefined],
    [{}, immediately],
    [{ blocking: true }, {}],
    [{ blocking: false }, immediately],
    [
      { blocking: null, historyLength: 0 },
      { historyLength: 0, ...immediately },
    ],
    [{ acceptedOutputModes: ["text/plain"], blocking: true }, { acceptedOutputModes: ["text/plain"] }],
  ];

  it.each(configurations)("with the configuration %j asks for %j", async (configuration, expected) => {
    const params = z.parse(MessageSendParams, { message, configuration });
    expect(toCoreSendRequest(params).configuration).toEqual(expected);
  });

  it("takes its push config from beside the message too, and rather from the configuration", () => {
    const [inside, beside] = [{ url: "https://a.example/", id: "a" }, { url: "https://b.example/" }];
    const pushOf = (params: object) =>
      toCoreSendRequest(z.parse(MessageSendParams, { message, ...params })).configuration;
    expect(pushOf({ pushNotificationConfig: beside })).toEqual({
      taskPushNotificationConfig: { id: "default", url: "https://b.example/" },
    });
    expect(
      pushOf({ pushNotificationConfig: beside, configuration: { pushNotificationConfig: inside } }),
    ).toEqual({
      taskPushNotificationConfig: inside,
      returnImmediately: true,
    });
  });

  it("is refused under the names it was made with", () => {
    const params = {
      message: { ...message, parts: [{ kind: "file", file: { bytes: 1 } }] },
      configuration: { blocking: "yes", pushNotificationConfig: { authentication: { credentials: "c" } } },
    };
    expect(refusals(MessageSendParams, params)).toEqual([
      "message.parts[0].file.bytes must be a base64 string, not a number",
      "configuration.blocking must be true or false, not a string",
      "configuration.pushNotificationConfig.url is required",
      "configuration.pushNotificationConfig.authentication must name a scheme for its credentials",
    ]);
  });
});

describe("a push config", () => {
  it("keeps the first of several schemes, and without any has no authentication", () => {
    const core = (authentication: object) =>
      toCorePushConfig(z.parse(LegacyPushConfig, { url: "https://a.example/", authentication }));
    expect(core({ schemes: ["Bearer", "Basic"], credentials: "c" })).toMatchObject({
      authentication: { scheme: "Bearer", credentials: "c" },
    });
    expect(core({ schemes: [] })).toEqual({ id: "default", url: "https://a.example/" });
  });

  it("carries the members of the webhooks extension through both versions", () => {
    const config = { id: "a", url: "https://a.example/", secret: "0123456789abcdef", events: ["completed"] };
    expect(toCorePushConfig(z.parse(LegacyPushConfig, config))).toEqual(config);
    expect(toLegacyPushConfig({ ...config, tenant: "t", taskId: "1", events: ["completed"] })).toEqual(
      config,
    );
  });
});

it("a list is asked for by the states of 0.3", () => {
  const params = z.parse(TaskListParams, { status: "input-required", pageSize: 5 });
  expect(toCoreListRequest(params)).toEqual({ status: "TASK_STATE_INPUT_REQUIRED", pageSize: 5 });
  expect(toCoreListRequest(z.parse(TaskListParams, {}))).toEqual({});
  expect(refusals(TaskListParams, { status: "TASK_STATE_WORKING" })).toHaveLength(1);
});
