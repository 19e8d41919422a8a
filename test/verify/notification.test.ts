// What the body of a notification is read as.

import { describe, expect, it } from "vitest";
import { toPayload } from "../../src/delivery/payload.ts";
import type { Task } from "../../src/protocol/task.ts";
import { toOldestTask } from "../../src/protocol/v0_1/task.ts";
import { type OldestTask, parseDelivery } from "../../src/verify/index.ts";
import { readHeader, tasksOf } from "../../src/verify/notification.ts";
import { sdkToCoreEvent } from "../protocol/v0_3/oracle.ts";

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
    ["a task of 0.3 without a status", '{"id":"1","kind":"task"}'],
    ["a task of 0.1 without a state", '{"id":"1","status":{}}'],
    ["an event of 0.3", '{"kind":"status-update","taskId":"1","id":"1","status":{"state":"working"}}'],
    ["an empty batch", "[]"],
    ["a batch with a hole", JSON.stringify([{ id: "1", sequence: 1, payload: { statusUpdate } }, null])],
    [
      "a batch of two dialects",
      JSON.stringify([
        { id: "1", sequence: 1, payload: { statusUpdate } },
        { id: "2", sequence: 2, payload: { kind: "task", id: "0-1", status: { state: "working" } } },
      ]),
    ],
    ["a batch without ids", JSON.stringify([{ sequence: 1, payload: { statusUpdate } }])],
  ])("refuses %s", (_, body) => {
    expect(parseDelivery({ headers, body }).ok).toBe(false);
  });
});

describe("a task of an older dialect", () => {
  const metadata = { a: 1 };
  const task: Task = {
    id: "0-1",
    contextId: "c",
    status: {
      state: "TASK_STATE_AUTH_REQUIRED",
      timestamp: "2026-11-21T08:00:00.000Z",
      message: { messageId: "m", role: "ROLE_AGENT", parts: [{ text: "hi" }], taskId: "0-1", contextId: "c" },
    },
    artifacts: [
      { artifactId: "a", name: "n", parts: [{ raw: "eA==", filename: "f", mediaType: "a/b" }], metadata },
      { artifactId: "b", parts: [{ url: "https://a.test" }, { data: { x: 1 }, metadata }] },
    ],
    metadata,
  };
  const bodyIn = (version: "0.3" | "0.1") => toPayload(version, "", () => task);

  it.each([
    ["0.3", "legacyTask"],
    ["0.1", "oldestTask"],
  ] as const)("is known by its form, whether or not a header says %s", (version, kind) => {
    const body = bodyIn(version);
    const notifications = [
      { id: "msg_1", sequence: 3, taskId: "0-1", payload: { kind, value: JSON.parse(body) } },
    ];
    for (const named of [{ "a2a-version": version }, { "a2a-version": "1.0" }, {}]) {
      const { "A2A-Version": _, ...rest } = headers;
      expect(parseDelivery({ headers: { ...rest, ...named }, body })).toEqual({
        ok: true,
        value: { version, attempt: 2, isBatch: false, notifications },
      });
    }
  });

  it("comes in batches, too", () => {
    const payload = JSON.parse(bodyIn("0.3"));
    expect(parse([{ id: "evt_1", sequence: 1, event: "statusChanged", payload }])).toMatchObject({
      ok: true,
      value: {
        version: "0.3",
        isBatch: true,
        notifications: [{ payload: { kind: "legacyTask", value: payload } }],
      },
    });
  });

  it("of 0.3 is what the SDK reads, and of 0.1 has the type that the server writes", () => {
    const parsed = parseDelivery({ headers, body: bodyIn("0.3") });
    const payload = parsed.ok ? parsed.value.notifications[0]?.payload : undefined;
    if (payload?.kind !== "legacyTask") throw new Error("no task of 0.3");
    expect(sdkToCoreEvent(payload.value)).toMatchObject({ task: { id: "0-1", contextId: "c" } });
    const { status }: OldestTask = toOldestTask(task);
    expect([payload.value.status.state, status.state]).toEqual(["auth-required", "input-required"]);
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
    [{ id: "0-3", kind: "task", status: { state: "working" } }, ["0-3"]],
    [[{ payload: { id: "0-4", status: { state: "working" } } }], ["0-4"]],
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
