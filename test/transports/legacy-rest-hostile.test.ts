// What strangers send to the paths of A2A 0.3: the right status and code, the field that is wrong by its name there, and
// nothing stored.

import { afterEach, describe, expect, it } from "vitest";
import { countTasks, type Detail, forgedIds, nested, newOwner, send } from "./front-door.ts";

const owner = newOwner();

afterEach(async () => {
  expect(await countTasks(owner)).toBe(0);
});

async function ask(method: string, path: string, body?: BodyInit, headers: Record<string, string> = {}) {
  const response = await send(path, {
    method,
    headers: { "content-type": "application/json", "x-dev-owner": owner, ...headers },
    ...(body !== undefined && { body }),
  });
  expect(response.headers.get("content-type")).toBe("application/json");
  const error = await response.json<{ code: number; message: string; data: Detail[] }>();
  expect(Object.keys(error)).toEqual(["code", "message", "data"]);
  const fields = error.data.flatMap((detail) => detail.fieldViolations ?? []).map(({ field }) => field);
  return { status: response.status, code: error.code, message: error.message, fields };
}

const post = (path: string, body: unknown) => ask("POST", path, JSON.stringify(body));
const invalid = (...fields: string[]) => ({ status: 400, code: -32602, fields });

const message = { messageId: "m-1", role: "ROLE_USER", content: [{ text: "hello" }] };
const withMessage = (wrong: object) => ({ message: { ...message, ...wrong } });
const withPart = (...content: unknown[]) => withMessage({ content });
const url = "https://hooks.example/a2a";

const hostileSends: [string, object, string][] = [
  ["no message", {}, "message"],
  ["a request that is text", { request: "hello" }, "request"],
  ["a message that is null beside a request", { message: null, request: 1 }, "message"],
  ["no messageId", withMessage({ messageId: undefined }), "message.messageId"],
  ["a role of JSON-RPC", withMessage({ role: "user" }), "message.role"],
  ["the role of the agent", withMessage({ role: "ROLE_AGENT" }), "message.role"],
  [
    "parts where content should be",
    { message: { ...message, content: undefined, parts: [] } },
    "message.content",
  ],
  ["empty content", withMessage({ content: [] }), "message.content"],
  ["10,000 parts", withMessage({ content: Array(10_000).fill({ text: "x" }) }), "message.content"],
  [
    "10,000 parts of a request",
    { request: { content: Array(10_000).fill({ text: "x" }) } },
    "request.content",
  ],
  ["a part of JSON-RPC", withPart({ kind: "text" }), "message.content[0]"],
  ["a part of two contents", withPart({ text: "x", data: { data: {} } }), "message.content[0]"],
  ["a file that is text", withPart({ file: "x" }), "message.content[0].file"],
  ["a file of nothing", withPart({ file: { mimeType: "a/b" } }), "message.content[0].file"],
  [
    "bytes that are no base64",
    withPart({ file: { fileWithBytes: "!" } }),
    "message.content[0].file.fileWithBytes",
  ],
  ["data that is a list", withPart({ data: { data: [1] } }), "message.content[0].data.data"],
  ["blocking as text", { message, configuration: { blocking: "x" } }, "configuration.blocking"],
  [
    "a webhook without a URL",
    { message, configuration: { pushNotification: { token: "t" } } },
    "configuration.pushNotification.url",
  ],
  [
    "a webhook of no web",
    { message, configuration: { push_notification: { url: "file:///etc/passwd" } } },
    "configuration.pushNotification.url",
  ],
];

describe.each(["/v1/message:send", "/v1/message:stream", "/interview/v1/message:send"])("POST %s", (path) => {
  it.each(hostileSends)("answers 400 to %s", async (_, body, field) => {
    expect(await post(path, body)).toMatchObject(invalid(field));
  });

  it.each(forgedIds)("answers 404 to a message for the task %s", async (taskId) => {
    expect(await post(path, withMessage({ taskId }))).toMatchObject({ status: 404, code: -32001 });
  });

  it("answers 400 to a media type that the agent does not take", async () => {
    const part = { file: { fileWithUri: url, mimeType: "application/x-executable" } };
    expect(await post(path, withPart(part))).toMatchObject({ status: 400, code: -32005 });
  });
});

describe("bodies", () => {
  it.each([
    ["an open brace", '{"message":'],
    ["two documents", "{}{}"],
    ["bytes that are no UTF-8", Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d)],
  ])("answers 400 to %s", async (_, body) => {
    expect(await ask("POST", "/v1/message:send", body)).toMatchObject({ status: 400, code: -32700 });
  });

  it.each(["[]", '"x"', "1", "true"])("answers 400 to %s, which is no object", async (body) => {
    expect(await ask("POST", "/v1/message:send", body)).toMatchObject({ status: 400, code: -32600 });
  });

  it.each(["null", undefined])("takes %s for an empty one", async (body) => {
    expect(await ask("POST", "/v1/message:send", body)).toMatchObject(invalid("message"));
  });

  it("answers 413 to more than 1 MiB, and 400 to more than 64 levels", async () => {
    const large = await ask("POST", "/v1/message:send", " ".repeat(1_048_577));
    expect(large).toMatchObject({ status: 413, code: -32600 });
    const deep = withMessage({ metadata: { a: nested(62) } });
    expect(await post("/v1/message:send", deep)).toMatchObject({ status: 400, code: -32600 });
  });

  it("answers 400 to another media type", async () => {
    const body = JSON.stringify({ message });
    const answer = await ask("POST", "/v1/message:send", body, { "content-type": "text/plain" });
    expect(answer).toMatchObject({ status: 400, code: -32005 });
  });
});

describe("tasks of nobody", () => {
  const calls: [string, string][] = [
    ["GET", ""],
    ["POST", ":cancel"],
    ["GET", ":subscribe"],
    ["POST", ":subscribe"],
    ["GET", "/pushNotificationConfigs"],
    ["GET", "/pushNotificationConfigs/c"],
    ["DELETE", "/pushNotificationConfigs/c"],
  ];

  describe.each(calls)("%s /v1/tasks/{id}%s", (method, suffix) => {
    it.each(forgedIds)("answers 404 to %s", async (id) => {
      const path = `/v1/tasks/${encodeURIComponent(id)}${suffix}`;
      expect(await ask(method, path)).toMatchObject({ status: 404, code: -32001 });
    });
  });

  it.each(["-1", "1.5", "x"])("answers 400 to the historyLength %s", async (value) => {
    expect(await ask("GET", `/v1/tasks/x?historyLength=${value}`)).toMatchObject(invalid("historyLength"));
  });

  it("answers 400 to a list by a state of JSON-RPC, and to a query that says it twice", async () => {
    expect(await ask("GET", "/v1/tasks?status=working")).toMatchObject(invalid("status"));
    expect(await ask("GET", "/v1/tasks?pageSize=1&page_size=1")).toMatchObject(invalid("pageSize"));
  });
});

describe("configs", () => {
  const path = "/v1/tasks/x/pushNotificationConfigs";

  it.each([
    [
      "of another task",
      { name: "tasks/y/pushNotificationConfigs/c", pushNotificationConfig: { url } },
      "name",
    ],
    ["of a task whose id begins alike", { name: "tasks/xx", pushNotificationConfig: { url } }, "name"],
    [
      "in a request of another task",
      { parent: "tasks/y", config: { pushNotificationConfig: { url } } },
      "parent",
    ],
    ["that another task is told of", { taskId: "y", pushNotificationConfig: { url } }, "taskId"],
    ["that is not there", { name: "tasks/x" }, "pushNotificationConfig"],
    ["that is not there in its request", { config: {} }, "config.pushNotificationConfig"],
    ["of no web", { pushNotificationConfig: { url: "file:///x" } }, "pushNotificationConfig.url"],
    [
      "of no web in its request",
      { config: { pushNotificationConfig: { url: "file:///x" } } },
      "config.pushNotificationConfig.url",
    ],
  ])("answers 400 to one %s", async (_, body, field) => {
    expect(await post(path, body)).toMatchObject(invalid(field));
  });
});

describe("paths", () => {
  it.each(["/v1/tasks/%ff", "/%ff/v1/tasks"])("answers 400 at %s", async (path) => {
    expect(await ask("GET", path)).toMatchObject({ status: 400, code: -32600 });
  });

  it.each([
    ...["/v1", "/v1/", "/v1/v1/tasks", "/v1/message:nothing", "/nobody/v1/tasks", "/__proto__/v1/tasks"],
    ...["/echo/v1", "/echo/v1/nothing"],
  ])("answers 404 at %s", async (path) => {
    expect(await ask("GET", path)).toMatchObject({ status: 404, code: -31404 });
  });

  it.each([
    ["GET", "/v1/message:send", "POST, OPTIONS"],
    ["PUT", "/v1/tasks/x", "HEAD, GET, OPTIONS"],
    ["DELETE", "/echo/v1/tasks", "HEAD, GET, OPTIONS"],
  ])("answers 405 to %s %s, which does not have it", async (method, path, allow) => {
    expect(await ask(method, path)).toMatchObject({ status: 405, code: -32601 });
    expect((await send(path, { method })).headers.get("allow")).toBe(allow);
  });

  it("answers 404 to a verb that a path of nobody does not have", async () => {
    expect(await ask("GET", "/nobody/v1/message:send")).toMatchObject({ status: 404, code: -31404 });
  });
});
