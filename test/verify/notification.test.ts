// What the body of a notification is read as.

import { describe, expect, it } from "vitest";
import { parseDelivery } from "../../src/verify/index.ts";
import { readHeader, tasksOf } from "../../src/verify/notification.ts";

const status = { state: "TASK_STATE_WORKING" };
const statusUpdate = { taskId: "0-1", contextId: "c", status };
const headers = {
  "webhook-id": "msg_1",
  "webhook-sequence": "3",
  "webhook-attempt": "2",
  "A2A-Version": "1.0",
};
const parse = (value: unknown, given: Record<string, string> = headers) =>
  parseDelivery({ headers: given, body: JSON.stringify(value) });

describe("parseDelivery", () => {
  it.each([
    ["task", { id: "0-1", contextId: "c", status }],
    ["message", { messageId: "m", role: "ROLE_AGENT", parts: [{ text: "hi" }], taskId: "0-1" }],
    ["statusUpdate", statusUpdate],
    [
      "artifactUpdate",
      { taskId: "0-1", contextId: "c", artifact: { artifactId: "a", parts: [] }, lastChunk: true },
    ],
  ])("reads a %s", (kind, value) => {
    expect(parse({ [kind]: value })).toEqual({
      ok: true,
      value: {
        version: "1.0",
        attempt: 2,
        isBatch: false,
        notifications: [{ id: "msg_1", sequence: 3, taskId: "0-1", payload: { kind, value } }],
      },
    });
  });

  it("reads bytes, and headers that are missing as unknown", () => {
    const body = new TextEncoder().encode(JSON.stringify({ statusUpdate }));
    expect(parseDelivery({ headers: new Headers(), body })).toMatchObject({
      value: { version: "1.0", attempt: 0, notifications: [{ id: "", sequence: 0, taskId: "0-1" }] },
    });
  });

  it("reads a batch, each event with an id of its own", () => {
    const other = { ...statusUpdate, taskId: "0-2" };
    const batch = [
      { id: "evt_1", sequence: 1, event: "statusChanged", payload: { statusUpdate } },
      { id: "evt_2", sequence: 5, payload: { statusUpdate: other } },
    ];
    expect(parse(batch)).toMatchObject({
      ok: true,
      value: {
        isBatch: true,
        notifications: [
          { id: "evt_1", sequence: 1, event: "statusChanged", taskId: "0-1" },
          { id: "evt_2", sequence: 5, taskId: "0-2", payload: { kind: "statusUpdate", value: other } },
        ],
      },
    });
  });

  it.each([
    ["nothing", ""],
    ["no JSON", "{"],
    ["bytes that are no text", new Uint8Array([0xff])],
    ["null", "null"],
    ["a text", '"task"'],
    ["an object of another kind", "{}"],
    ["two payloads", JSON.stringify({ statusUpdate, task: { id: "1" } })],
    ["a payload that is no object", '{"task":"1"}'],
    ["an older dialect", '{"id":"1","kind":"task"}'],
    ["an empty batch", "[]"],
    ["a batch with a hole", JSON.stringify([{ id: "1", sequence: 1, payload: { statusUpdate } }, null])],
    ["a batch without ids", JSON.stringify([{ sequence: 1, payload: { statusUpdate } }])],
  ])("refuses %s", (_, body) => {
    expect(parseDelivery({ headers, body }).ok).toBe(false);
  });
});

describe("tasksOf", () => {
  it.each([
    [{ task: { id: "0-1" } }, ["0-1"]],
    [{ statusUpdate }, ["0-1"]],
    [
      [{ payload: { statusUpdate } }, { payload: { task: { id: "0-2" } } }],
      ["0-1", "0-2"],
    ],
    [{ id: "0-3", kind: "task" }, ["0-3"]],
    [{ taskId: "0-4", id: "other" }, ["0-4"]],
    [{ message: { messageId: "m" } }, []],
    [null, []],
    [[null, 1], []],
  ])("of %j are %j", (value, tasks) => {
    expect(tasksOf(JSON.stringify(value))).toEqual(tasks);
  });
});

describe("readHeader", () => {
  it("finds it whatever its case, and joins several", () => {
    expect(readHeader({ "WEBHOOK-ID": "a" }, "webhook-id")).toBe("a");
    expect(readHeader({ "webhook-id": ["a", "b"] }, "webhook-id")).toBe("a, b");
    expect(readHeader({ "webhook-id": undefined }, "webhook-id")).toBeUndefined();
    expect(readHeader(new Headers({ "Webhook-Id": "a" }), "webhook-id")).toBe("a");
    expect(readHeader(new Headers(), "webhook-id")).toBeUndefined();
  });
});
