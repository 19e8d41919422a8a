// The table `tasks` of a home: one row a task, and the lists over it.
//
// Totals by agent and state are counters in memory, rebuilt when the object starts: counting 100,000 rows
// for each page would take longer than the page.

import { isTerminal, type TaskState } from "../protocol/state.ts";
import type { TaskRecord } from "./machine.ts";

type Row = {
  id: string;
  agent: string;
  context_id: string;
  state: string;
  status_at: number;
  status_seq: number;
  seq: number;
  bytes: number;
  attempt: number;
  turn_seq: number;
  turn_input: number;
  answered: number;
  inputs: number;
  job: string | null;
};

export type ListFilter = {
  agent: string;
  contextId?: string | undefined;
  state?: TaskState | undefined;
  /** Statuses at or after this time, in ms. */
  since?: number | undefined;
};

/** Where a page begins: after this task, in the order (statusAt, id) descending. */
export type Position = { statusAt: number; id: string };

/** How long a task that has ended is kept for notifications that have not. */
const HELD_MS = 30 * 86_400_000;

export class Records {
  readonly #sql: SqlStorage;
  #counts: Map<string, number> | undefined;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  get(id: string): TaskRecord | undefined {
    const [row] = this.#sql.exec<Row>("SELECT * FROM tasks WHERE id = ?", id).toArray();
    return row && toRecord(row);
  }

  /** Writes what changed: a new task is one row and three index rows, a chunk one row. */
  save(before: TaskRecord | undefined, record: TaskRecord): void {
    if (!before) {
      this.#sql.exec(
        "INSERT INTO tasks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        record.id,
        record.agent,
        record.contextId,
        record.state,
        record.statusAt,
        record.statusSeq,
        record.seq,
        record.bytes,
        record.attempt,
        record.turnSeq,
        record.turnInput,
        record.answered,
        record.inputs,
        record.job,
      );
      this.#count(record, 1);
      return;
    }
    if (
      before.statusSeq === record.statusSeq &&
      before.attempt === record.attempt &&
      before.job === record.job
    ) {
      // No index holds these columns.
      this.#sql.exec(
        "UPDATE tasks SET seq = ?, bytes = ?, turn_seq = ?, turn_input = ?, answered = ?, inputs = ? WHERE id = ?",
        record.seq,
        record.bytes,
        record.turnSeq,
        record.turnInput,
        record.answered,
        record.inputs,
        record.id,
      );
      return;
    }
    this.#sql.exec(
      `UPDATE tasks SET state = ?, status_at = ?, status_seq = ?, seq = ?, bytes = ?, attempt = ?, turn_seq = ?,
         turn_input = ?, answered = ?, inputs = ?, job = ? WHERE id = ?`,
      record.state,
      record.statusAt,
      record.statusSeq,
      record.seq,
      record.bytes,
      record.attempt,
      record.turnSeq,
      record.turnInput,
      record.answered,
      record.inputs,
      record.job,
      record.id,
    );
    this.#count(before, -1);
    this.#count(record, 1);
  }

  delete(record: TaskRecord): void {
    this.#sql.exec("DELETE FROM tasks WHERE id = ?", record.id);
    this.#count(record, -1);
  }

  /** Tasks whose quick turn was running when the process that ran it died (or runs still). */
  running(): TaskRecord[] {
    return this.#sql
      .exec<Row>("SELECT * FROM tasks INDEXED BY tasks_running WHERE attempt > 0 AND job IS NULL")
      .toArray()
      .map(toRecord);
  }

  /** Tasks of all agents, by id, those after `id`. */
  after(id: string, limit: number): TaskRecord[] {
    return this.#sql
      .exec<Row>("SELECT * FROM tasks WHERE id > ? ORDER BY id LIMIT ?", id, limit)
      .toArray()
      .map(toRecord);
  }

  list(filter: ListFilter, after: Position | undefined, limit: number): TaskRecord[] {
    const { index, where, bindings } = toQuery(filter);
    if (after) {
      where.push("(status_at, id) < (?, ?)");
      bindings.push(after.statusAt, after.id);
    }
    const query = `SELECT * FROM tasks INDEXED BY ${index} WHERE ${where.join(" AND ")}
      ORDER BY status_at DESC, id DESC LIMIT ?`;
    return this.#sql
      .exec<Row>(query, ...bindings, limit)
      .toArray()
      .map(toRecord);
  }

  /** How many tasks the filter selects. */
  total(filter: ListFilter): number {
    if (filter.contextId === undefined && filter.since === undefined) {
      const wanted = `${filter.agent}/${filter.state ?? ""}`;
      let total = 0;
      for (const [key, count] of this.#counters()) if (key.startsWith(wanted)) total += count;
      return total;
    }
    const { index, where, bindings } = toQuery(filter);
    const query = `SELECT COUNT(*) AS total FROM tasks INDEXED BY ${index} WHERE ${where.join(" AND ")}`;
    return this.#sql.exec<{ total: number }>(query, ...bindings).one().total;
  }

  /**
   * The oldest ended tasks whose status is older than `before` (ms), of all agents. Those with notifications that are
   * pending, or dead and not filed yet, are kept 30 days for them.
   */
  expired(before: number, limit: number, now: number): TaskRecord[] {
    const found: TaskRecord[] = [];
    for (const key of this.#counters().keys()) {
      const [agent, state] = key.split("/") as [string, TaskState];
      if (!isTerminal(state)) continue;
      const rows = this.#sql.exec<Row>(
        `SELECT * FROM tasks INDEXED BY tasks_by_state WHERE agent = ? AND state = ? AND status_at < ?
           AND (status_at < ? OR NOT EXISTS (SELECT 1 FROM lanes WHERE task = tasks.id AND pending = 1)
             AND NOT EXISTS (SELECT 1 FROM dead WHERE dead.task = tasks.id))
         ORDER BY status_at LIMIT ?`,
        agent,
        state,
        before,
        now - HELD_MS,
        limit,
      );
      for (const row of rows) found.push(toRecord(row));
    }
    return found.sort((a, b) => a.statusAt - b.statusAt).slice(0, limit);
  }

  #count(record: TaskRecord, by: 1 | -1): void {
    if (!this.#counts) return;
    const key = `${record.agent}/${record.state}`;
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + by);
  }

  #counters(): Map<string, number> {
    if (!this.#counts) {
      const rows = this.#sql.exec<{ agent: string; state: string; count: number }>(
        "SELECT agent, state, COUNT(*) AS count FROM tasks INDEXED BY tasks_by_state GROUP BY agent, state",
      );
      this.#counts = new Map(rows.toArray().map((row) => [`${row.agent}/${row.state}`, row.count]));
    }
    return this.#counts;
  }

  /** Makes the counters be rebuilt: after a transaction that was rolled back. */
  forgetCounts(): void {
    this.#counts = undefined;
  }
}

function toQuery(filter: ListFilter): { index: string; where: string[]; bindings: (string | number)[] } {
  const where = ["agent = ?"];
  const bindings: (string | number)[] = [filter.agent];
  let index = "tasks_by_time";
  if (filter.state !== undefined) {
    where.push("state = ?");
    bindings.push(filter.state);
    index = "tasks_by_state";
  }
  if (filter.contextId !== undefined) {
    where.push("context_id = ?");
    bindings.push(filter.contextId);
    index = "tasks_by_context";
  }
  if (filter.since !== undefined) {
    where.push("status_at >= ?");
    bindings.push(filter.since);
  }
  return { index, where, bindings };
}

function toRecord(row: Row): TaskRecord {
  return {
    id: row.id,
    agent: row.agent,
    contextId: row.context_id,
    state: row.state as TaskState,
    statusAt: row.status_at,
    statusSeq: row.status_seq,
    seq: row.seq,
    bytes: row.bytes,
    attempt: row.attempt,
    turnSeq: row.turn_seq,
    turnInput: row.turn_input,
    answered: row.answered,
    inputs: row.inputs,
    job: row.job,
  };
}
