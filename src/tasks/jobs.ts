// Durable turns: each is an instance of a Workflow, and this is the home's side of it.
//
// A row in `due` stands for every instance that still needs looking after, and `drive` does whatever is
// needed now: create the instance, tell it of a new message, terminate it when its task has ended without
// it, notice that it has died. Every step of it may be repeated, so it is run at once and again by the alarm.
// In the other direction the instance reports here, and is heard as long as it is its task's present one.

import type { JobAnswer, JobParams, JobReport, JobStart } from "../agents/job.ts";
import type { StoredConfig } from "../delivery/stored-config.ts";
import type { Message } from "../protocol/message.ts";
import { isInterrupted, isTerminal } from "../protocol/state.ts";
import { log } from "../telemetry/log.ts";
import { approvalIn } from "./approvals.ts";
import { toTask } from "./fold.ts";
import { apply, type Entry, type TaskRecord, take, tooLarge } from "./machine.ts";
import { memoryTooLarge } from "./memories.ts";
import type { Store } from "./store.ts";

const MAX_ATTEMPTS = 3;

export type JobsOptions = {
  store: Store;
  workflow: Workflow<JobParams>;
  /** The Durable Object id of this home. */
  home: string;
  now(): number;
  watchMs: number;
  maxTaskBytes: number;
  waitUntil(promise: Promise<unknown>): void;
  /** What an agent is told of the webhooks of a task. */
  notificationsOf(task: string, inline: StoredConfig | undefined): JobStart["notifications"];
  /** Begins the turn that answers the next message waiting in this task's journal. */
  continueTask(record: TaskRecord): void;
};

export type JobBegin = {
  /** The task as it is stored; undefined: it is new. */
  before: TaskRecord | undefined;
  record: TaskRecord;
  entries: Entry[];
  companion?: (() => void) | undefined;
};

export class Jobs {
  readonly #options: JobsOptions;
  /** The newest message that each instance was told of since this object started. */
  readonly #told = new Map<string, number>();

  constructor(options: JobsOptions) {
    this.#options = options;
  }

  /** Begins a durable turn: the task names its instance before there is one. */
  begin({ before, record, entries, companion }: JobBegin): void {
    const after = { ...record, job: crypto.randomUUID() };
    this.#options.store.save({
      before,
      after,
      entries,
      companion: () => {
        companion?.();
        this.#schedule(record.id);
      },
    });
    this.#options.waitUntil(this.#create(after, after.job));
  }

  async #create(record: TaskRecord, job: string): Promise<void> {
    const { workflow, home } = this.#options;
    try {
      await workflow.create({ id: job, params: { home, task: record.id, job, agent: record.agent } });
      this.#told.set(job, record.answered);
    } catch (error) {
      // The alarm looks after it.
      log("error", "a job could not be created", { taskId: record.id, error });
    }
  }

  /** Something has changed that the task's instance must hear of. */
  notify(task: string): void {
    this.#options.store.write(() => this.#schedule(task));
    this.#options.waitUntil(this.drive(task));
  }

  /** A message has come while the turn runs. Whether the turn takes it now, since it waits for one: the task works again. */
  resume(record: TaskRecord): boolean {
    const { store, now } = this.#options;
    // The one it will take: an older one may be waiting.
    const next = isInterrupted(record.state)
      ? store.journal.nextMessage(record.id, record.answered)
      : undefined;
    const step = next && take(record, next.seq, now());
    // The job says itself that it has taken it, when it looks.
    const after = step && { ...step.record, answered: record.answered };
    if (step && after) store.save({ before: record, after, entries: [step.entry] });
    this.notify(record.id);
    return next?.seq === record.inputs;
  }

  #schedule(task: string): void {
    const { store, now, watchMs } = this.#options;
    store.due.set("job", task, now() + watchMs);
  }

  /** Does what the task's instance needs now. Never throws: what failed is tried again by the alarm. */
  async drive(task: string): Promise<void> {
    const { store } = this.#options;
    let settled = false;
    try {
      const record = store.get(task);
      settled = !record?.job || (await this.#look(record, record.job));
    } catch (error) {
      log("error", "a job could not be looked after", { taskId: task, error });
    }
    // The next turn of the task may have begun while this waited, with an instance of its own.
    const isIdle = !(store.get(task)?.attempt ?? 0);
    store.write(() => (settled && isIdle ? store.due.clear("job", task) : this.#schedule(task)));
  }

  /** Whether the instance needs no further care. */
  async #look(record: TaskRecord, job: string): Promise<boolean> {
    const instance = await find(this.#options.workflow, job);
    if (record.attempt === 0) {
      this.#told.delete(job);
      // An instance whose own report ended the turn is about to end by itself.
      const isCutOff = record.state === "TASK_STATE_CANCELED" || record.state === "TASK_STATE_FAILED";
      if (isCutOff && instance && isAlive((await instance.status()).status)) await instance.terminate();
      return true;
    }
    if (!instance) {
      await this.#create(record, job);
      return false;
    }
    const { status, error } = await instance.status();
    if (status === "errored" || status === "terminated" || status === "complete") {
      this.#replace(record.id, job, { status, ...(error && { error }) });
      return false;
    }
    const told = this.#told.get(job);
    if (record.inputs > (told ?? record.answered)) {
      // Once: events are kept for the instance until it waits, and it looks for messages before it does.
      await instance.sendEvent({ type: "message", payload: {} });
    } else if (told === undefined) {
      // After a restart a local instance sleeps until an event reaches it, of whatever type.
      await instance.sendEvent({ type: "wake", payload: {} });
    }
    this.#told.set(job, record.inputs);
    return false;
  }

  /** The instance ended without ending its turn: a new one runs the turn, whose known reports are skipped. */
  #replace(task: string, job: string, { status, error }: Pick<InstanceStatus, "status" | "error">): void {
    const { store, now } = this.#options;
    const record = this.#find(task, job);
    if (!record) return;
    log("error", "job ended early", { taskId: record.id, attempt: record.attempt, status, error });
    if (record.attempt >= MAX_ATTEMPTS) {
      store.fail(record, `The job of this task stopped ${MAX_ATTEMPTS} times before its end.`, now());
      return;
    }
    // The new one reads the messages of the turn from its first; those that were taken are not taken again.
    const after = { ...record, attempt: record.attempt + 1, job: crypto.randomUUID() };
    store.save({ before: record, after, entries: [] });
  }

  /** The task, if its present turn is run by this instance. */
  #find(task: string, job: string): TaskRecord | undefined {
    const record = this.#options.store.get(task);
    return record?.job === job && record.attempt > 0 ? record : undefined;
  }

  // What instances ask and report.

  start(task: string, job: string): JobStart | null {
    const { store } = this.#options;
    const record = this.#find(task, job);
    if (!record) return null;
    const { contextId, turnSeq, turnInput } = record;
    const begun = store.journal.read(task, 0).filter((entry) => entry.seq <= turnInput);
    const input = begun.at(-1);
    if (!input) return null;
    const approval = approvalIn(store.journal, task, input);
    return {
      contextId,
      turnSeq,
      turnInput,
      ...(approval && { approval }),
      input: JSON.parse(input.body) as Message,
      history: toTask(record, begun, { artifacts: false }).history ?? [],
      memory: store.memories.load(record.agent, contextId),
      notifications: this.#options.notificationsOf(task, undefined),
    };
  }

  /** Takes an emission, once for each key; false when the task is over and the job should stop. */
  report(task: string, job: string, report: JobReport): boolean {
    const { store, now, maxTaskBytes } = this.#options;
    const record = this.#find(task, job);
    if (!record) return false;
    const { key, emission, ending, memory } = report;
    return store.write(() => {
      if (!store.takeReport(task, `${record.turnSeq}:${key}`)) return true;
      const step = apply(record, emission, now());
      if (!step) return false;
      if (!ending && step.record.bytes > maxTaskBytes) {
        store.fail(record, tooLarge(maxTaskBytes), now());
        return false;
      }
      if (memory && !store.memories.fits(record.agent, record.contextId, memory)) {
        store.fail(record, memoryTooLarge, now());
        return false;
      }
      const after = ending ? { ...step.record, attempt: 0 } : step.record;
      store.save({
        before: record,
        after,
        entries: [step.entry],
        ...(memory && { memory }),
        ...(ending && { companion: () => store.due.clear("job", task) }),
      });
      if (ending && after.inputs > after.answered && !isTerminal(after.state))
        this.#options.continueTask(after);
      return true;
    });
  }

  /** The first message after row `after`; it counts as taken from then on. */
  answer(task: string, job: string, after: number): JobAnswer {
    const { store, now } = this.#options;
    const record = this.#find(task, job);
    if (!record) return { seq: 0, over: true };
    const next = store.journal.nextMessage(task, after);
    if (!next) return { seq: 0, over: false };
    if (next.seq > record.answered) {
      const step = isInterrupted(record.state) ? take(record, next.seq, now()) : undefined;
      const after = step?.record ?? { ...record, answered: next.seq };
      store.save({ before: record, after, entries: step ? [step.entry] : [] });
    }
    const approval = approvalIn(store.journal, task, next);
    return { seq: next.seq, over: false, ...(approval && { approval }) };
  }

  /** The message in row `seq` of the task's journal. */
  message(task: string, job: string, seq: number): Message | null {
    if (!this.#find(task, job)) return null;
    const [entry] = this.#options.store.journal.read(task, seq - 1, 1);
    return entry?.seq === seq && entry.kind === "message" ? (JSON.parse(entry.body) as Message) : null;
  }
}

async function find(workflow: Workflow<JobParams>, id: string): Promise<WorkflowInstance | undefined> {
  try {
    return await workflow.get(id);
  } catch (error) {
    if (error instanceof Error && /not.found/i.test(error.message)) return undefined;
    throw error;
  }
}

function isAlive(status: InstanceStatus["status"]): boolean {
  return status !== "complete" && status !== "errored" && status !== "terminated";
}
