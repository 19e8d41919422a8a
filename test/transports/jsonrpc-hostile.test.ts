// What strangers send to the JSON-RPC endpoint: the right error under the right id, the field that is wrong, and
// nothing stored.

import { afterEach, describe, expect, it } from "vitest";
import {
  countTasks,
  type Detail,
  forgedIds,
  hello,
  hostileLists,
  hostileMessages,
  nested,
  newOwner,
  send,
} from "./front-door.ts";

let owner = newOwner();

afterEach(async () => {
  expect(await countTasks(owner)).toBe(0);
});

type ErrorAnswer = { id: unknown; error: { code: number; message: string; data: Detail[] } };

async function post(body: BodyInit, headers: Record<string, string> = {}, path = "/") {
  const response = await send(path, {
    method: "POST",
    headers: { "content-type": "application/json", "x-dev-owner": owner, ...headers },
    body,
  });
  const { id, error } = await response.json<ErrorAnswer>();
  expect(error, "an error").toBeDefined();
  const fields = error.data.flatMap((detail) => detail.fieldViolations ?? []).map(({ field }) => field);
  return { status: response.status, id, code: error.code, message: error.message, fields, data: error.data };
}

const call = (method: string, params: unknown, path = "/") =>
  post(JSON.stringify({ jsonrpc: "2.0", id: "c-1", method, params }), {}, path);

describe("bodies that are no JSON", () => {
  it.each([
    ["nothing", ""],
    ["an open brace", '{"jsonrpc":"2.0","id":1,"method":"SendMessage"'],
    ["a trailing comma", '{"jsonrpc":"2.0",}'],
    ["single quotes", "{'jsonrpc':'2.0'}"],
    ["two documents", "{}{}"],
    ["NaN", '{"jsonrpc":"2.0","id":NaN}'],
    ["a line break in a text", '{"jsonrpc":"2.\n0"}'],
    ["bytes that are no UTF-8", Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d)],
    ["UTF-16", Uint8Array.of(0xff, 0xfe, 0x7b, 0, 0x7d, 0)],
  ])("answers -32700 to %s", async (_, body) => {
    expect(await post(body)).toMatchObject({ status: 200, id: null, code: -32700 });
  });

  it("does not repeat the body in its message", async () => {
    const { message } = await post('{"password":"hunter2"');
    expect(message).not.toContain("hunter2");
  });
});

describe("envelopes", () => {
  it.each([
    ["a batch", "[]", null],
    [
      "a batch of one",
      `[${JSON.stringify({ jsonrpc: "2.0", id: 1, method: "SendMessage", params: hello })}]`,
      null,
    ],
    ["text", '"SendMessage"', null],
    ["null", "null", null],
    ["a number", "1", null],
    ["an empty object", "{}", null],
    ["another version", '{"jsonrpc":"1.0","id":4,"method":"SendMessage"}', 4],
    ["no version", '{"id":"a","method":"SendMessage"}', "a"],
    ["no method", '{"jsonrpc":"2.0","id":0}', 0],
    ["a method that is a list", '{"jsonrpc":"2.0","id":"","method":["SendMessage"]}', ""],
    ["everything in the prototype", '{"__proto__":{"jsonrpc":"2.0","id":1,"method":"SendMessage"}}', null],
    ["an id that is an object", '{"jsonrpc":"2.0","id":{},"method":"SendMessage"}', null],
    ["an id that is a fraction", '{"jsonrpc":"2.0","id":1.5,"method":"SendMessage"}', null],
    ["an id with lost digits", '{"jsonrpc":"2.0","id":9007199254740993,"method":"SendMessage"}', null],
    ["half of a surrogate pair as id", '{"jsonrpc":"2.0","id":"\\ud800","method":"SendMessage"}', null],
    ["half of a surrogate pair as method", '{"jsonrpc":"2.0","id":1,"method":"\\ud800"}', 1],
  ])("answers -32600 to %s", async (_, body, id) => {
    expect(await post(body)).toMatchObject({ status: 200, id, code: -32600 });
  });

  it.each(["Nothing", "sendMessage", "SendMessage ", "__proto__", "constructor", "toString", ""])(
    "answers -32601 to the method %j",
    async (method) => {
      expect(await call(method, hello)).toMatchObject({ status: 200, id: "c-1", code: -32601 });
    },
  );

  it("answers -32601 to a name of 1.0 in a call of 0.3", async () => {
    const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "SendMessage", params: hello });
    expect(await post(body, { "a2a-version": "0.3" })).toMatchObject({ code: -32601 });
  });

  it("answers -32601 to a name of 0.3 in a call of 1.0", async () => {
    const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "message/send", params: hello });
    expect(await post(body, { "a2a-version": "1.0" })).toMatchObject({ code: -32601 });
  });

  it.each([
    ["a list", [hello]],
    ["text", "hello"],
    ["null", null],
    ["an object with an empty name", { "": "x", ...hello }],
  ])("answers -32602 to params that are %s", async (_, params) => {
    expect(await call("SendMessage", params)).toMatchObject({
      status: 200,
      id: "c-1",
      code: -32602,
      fields: ["params"],
    });
  });
});

describe("size and depth", () => {
  const sized = (bytes: number) => {
    const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "Nothing", params: { pad: "" } });
    return body.replace('"pad":""', `"pad":"${"x".repeat(bytes - body.length)}"`);
  };

  it("reads a body of exactly 1 MiB, and answers 413 to a byte more", async () => {
    expect(await post(sized(1_048_576))).toMatchObject({ status: 200, id: 1, code: -32601 });
    expect(await post(sized(1_048_577))).toMatchObject({ status: 413, id: null, code: -32600 });
  });

  it("takes params 64 levels deep, and answers -32600 to one more", async () => {
    // The params, the message and its metadata are three of the levels.
    const deep = (levels: number) => ({
      message: { ...hello.message, metadata: { a: nested(levels - 3) }, parts: [] },
    });
    expect(await call("SendMessage", deep(64))).toMatchObject({ code: -32602, fields: ["message.parts"] });
    expect(await call("SendMessage", deep(65))).toMatchObject({ status: 200, code: -32600 });
  });

  it.each([
    ["[", "]"],
    ['{"a":', "}"],
  ])("survives 100,000 times %s", async (open, close) => {
    const body = `${open.repeat(100_000)}1${close.repeat(100_000)}`;
    expect(await post(body)).toMatchObject({ status: 200, id: null, code: -32600 });
  });
});

describe("SendMessage and SendStreamingMessage", () => {
  describe.each(["SendMessage", "SendStreamingMessage"])("%s", (method) => {
    it.each(hostileMessages)("answers -32602 to %s", async (_, params, field) => {
      const { status, id, code, fields } = await call(method, params);
      expect({ status, id, code, fields }).toEqual({ status: 200, id: "c-1", code: -32602, fields: [field] });
    });

    it("answers -32005 to a media type that the agent does not take", async () => {
      const parts = [{ text: "x", mediaType: "application/x-executable" }];
      const params = { message: { ...hello.message, parts } };
      expect(await call(method, params)).toMatchObject({ status: 200, code: -32005 });
    });

    it.each(forgedIds)("answers -32001 to a message for the task %s", async (taskId) => {
      const params = { message: { ...hello.message, taskId } };
      expect(await call(method, params)).toMatchObject({ status: 200, code: -32001 });
    });
  });

  it("reports several wrong fields at once", async () => {
    const { fields } = await call("SendMessage", { message: { role: "x", parts: [{ text: 1 }, {}] } });
    expect(fields).toEqual(
      expect.arrayContaining([
        "message.messageId",
        "message.role",
        "message.parts[0].text",
        "message.parts[1]",
      ]),
    );
  });
});

describe("tasks of nobody", () => {
  describe.each(["GetTask", "CancelTask", "SubscribeToTask"])("%s", (method) => {
    it.each(forgedIds)("answers -32001 to %s", async (id) => {
      const answer = await call(method, { id });
      expect(answer).toMatchObject({ status: 200, code: -32001 });
      expect(answer.data[0]).toMatchObject({ reason: "TASK_NOT_FOUND", domain: "a2a-protocol.org" });
    });

    it.each([
      ["no id", {}],
      ["an empty id", { id: "" }],
      ["an id that is a number", { id: 5 }],
      ["half of a surrogate pair", { id: "\udc00" }],
    ])("answers -32602 to %s", async (_, params) => {
      expect(await call(method, params)).toMatchObject({ code: -32602, fields: ["id"] });
    });
  });

  it.each([-1, 1.5, "x", 2 ** 31, {}])("answers -32602 to the historyLength %j", async (historyLength) => {
    expect(await call("GetTask", { id: "x", historyLength })).toMatchObject({
      code: -32602,
      fields: ["historyLength"],
    });
  });
});

describe("ListTasks", () => {
  it.each(hostileLists)("answers -32602 to %s", async (_, params, field) => {
    expect(await call("ListTasks", params)).toMatchObject({ status: 200, code: -32602, fields: [field] });
  });

  it("answers -32602 to a contextId that is a number", async () => {
    expect(await call("ListTasks", { contextId: 7 })).toMatchObject({ code: -32602, fields: ["contextId"] });
  });
});

describe("the endpoint", () => {
  it.each(["/nobody", "/nobody/", "/Echo", "/__proto__", "/v1", "/tasks1"])(
    "answers 404 at %s",
    async (path) => {
      expect(await call("SendMessage", hello, path)).toMatchObject({ status: 404, id: null });
    },
  );

  it.each(["text/plain", "application/x-www-form-urlencoded", "text/json"])(
    "answers -32005 to %s",
    async (type) => {
      const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "SendMessage", params: hello });
      expect(await post(body, { "content-type": type })).toMatchObject({
        status: 200,
        id: null,
        code: -32005,
      });
    },
  );

  it("answers -32602 to an owner that is no name", async () => {
    expect(await post("{}", { "x-dev-owner": "a b" })).toMatchObject({
      code: -32602,
      fields: ["X-Dev-Owner"],
    });
  });
});

describe("a foreign task", () => {
  it("cannot be told from a missing one, and is not touched", async () => {
    const stranger = owner;
    owner = newOwner();
    const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "SendMessage", params: hello });
    const headers = { "content-type": "application/json", "x-dev-owner": owner };
    const made = await send("/", { method: "POST", headers, body });
    const { result } = await made.json<{ result: { task: { id: string } } }>();
    const { id } = result.task;
    expect(await countTasks(owner)).toBe(1);

    owner = stranger;
    const missing = "0-018f0000-0000-7000-8000-000000000000";
    const normal = (answer: object) => JSON.stringify(answer).replaceAll(id, "ID").replaceAll(missing, "ID");
    for (const method of ["GetTask", "CancelTask", "SubscribeToTask"]) {
      expect(normal(await call(method, { id }))).toBe(normal(await call(method, { id: missing })));
    }
    const followUp = (taskId: string) => call("SendMessage", { message: { ...hello.message, taskId } });
    expect(normal(await followUp(id))).toBe(normal(await followUp(missing)));
    expect((await followUp(id)).code).toBe(-32001);
  });

  it("is not found under another agent either", async () => {
    const keeper = newOwner();
    const ask = async (path: string, method: string, params: unknown) => {
      const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method, params });
      const headers = { "content-type": "application/json", "x-dev-owner": keeper };
      const response = await send(path, { method: "POST", headers, body });
      return response.json<{ result?: { task: { id: string } }; error?: { code: number } }>();
    };
    const { result } = await ask("/echo", "SendMessage", hello);
    const id = result?.task.id;
    expect((await ask("/interview", "GetTask", { id })).error?.code).toBe(-32001);
    expect((await ask("/echo", "GetTask", { id })).error).toBeUndefined();
  });
});
