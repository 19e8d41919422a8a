// The quick turns that run in this home now: begun by a message, run again after the process died, ended by
// their agent, by a cancellation or by the watchdog.

import type { Agent, QuickTask } from "../agents/agent.ts";
import type { StoredConfig } from "../delivery/stored-config.ts";
import type { Approval } from "../protocol/approvals.ts";
import type { Message } from "../protocol/message.ts";
import { isTerminal } from "../protocol/state.ts";
import type { Version } from "../protocol/version.ts";
import { log } from "../telemetry/log.ts";
import { approvalIn } from "./approvals.ts";
import type { By } from "./commands.ts";
import { toTask } from "./fold.ts";
import type { Entry, TaskRecord } from "./machine.ts";
import type { Store } from "./store.ts";
import { GATHER_MICROTASKS, Turn, type TurnHost } from "./turn.ts";

/** A turn is begun at most this often, counting the first time. */
const MAX_ATTEMPTS = 3;

/** While a turn runs, the alarm is at most this far away. */
export const WATCHDOG_MS = 5_000;

export type TurnsOptions = {
  store: Store;
  agent(name: string): Agent | undefined;
  now(): number;
  maxTaskBytes: number;
  turnTimeoutMs: number;
  stepMs: number;
  waitUntil(promise: Promise<unknown>): void;
  /** What an agent is told of the webhooks of a task. */
  notificationsOf(task: string, inline: StoredConfig | undefined): QuickTask["notifications"];
  /** Begins the turn that answers the next message waiting in this task's journal. */
  continueTask(record: TaskRecord): void;
};

export type Begin = {
  agent: Agent;
  message: Message;
  approval?: Approval | undefined;
  version?: Version | undefined;
  record: TaskRecord;
  stored: TaskRecord | undefined;
  pending: Entry[];
  journal?: Entry[];
  companion?: (() => void) | undefined;
  /** A push notification config that comes with the message, and is not stored yet. */
  push?: StoredConfig | undefined;
  /** The task exists from the start, whatever the agent does first. */
  materialise?: boolean;
};

export class Turns {
  readonly #options: TurnsOptions;
  readonly #host: TurnHost;
  readonly #live = new Map<string, Turn>();
  readonly #unwritten = new Set<Turn>();
  #recovered = false;

  constructor(options: TurnsOptions) {
    this.#options = options;
    const { store, now, maxTaskBytes, stepMs } = options;
    this.#host = {
      now,
      maxTaskBytes,
      stepMs,
      unwritten: this.#unwritten,
      save: (change) => store.save(change),
      loadMemory: (agent, contextId) => store.memories.load(agent, contextId),
      memoryFits: (agent, contextId, changes) => store.memories.fits(agent, contextId, changes),
      saveMemory: (agent, contextId, changes) =>
        store.write(() => store.memories.save(agent, contextId, changes, now())),
      loadHistory: (record) => {
        const begun = store.journal.read(record.id, 0).filter((entry) => entry.seq <= record.turnInput);
        return toTask(record, begun, { artifacts: false }).history ?? [];
      },
      ended: (turn) => this.#ended(turn),
      broken: (turn) => this.#broken(turn),
    };
  }

  get(task: string): Turn | undefined {
    return this.#live.get(task);
  }

  get count(): number {
    return this.#live.size;
  }

  /** Those that run. */
  all(): Turn[] {
    return [...this.#live.values()];
  }

  /** Starts a turn. The agent has run to its first real wait when this returns. */
  begin(begin: Begin): Turn {
    const { materialise = false, push, ...start } = begin;
    const notifications = this.#options.notificationsOf(start.record.id, push);
    const turn = new Turn({ ...start, notifications, host: this.#host });
    this.#live.set(turn.taskId, turn);
    if (materialise) turn.materialise();
    // An agent that never returns must not keep the object in memory once its turn is over.
    this.#options.waitUntil(Promise.race([turn.run(), turn.over]));
    void this.#watchSoon(turn);
    return turn;
  }

  /** A turn that outlives its first microtasks is watched; one that waits for nothing needs no alarm. */
  async #watchSoon(turn: Turn): Promise<void> {
    for (let i = 0; i < 2 * GATHER_MICROTASKS; i++) await undefined;
    const { store, now } = this.#options;
    if (this.#live.get(turn.taskId) === turn) store.due.ring(now() + WATCHDOG_MS);
  }

  /**
   * Makes the database say all there is to say, before it is read: what live turns have gathered is written, and what a
   * dead process left behind runs again.
   */
  catchUp(): void {
    for (const turn of this.#unwritten) turn.settleWrites();
    if (this.#recovered) return;
    this.#recovered = true;
    if (this.#options.store.exists) this.#recover();
  }

  #recover(): void {
    for (const record of this.#options.store.records.running()) {
      if (this.#live.has(record.id)) continue;
      try {
        this.#rerun(record);
      } catch (error) {
        // One task that cannot run again must not keep the others from it.
        log("error", "turn could not run again", { taskId: record.id, error });
        this.#failStored(record.id, "The server stopped during this turn, and it could not run again.");
      }
    }
  }

  #rerun(stored: TaskRecord): void {
    const { store, now } = this.#options;
    const agent = this.#options.agent(stored.agent);
    const journal = store.journal.read(stored.id, 0);
    const input = journal.find((entry) => entry.seq === stored.turnInput);
    if (!agent || !input || stored.attempt >= MAX_ATTEMPTS) {
      const reason = agent
        ? `The server stopped during this turn ${MAX_ATTEMPTS} times.`
        : "The agent of this task is no longer served.";
      store.fail(stored, reason, now());
      return;
    }
    log("info", "turn runs again", { taskId: stored.id, attempt: stored.attempt + 1 });
    const record = { ...stored, attempt: stored.attempt + 1 };
    store.save({ before: stored, after: record, entries: [] });
    const message = JSON.parse(input.body) as Message;
    const approval = approvalIn(store.journal, stored.id, input);
    const { version } = input;
    this.begin({ agent, message, approval, version, record, stored: record, pending: [], journal });
  }

  /** The watchdog: fails turns that have lasted too long. */
  watch(): void {
    const { now, turnTimeoutMs } = this.#options;
    for (const turn of this.#live.values()) {
      if (now() - turn.startedAt < turnTimeoutMs) continue;
      turn.stop("TASK_STATE_FAILED", `The agent did not finish its turn within ${turnTimeoutMs / 1_000} s.`);
    }
  }

  /** Cancels a task, whether a turn of it runs here or not. */
  cancel(task: string, by: By): void {
    const { store, now } = this.#options;
    const turn = this.#live.get(task);
    const record = turn?.record ?? store.get(task);
    if (!record) return;
    const recordIt = () => store.record({ kind: "task.canceled", ...by, agent: record.agent, task });
    if (turn) turn.stop("TASK_STATE_CANCELED", undefined, recordIt);
    else store.put(record, { kind: "status", state: "TASK_STATE_CANCELED" }, now(), recordIt);
  }

  /** A write has failed: what is stored of the task, if anything, is failed instead of left at work. */
  #broken({ taskId }: Turn): void {
    this.#live.delete(taskId);
    this.#failStored(taskId, "What the agent did could not be stored.");
  }

  #failStored(taskId: string, reason: string): void {
    const { store, now } = this.#options;
    try {
      const stored = store.get(taskId);
      if (stored) store.fail(stored, reason, now());
    } catch (error) {
      // Nothing can be written now. The row says that the turn runs, and the next start runs it again.
      log("error", "a task could not be failed", { taskId, error });
    }
  }

  #ended(turn: Turn): void {
    this.#live.delete(turn.taskId);
    const { record } = turn;
    if (!isTerminal(record.state) && record.inputs > record.answered) this.#options.continueTask(record);
  }
}
