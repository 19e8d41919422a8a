// The error tables of both bindings, against §5.4 and §9.5 written out a second time.

import { describe, expect, it } from "vitest";
import { A2AError, failure, type Reason } from "../../src/protocol/errors.ts";
import { createRecordingApp, hello, post, rpc } from "./recording-app.ts";

// reason, JSON-RPC code and HTTP status, HTTP+JSON status and its name
const table: [Reason, number, number, number, string][] = [
  ["TASK_NOT_FOUND", -32001, 200, 404, "NOT_FOUND"],
  ["TASK_NOT_CANCELABLE", -32002, 200, 400, "FAILED_PRECONDITION"],
  ["PUSH_NOTIFICATION_NOT_SUPPORTED", -32003, 200, 400, "FAILED_PRECONDITION"],
  ["UNSUPPORTED_OPERATION", -32004, 200, 400, "FAILED_PRECONDITION"],
  ["CONTENT_TYPE_NOT_SUPPORTED", -32005, 200, 400, "INVALID_ARGUMENT"],
  ["INVALID_AGENT_RESPONSE", -32006, 200, 500, "INTERNAL"],
  ["EXTENDED_AGENT_CARD_NOT_CONFIGURED", -32007, 200, 400, "FAILED_PRECONDITION"],
  ["EXTENSION_SUPPORT_REQUIRED", -32008, 200, 400, "FAILED_PRECONDITION"],
  ["VERSION_NOT_SUPPORTED", -32009, 200, 400, "FAILED_PRECONDITION"],
  ["PARSE_ERROR", -32700, 200, 400, "INVALID_ARGUMENT"],
  ["INVALID_REQUEST", -32600, 200, 400, "INVALID_ARGUMENT"],
  ["METHOD_NOT_FOUND", -32601, 200, 404, "NOT_FOUND"],
  ["INVALID_PARAMS", -32602, 200, 400, "INVALID_ARGUMENT"],
  ["UNAUTHENTICATED", -31401, 401, 401, "UNAUTHENTICATED"],
  ["PERMISSION_DENIED", -31403, 403, 403, "PERMISSION_DENIED"],
  ["NOT_FOUND", -31404, 404, 404, "NOT_FOUND"],
  ["UNAVAILABLE", -31503, 503, 503, "UNAVAILABLE"],
  ["METHOD_NOT_ALLOWED", -32601, 405, 405, "UNIMPLEMENTED"],
  ["REQUEST_TIMEOUT", -32600, 408, 408, "DEADLINE_EXCEEDED"],
  ["PAYLOAD_TOO_LARGE", -32600, 413, 413, "INVALID_ARGUMENT"],
];

function failingWith(reason: Reason, detail = {}) {
  return createRecordingApp({
    execute: () => {
      throw new A2AError(reason, detail);
    },
  });
}

describe.each(table)("%s", (reason, code, rpcStatus, httpStatus, status) => {
  const domain = /^-31|PAYLOAD|TIMEOUT|ALLOWED/.test(`${code}${reason}`) ? "a2a-edge" : "a2a-protocol.org";
  const info = {
    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
    reason,
    domain,
    metadata: { taskId: "t" },
  };
  const app = failingWith(reason, { metadata: { taskId: "t" } });

  it("has its code and details in JSON-RPC (§9.5)", async () => {
    const response = await app.fetch("/", rpc("SendMessage", hello));
    expect(response.status).toBe(rpcStatus);
    expect(response.headers.get("content-type")).toBe("application/json");
    expect(await response.json()).toEqual({
      jsonrpc: "2.0",
      id: 1,
      error: { code, message: failure(reason).message, data: [info] },
    });
  });

  it("has its status and details in HTTP+JSON (§11.6)", async () => {
    const response = await app.fetch("/message:send", post(hello));
    expect(response.status).toBe(httpStatus);
    expect(response.headers.get("content-type")).toBe("application/a2a+json");
    expect(await response.json()).toEqual({
      error: { code: httpStatus, status, message: failure(reason).message, details: [info] },
    });
  });
});

describe("what comes with an error", () => {
  const both = [
    ["JSON-RPC", "/", rpc("SendMessage", hello)],
    ["HTTP+JSON", "/message:send", post(hello)],
  ] as const;

  it.each(both)("INVALID_PARAMS lists the fields first in %s", async (_, path, init) => {
    const violations = [{ field: "message.parts", description: "must hold at least one element" }];
    const body = JSON.stringify(
      await (await failingWith("INVALID_PARAMS", { violations }).fetch(path, init)).json(),
    );
    expect(body).toContain(
      JSON.stringify({ "@type": "type.googleapis.com/google.rpc.BadRequest", fieldViolations: violations }),
    );
    expect(body.indexOf("BadRequest")).toBeLessThan(body.indexOf("ErrorInfo"));
  });

  it.each(both)("UNAUTHENTICATED comes with a challenge in %s (RFC 9110 §11.6.1)", async (_, path, init) => {
    const app = createRecordingApp({
      authenticate: async () => ({ ok: false, error: failure("UNAUTHENTICATED") }),
    });
    const response = await app.fetch(path, init);
    expect(response.status).toBe(401);
    expect(response.headers.get("www-authenticate")).toMatch(/^Bearer /);
    expect(app.calls).toEqual([]);
  });

  it.each(both)("UNAVAILABLE says when to come back in %s", async (_, path, init) => {
    expect((await failingWith("UNAVAILABLE").fetch(path, init)).headers.get("retry-after")).toBe("1");
    const later = await failingWith("UNAVAILABLE", { retryAfterSeconds: 30 }).fetch(path, init);
    expect(later.headers.get("retry-after")).toBe("30");
  });
});
