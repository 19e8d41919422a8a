// Paths, verbs, request ids and last resorts: what belongs to no transport.

import { afterEach, describe, expect, it, vi } from "vitest";
import { createRefusingApp } from "../src/app.ts";
import { A2AError } from "../src/protocol/errors.ts";
import { createRecordingApp, hello, linesOf, post, rpc } from "./transports/recording-app.ts";

afterEach(() => {
  vi.restoreAllMocks();
});

function silenceLog() {
  const spy = vi.spyOn(console, "error").mockImplementation(() => {});
  return { lines: () => spy.mock.calls.map(([line]) => JSON.parse(String(line))) };
}

describe("paths", () => {
  it("serves health without asking anything", async () => {
    const app = createRecordingApp({
      checkReady: () => Promise.reject(new Error("down")),
      authenticate: () => Promise.reject(new Error("down")),
    });
    const response = await app.fetch("/health");
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({ status: "ok" });
  });

  it("is ready when every check is ok", async () => {
    const app = createRecordingApp({ checkReady: async () => ({ homes: "ok", database: "ok" }) });
    const response = await app.fetch("/ready");
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({ status: "ok", checks: { homes: "ok", database: "ok" } });
  });

  it("is not ready when one check is not, and says which", async () => {
    const app = createRecordingApp({ checkReady: async () => ({ homes: "ok", database: "no such table" }) });
    const response = await app.fetch("/ready");
    expect(response.status).toBe(503);
    expect(await response.json()).toEqual({
      status: "unavailable",
      checks: { homes: "ok", database: "no such table" },
    });
  });

  it.each([
    "/nobody",
    "/nobody/",
    "/nobody/tasks",
    "/nobody/.well-known/agent-card.json",
    "/a/b/c/d",
    "/tasks/",
  ])("answers 404 in the form of HTTP+JSON at %s", async (path) => {
    const response = await createRecordingApp().fetch(path);
    expect(response.status).toBe(404);
    expect(await response.json()).toMatchObject({
      error: { code: 404, status: "NOT_FOUND", details: [{ reason: "NOT_FOUND" }] },
    });
  });

  it.each(["/", "/tasks", "/.well-known/agent-card.json"])(
    "says at %s that a Host is none, which is no bug to be logged",
    async (path) => {
      const { lines } = silenceLog();
      class Odd extends Request {
        override get url() {
          return `http://a b:99999${path}`;
        }
      }
      const response = await createRecordingApp().send(new Odd("http://agents.test/"));
      expect(response.status).toBe(400);
      expect(await response.text()).toContain("The Host of the request is no host name or address");
      expect(lines()).toEqual([]);
    },
  );

  it.each(["/nobody", "/nobody/"])("answers 404 in the form of JSON-RPC to a POST at %s", async (path) => {
    const app = createRecordingApp();
    const response = await app.fetch(path, rpc("SendMessage", hello));
    expect(response.status).toBe(404);
    expect(await response.json()).toMatchObject({
      jsonrpc: "2.0",
      id: null,
      error: { data: [{ reason: "NOT_FOUND" }] },
    });
    expect(app.calls).toEqual([]);
  });
});

const verbs: [string, string, string][] = [
  ["PUT", "/", "HEAD, GET, POST, OPTIONS"],
  ["POST", "/health", "HEAD, GET, OPTIONS"],
  ["DELETE", "/ready", "HEAD, GET, OPTIONS"],
  ["POST", "/.well-known/agent-card.json", "HEAD, GET, OPTIONS"],
  ["PUT", "/echo/.well-known/agent-card.json", "HEAD, GET, OPTIONS"],
  ["GET", "/echo", "POST, OPTIONS"],
  ["PATCH", "/echo/", "POST, OPTIONS"],
  ["GET", "/message:send", "POST, OPTIONS"],
  ["POST", "/tasks", "HEAD, GET, OPTIONS"],
  ["DELETE", "/tasks/1", "HEAD, GET, OPTIONS"],
  ["GET", "/echo/tasks/1:cancel", "POST, OPTIONS"],
  ["DELETE", "/tasks/1:subscribe", "HEAD, GET, POST, OPTIONS"],
  ["PUT", "/tasks/1/pushNotificationConfigs/2", "HEAD, GET, DELETE, OPTIONS"],
];

describe("verbs", () => {
  it.each(verbs)("answers 405 to %s %s and names what it has", async (method, path, allow) => {
    const app = createRecordingApp();
    const response = await app.fetch(path, { method });
    expect(response.status).toBe(405);
    expect(response.headers.get("allow")).toBe(allow);
    expect(await response.json()).toMatchObject({ error: { code: 405, status: "UNIMPLEMENTED" } });
    expect(app.calls).toEqual([]);
  });

  it.each(verbs)("answers OPTIONS instead of %s %s", async (_, path, allow) => {
    const response = await createRecordingApp().fetch(path, { method: "OPTIONS" });
    expect(response.status).toBe(204);
    expect(response.headers.get("allow")).toBe(allow);
    expect(response.headers.get("access-control-allow-origin")).toBeNull();
  });

  it.each(["/", "/health", "/ready", "/.well-known/agent-card.json", "/tasks", "/tasks/1"])(
    "answers HEAD %s like GET, without a body",
    async (path) => {
      const app = createRecordingApp();
      const [head, get] = [await app.fetch(path, { method: "HEAD" }), await app.fetch(path)];
      expect(head.status).toBe(200);
      expect(head.headers.get("content-type")).toBe(get.headers.get("content-type"));
      expect(await head.text()).toBe("");
    },
  );

  it("opens no stream for HEAD", async () => {
    const app = createRecordingApp();
    expect((await app.fetch("/tasks/1:subscribe", { method: "HEAD" })).status).toBe(405);
    expect(app.calls).toEqual([]);
  });
});

describe("request ids", () => {
  it.each(["abc-1.2_3", "x".repeat(64)])("keeps %s", async (id) => {
    const response = await createRecordingApp().fetch("/health", { headers: { "x-request-id": id } });
    expect(response.headers.get("x-request-id")).toBe(id);
  });

  it.each(["a b", "x".repeat(65), '{"a":1}', ""])("replaces %j", async (id) => {
    const response = await createRecordingApp().fetch("/nobody", { headers: { "x-request-id": id } });
    expect(response.headers.get("x-request-id")).toMatch(/^[0-9a-f-]{36}$/);
  });
});

describe("bugs", () => {
  const secret = "SELECT secret FROM keys at https://user:password@db.test";
  const requestId = { "x-request-id": "r-1" };
  const broken = () => {
    throw new Error(secret, { cause: new Error("disk") });
  };

  it("answers -32603 to JSON-RPC and logs the cause once", async () => {
    const log = silenceLog();
    const response = await createRecordingApp({ execute: broken }).fetch(
      "/",
      rpc("SendMessage", hello, requestId),
    );
    expect(response.status).toBe(200);
    const body = await response.text();
    expect(JSON.parse(body)).toMatchObject({ id: 1, error: { code: -32603, message: "Internal error" } });
    expect(body).not.toMatch(/secret|stack|\.ts/);
    expect(log.lines()).toMatchObject([
      { requestId: "r-1", cause: { message: secret, cause: { message: "disk" } } },
    ]);
  });

  it("answers a bare 500 to HTTP+JSON and logs the cause once", async () => {
    const log = silenceLog();
    const response = await createRecordingApp({ execute: broken }).fetch(
      "/message:send",
      post(hello, requestId),
    );
    expect(response.status).toBe(500);
    const body = await response.text();
    expect(JSON.parse(body)).toMatchObject({
      error: { code: 500, status: "INTERNAL", message: "Internal error" },
    });
    expect(body).not.toMatch(/secret|stack|\.ts/);
    expect(log.lines()).toMatchObject([{ requestId: "r-1", cause: { message: secret } }]);
  });

  it("hides what an INTERNAL error says, which may come from below", async () => {
    const log = silenceLog();
    const execute = () => {
      throw new A2AError("INTERNAL", { message: secret, metadata: { sql: secret } });
    };
    const body = await (await createRecordingApp({ execute }).fetch("/message:send", post(hello))).text();
    expect(body).not.toContain("secret");
    expect(log.lines()).toHaveLength(1);
  });

  it("answers 500 when the readiness check itself throws", async () => {
    const log = silenceLog();
    const app = createRecordingApp({ checkReady: () => Promise.reject(new Error(secret)) });
    const response = await app.fetch("/ready");
    expect(response.status).toBe(500);
    expect(await response.text()).not.toContain("secret");
    expect(log.lines()).toHaveLength(1);
  });

  it.each([
    ["/", rpc("SendStreamingMessage", hello), { jsonrpc: "2.0", id: 1, error: { code: -32603 } }],
    ["/message:stream", post(hello), { error: { code: 500, status: "INTERNAL" } }],
  ])("ends a stream that breaks at %s with one error event in its form", async (path, init, error) => {
    const log = silenceLog();
    const lines = linesOf(['1 {"task":{"id":"t"}}\n'], new Error(secret));
    const app = createRecordingApp({ execute: async () => ({ kind: "stream", lines, release: () => {} }) });
    const response = await app.fetch(path, init);
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toBe("text/event-stream");
    const frames = (await response.text()).split("\n\n");
    expect(frames).toHaveLength(3);
    expect(frames[0]).toMatch(/^id: 1\ndata: /);
    expect(frames[1]).toMatch(/^event: error\ndata: /);
    expect(JSON.parse(frames[1]?.split("data: ")[1] ?? "")).toMatchObject(error);
    expect(frames[1]).not.toContain("secret");
    expect(log.lines()).toHaveLength(1);
  });

  it("answers an error before the first event as plain JSON", async () => {
    const app = createRecordingApp({
      execute: () => {
        throw new A2AError("TASK_NOT_FOUND");
      },
    });
    const rpcAnswer = await app.fetch(
      "/",
      rpc("SubscribeToTask", { id: "x" }, { accept: "text/event-stream" }),
    );
    expect(rpcAnswer.headers.get("content-type")).toBe("application/json");
    expect(await rpcAnswer.json()).toMatchObject({ error: { code: -32001 } });
    const restAnswer = await app.fetch("/tasks/x:subscribe", { headers: { accept: "text/event-stream" } });
    expect(restAnswer.status).toBe(404);
    expect(restAnswer.headers.get("content-type")).toBe("application/a2a+json");
  });
});

describe("an invalid configuration", () => {
  it.each(["/", "/health", "/ready", "/.well-known/agent-card.json", "/tasks", "/nobody"])(
    "refuses %s and names the setting in the log only",
    async (path) => {
      const log = silenceLog();
      const app = createRefusingApp(["AUTH_MODE must not be open in production: use api-key"]);
      const response = await app.request(path);
      expect(response.status).toBe(500);
      expect(await response.text()).not.toContain("AUTH_MODE");
      expect(log.lines()).toMatchObject([
        { level: "error", problems: [expect.stringContaining("AUTH_MODE")] },
      ]);
    },
  );
});
