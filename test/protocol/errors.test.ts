// Errors as data and as exceptions (§3.3.2).

import { describe, expect, it } from "vitest";
import { A2AError, failure, type Reason } from "../../src/protocol/errors.ts";

const specified = [
  ["PARSE_ERROR", "Invalid JSON payload"],
  ["INVALID_REQUEST", "Request payload validation error"],
  ["METHOD_NOT_FOUND", "Method not found"],
  ["INVALID_PARAMS", "Invalid parameters"],
  ["INTERNAL", "Internal error"],
  ["TASK_NOT_FOUND", "Task not found"],
] satisfies [Reason, string][];

describe("failure", () => {
  it.each(specified)("gives %s the message of the specification (§9.5)", (reason, message) => {
    expect(failure(reason)).toEqual({ reason, message });
  });

  it("carries the detail, and a better message than the default", () => {
    const detail = { message: "Not now", metadata: { a: "b" }, retryAfterSeconds: 3 };
    expect(failure("UNAVAILABLE", detail)).toEqual({ reason: "UNAVAILABLE", ...detail });
  });

  it("is plain data, the same on the other side of an RPC", () => {
    const sent = failure("INVALID_PARAMS", { violations: [{ field: "id", description: "is required" }] });
    expect(structuredClone(sent)).toEqual(sent);
  });
});

describe("A2AError", () => {
  it("is an Error that holds its failure", () => {
    const error = new A2AError("TASK_NOT_FOUND", { metadata: { taskId: "t" } });
    expect(error).toBeInstanceOf(Error);
    expect(error.name).toBe("A2AError");
    expect(error.message).toBe("Task not found");
    expect(error.failure).toEqual({
      reason: "TASK_NOT_FOUND",
      message: "Task not found",
      metadata: { taskId: "t" },
    });
  });

  it("is made again from a failure that came by RPC", () => {
    const sent = failure("UNAVAILABLE", { message: "Full", retryAfterSeconds: 1 });
    const error = A2AError.from(sent);
    expect(error.failure).toEqual(sent);
    expect(error.message).toBe("Full");
  });
});
