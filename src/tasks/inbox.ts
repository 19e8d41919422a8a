// Messages: what a message from a client means for a task, old or new, and which turn answers it.

import { toInput } from "../agents/agent.ts";
import type { Registry } from "../agents/registry.ts";
import type { AuditEvent } from "../audit/entry.ts";
import { err, ok, type Result } from "../lib/result.ts";
import { type Failure, failure } from "../protocol/errors.ts";
import type { Message } from "../protocol/message.ts";
import { isTerminal } from "../protocol/state.ts";
import type { Task } from "../protocol/task.ts";
import { approvalIn, decide } from "./approvals.ts";
import type { SendCommand } from "./commands.ts";
import { keyReused, type Replay } from "./idempotency-keys.ts";
import type { Jobs } from "./jobs.ts";
import { FIRST_ROW, newRecord, receive, type TaskRecord, take } from "./machine.ts";
import type { PushCommands } from "./push-commands.ts";
import type { Store } from "./store.ts";
import type { Whole } from "./turn.ts";
import type { Turns } from "./turns.ts";

export type BegunTask = {
  kind: "task";
  id: string;
  /** The journal row of the message. */
  input: number;
  /** The task as it was then, for the first event of a stream, and whether a turn had taken the message. */
  first?: { seq: number; task: Task; taken: boolean };
  /** The task, if it has ended already and this is all there is of it. */
  whole?: Whole;
};

/** What a message began: a task's turn, or an answer that makes no task. */
export type Begun = { kind: "message"; message: Message } | BegunTask;

export type InboxOptions = {
  store: Store;
  turns: Turns;
  jobs: Jobs;
  agents: Registry;
  push: PushCommands;
  now(): number;
  maxTaskBytes: number;
};

export class Inbox {
  readonly #options: InboxOptions;
  /** Requests with an Idempotency-Key whose agent has not acted yet. */
  readonly #beginning = new Map<string, { fingerprint: string; begun: Promise<Result<Begun, Failure>> }>();

  constructor(options: InboxOptions) {
    this.#options = options;
  }

  /** Takes a message, once for each Idempotency-Key. */
  async begin(operation: "send" | "stream", command: SendCommand): Promise<Result<Begun, Failure>> {
    const { store, now } = this.#options;
    const { idempotency } = command;
    if (!idempotency) return this.#receive(command);
    const scoped = { ...idempotency, key: `${command.agent}/${operation}/${idempotency.key}` };
    const replay = store.idempotencyKeys.replay(scoped, now());
    if (!replay.ok) return replay;
    if (replay.value) return ok(this.#fromReplay(replay.value));
    const running = this.#beginning.get(scoped.key);
    if (running) {
      if (running.fingerprint !== scoped.fingerprint) return err(keyReused());
      const begun = await running.begun;
      if (!begun.ok || begun.value.kind === "message") return begun;
      return ok(this.#fromReplay({ task: begun.value.id, input: begun.value.input }));
    }
    const begun = this.#receive({ ...command, idempotency: scoped });
    this.#beginning.set(scoped.key, { fingerprint: scoped.fingerprint, begun });
    try {
      return await begun;
    } finally {
      this.#beginning.delete(scoped.key);
    }
  }

  #fromReplay(replay: Replay): Begun {
    if ("message" in replay) return { kind: "message", message: replay.message };
    return { kind: "task", id: replay.task, input: replay.input };
  }

  async #receive(command: SendCommand): Promise<Result<Begun, Failure>> {
    const { store, turns, now } = this.#options;
    const { message, newTaskId, chosenTaskId, repeated } = command;
    if (repeated) {
      const outcome = await turns.get(newTaskId)?.outcome;
      if (outcome?.kind === "message") return ok(outcome);
      const known = this.#known(message.taskId ?? chosenTaskId ?? newTaskId, newTaskId);
      if (known) return ok(known);
    }
    if (message.taskId !== undefined) return this.#followUp(message.taskId, command);
    // Also when it is another agent's: then this one has no such task, and cannot have one.
    if (chosenTaskId !== undefined && store.get(chosenTaskId)) return this.#followUp(chosenTaskId, command);
    if (!store.hasRoom()) {
      store.write(() => store.due.set("trim", "", now()));
      const text = "This owner's storage is full; the oldest ended tasks are being removed.";
      return err(failure("UNAVAILABLE", { message: text, retryAfterSeconds: 60 }));
    }
    return this.#newTask(command);
  }

  /** What a call whose answer was lost has begun. */
  #known(id: string, command: string): Begun | undefined {
    const { store } = this.#options;
    const record = store.get(id);
    const input = record && (id === command ? FIRST_ROW : store.journal.findCommand(id, command));
    return input === undefined ? undefined : { kind: "task", id, input };
  }

  async #newTask(command: SendCommand): Promise<Result<Begun, Failure>> {
    const { store, turns, jobs, agents, now, maxTaskBytes } = this.#options;
    const agent = agents.get(command.agent);
    if (!agent) return err(failure("NOT_FOUND", { message: "Agent not found" }));
    const { newTaskId, chosenTaskId, version } = command;
    const created = newRecord(chosenTaskId ?? newTaskId, agent.name, command.newContextId, now());
    // The id of a task says which call made it, unless the client chose the id.
    const step = receive(created, command.message, {
      version,
      command: chosenTaskId === undefined ? undefined : newTaskId,
    });
    if (step.record.bytes > maxTaskBytes) return err(noRoom(maxTaskBytes));
    store.lanes.begin(created.id);
    const message = JSON.parse(step.entry.body) as Message;
    const { seq } = step.entry;
    const record: TaskRecord = { ...step.record, attempt: 1, turnSeq: seq, turnInput: seq, answered: seq };
    const task: Task = {
      id: record.id,
      contextId: record.contextId,
      status: { state: record.state, timestamp: new Date(record.statusAt).toISOString() },
      ...(command.historyLength !== 0 && { history: [message] }),
    };
    const begun: Begun = { kind: "task", id: record.id, input: seq, first: { seq, task, taken: true } };
    // A config that comes with the message hears of everything.
    const companion = this.#companion(command, record, { kind: "task.created" });
    if (agent.isDurable(toInput(message))) {
      jobs.begin({ before: undefined, record, entries: [step.entry], companion });
      return ok(begun);
    }
    const turn = turns.begin({
      agent,
      message,
      version,
      record,
      stored: undefined,
      pending: [step.entry],
      companion,
      push: command.push,
      // Nothing but the stored task keeps another message from making a task of the chosen id.
      materialise: command.returnImmediately || chosenTaskId !== undefined,
    });
    const outcome = await turn.outcome;
    if (outcome.kind === "task") return ok(outcome.whole ? { ...begun, whole: outcome.whole } : begun);
    const { idempotency } = command;
    if (idempotency) store.write(() => store.idempotencyKeys.save(idempotency, outcome, now()));
    return ok(outcome);
  }

  async #followUp(id: string, command: SendCommand): Promise<Result<Begun, Failure>> {
    const { store, turns, jobs, maxTaskBytes } = this.#options;
    const stored = store.get(id);
    if (stored?.agent !== command.agent) return err(failure("TASK_NOT_FOUND", { metadata: { taskId: id } }));
    const { contextId } = command.message;
    if (contextId !== undefined && contextId !== stored.contextId) {
      const description = "is not the context of this task";
      return err(failure("INVALID_PARAMS", { violations: [{ field: "message.contextId", description }] }));
    }
    if (isTerminal(stored.state)) {
      const message = "The task has ended and takes no further message.";
      return err(
        failure("UNSUPPORTED_OPERATION", { message, metadata: { taskId: id, state: stored.state } }),
      );
    }
    const decided = decide(store.journal, stored, command);
    if (!decided.ok) return decided;
    const live = turns.get(id);
    const step = receive(live?.record ?? stored, command.message, {
      version: command.version,
      command: command.newTaskId,
    });
    if (step.record.bytes > maxTaskBytes) return err(noRoom(maxTaskBytes));
    const refused = command.push && this.#options.push.check(id, command.push);
    if (refused) return err(refused);
    const approval = decided.value;
    const companion = this.#companion(
      command,
      step.record,
      approval
        ? { kind: approval.approved ? "tool.approved" : "tool.denied", detail: { tool: approval.tool } }
        : { kind: "task.continued", detail: { state: stored.state } },
    );
    let taken = false;
    let begun: TaskRecord | undefined;
    if (live) {
      live.receive(step, companion);
    } else {
      store.save({ before: stored, after: step.record, entries: [step.entry], companion });
      // A durable turn that runs is told of the message; otherwise the message begins the next turn.
      taken = stored.attempt === 0 || jobs.resume(step.record);
      if (stored.attempt === 0) begun = this.continue(step.record);
    }
    // As the turn found it: the agent may have said something already.
    const record = begun ?? store.get(id) ?? stored;
    const task = store.journal.toTask(record, { historyLength: command.historyLength, artifacts: true });
    const input = step.entry.seq;
    return ok({ kind: "task", id, input, first: { seq: record.seq, task, taken } });
  }

  /** Begins the turn that answers the next message waiting in the task's journal; the task as it begins. */
  continue(stored: TaskRecord): TaskRecord | undefined {
    const { store, turns, jobs, agents, now } = this.#options;
    const agent = agents.get(stored.agent);
    const input = store.journal.nextMessage(stored.id, stored.answered);
    const step = input && take(stored, input.seq, now());
    if (!agent || !input || !step) {
      store.fail(stored, "The agent of this task is no longer served.", now());
      return undefined;
    }
    const message = JSON.parse(input.body) as Message;
    const approval = approvalIn(store.journal, stored.id, input);
    const record = { ...step.record, turnInput: input.seq, attempt: 1, turnSeq: step.entry.seq, job: null };
    if (agent.isDurable(toInput(message, approval))) {
      jobs.begin({ before: stored, record, entries: [step.entry] });
    } else {
      store.save({ before: stored, after: record, entries: [step.entry] });
      const { version } = input;
      turns.begin({ agent, message, approval, version, record, stored: record, pending: [] });
    }
    return record;
  }

  /**
   * What is written in the transaction that takes the message: who did what by it, the answer to its Idempotency-Key,
   * and the push notification config it brings, which hears of all that follows.
   */
  #companion(
    { by, idempotency, push: config }: SendCommand,
    record: TaskRecord,
    { kind, ...what }: Pick<AuditEvent, "kind" | "detail">,
  ): () => void {
    const { store, now, push } = this.#options;
    const input = record.inputs;
    return () => {
      store.record({ kind, ...by, agent: record.agent, task: record.id, ...what });
      if (idempotency) store.idempotencyKeys.save(idempotency, { task: record.id, input }, now());
      if (!config) return;
      push.save(record, config, input - 1, by);
      push.dropReplacedSoon(record.id, config.id);
    };
  }
}

function noRoom(maxTaskBytes: number): Failure {
  const description = `does not fit: a task holds at most ${maxTaskBytes} bytes`;
  return failure("INVALID_PARAMS", { violations: [{ field: "message", description }] });
}
