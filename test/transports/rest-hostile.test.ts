// What strangers send to the HTTP+JSON paths: the right status and reason, the field that is wrong, and nothing
// stored.

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

const owner = newOwner();

afterEach(async () => {
  expect(await countTasks(owner)).toBe(0);
});

type ErrorAnswer = { error: { code: number; status: string; message: string; details: Detail[] } };

async function ask(method: string, path: string, body?: BodyInit, headers: Record<string, string> = {}) {
  const response = await send(path, {
    method,
    headers: { "content-type": "application/json", "x-dev-owner": owner, ...headers },
    ...(body !== undefined && { body }),
  });
  const { error } = await response.json<ErrorAnswer>();
  expect(error, "an error").toBeDefined();
  expect(error.code).toBe(response.status);
  expect(response.headers.get("content-type")).toBe("application/a2a+json");
  const fields = error.details.flatMap((detail) => detail.fieldViolations ?? []).map(({ field }) => field);
  const reason = error.details.find((detail) => detail.reason !== undefined)?.reason;
  return { status: response.status, name: error.status, reason, fields, message: error.message };
}

const get = (path: string) => ask("GET", path);
const post = (path: string, body: unknown) => ask("POST", path, JSON.stringify(body));

const invalidParams = (...fields: string[]) => ({
  status: 400,
  name: "INVALID_ARGUMENT",
  reason: "INVALID_PARAMS",
  fields,
});
const taskNotFound = { status: 404, name: "NOT_FOUND", reason: "TASK_NOT_FOUND" };

describe("bodies", () => {
  it.each([
    ["an open brace", '{"message":'],
    ["two documents", "{}{}"],
    ["bytes that are no UTF-8", Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d)],
    ["white space", "  "],
  ])("answers 400 to %s", async (_, body) => {
    const answer = await ask("POST", "/message:send", body);
    expect(answer).toMatchObject({ status: 400, name: "INVALID_ARGUMENT", reason: "PARSE_ERROR" });
  });

  it.each(["[]", "null", '"x"', "1", "true"])("answers 400 to %s, which is no object", async (body) => {
    const answer = await ask("POST", "/message:send", body);
    expect(answer).toMatchObject({ status: 400, name: "INVALID_ARGUMENT", reason: "INVALID_REQUEST" });
  });

  it("takes no body for an empty one", async () => {
    expect(await ask("POST", "/message:send")).toMatchObject(invalidParams("message"));
  });

  it("answers 413 to more than 1 MiB", async () => {
    const answer = await ask("POST", "/message:send", " ".repeat(1_048_577));
    expect(answer).toMatchObject({ status: 413, reason: "PAYLOAD_TOO_LARGE" });
  });

  it("takes 64 levels, and answers 400 to one more", async () => {
    // The body, the message and its metadata are three of the levels.
    const deep = (levels: number) => ({
      message: { ...hello.message, metadata: { a: nested(levels - 3) }, parts: [] },
    });
    expect(await post("/message:send", deep(64))).toMatchObject(invalidParams("message.parts"));
    expect(await post("/message:send", deep(65))).toMatchObject({ status: 400, reason: "INVALID_REQUEST" });
  });

  it.each(["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])(
    "answers 400 to %s",
    async (type) => {
      const answer = await ask("POST", "/message:send", JSON.stringify(hello), { "content-type": type });
      expect(answer).toMatchObject({
        status: 400,
        name: "INVALID_ARGUMENT",
        reason: "CONTENT_TYPE_NOT_SUPPORTED",
      });
    },
  );
});

describe.each(["/message:send", "/message:stream", "/interview/message:send"])("POST %s", (path) => {
  it.each(hostileMessages)("answers 400 to %s", async (_, params, field) => {
    expect(await post(path, params)).toMatchObject(invalidParams(field));
  });

  it("answers 400 to a media type that the agent does not take", async () => {
    const parts = [{ text: "x", mediaType: "application/x-executable" }];
    expect(await post(path, { message: { ...hello.message, parts } })).toMatchObject({
      status: 400,
      reason: "CONTENT_TYPE_NOT_SUPPORTED",
    });
  });

  it.each(forgedIds)("answers 404 to a message for the task %s", async (taskId) => {
    expect(await post(path, { message: { ...hello.message, taskId } })).toMatchObject(taskNotFound);
  });
});

describe("tasks of nobody", () => {
  it.each(forgedIds)("answers 404 for %s", async (id) => {
    const path = `/tasks/${encodeURIComponent(id)}`;
    expect(await get(path)).toMatchObject(taskNotFound);
    expect(await get(`/interview${path}`)).toMatchObject(taskNotFound);
    expect(await ask("POST", `${path}:cancel`)).toMatchObject(taskNotFound);
    expect(await ask("POST", `${path}:subscribe`)).toMatchObject(taskNotFound);
    expect(await get(`${path}:subscribe`)).toMatchObject(taskNotFound);
  });

  it.each(["/tasks/%", "/tasks/%zz:cancel", "/tasks/%ff", "/tasks/%ed%a0%80", "/%ff/tasks"])(
    "answers 400 at %s, which is no percent-encoded UTF-8",
    async (path) => {
      const answer = await ask(path.endsWith(":cancel") ? "POST" : "GET", path);
      expect(answer).toMatchObject({ status: 400, reason: "INVALID_REQUEST" });
    },
  );

  it.each([
    ["another id", { id: "b" }, "id"],
    ["another kind of id", { id: 1 }, "id"],
    ["another tenant", { tenant: "interview" }, "tenant"],
    ["metadata that is a list", { metadata: [] }, "metadata"],
  ])("answers 400 to a body with %s", async (_, body, field) => {
    expect(await post("/echo/tasks/a:cancel", body)).toMatchObject(invalidParams(field));
  });

  it.each([
    ["-1", "historyLength"],
    ["1.5", "historyLength"],
    ["x", "historyLength"],
    ["", "historyLength"],
    ["1&historyLength=1", "historyLength"],
    ["1&history_length=2", "historyLength"],
    ["1&id=b", "id"],
  ])("answers 400 to ?historyLength=%s", async (query, field) => {
    expect(await get(`/tasks/a?historyLength=${query}`)).toMatchObject(invalidParams(field));
  });
});

describe("GET /tasks", () => {
  it.each(hostileLists)("answers 400 to %s", async (_, params, field) => {
    expect(await get(`/tasks?${new URLSearchParams(params)}`)).toMatchObject(invalidParams(field));
  });

  it("answers 400 to a filter that is given twice", async () => {
    expect(await get("/tasks?contextId=a&contextId=b")).toMatchObject(invalidParams("contextId"));
    expect(await get("/tasks?pageSize=1&page_size=1")).toMatchObject(invalidParams("pageSize"));
  });

  it("ignores parameters that it does not know", async () => {
    const response = await send("/tasks?__proto__=x&constructor=y&filter=z", {
      headers: { "x-dev-owner": owner },
    });
    expect(response.status).toBe(200);
  });
});

describe("paths and verbs", () => {
  it.each([
    "/nobody/message:send",
    "/__proto__/message:send",
    "/v2/message:send",
    "/message:nothing",
    "/a/b/c",
  ])("answers 404 at %s", async (path) => {
    expect(await post(path, hello)).toMatchObject({ status: 404, name: "NOT_FOUND", reason: "NOT_FOUND" });
  });

  it.each([
    ["GET", "/message:send", "POST"],
    ["PUT", "/tasks/a", "GET"],
    ["POST", "/tasks", "GET"],
    ["GET", "/tasks/a:cancel", "POST"],
    ["DELETE", "/tasks/a:subscribe", "GET, POST"],
  ])("answers 405 to %s %s and allows %s", async (method, path, allowed) => {
    const response = await send(path, { method, headers: { "x-dev-owner": owner } });
    expect(response.status).toBe(405);
    for (const verb of allowed.split(", ")) expect(response.headers.get("allow")).toContain(verb);
    expect(await response.json()).toMatchObject({ error: { code: 405 } });
  });
});

describe("a foreign task", () => {
  it("cannot be told from a missing one, and is not touched", async () => {
    const other = newOwner();
    const headers = { "content-type": "application/json", "x-dev-owner": other };
    const made = await send("/message:send", { method: "POST", headers, body: JSON.stringify(hello) });
    const { task } = await made.json<{ task: { id: string; status: { state: string } } }>();
    const missing = "0-018f0000-0000-7000-8000-000000000000";
    const normal = (answer: object) =>
      JSON.stringify(answer).replaceAll(task.id, "ID").replaceAll(missing, "ID");
    for (const [method, suffix] of [
      ["GET", ""],
      ["POST", ":cancel"],
      ["POST", ":subscribe"],
    ] as const) {
      const [foreign, nothing] = await Promise.all(
        [task.id, missing].map((id) => ask(method, `/tasks/${id}${suffix}`)),
      );
      expect(foreign).toMatchObject(taskNotFound);
      expect(normal(foreign ?? {})).toBe(normal(nothing ?? {}));
    }
    const seen = await send(`/tasks/${task.id}`, { headers });
    expect(await seen.json()).toMatchObject({ id: task.id, status: task.status });
  });
});
