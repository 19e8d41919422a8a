// The names under which clients of A2A 0.3 know the operations, and what a caller needs for each.

import { describe, expect, it } from "vitest";
import { isOperationName, operations } from "../../src/protocol/operations.ts";

const expected = [
  ["SendMessage", "message/send", "task:write"],
  ["SendStreamingMessage", "message/stream", "task:write"],
  ["GetTask", "tasks/get", "task:read"],
  ["ListTasks", "tasks/list", "task:read"],
  ["CancelTask", "tasks/cancel", "task:write"],
  ["SubscribeToTask", "tasks/resubscribe", "task:read"],
  ["CreateTaskPushNotificationConfig", "tasks/pushNotificationConfig/set", "push:write"],
  ["GetTaskPushNotificationConfig", "tasks/pushNotificationConfig/get", "push:read"],
  ["ListTaskPushNotificationConfigs", "tasks/pushNotificationConfig/list", "push:read"],
  ["DeleteTaskPushNotificationConfig", "tasks/pushNotificationConfig/delete", "push:write"],
  ["GetExtendedAgentCard", "agent/getAuthenticatedExtendedCard", "card:read"],
];

describe("the table of operations", () => {
  it("maps every operation to its 0.3 method name and its scope (0.3 §3.5)", () => {
    const found = Object.entries(operations).map(([name, { legacy, scope }]) => [name, legacy, scope]);
    expect(found).toEqual(expected);
  });

  it("knows its eleven names, and nothing an object inherits", () => {
    expect(Object.keys(operations).every(isOperationName)).toBe(true);
    for (const name of ["constructor", "__proto__", "toString", "sendMessage", "message/send", ""]) {
      expect(isOperationName(name)).toBe(false);
    }
  });
});
