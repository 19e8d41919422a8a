// What an emission does to a task, as a pure function: the record before, an emission and the time give the
// record after and the row of the journal. Everything that changes a task, whether a quick turn, a durable
// job, a cancellation or the watchdog, goes through here.

import type { Emission } from "../agents/emissions.ts";
import { utf8Length } from "../lib/bytes.ts";
import { toolAsked } from "../protocol/approvals.ts";
import type { StreamResponse } from "../protocol/events.ts";
import type { Message } from "../protocol/message.ts";
import { canTransition, isTerminal, type TaskState } from "../protocol/state.ts";
import type { Version } from "../protocol/version.ts";

/** A task without its content: the row of the table `tasks`. */
export type TaskRecord = {
  id: string;
  agent: string;
  contextId: string;
  state: TaskState;
  statusAt: number;
  statusSeq: number;
  seq: number;
  bytes: number;
  attempt: number;
  turnSeq: number;
  turnInput: number;
  answered: number;
  inputs: number;
  job: string | null;
};

export type EntryKind = "message" | "status" | "artifact" | "restart";

/** A row of the journal. Bodies: a Message, a StreamResponse, or for a restart `{ "from": seq }`. */
export type Entry = {
  seq: number;
  kind: EntryKind;
  body: string;
  /** Of a follow-up: the id of the call that brought it. Of a status that takes a message: its row. */
  ref?: string;
  /** Of a message from the client: the version of A2A that it came in; absent: 1.0. */
  version?: Version;
};

/** The journal row of the message that makes a task. */
export const FIRST_ROW = 1;

export type Step = { record: TaskRecord; entry: Entry };

export function newRecord(id: string, agent: string, contextId: string, now: number): TaskRecord {
  return {
    id,
    agent,
    contextId,
    state: "TASK_STATE_SUBMITTED",
    statusAt: now,
    statusSeq: 0,
    seq: 0,
    bytes: 0,
    attempt: 0,
    turnSeq: 0,
    turnInput: 0,
    answered: 0,
    inputs: 0,
    job: null,
  };
}

function withEntry(record: TaskRecord, kind: EntryKind, body: string): Step {
  const seq = record.seq + 1;
  return { record: { ...record, seq, bytes: record.bytes + utf8Length(body) }, entry: { seq, kind, body } };
}

/** A message from the client joins the task's history, with the version it came in, and the call unless the task's id says it. */
export function receive(
  record: TaskRecord,
  message: Message,
  { version, command }: { version?: Version | undefined; command?: string | undefined } = {},
): Step {
  const full: Message = { ...message, taskId: record.id, contextId: record.contextId };
  const step = withEntry(record, "message", JSON.stringify(full));
  return {
    record: { ...step.record, inputs: step.entry.seq },
    entry: { ...step.entry, ...(command !== undefined && { ref: command }), ...(version && { version }) },
  };
}

/** Marks that the rows from `from` on belong to a run of the turn that another has replaced. */
export function restart(record: TaskRecord, from: number): Step {
  return withEntry(record, "restart", JSON.stringify({ from }));
}

/** The turn takes the message in row `input`: the task works, again or for the first time. */
export function take(record: TaskRecord, input: number, now: number): Step | undefined {
  const step = apply(record, { kind: "status", state: "TASK_STATE_WORKING" }, now);
  return step && { record: { ...step.record, answered: input }, entry: { ...step.entry, ref: `${input}` } };
}

/** Applies an emission; undefined if the task's state does not allow it (a task that has ended keeps still). */
export function apply(record: TaskRecord, emission: Emission, now: number): Step | undefined {
  if (emission.kind === "artifact") {
    if (isTerminal(record.state)) return undefined;
    return withEntry(record, "artifact", JSON.stringify(toEvent(record, emission)));
  }
  if (!canTransition(record.state, emission.state)) return undefined;
  // Two statuses of one millisecond are still in order, so that a list's order is that of the journal.
  const statusAt = Math.max(now, record.statusAt);
  const body = JSON.stringify(toEvent(record, emission, statusAt));
  const { record: next, entry } = withEntry(record, "status", body);
  return {
    record: {
      ...next,
      state: emission.state,
      statusAt,
      statusSeq: entry.seq,
      attempt: isTerminal(emission.state) ? 0 : next.attempt,
      // A message that came before the question is part of the conversation, and no answer.
      ...(toolAsked(emission) !== undefined && { answered: next.inputs }),
    },
    entry,
  };
}

/** The event that subscribers see. Without `statusAt` the status has no timestamp: the form re-runs compare. */
export function toEvent(
  task: { id: string; contextId: string },
  emission: Emission,
  statusAt?: number,
): StreamResponse {
  const ids = { taskId: task.id, contextId: task.contextId };
  if (emission.kind === "artifact") {
    const { artifact, append, lastChunk, metadata } = emission;
    return {
      artifactUpdate: {
        ...ids,
        artifact,
        ...(append && { append }),
        ...(lastChunk && { lastChunk }),
        ...(metadata && { metadata }),
      },
    };
  }
  const { state, message } = emission;
  const timestamp = statusAt === undefined ? undefined : new Date(statusAt).toISOString();
  return {
    statusUpdate: {
      ...ids,
      status: { state, ...(message && { message }), ...(timestamp !== undefined && { timestamp }) },
    },
  };
}

/** Why a task that has outgrown its limit is failed. */
export function tooLarge(maxTaskBytes: number): string {
  return `The task grew beyond ${maxTaskBytes} bytes, the most that this server keeps of one.`;
}
