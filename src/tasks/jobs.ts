// Durable turns: each is an instance of a Workflow, and this is the home's side of it.
//
// A row in `due` stands for every instance that still needs looking after, and `drive` does whatever is
// needed now: create the instance, tell it of a new message, terminate it when its task has ended without
// it, notice that it has died. Every step of it may be repeated, so it is run at once and again by the alarm.

import type { JobParams } from "../agents/workflow.ts";
import { isTerminal } from "../protocol/state.ts";
import { log } from "../telemetry/log.ts";
import type { TaskRecord } from "./machine.ts";
import type { Store } from "./store.ts";

const MAX_ATTEMPTS = 3;

export type JobsOptions = {
  store: Store;
  workflow: Workflow<JobParams>;
  home: string;
  now(): number;
  watchMs: number;
  fail(record: TaskRecord, reason: string): void;
};

export class Jobs {
  readonly #options: JobsOptions;
  /** Instances that were woken since this object started. */
  readonly #woken = new Set<string>();

  constructor(options: JobsOptions) {
    this.#options = options;
  }

  /** Makes the alarm look after the task from now on; to be called in the transaction that changes the task. */
  schedule(task: string): void {
    const { store, now, watchMs } = this.#options;
    store.due.set("job", task, now() + watchMs);
  }

  /** Does what the task's instance needs now. Never throws: what failed is tried again by the alarm. */
  async drive(task: string): Promise<void> {
    const { store } = this.#options;
    try {
      const record = store.get(task);
      if (!record?.job || (await this.#isSettled(record, record.job))) {
        store.write(() => store.due.clear("job", task));
        return;
      }
    } catch (error) {
      log("error", "a job could not be looked after", { taskId: task, error });
    }
    // The task may have ended, and its row gone, while this waited.
    const record = store.get(task);
    if (record?.job) store.write(() => this.schedule(task));
  }

  /** Whether the instance needs no further care. */
  async #isSettled(record: TaskRecord, job: string): Promise<boolean> {
    const { workflow, home } = this.#options;
    const instance = await find(workflow, job);
    if (isTerminal(record.state)) {
      this.#woken.delete(job);
      const status = instance && (await instance.status()).status;
      if (instance && (status === "queued" || status === "running" || status === "waiting" || status === "paused")) {
        // An instance whose last report ended the task is about to end by itself.
        if (record.state === "TASK_STATE_CANCELED" || record.state === "TASK_STATE_FAILED") await instance.terminate();
      }
      return true;
    }
    if (record.attempt === 0) return true;
    if (!instance) {
      await workflow.create({ id: job, params: { home, task: record.id, job, agent: record.agent } });
      this.#woken.add(job);
      return false;
    }
    const { status, error } = await instance.status();
    if (status === "errored" || status === "terminated" || status === "complete") {
      this.#replace(record, job, error?.message);
      return false;
    }
    if (record.inputs > record.answered) {
      await instance.sendEvent({ type: "message", payload: {} });
    } else if (!this.#woken.has(job)) {
      // After a restart a local instance sleeps until an event reaches it, of whatever type.
      await instance.sendEvent({ type: "wake", payload: {} });
    }
    this.#woken.add(job);
    return false;
  }

  /** The instance ended without ending its turn: a new one runs the turn, whose known reports are skipped. */
  #replace(seen: TaskRecord, job: string, error: string | undefined): void {
    const { store, fail } = this.#options;
    const record = store.get(seen.id);
    if (!record || record.job !== job || isTerminal(record.state)) return;
    log("error", "job ended early", { taskId: record.id, attempt: record.attempt, error });
    if (record.attempt >= MAX_ATTEMPTS) {
      fail(record, `The job of this task stopped ${MAX_ATTEMPTS} times before its end.`);
      return;
    }
    const after = { ...record, attempt: record.attempt + 1, answered: record.turnInput, job: crypto.randomUUID() };
    store.save({ before: record, after, entries: [], companion: () => this.schedule(record.id) });
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
