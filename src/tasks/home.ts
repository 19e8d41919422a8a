// HomeObject: the Durable Object where an owner's tasks live. This class is the composition: it takes calls,
// decides what they mean for a task, and leaves storage, turns, jobs and streams to the parts beside it.
//
// Methods return Results, because the class and fields of a thrown error do not survive RPC. Everything
// that is not a call is #private: RPC could reach it otherwise.

import { DurableObject } from "cloudflare:workers";
import { toInput } from "../agents/agent.ts";
import { createRegistry, type Registry } from "../agents/registry.ts";
import type { JobHome, JobParams, JobReport, JobStart } from "../agents/workflow.ts";
import { type Config, loadConfig } from "../config.ts";
import { err, ok, type Result } from "../lib/result.ts";
import { type Failure, failure } from "../protocol/errors.ts";
import type { Message } from "../protocol/message.ts";
import { isInterrupted, isTerminal } from "../protocol/state.ts";
import type { Task } from "../protocol/task.ts";
import { reportHome } from "../store/homes.ts";
import { log } from "../telemetry/log.ts";
import type {
  GetQuery,
  Home,
  ListAnswer,
  ListQuery,
  SendAnswer,
  SendCommand,
  SubscribeQuery,
  TaskQuery,
} from "./commands.ts";
import { Jobs } from "./jobs.ts";
import { toTask } from "./journal.ts";
import { apply, type Entry, newRecord, receive, type TaskRecord, tooLarge } from "./machine.ts";
import { DAY_MS, keyReused, type Replay, Store } from "./store.ts";
import { openSubscription, type Source, toLine } from "./subscription.ts";
import { Turns, WATCHDOG_MS } from "./turns.ts";

/** Beyond this a home takes no new task; the platform's limit is 10 GB. */
const FULL_BYTES = 8_000_000_000;
/** Rows that one run of the alarm sees to. */
const ALARM_ITEMS = 100;
/** How far ahead of the truth the time reported to D1 may be. */
const REPORT_SLACK_MS = 300_000;

type Begun =
  | { kind: "message"; message: Message }
  | { kind: "task"; id: string; input: number; first?: { seq: number; task: Task } };

export class HomeObject extends DurableObject<Env> implements Home, JobHome {
  readonly #store: Store;
  readonly #turns: Turns;
  readonly #jobs: Jobs;
  readonly #config: Config;
  readonly #agents: Registry;
  /** Requests with an Idempotency-Key whose agent has not acted yet. */
  readonly #beginning = new Map<string, { fingerprint: string; begun: Promise<Result<Begun, Failure>> }>();
  #subscribers = 0;
  #recovered = false;
  #reportedDueAt: number | undefined;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    const config = loadConfig(env);
    if (!config.ok) throw new Error(config.error.join("; "));
    const agents = createRegistry(config.value);
    if (!agents.ok) throw new Error(agents.error);
    this.#config = config.value;
    this.#agents = agents.value;
    this.#store = new Store(ctx.storage);
    this.#jobs = new Jobs({
      store: this.#store,
      workflow: env.JOBS as Workflow<JobParams>,
      home: ctx.id.toString(),
      now: Date.now,
      watchMs: this.#config.jobWatchMs,
      fail: (record, reason) => this.#turns.failTask(record, reason),
    });
    this.#turns = new Turns({
      store: this.#store,
      agent: (name) => this.#agents.get(name),
      now: Date.now,
      maxTaskBytes: this.#config.maxTaskBytes,
      turnTimeoutMs: this.#config.turnTimeoutMs,
      stepMs: this.#config.stepMs,
      waitUntil: (promise) => ctx.waitUntil(promise),
      continueTask: (record) => this.#continue(record),
    });
    if (this.#store.exists) void ctx.blockConcurrencyWhile(() => this.#store.due.load());
  }

  // Calls of the Worker.

  async send(command: SendCommand): Promise<Result<SendAnswer, Failure>> {
    const begun = await this.#begin("send", command);
    if (!begun.ok) return begun;
    if (begun.value.kind === "message") return ok({ message: begun.value.message });
    const { id, input } = begun.value;
    if (!command.returnImmediately) await this.#settled(id, input);
    return this.#view(id, command.historyLength);
  }

  async stream(command: SendCommand): Promise<Result<ReadableStream<Uint8Array>, Failure>> {
    const begun = await this.#begin("stream", command);
    if (!begun.ok) return begun;
    if (begun.value.kind === "message") {
      const line = toLine("-", JSON.stringify({ message: begun.value.message }));
      return ok(new Response(line).body as ReadableStream<Uint8Array>);
    }
    const { id, input } = begun.value;
    let { first } = begun.value;
    if (!first) {
      const record = this.#store.get(id);
      const view = this.#view(id, command.historyLength);
      if (!record || !view.ok) return err(failure("TASK_NOT_FOUND"));
      first = { seq: record.seq, task: view.value.task };
    }
    return ok(openSubscription(this.#source(id, input), first.seq, toLine(first.seq, JSON.stringify({ task: first.task }))));
  }

  async get(query: GetQuery): Promise<Result<Task, Failure>> {
    this.#enter();
    const record = this.#find(query);
    if (!record) return err(notFound(query.id));
    return ok(this.#store.journal.toTask(record, { historyLength: query.historyLength, artifacts: true }));
  }

  async list(query: ListQuery): Promise<ListAnswer> {
    this.#enter();
    if (!this.#store.exists) return { tasks: [], total: 0 };
    const { records, journal } = this.#store;
    const view = { historyLength: query.historyLength, artifacts: query.artifacts };
    const tasks = records.list(query, query.after, query.limit).map((record) => journal.toTask(record, view));
    return { tasks, total: records.total(query) };
  }

  async cancel(query: TaskQuery): Promise<Result<Task, Failure>> {
    await this.#store.commits.turn();
    this.#enter();
    const record = this.#find(query);
    if (!record) return err(notFound(query.id));
    if (isTerminal(record.state)) {
      return err(failure("TASK_NOT_CANCELABLE", { metadata: { taskId: record.id, state: record.state } }));
    }
    const turn = this.#turns.get(record.id);
    if (turn) {
      turn.stop("TASK_STATE_CANCELED");
    } else {
      const step = apply(record, { kind: "status", state: "TASK_STATE_CANCELED" }, Date.now());
      if (step) this.#store.save({ before: record, after: step.record, entries: [step.entry] });
      if (record.job) this.#driveSoon(record.id);
    }
    return this.get(query);
  }

  async subscribe(query: SubscribeQuery): Promise<Result<ReadableStream<Uint8Array>, Failure>> {
    this.#enter();
    const record = this.#find(query);
    if (!record) return err(notFound(query.id));
    const { lastEventId } = query;
    const source = this.#source(record.id);
    if (lastEventId !== undefined) {
      if (lastEventId <= record.seq) return ok(openSubscription(source, lastEventId));
      const description = "is newer than every event of this task";
      return err(failure("INVALID_PARAMS", { violations: [{ field: "Last-Event-ID", description }] }));
    }
    if (isTerminal(record.state)) {
      const message = "The task has ended: there is nothing left to subscribe to.";
      return err(failure("UNSUPPORTED_OPERATION", { message, metadata: { taskId: record.id, state: record.state } }));
    }
    const task = this.#store.journal.toTask(record, { artifacts: true });
    return ok(openSubscription(source, record.seq, toLine(record.seq, JSON.stringify({ task }))));
  }

  /** Answers when the object can be reached and its database read. */
  async ping(): Promise<void> {
    this.ctx.storage.sql.exec("SELECT 1").one();
  }

  /** Does what an alarm should have done: called by the cron for homes whose alarm was lost. */
  async poke(): Promise<void> {
    await this.alarm();
  }

  // Calls of a durable turn. They are answered only to the instance that runs the task's present turn.

  async jobStart(task: string, job: string): Promise<JobStart | null> {
    const record = this.#jobRecord(task, job);
    if (!record) return null;
    const { contextId, turnSeq, turnInput } = record;
    const begun = this.#store.journal.read(task, 0).filter((entry) => entry.seq <= turnSeq);
    const input = begun.find((entry) => entry.seq === turnInput);
    if (!input) return null;
    return {
      contextId,
      turnSeq,
      turnInput,
      input: JSON.parse(input.body) as Message,
      history: toTask(record, begun, { artifacts: false }).history ?? [],
      memory: this.#store.loadMemory(record.agent, record.contextId),
    };
  }

  /**
   * Takes an emission, once for each key; false when the task is over and the job should stop. An `ending`
   * emission ends the turn, whatever state it leaves the task in.
   */
  async jobReport(task: string, job: string, report: JobReport): Promise<boolean> {
    await this.#store.commits.turn();
    const record = this.#jobRecord(task, job);
    if (!record) return false;
    return this.#store.write(() => {
      if (!this.#store.takeReport(task, `${record.turnSeq}:${report.key}`)) return true;
      const step = apply(record, report.emission, Date.now());
      if (!step) return false;
      if (!report.ending && step.record.bytes > this.#config.maxTaskBytes) {
        this.#turns.failTask(record, tooLarge(this.#config.maxTaskBytes));
        return false;
      }
      const after = report.ending ? { ...step.record, attempt: 0 } : step.record;
      this.#store.save({
        before: record,
        after,
        entries: [step.entry],
        ...(report.memory && { memory: report.memory }),
        companion: () => after.attempt === 0 && this.#store.due.clear("job", task),
      });
      if (report.ending && after.inputs > after.answered && !isTerminal(after.state)) this.#continue(after);
      return true;
    });
  }

  /** The journal row of the first message after row `after`; it now counts as answered to. */
  async jobAnswer(task: string, job: string, after: number): Promise<{ seq: number; over: boolean }> {
    const record = this.#jobRecord(task, job);
    if (!record) return { seq: 0, over: true };
    const next = this.#nextInput(task, after);
    if (!next) return { seq: 0, over: false };
    if (next.seq > record.answered) {
      const step = isInterrupted(record.state)
        ? apply(record, { kind: "status", state: "TASK_STATE_WORKING" }, Date.now())
        : undefined;
      this.#store.save({
        before: record,
        after: { ...(step?.record ?? record), answered: next.seq },
        entries: step ? [step.entry] : [],
      });
    }
    return { seq: next.seq, over: false };
  }

  async jobMessage(task: string, job: string, seq: number): Promise<Message | null> {
    if (!this.#jobRecord(task, job)) return null;
    const [entry] = this.#store.journal.read(task, seq - 1, 1);
    return entry?.seq === seq && entry.kind === "message" ? (JSON.parse(entry.body) as Message) : null;
  }

  // The clock.

  override async alarm(): Promise<void> {
    this.#store.due.rang();
    try {
      this.#enter();
      if (this.#store.exists) await this.#runDue();
    } catch (error) {
      // An alarm that throws six times is dropped, so nothing may leave here.
      log("error", "alarm failed", { home: this.ctx.id.toString(), error });
      this.#store.due.ring(Date.now() + WATCHDOG_MS);
    } finally {
      this.#arm();
    }
  }

  async #runDue(): Promise<void> {
    const now = Date.now();
    this.#turns.watch();
    for (const { kind, key } of this.#store.due.take(now, ALARM_ITEMS)) {
      if (kind === "job") {
        await this.#jobs.drive(key);
      } else if (kind === "trim") {
        const trimmed = this.#store.trim(now - this.#config.taskRetentionMs, now, ALARM_ITEMS);
        const next = trimmed === ALARM_ITEMS ? now + 1_000 : now + DAY_MS;
        this.#store.write(() => this.#store.due.set("trim", "", next));
      }
    }
    await this.#report(now);
  }

  /** Tells D1 of this home, and when it has something due, so that the cron can notice a lost alarm. */
  async #report(now: number): Promise<void> {
    const { due } = this.#store;
    const dueAt = due.earliest(["job", "trim"]);
    const isNew = due.take(now, ALARM_ITEMS).some((item) => item.kind === "register");
    const isStale = dueAt !== this.#reportedDueAt && (this.#reportedDueAt ?? 0) < now;
    if (!isNew && !isStale) return;
    const reported = dueAt === undefined ? undefined : Math.max(dueAt, now + REPORT_SLACK_MS);
    try {
      await reportHome(this.env.DB, { id: this.ctx.id.toString(), name: this.ctx.id.name ?? "", dueAt: reported });
      this.#reportedDueAt = reported;
      if (isNew) this.#store.write(() => due.clear("register", ""));
    } catch (error) {
      log("warn", "home could not be registered", { home: this.ctx.id.toString(), error });
      if (isNew) this.#store.write(() => due.set("register", "", now + 60_000));
    }
  }

  /** Sets the alarm for whatever comes first. */
  #arm(): void {
    if (!this.#store.exists) return;
    const earliest = this.#store.due.earliest(["job", "trim", "register"]);
    const watchdog = this.#turns.count > 0 ? Date.now() + WATCHDOG_MS : undefined;
    const times = [earliest, watchdog].filter((time) => time !== undefined);
    if (times.length > 0) this.#store.due.ring(Math.min(...times));
  }

  /** Every call passes here first: turns that a dead process left behind are run again. */
  #enter(): void {
    this.#turns.flush();
    if (this.#recovered) return;
    this.#recovered = true;
    if (this.#store.exists) this.#turns.recover();
  }

  // Messages.

  async #begin(operation: "send" | "stream", command: SendCommand): Promise<Result<Begun, Failure>> {
    await this.#store.commits.turn();
    this.#enter();
    const { idempotency } = command;
    if (!idempotency) return this.#receive(command);
    const scoped = { ...idempotency, key: `${command.agent}/${operation}/${idempotency.key}` };
    const replay = this.#store.replay(scoped, Date.now());
    if (!replay.ok) return replay;
    if (replay.value) return ok(this.#fromReplay(replay.value));
    const running = this.#beginning.get(scoped.key);
    if (running) {
      if (running.fingerprint !== scoped.fingerprint) return err(keyReused());
      const begun = await running.begun;
      return begun.ok ? ok(begun.value.kind === "task" ? this.#fromReplay({ task: begun.value.id }) : begun.value) : begun;
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
    return { kind: "task", id: replay.task, input: this.#store.get(replay.task)?.inputs ?? 0 };
  }

  async #receive(command: SendCommand): Promise<Result<Begun, Failure>> {
    const { message, newTaskId } = command;
    if (message.taskId !== undefined) return this.#followUp(message.taskId, command);
    // The Worker repeats a call whose answer was lost: the task is there already.
    const known = this.#store.get(newTaskId);
    if (known) return ok({ kind: "task", id: known.id, input: known.inputs });
    if (this.#store.databaseBytes > FULL_BYTES) {
      this.#store.write(() => this.#store.due.set("trim", "", Date.now()));
      const text = "This owner's storage is full; the oldest ended tasks are being removed.";
      return err(failure("UNAVAILABLE", { message: text, retryAfterSeconds: 60 }));
    }
    return this.#newTask(command);
  }

  async #newTask(command: SendCommand): Promise<Result<Begun, Failure>> {
    const agent = this.#agents.get(command.agent);
    if (!agent) return err(failure("NOT_FOUND", { message: "Agent not found" }));
    const created = newRecord(command.newTaskId, agent.name, command.newContextId, Date.now());
    const step = receive(created, command.message);
    const message = JSON.parse(step.entry.body) as Message;
    const { seq } = step.entry;
    const record: TaskRecord = { ...step.record, attempt: 1, turnSeq: seq, turnInput: seq, answered: seq };
    const task: Task = {
      id: record.id,
      contextId: record.contextId,
      status: { state: record.state, timestamp: new Date(record.statusAt).toISOString() },
      ...(command.historyLength !== 0 && { history: [message] }),
    };
    const begun: Begun = { kind: "task", id: record.id, input: seq, first: { seq, task } };
    const companion = this.#companion(command, record.id);
    if (agent.isDurable(toInput(message))) {
      this.#startJob(undefined, record, [step.entry], companion);
      return ok(begun);
    }
    const turn = this.#turns.begin({
      agent,
      message,
      record,
      stored: undefined,
      pending: [step.entry],
      companion,
      materialise: command.returnImmediately,
    });
    this.#armWatchdog();
    const outcome = await turn.outcome;
    if (outcome.kind === "task") return ok(begun);
    if (command.idempotency) {
      const { idempotency } = command;
      this.#store.write(() => this.#store.saveReplay(idempotency, outcome, Date.now()));
    }
    return ok(outcome);
  }

  async #followUp(id: string, command: SendCommand): Promise<Result<Begun, Failure>> {
    const stored = this.#find({ id, agent: command.agent });
    if (!stored) return err(notFound(id));
    const { contextId } = command.message;
    if (contextId !== undefined && contextId !== stored.contextId) {
      const description = "is not the context of this task";
      return err(failure("INVALID_PARAMS", { violations: [{ field: "message.contextId", description }] }));
    }
    if (isTerminal(stored.state)) {
      const message = "The task has ended and takes no further message.";
      return err(failure("UNSUPPORTED_OPERATION", { message, metadata: { taskId: id, state: stored.state } }));
    }
    const companion = this.#companion(command, id);
    const live = this.#turns.get(id);
    if (live) {
      live.receive((record) => receive(record, command.message));
      companion?.();
    } else {
      const step = receive(stored, command.message);
      this.#store.save({ before: stored, after: step.record, entries: [step.entry], ...(companion && { companion }) });
      // A durable turn that runs is told of the message; otherwise the message begins the next turn.
      if (stored.attempt > 0) this.#resumeJob(step.record);
      else this.#continue(step.record);
    }
    const record = this.#store.get(id) ?? stored;
    const task = this.#store.journal.toTask(record, { historyLength: command.historyLength, artifacts: true });
    return ok({ kind: "task", id, input: record.inputs, first: { seq: record.seq, task } });
  }

  /** Begins the turn that answers the next message waiting in the task's journal. */
  #continue(stored: TaskRecord): void {
    const agent = this.#agents.get(stored.agent);
    const input = this.#nextInput(stored.id, stored.answered);
    if (!agent || !input) return this.#turns.failTask(stored, "The agent of this task is no longer served.");
    const message = JSON.parse(input.body) as Message;
    const step = apply(stored, { kind: "status", state: "TASK_STATE_WORKING" }, Date.now());
    if (!step) return;
    const taken = { turnInput: input.seq, answered: input.seq };
    const record = { ...step.record, ...taken, attempt: 1, turnSeq: step.entry.seq };
    if (agent.isDurable(toInput(message))) return this.#startJob(stored, record, [step.entry]);
    const after = { ...record, job: null };
    this.#store.save({ before: stored, after, entries: [step.entry] });
    this.#turns.begin({ agent, message, record: after, stored: after, pending: [] });
    this.#armWatchdog();
  }

  #startJob(before: TaskRecord | undefined, record: TaskRecord, entries: Entry[], companion?: () => void): void {
    const after = { ...record, job: crypto.randomUUID() };
    const schedule = () => this.#jobs.schedule(record.id);
    this.#store.save({ before, after, entries, companion: () => (companion?.(), schedule()) });
    this.ctx.waitUntil(this.#jobs.drive(record.id));
  }

  /** A message has come for a durable turn that runs: if it waits for one, the task works again. */
  #resumeJob(record: TaskRecord): void {
    const step = isInterrupted(record.state)
      ? apply(record, { kind: "status", state: "TASK_STATE_WORKING" }, Date.now())
      : undefined;
    if (step) this.#store.save({ before: record, after: step.record, entries: [step.entry] });
    this.#driveSoon(record.id);
  }

  #driveSoon(task: string): void {
    this.#store.write(() => this.#jobs.schedule(task));
    this.ctx.waitUntil(this.#jobs.drive(task));
  }

  /** Keeps the answer to an Idempotency-Key, in the transaction that makes it true. */
  #companion({ idempotency }: SendCommand, task: string): (() => void) | undefined {
    return idempotency && (() => this.#store.saveReplay(idempotency, { task }, Date.now()));
  }

  #armWatchdog(): void {
    if (this.#turns.count > 0) this.#store.due.ring(Date.now() + WATCHDOG_MS);
  }

  // Looking.

  #find(query: TaskQuery): TaskRecord | undefined {
    const record = this.#store.get(query.id);
    return record?.agent === query.agent ? record : undefined;
  }

  #jobRecord(task: string, job: string): TaskRecord | undefined {
    const record = this.#store.get(task);
    return record?.job === job && record.attempt > 0 && !isTerminal(record.state) ? record : undefined;
  }

  #nextInput(task: string, after: number): Entry | undefined {
    return this.#store.journal.read(task, after).find((entry) => entry.kind === "message");
  }

  #view(id: string, historyLength: number | undefined): Result<{ task: Task }, Failure> {
    const record = this.#store.get(id);
    if (!record) return err(notFound(id));
    return ok({ task: this.#store.journal.toTask(record, { historyLength, artifacts: true }) });
  }

  /** Waits until the task has ended, or waits itself, having answered the message in row `input`. */
  async #settled(id: string, input: number): Promise<void> {
    for (;;) {
      const record = this.#store.get(id);
      if (!record || isTerminal(record.state)) return;
      if (isInterrupted(record.state) && record.answered >= input) return;
      await this.#store.signals.next(id);
    }
  }

  /** A subscriber's view of a task. With `input` it ends when the turn that answers it asks for more. */
  #source(id: string, input?: number): Source {
    this.#subscribers += 1;
    const { journal, commits, signals } = this.#store;
    return {
      read: (seq, maxUnits) => journal.read(id, seq, maxUnits),
      isOver: () => {
        const record = this.#store.get(id);
        if (!record || isTerminal(record.state)) return true;
        return input !== undefined && record.state === "TASK_STATE_INPUT_REQUIRED" && record.answered >= input;
      },
      endsWith: (seq, status) => {
        if (isTerminal(status.state)) return true;
        if (input === undefined || status.state !== "TASK_STATE_INPUT_REQUIRED") return false;
        const record = this.#store.get(id);
        return record !== undefined && record.answered >= input && seq > record.turnSeq;
      },
      durable: () => commits.durable(),
      news: () => signals.next(id),
      closed: () => {
        this.#subscribers -= 1;
      },
    };
  }

  /** How many streams are open. */
  get subscribers(): number {
    return this.#subscribers;
  }
}

function notFound(id: string): Failure {
  return failure("TASK_NOT_FOUND", { metadata: { taskId: id } });
}
