// What strangers send in the name of A2A 0.3 over JSON-RPC: the right error under the right id, the field that is wrong
// by its name in 0.3, and nothing stored.

import { afterEach, describe, expect, it } from "vitest";
import { countTasks, type Detail, forgedIds, nested, newOwner, send } from "./front-door.ts";

const owner = newOwner();

afterEach(async () => {
  expect(await countTasks(owner)).toBe(0);
});

type ErrorAnswer = { id: unknown; error: { code: number; message: string; data: Detail[] } };

async function post(body: string, headers: Record<string, string> = {}) {
  const response = await send("/", {
    method: "POST",
    headers: { "content-type": "application/json", "x-dev-owner": owner, ...headers },
    body,
  });
  const text = await response.text();
  const isStream = response.headers.get("content-type") === "text/event-stream";
  // An error in a stream is its only event.
  const json = isStream ? (/^data: (.*)\n\n$/.exec(text)?.[1] ?? "") : text;
  const { id, error } = JSON.parse(json) as ErrorAnswer;
  expect(error, "an error").toBeDefined();
  const fields = error.data.flatMap((detail) => detail.fieldViolations ?? []).map(({ field }) => field);
  return { status: response.status, id, code: error.code, message: error.message, fields, isStream };
}

const call = (method: string, params: unknown, headers?: Record<string, string>) =>
  post(JSON.stringify({ jsonrpc: "2.0", id: "c-1", method, params }), headers);

const message = { messageId: "m-1", role: "user", parts: [{ kind: "text", text: "hello" }] };
const withMessage = (wrong: object) => ({ message: { ...message, ...wrong } });
const withPart = (...parts: unknown[]) => withMessage({ parts });
const withConfiguration = (configuration: unknown) => ({ message, configuration });
const url = "https://hooks.example/a2a";

const hostileSends: [string, object, string][] = [
  ["no message", {}, "message"],
  ["a message that is text", { message: "hello" }, "message"],
  [
    "a message in the prototype",
    JSON.parse(`{"__proto__":{"message":${JSON.stringify(message)}}}`),
    "message",
  ],
  ["a message of another kind", withMessage({ kind: "task" }), "message.kind"],
  ["no messageId", withMessage({ messageId: undefined }), "message.messageId"],
  ["half of a surrogate pair in the messageId", withMessage({ messageId: "\ud800" }), "message.messageId"],
  ["no role", withMessage({ role: undefined }), "message.role"],
  ["a role of 1.0", withMessage({ role: "ROLE_USER" }), "message.role"],
  ["the role of the agent", withMessage({ role: "agent" }), "message.role"],
  ["a taskId that is an object", withMessage({ taskId: {} }), "message.taskId"],
  ["empty parts", withMessage({ parts: [] }), "message.parts"],
  ["parts that are no list", withMessage({ parts: { kind: "text" } }), "message.parts"],
  ["10,000 parts", withMessage({ parts: Array(10_000).fill({ kind: "text", text: "x" }) }), "message.parts"],
  ["a part that is null", withPart(null), "message.parts[0]"],
  ["a part of 1.0", withPart({ text: "x" }), "message.parts[0].kind"],
  ["a part of an unknown kind", withPart({ kind: "__proto__" }), "message.parts[0].kind"],
  ["a kind that is a list", withPart({ kind: ["text"], text: "x" }), "message.parts[0].kind"],
  [
    "a kind in the prototype",
    withPart(JSON.parse('{"__proto__":{"kind":"text","text":"x"}}')),
    "message.parts[0].kind",
  ],
  ["a text part without text", withPart({ kind: "text" }), "message.parts[0]"],
  ["text that is a number", withPart({ kind: "text", text: 5 }), "message.parts[0].text"],
  ["a file that is text", withPart({ kind: "file", file: "x" }), "message.parts[0].file"],
  ["a file of nothing", withPart({ kind: "file", file: {} }), "message.parts[0].file"],
  [
    "a file of two contents",
    withPart({ kind: "file", file: { bytes: "", uri: url } }),
    "message.parts[0].file",
  ],
  [
    "bytes that are no base64",
    withPart({ kind: "file", file: { bytes: "!!" } }),
    "message.parts[0].file.bytes",
  ],
  [
    "a name that is a number",
    withPart({ kind: "file", file: { uri: url, name: 1 } }),
    "message.parts[0].file.name",
  ],
  ["data that is not there", withPart({ kind: "data" }), "message.parts[0]"],
  [
    "half of a surrogate pair in data",
    withPart({ kind: "data", data: { a: "\ud800" } }),
    "message.parts[0].data.a",
  ],
  ["metadata that is text", withMessage({ metadata: "x" }), "message.metadata"],
  ["a configuration that is a list", withConfiguration([]), "configuration"],
  ["blocking as text", withConfiguration({ blocking: "false" }), "configuration.blocking"],
  ["a negative historyLength", withConfiguration({ historyLength: -1 }), "configuration.historyLength"],
  [
    "a webhook to a private address",
    withConfiguration({ pushNotificationConfig: { url: "gopher://10.0.0.1/" } }),
    "configuration.pushNotificationConfig.url",
  ],
  [
    "a webhook without a URL beside the message",
    { message, pushNotificationConfig: {} },
    "pushNotificationConfig.url",
  ],
];

describe.each(["message/send", "message/stream"])("%s", (method) => {
  it.each(hostileSends)("answers -32602 to %s", async (_, params, field) => {
    const { status, id, code, fields } = await call(method, params);
    expect({ status, id, code, fields }).toEqual({ status: 200, id: "c-1", code: -32602, fields: [field] });
  });

  it.each(forgedIds)("answers -32001 to a message for the task %s", async (taskId) => {
    expect(await call(method, withMessage({ taskId }))).toMatchObject({ status: 200, code: -32001 });
  });

  it("answers -32005 to a media type that the agent does not take", async () => {
    const part = { kind: "file", file: { uri: url, mimeType: "application/x-executable" } };
    expect(await call(method, withPart(part))).toMatchObject({ code: -32005 });
  });
});

describe("limits", () => {
  it("are those of 1.0: 64 levels of params, and not one more", async () => {
    // The params, the message and its metadata are three of the levels.
    const deep = (levels: number) => withMessage({ metadata: { a: nested(levels - 3) }, parts: [] });
    expect(await call("message/send", deep(64))).toMatchObject({ code: -32602, fields: ["message.parts"] });
    expect(await call("message/send", deep(65))).toMatchObject({ status: 200, code: -32600 });
  });

  it("name at most twenty wrong parts of a thousand", async () => {
    const { fields } = await call("message/send", withPart(...Array(1_000).fill({ kind: "text" })));
    expect(fields.length).toBeLessThanOrEqual(20);
  });

  it("hold for a body of more than 1 MiB, also where errors are events", async () => {
    const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tasks/resubscribe", params: { id: "x" } });
    const answer = await post(`${body}${" ".repeat(1_048_576)}`);
    expect(answer).toMatchObject({ status: 413, isStream: false });
  });
});

describe("methods that name a task", () => {
  describe.each(["tasks/get", "tasks/cancel", "tasks/resubscribe", "tasks/pushNotificationConfig/list"])(
    "%s",
    (method) => {
      const isStream = method === "tasks/resubscribe";
      // Without a version an id that no server of ours has made is one of a client of 0.1.
      const v03 = { "a2a-version": "0.3" };

      it.each(forgedIds)("answers -32001 to %s", async (id) => {
        const answer = await call(method, { id }, v03);
        expect(answer).toMatchObject({ status: 200, id: "c-1", code: -32001, isStream });
      });

      it.each([{}, { id: "" }, { id: 5 }, { id: "\udc00" }, { id: ["x"] }])(
        "answers -32602 to %j",
        async (params) => {
          expect(await call(method, params, v03)).toMatchObject({ code: -32602, fields: ["id"], isStream });
        },
      );
    },
  );

  it.each(forgedIds)("answer -32001 to a config of %s", async (taskId) => {
    const named = { id: taskId, pushNotificationConfigId: "c" };
    const set = { taskId, pushNotificationConfig: { url } };
    expect(await call("tasks/pushNotificationConfig/get", named)).toMatchObject({ code: -32001 });
    expect(await call("tasks/pushNotificationConfig/get", { id: taskId })).toMatchObject({ code: -32001 });
    expect(await call("tasks/pushNotificationConfig/delete", named)).toMatchObject({ code: -32001 });
    expect(await call("tasks/pushNotificationConfig/set", set)).toMatchObject({ code: -32001 });
  });

  it("refuse a config without its task, and a deletion without its config", async () => {
    const set = await call("tasks/pushNotificationConfig/set", { pushNotificationConfig: { url } });
    expect(set).toMatchObject({ code: -32602, fields: ["taskId"] });
    const deletion = await call("tasks/pushNotificationConfig/delete", { id: "x" });
    expect(deletion).toMatchObject({ code: -32602, fields: ["pushNotificationConfigId"] });
  });

  it("never say a secret of a config that is refused", async () => {
    const authentication = { schemes: ["Bearer"], credentials: "hunter2\r\nX-Evil: 1" };
    const set = { taskId: "x", pushNotificationConfig: { url, token: "hunter2\n", authentication } };
    const answer = await call("tasks/pushNotificationConfig/set", set);
    expect(answer).toMatchObject({
      code: -32602,
      fields: ["pushNotificationConfig.token", "pushNotificationConfig.authentication.credentials"],
    });
    expect(JSON.stringify(answer)).not.toContain("hunter2");
  });
});

describe("tasks/list", () => {
  it.each([
    ["a status of 1.0", { status: "TASK_STATE_WORKING" }, "status"],
    ["an unknown status", { status: "unknown" }, "status"],
    ["a page of 101", { pageSize: 101 }, "pageSize"],
    ["a cursor that was forged", { pageToken: btoa('[1,"0-1","0000000000000000"]') }, "pageToken"],
    ["a contextId that is a number", { contextId: 7 }, "contextId"],
  ])("answers -32602 to %s", async (_, params, field) => {
    expect(await call("tasks/list", params)).toMatchObject({ code: -32602, fields: [field] });
  });
});

describe("names", () => {
  it.each([
    "message/Send",
    "message/send ",
    "tasks/",
    "tasks/pushNotificationConfig",
    "__proto__",
    "GetTask",
  ])("answers -32601 to %j in version 0.3", async (method) => {
    expect(await call(method, { message }, { "a2a-version": "0.3" })).toMatchObject({
      status: 200,
      id: "c-1",
      code: -32601,
      isStream: false,
    });
  });

  it.each(["0.2", "0.30", "00.3", "0.3.0.0", "0.3, 1.0", "-0.3"])(
    "answers -32009 to version %s",
    async (version) => {
      expect(await call("message/send", { message }, { "a2a-version": version })).toMatchObject({
        code: -32009,
      });
    },
  );
});
