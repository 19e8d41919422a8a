// The database of a home, as one thing: a change of a task is written here, in one transaction, and whoever
// waits for news of that task is woken when it is on disk.

import { type Emission, toAgentMessage } from "../agents/emissions.ts";
import { AuditChain } from "../audit/chain.ts";
import type { AuditEvent } from "../audit/entry.ts";
import { utf8Length } from "../lib/bytes.ts";
import { err, ok, type Result } from "../lib/result.ts";
import { type Failure, failure } from "../protocol/errors.ts";
import type { Message } from "../protocol/message.ts";
import { Commits } from "./commits.ts";
import { DeadLetters } from "./dead-letters.ts";
import { Due } from "./due.ts";
import { Journal } from "./journal.ts";
import { Lanes } from "./lanes.ts";
import { apply, type Entry, type TaskRecord } from "./machine.ts";
import { droppedItems, Outbox } from "./outbox.ts";
import { PushConfigs } from "./push-configs.ts";
import { Records } from "./records.ts";
import { migrate, schemaVersion } from "./schema.ts";
import { Signals } from "./signals.ts";

/** A memory is one row, and a row holds at most 2 MB. */
const MAX_MEMORY_BYTES = 1_000_000;

/** Why a turn that wants to remember too much is failed. */
export const memoryTooLarge = `The agent's memory of this conversation grew beyond ${MAX_MEMORY_BYTES} bytes.`;

/** Beyond this a home takes no new task; the platform's limit is 10 GB. */
const FULL_BYTES = 8_000_000_000;

export const DAY_MS = 86_400_000;
/** How long the answer to an Idempotency-Key is kept. */
const KEY_LIFETIME_MS = DAY_MS;

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

export type MemoryChanges = Map<string, unknown>;
export type IdempotencyKey = { key: string; fingerprint: string };
/** What a request with this key was answered with. */
export type Replay = { task: string; input: number } | { message: Message };

export class Store {
  readonly records: Records;
  readonly journal: Journal;
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
  readonly #name: string;
  #exists: boolean;
  /** Whether an erasure has left the home empty; undefined: to be read. */
  #isErased: boolean | undefined;

  /**
   * `home` is the object's id. `name` is the home's own, known while it is called by it: when an alarm wakes the object
   * it is not.
   */
  constructor(storage: DurableObjectStorage, home: string, name: string) {
    this.#storage = storage;
    this.#name = name;
    this.records = new Records(storage.sql);
    this.journal = new Journal(storage.sql);
    this.due = new Due(storage);
    this.configs = new PushConfigs(storage.sql);
    this.lanes = new Lanes(storage.sql);
    this.outbox = new Outbox(storage.sql);
    this.dead = new DeadLetters(storage.sql);
    this.audit = new AuditChain(storage.sql, home);
    this.commits = new Commits(storage);
    this.#exists = schemaVersion(storage.sql) > 0;
    if (this.#exists) migrate(storage);
  }

  /** Whether anything was ever written here. */
  get exists(): boolean {
    return this.#exists;
  }

  /** Whether D1 is to know of it: not when an erasure has left it empty and nothing has come since. */
  get isInUse(): boolean {
    if (this.#exists) this.#isErased ??= this.due.erased() !== undefined;
    return this.#exists && this.#isErased === false;
  }

  /** Whether there is room for no new task. */
  get isFull(): boolean {
    return this.#storage.sql.databaseSize > FULL_BYTES;
  }

  /** Runs `write` in one transaction, on a database that has its schema. */
  write<T>(write: () => T): T {
    if (!this.#exists) {
      migrate(this.#storage);
      this.#exists = true;
      this.#isErased = false;
      this.#begin(this.#name);
    }
    try {
      return this.commits.write(write);
    } catch (error) {
      this.records.forgetCounts();
      this.#forget();
      this.audit.forget();
      this.#isErased = undefined;
      throw error;
    }
  }

  /** What is in memory of tasks may not be what is stored any more. */
  #forget(): void {
    this.journal.forget();
    this.configs.forget();
    this.lanes.forget();
  }

  #begin(name: string): void {
    const now = Date.now();
    this.due.set("register", name, now);
    this.due.set("trim", "", now + DAY_MS);
  }

  /** What is written next is an owner's: a home that was left empty is one like others again. */
  #use(): void {
    if (this.isInUse) return;
    const name = this.due.erased() ?? this.#name;
    this.due.clear("erased", name);
    this.#isErased = false;
    this.#begin(name);
  }

  save(change: Change): void {
    const { before, after, entries, memory, companion } = change;
    this.write(() => {
      const now = Date.now();
      if (!before) this.#use();
      this.records.save(before, after);
      if (entries.length > 0) this.journal.append(after.id, entries, now);
      if (memory) this.saveMemory(after.agent, after.contextId, memory, after.statusAt);
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
    return this.#exists ? this.records.get(id) : undefined;
  }

  /** The answer kept for this key, if there is one; a failure if it was given to another request. */
  replay(idempotency: IdempotencyKey, now: number): Result<Replay | undefined, Failure> {
    if (!this.#exists) return ok(undefined);
    const [row] = this.#storage.sql
      .exec<{ fingerprint: string; task: string | null; input: number | null; message: string | null }>(
        "SELECT fingerprint, task, input, message FROM idempotency WHERE key = ? AND expires_at > ?",
        idempotency.key,
        now,
      )
      .toArray();
    if (!row) return ok(undefined);
    if (row.fingerprint !== idempotency.fingerprint) return err(keyReused());
    if (row.message !== null) return ok({ message: JSON.parse(row.message) as Message });
    const { task, input } = row;
    return ok(task === null || input === null || !this.records.get(task) ? undefined : { task, input });
  }

  saveReplay(idempotency: IdempotencyKey, replay: Replay, now: number): void {
    this.#use();
    this.#storage.sql.exec(
      "INSERT OR REPLACE INTO idempotency VALUES (?, ?, ?, ?, ?, ?)",
      idempotency.key,
      idempotency.fingerprint,
      "task" in replay ? replay.task : null,
      "task" in replay ? replay.input : null,
      "message" in replay ? JSON.stringify(replay.message) : null,
      now + KEY_LIFETIME_MS,
    );
  }

  loadMemory(agent: string, contextId: string): Record<string, unknown> {
    if (!this.#exists) return {};
    const [row] = this.#storage.sql
      .exec<{ body: string }>("SELECT body FROM memory WHERE agent = ? AND context_id = ?", agent, contextId)
      .toArray();
    return row ? (JSON.parse(row.body) as Record<string, unknown>) : {};
  }

  /** What agents remember, in the order of agent and conversation, after this one. */
  memoriesAfter(agent: string, contextId: string, limit: number) {
    return this.#storage.sql
      .exec<{ agent: string; contextId: string; body: string }>(
        `SELECT agent, context_id AS contextId, body FROM memory WHERE (agent, context_id) > (?, ?)
         ORDER BY agent, context_id LIMIT ?`,
        agent,
        contextId,
        limit,
      )
      .toArray()
      .map(({ body, ...place }) => ({ ...place, memory: JSON.parse(body) as Record<string, unknown> }));
  }

  /** Whether the memory of a conversation may become what these changes make of it. */
  memoryFits(agent: string, contextId: string, changes: MemoryChanges): boolean {
    return (
      changes.size === 0 || utf8Length(this.#changedMemory(agent, contextId, changes)) <= MAX_MEMORY_BYTES
    );
  }

  /** Turns of one conversation may overlap, so each writes only the keys it has set. */
  #changedMemory(agent: string, contextId: string, changes: MemoryChanges): string {
    return JSON.stringify({ ...this.loadMemory(agent, contextId), ...Object.fromEntries(changes) });
  }

  saveMemory(agent: string, contextId: string, changes: MemoryChanges, now: number): void {
    this.#use();
    const body = this.#changedMemory(agent, contextId, changes);
    this.#storage.sql.exec("INSERT OR REPLACE INTO memory VALUES (?, ?, ?, ?)", agent, contextId, body, now);
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
      this.#storage.sql.exec("DELETE FROM idempotency WHERE expires_at <= ?", now);
      this.#storage.sql.exec(
        `DELETE FROM memory WHERE used_at < ? AND NOT EXISTS (SELECT 1 FROM tasks INDEXED BY tasks_by_context
           WHERE tasks.agent = memory.agent AND tasks.context_id = memory.context_id)`,
        before,
      );
      return expired.length;
    });
  }

  /** Deletes a task with all that belongs to it, but its dead letters; inside a transaction. */
  delete(record: TaskRecord): void {
    this.journal.delete(record.id);
    const pending = this.lanes.forTask(record.id).filter((lane) => lane.pending).length;
    this.outbox.add(droppedItems(pending));
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
      this.due.setErased(name);
      this.#isErased = true;
      return true;
    });
  }

  /** D1 may have forgotten the home while the owner returned. */
  registerAgain(name: string): void {
    if (this.isInUse) this.write(() => this.#begin(name));
  }
}

/** The refusal of an Idempotency-Key that came before with another request. */
export function keyReused(): Failure {
  return failure("INVALID_PARAMS", {
    message: "This Idempotency-Key was used with a different request.",
    violations: [{ field: "Idempotency-Key", description: "was used with a different request" }],
  });
}
