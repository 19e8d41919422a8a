// A notification's body in each dialect, as a function of the event and of the task as it was then.

import { describe, expect, it } from "vitest";
import { contentTypeOf, defaultEvents, toPayload } from "../../src/delivery/payload.ts";
import type { Task } from "../../src/protocol/task.ts";

const event = JSON.stringify({
  statusUpdate: { taskId: "t", contextId: "c", status: { state: "TASK_STATE_COMPLETED" } },
});
const task = (units: number): Task => ({
  id: "t",
  contextId: "c",
  status: { state: "TASK_STATE_COMPLETED" },
  artifacts: [{ artifactId: "a", parts: [{ text: "x".repeat(units) }] }],
});
const never = () => {
  throw new Error("nobody asked for the task");
};

describe("a payload", () => {
  it("of 1.0 is the event as it stands, and nothing is made for it", () => {
    const odd = ` ${event} `;
    expect(toPayload("1.0", odd, never)).toBe(odd);
    expect(contentTypeOf("1.0")).toBe("application/a2a+json");
  });

  it("of 0.3 is the task as it was", () => {
    expect(JSON.parse(toPayload("0.3", event, () => task(3)))).toEqual({
      kind: "task",
      id: "t",
      contextId: "c",
      status: { state: "completed" },
      artifacts: [{ artifactId: "a", parts: [{ kind: "text", text: "xxx" }] }],
    });
    expect(contentTypeOf("0.3")).toBe("application/json");
  });

  it("of 0.1 is the task as it was", () => {
    expect(JSON.parse(toPayload("0.1", event, () => task(3)))).toEqual({
      id: "t",
      sessionId: "c",
      status: { state: "completed" },
      artifacts: [{ parts: [{ type: "text", text: "xxx" }], index: 0 }],
    });
    expect(contentTypeOf("0.1")).toBe("application/json");
  });

  it.each([
    ["0.3", { kind: "task", id: "t", contextId: "c" }],
    ["0.1", { id: "t", sessionId: "c" }],
  ] as const)("of %s leaves the artifacts out of a task that is too large", (version, ids) => {
    const small = JSON.parse(toPayload(version, event, () => task(1_999_000)));
    expect(small).toHaveProperty("artifacts");
    const large = JSON.parse(toPayload(version, event, () => task(2_000_000)));
    expect(large).toEqual({ ...ids, status: { state: "completed" } });
  });

  it.each(["0.3", "0.1"] as const)("of %s leaves out a message that is too large by itself", (version) => {
    const saying = (parts: number): Task => ({
      ...task(3),
      status: {
        state: "TASK_STATE_COMPLETED",
        message: { messageId: "m", role: "ROLE_AGENT", parts: new Array(parts).fill({ text: "" }) },
        timestamp: "2026-01-01T00:00:00.000Z",
      },
    });
    expect(JSON.parse(toPayload(version, event, () => saying(70_000)))).toHaveProperty("status.message");
    // In 1.0 it takes half of that.
    const bare = JSON.parse(toPayload(version, event, () => saying(90_000)));
    expect(bare).toMatchObject({
      id: "t",
      status: { state: "completed", timestamp: "2026-01-01T00:00:00.000Z" },
    });
    expect(bare).not.toHaveProperty("status.message");
    expect(bare).not.toHaveProperty("artifacts");
  });
});

describe("what a config hears of that does not say it", () => {
  it("is everything, and in versions that tell of tasks every status", () => {
    expect(defaultEvents("1.0")).toBeNull();
    expect(defaultEvents("0.3")).toEqual(["statusChanged"]);
    expect(defaultEvents("0.1")).toEqual(["statusChanged"]);
  });
});
