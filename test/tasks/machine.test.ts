// What an emission or a message does to a task's record, as a table over the states (§4.1.3).

import { describe, expect, it } from "vitest";
import type { Emission } from "../../src/agents/emissions.ts";
import type { TaskState } from "../../src/protocol/state.ts";
import {
  apply,
  newRecord,
  receive,
  restart,
  type TaskRecord,
  take,
  toEvent,
} from "../../src/tasks/machine.ts";

const record = (more: Partial<TaskRecord> = {}): TaskRecord => ({
  ...newRecord("0-task", "agent", "0-context", 1_000),
  ...more,
});
const status = (state: TaskState): Emission => ({ kind: "status", state });
const artifact: Emission = {
  kind: "artifact",
  artifact: { artifactId: "a", parts: [{ text: "x" }] },
  append: false,
  lastChunk: false,
};

const open: TaskState[] = [
  "TASK_STATE_SUBMITTED",
  "TASK_STATE_WORKING",
  "TASK_STATE_INPUT_REQUIRED",
  "TASK_STATE_AUTH_REQUIRED",
];
const ended: TaskState[] = [
  "TASK_STATE_COMPLETED",
  "TASK_STATE_FAILED",
  "TASK_STATE_CANCELED",
  "TASK_STATE_REJECTED",
];

describe("apply", () => {
  it.each(ended)("changes nothing of a task in %s, whatever comes", (state) => {
    for (const next of [...open, ...ended])
      expect(apply(record({ state }), status(next), 2_000)).toBeUndefined();
    expect(apply(record({ state }), artifact, 2_000)).toBeUndefined();
  });

  it.each(open)(
    "takes artifacts and every later state from %s, and never goes back to submitted",
    (state) => {
      expect(apply(record({ state }), artifact, 2_000)?.record.state).toBe(state);
      for (const next of [...open.slice(1), ...ended]) {
        expect(apply(record({ state }), status(next), 2_000)?.record.state).toBe(next);
      }
      expect(apply(record({ state }), status("TASK_STATE_SUBMITTED"), 2_000)).toBeUndefined();
    },
  );

  it("gives each row the next number, and counts its bytes in UTF-8", () => {
    const before = record({ seq: 7, bytes: 100 });
    const euro: Emission = { ...artifact, artifact: { artifactId: "a", parts: [{ text: "€" }] } };
    const step = apply(before, euro, 2_000);
    expect(step?.entry.seq).toBe(8);
    expect(step?.record.seq).toBe(8);
    expect(step?.record.bytes).toBe(100 + new TextEncoder().encode(step?.entry.body).byteLength);
    expect(before).toEqual(record({ seq: 7, bytes: 100 }));
  });

  it("ends the turn of a task that has ended, and only then", () => {
    for (const state of ended)
      expect(apply(record({ attempt: 2 }), status(state), 2_000)?.record.attempt).toBe(0);
    expect(apply(record({ attempt: 2 }), status("TASK_STATE_WORKING"), 2_000)?.record.attempt).toBe(2);
  });

  it("never lets a status be older than the one before it, if the clock goes back", () => {
    const step = apply(record({ statusAt: 5_000 }), status("TASK_STATE_WORKING"), 4_000);
    expect(step?.record.statusAt).toBe(5_000);
    expect(step?.entry.body).toContain('"timestamp":"1970-01-01T00:00:05.000Z"');
  });

  it("remembers the row of the present status, which an artifact does not change", () => {
    const working = apply(record({ seq: 3 }), status("TASK_STATE_WORKING"), 2_000)?.record ?? record();
    expect(working.statusSeq).toBe(4);
    expect(apply(working, artifact, 3_000)?.record).toMatchObject({ seq: 5, statusSeq: 4, statusAt: 2_000 });
  });
});

describe("receive", () => {
  const message = { messageId: "m", role: "ROLE_USER" as const, parts: [{ text: "hi" }] };

  it("puts the message into the task, under the task's ids", () => {
    const { record: after, entry } = receive(record({ seq: 4 }), { ...message, taskId: "x", contextId: "y" });
    expect(entry).toMatchObject({ seq: 5, kind: "message" });
    expect(JSON.parse(entry.body)).toEqual({ ...message, taskId: "0-task", contextId: "0-context" });
    expect(after).toMatchObject({ seq: 5, inputs: 5, answered: 0 });
  });

  it("remembers the call that brought it, so that the call may be made twice", () => {
    expect(receive(record(), message, { command: "0-call" }).entry.ref).toBe("0-call");
    expect(receive(record(), message).entry).not.toHaveProperty("ref");
  });

  it("remembers the version that it came in, unless that is the one of the core", () => {
    expect(receive(record(), message, { version: "0.3" }).entry.version).toBe("0.3");
    expect(receive(record(), message).entry).not.toHaveProperty("version");
  });
});

describe("take", () => {
  it("makes the task work on the message, and says so in the row", () => {
    const step = take(record({ state: "TASK_STATE_INPUT_REQUIRED", seq: 5, inputs: 5 }), 5, 2_000);
    expect(step?.record).toMatchObject({ state: "TASK_STATE_WORKING", answered: 5, seq: 6 });
    expect(step?.entry).toMatchObject({ kind: "status", ref: "5" });
  });

  it("is undefined for a task that has ended", () => {
    expect(take(record({ state: "TASK_STATE_CANCELED" }), 5, 2_000)).toBeUndefined();
  });
});

describe("restart", () => {
  it("is a row that names where the replaced rows begin", () => {
    const { entry, record: after } = restart(record({ seq: 9 }), 6);
    expect(entry).toMatchObject({ seq: 10, kind: "restart", body: '{"from":6}' });
    expect(after.seq).toBe(10);
  });
});

describe("toEvent", () => {
  it("leaves out what is not said: append, lastChunk, metadata, message, timestamp (§4.2)", () => {
    expect(toEvent(record(), artifact)).toEqual({
      artifactUpdate: {
        taskId: "0-task",
        contextId: "0-context",
        artifact: { artifactId: "a", parts: [{ text: "x" }] },
      },
    });
    expect(toEvent(record(), status("TASK_STATE_WORKING"))).toEqual({
      statusUpdate: { taskId: "0-task", contextId: "0-context", status: { state: "TASK_STATE_WORKING" } },
    });
  });

  it("says what is said", () => {
    const whole: Emission = { ...artifact, append: true, lastChunk: true, metadata: { k: 1 } };
    expect(toEvent(record(), whole).artifactUpdate).toMatchObject({
      append: true,
      lastChunk: true,
      metadata: { k: 1 },
    });
  });
});
