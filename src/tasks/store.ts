// The database of a home, as one thing: a change of a task is written here, in one transaction, and whoever
// waits for news of that task is woken when it is on disk.

import { type Emission, toAgentMessage } from "../agents/emissions.ts";
import { AuditChain } from "../audit/chain.ts";
import type { AuditEvent } from "../audit/entry.ts";
import { Commits } from "./commits.ts";
import { DeadLetters } from "./dead-letters.ts";
import { Due } from "./due.ts";
import { IdempotencyKeys } from "./idempotency-keys.ts";
import { Journal } from "./journal.ts";
import { Lanes } from "./lanes.ts";
import { Lifecycle } from "./lifecycle.ts";
import { apply, type Entry, type TaskRecord } from "./machine.ts";
import { Memories, type MemoryChanges } from "./memories.ts";
import { droppedItems, Outbox } from "./outbox.ts";
import { PushConfigs } from "./push-configs.ts";
import { Records } from "./records.ts";
import { Signals } from "./signals.ts";

/** Beyond this a home takes no new task; the platform's limit is 10 GB. */
const FULL_BYTES = 8_000_000_000;
/** So many tasks fit into what is left then, however large they are. */
const LOOK_EVERY = 50;

export type Change = {
  /** The task as it is stored; undefined: it is new. */
  before: TaskRecord | undefined;
  after: TaskRecord;
  entries: readonly Entry[];
  /** What the turn that this change ends wants remembered of the conversation. */
  memory?: MemoryChanges;
  /** Anything else that belongs into the same transaction. */
  companion?: () => void;
};

export class Store {
  readonly records: Records;
  readonly journal: Journal;
  readonly memories: Memories;
  readonly idempotencyKeys: IdempotencyKeys;
  readonly due: Due;
  readonly configs: PushConfigs;
  readonly lanes: Lanes;
  readonly outbox: Outbox;
  readonly dead: DeadLetters;
  readonly audit: AuditChain;
  readonly commits: Commits;
  readonly signals = new Signals();
  /** Called inside the transaction in which rows join the journal of a task. */
  onCommit: (task: string, entries: readonly Entry[], at: number) => void = () => {};
  /** Called inside the transaction in which an entry joins the audit. */
  onRecord: () => void = () => {};
  readonly #storage: DurableObjectStorage;
  readonly #lifecycle: Lifecycle;
  /** How many new tasks there was room for. */
  #begun = 0;
  /** Transactions inside each other. */
  #depth = 0;

  /** `home` is the object's id, `name` the home's own, as far as it is known. */
  constructor(storage: DurableObjectStorage, home: string, name: string) {
    this.#storage = storage;
    this.due = new Due(storage);
    this.#lifecycle = new Lifecycle(storage, this.due, name);
    this.records = new Records(storage.sql);
    this.journal = new Journal(storage.sql);
    this.memories = new Memories(storage.sql, this.#lifecycle);
    this.idempotencyKeys = new IdempotencyKeys({
      sql: storage.sql,
      lifecycle: this.#lifecycle,
      records: this.records,
    });
    this.configs = new PushConfigs(storage.sql);
    this.lanes = new Lanes(storage.sql);
    this.outbox = new Outbox(storage.sql);
    this.dead = new DeadLetters(storage.sql);
    this.audit = new AuditChain(storage.sql, home);
    this.commits = new Commits(storage);
  }

  /** Whether anything was ever written here. */
  get exists(): boolean {
    return this.#lifecycle.exists;
  }

  /** Whether D1 is to know of it. */
  get isInUse(): boolean {
    return this.#lifecycle.isInUse;
  }

  /** Whether there is room for no new task. */
  get isFull(): boolean {
    return this.#storage.sql.databaseSize > FULL_BYTES;
  }

  /** Whether there is room for a new task; asked once for each, so it need not look every time. */
  hasRoom(): boolean {
    if (this.#begun % LOOK_EVERY === 0 && this.isFull) return false;
    this.#begun += 1;
    return true;
  }

  /** Runs `write` in one transaction, on a database that has its schema. */
  write<T>(write: () => T): T {
    this.#lifecycle.begin();
    // Part of another transaction, this one may be rolled back alone: what that has gathered must not go with it.
    this.#flush();
    this.#depth += 1;
    try {
      return this.commits.write(() => {
        const result = write();
        if (this.#depth === 1) this.#flush();
        return result;
      });
    } catch (error) {
      this.records.forgetCounts();
      this.#forget();
      this.outbox.forget();
      this.audit.forget();
      this.#lifecycle.forget();
      this.due.rolledBack();
      throw error;
    } finally {
      this.#depth -= 1;
    }
  }

  /** Writes what the parts have gathered since the transaction began. */
  #flush(): void {
    this.lanes.flush();
    this.outbox.flush();
    this.audit.flush();
  }

  /** What is in memory of tasks may not be what is stored any more. */
  #forget(): void {
    this.journal.forget();
    this.configs.forget();
    this.lanes.forget();
  }

  save(change: Change): void {
    const { before, after, entries, memory, companion } = change;
    this.write(() => {
      const now = Date.now();
      if (!before) this.#lifecycle.use();
      this.records.save(before, after);
      if (entries.length > 0) this.journal.append(after.id, entries, now);
      if (memory) this.memories.save(after.agent, after.contextId, memory, after.statusAt);
      companion?.();
      // After the companion, which may have brought a config that wants these very rows.
      if (entries.length > 0) this.onCommit(after.id, entries, now);
    });
    void this.#announce(after.id);
  }

  /** Applies what the server itself says about a task that no turn is in charge of. */
  put(stored: TaskRecord, emission: Emission, now: number, companion?: () => void): TaskRecord {
    const step = apply(stored, emission, now);
    if (!step) return stored;
    this.save({ before: stored, after: step.record, entries: [step.entry], ...(companion && { companion }) });
    return step.record;
  }

  /** Writes an entry of the audit; inside the transaction of what it tells. */
  record(event: AuditEvent): void {
    this.audit.append(event, Date.now());
    this.onRecord();
  }

  /** Fails a task that no turn is in charge of. */
  fail(stored: TaskRecord, reason: string, now: number): void {
    const message = toAgentMessage(stored, `${stored.id}-${stored.seq + 1}`, reason);
    this.put(stored, { kind: "status", state: "TASK_STATE_FAILED", message }, now);
  }

  async #announce(task: string): Promise<void> {
    // Not inside the transaction that is being written.
    await undefined;
    await this.commits.durable();
    this.signals.fire(task);
  }

  get(id: string): TaskRecord | undefined {
    return this.exists ? this.records.get(id) : undefined;
  }

  /** Remembers that a durable turn's report was taken; false if it had been already. */
  takeReport(task: string, key: string): boolean {
    return this.#storage.sql.exec("INSERT OR IGNORE INTO reports VALUES (?, ?)", task, key).rowsWritten > 0;
  }

  /** Deletes at most `limit` tasks that ended before `before` (ms), and keys and memories that nothing needs any more. */
  trim(before: number, now: number, limit: number): number {
    return this.write(() => {
      const expired = this.records.expired(before, limit, now);
      for (const record of expired) this.delete(record);
      this.lanes.trimBatches();
      this.idempotencyKeys.trim(now);
      this.memories.trim(before);
      return expired.length;
    });
  }

  /** Deletes a task with all that belongs to it, but its dead letters; inside a transaction. */
  delete(record: TaskRecord): void {
    this.journal.delete(record.id);
    this.outbox.add(droppedItems(this.lanes.forTask(record.id)));
    for (const { id } of this.configs.list(record.id)) {
      this.outbox.add([{ kind: "unconfig", task: record.id, config: id }]);
    }
    this.configs.deleteTask(record.id);
    this.lanes.deleteTask(record.id);
    this.#storage.sql.exec("DELETE FROM reports WHERE task = ?", record.id);
    this.records.delete(record);
  }

  /**
   * Deletes at most `limit` memories, answers to Idempotency-Keys and dead letters whose task is gone already; how many
   * memories there were, and whether there is more.
   */
  deleteMemories(limit: number): { memories: number; more: boolean } {
    return this.write(() => {
      const { sql } = this.#storage;
      const deleted = (table: string, key: string) => {
        const some = `(${key}) IN (SELECT ${key} FROM ${table} LIMIT ?)`;
        return sql.exec(`DELETE FROM ${table} WHERE ${some} RETURNING 1`, limit).toArray().length;
      };
      const memories = deleted("memory", "agent, context_id");
      const others = [deleted("idempotency", "key"), deleted("dead", "id")];
      return { memories, more: Math.max(memories, ...others) === limit };
    });
  }

  /**
   * Marks a home that holds nothing of its owner any more as left empty, so that nothing is due here and D1 need not
   * know of it. Its audit and the numbers of its shipments stay, and go on should the owner return. False: something
   * has come meanwhile.
   */
  leaveEmpty(name: string): boolean {
    if (!this.isInUse) return true;
    return this.write(() => {
      const { sql } = this.#storage;
      const isLeft = (table: string) => sql.exec(`SELECT 1 FROM ${table} LIMIT 1`).toArray().length > 0;
      if (["tasks", "idempotency", "memory", "outbox", "dead", "validated"].some(isLeft)) return false;
      // What belongs to tasks went with them; batches of several did not.
      for (const table of ["journal", "reports", "configs", "lanes", "batches"])
        sql.exec(`DELETE FROM ${table}`);
      this.#forget();
      this.#lifecycle.leave(name);
      return true;
    });
  }

  /** D1 may have forgotten the home while the owner returned. */
  registerAgain(name: string): void {
    if (this.isInUse) this.write(() => this.#lifecycle.register(name));
  }
}
