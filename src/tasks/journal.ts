// The journal of a home's tasks in SQL: what was appended, in order. A task is the fold of its rows.
//
// It is also what subscribers read, so replay and live are the same query.

import type { Message } from "../protocol/message.ts";
import type { Task } from "../protocol/task.ts";
import type { Version } from "../protocol/version.ts";
import { splitReplaced, statusOf, toArtifacts, toTask, type View } from "./fold.ts";
import type { Entry, EntryKind, TaskRecord } from "./machine.ts";
import { Tails, type WrittenEntry } from "./tails.ts";

/** A row holds at most 2 MB; a UTF-16 unit takes at most 3 bytes of UTF-8. */
const PIECE_UNITS = 500_000;

/** SQLite takes 100 bound parameters a statement here: 16 rows of six, the task and the time. */
const ROWS_PER_INSERT = 16;

type Row = {
  seq: number;
  kind: EntryKind;
  body: string;
  ref?: string | null;
  version?: Version | null;
};

export class Journal {
  readonly #sql: SqlStorage;
  readonly #tails = new Tails();

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  /** `at`: when they happened, in ms. */
  append(task: string, entries: readonly Entry[], at: number): void {
    const rows = entries.flatMap(toPieces);
    for (let start = 0; start < rows.length; start += ROWS_PER_INSERT) {
      const batch = rows.slice(start, start + ROWS_PER_INSERT);
      const values = batch.map(() => "(?1, ?2, ?, ?, ?, ?, ?, ?)").join(", ");
      const bindings = batch.flatMap(({ seq, piece, kind, body, ref, version }) => {
        return [seq, piece, kind, body, ref ?? null, version ?? null];
      });
      this.#sql.exec(
        `INSERT INTO journal (task, at, seq, piece, kind, body, ref, version) VALUES ${values}`,
        task,
        at,
        ...bindings,
      );
    }
    this.#tails.append(task, entries, at);
  }

  /** Forgets what is in memory: after a transaction that was rolled back. */
  forget(): void {
    this.#tails.forgetAll();
  }

  /** Rows after `afterSeq` in order, until `maxUnits` of text have been read (the last row may exceed it). */
  read(task: string, afterSeq: number, maxUnits = Number.POSITIVE_INFINITY): Entry[] {
    const cursor = this.#sql.exec<Row>(
      "SELECT seq, kind, body, ref, version FROM journal WHERE task = ? AND seq > ? ORDER BY seq, piece",
      task,
      afterSeq,
    );
    return collect(cursor, maxUnits);
  }

  /** One row, and when it was written. */
  entry(task: string, seq: number): WrittenEntry | undefined {
    const known = this.#tails.entry(task, seq);
    if (known) return known;
    const rows = this.#sql
      .exec<Row & { at: number }>(
        "SELECT seq, kind, body, at FROM journal WHERE task = ? AND seq = ? ORDER BY piece",
        task,
        seq,
      )
      .toArray();
    const [entry] = collect(rows, 1);
    return entry && { ...entry, at: rows[0]?.at ?? 0 };
  }

  /** When a row was written, in ms; 0: not known. */
  writtenAt(task: string, seq: number): number {
    const known = this.#tails.entry(task, seq);
    if (known) return known.at;
    const query = "SELECT at FROM journal WHERE task = ? AND seq = ? AND piece = 0";
    return this.#sql.exec<{ at: number }>(query, task, seq).toArray()[0]?.at ?? 0;
  }

  /** The events (statuses and artifacts) after row `afterSeq`, one by one: reading stops where the caller stops. */
  *events(task: string, afterSeq: number): Generator<WrittenEntry> {
    const known = this.#tails.after(task, afterSeq);
    if (known) {
      yield* known.filter(({ kind }) => kind === "status" || kind === "artifact");
      return;
    }
    const rows = this.#sql.exec<Row & { at: number }>(
      `SELECT seq, kind, body, at FROM journal WHERE task = ? AND seq > ? AND kind IN ('status', 'artifact')
       ORDER BY seq, piece`,
      task,
      afterSeq,
    );
    let entry: WrittenEntry | undefined;
    for (const { seq, kind, body, at } of rows) {
      if (entry?.seq === seq) {
        entry.body += body;
        continue;
      }
      if (entry) yield entry;
      entry = { seq, kind, body, at };
    }
    if (entry) yield entry;
  }

  /** The statuses after row `afterSeq`. */
  statuses(
    task: string,
    afterSeq: number,
  ): { seq: number; ref: string | undefined; status: Task["status"] }[] {
    const cursor = this.#sql.exec<Row>(
      "SELECT seq, kind, body, ref FROM journal WHERE task = ? AND seq > ? AND kind = 'status' ORDER BY seq, piece",
      task,
      afterSeq,
    );
    return collect(cursor, Number.POSITIVE_INFINITY).map((entry) => {
      const { seq, ref } = entry;
      return { seq, ref, status: statusOf(entry) };
    });
  }

  /** The newest status before row `seq`. */
  statusBefore(task: string, seq: number): Task["status"] | undefined {
    const query =
      "SELECT seq FROM journal WHERE task = ? AND seq < ? AND kind = 'status' ORDER BY seq DESC LIMIT 1";
    const [row] = this.#sql.exec<{ seq: number }>(query, task, seq).toArray();
    const entry = row && this.entry(task, row.seq);
    return entry && statusOf(entry);
  }

  /** The row of the follow-up that the call `command` brought. */
  findCommand(task: string, command: string): number | undefined {
    const query = "SELECT seq FROM journal WHERE task = ? AND kind = 'message' AND ref = ?";
    return this.#sql.exec<{ seq: number }>(query, task, command).toArray()[0]?.seq;
  }

  /** The first message from the client after row `afterSeq`. */
  nextMessage(task: string, afterSeq: number): Entry | undefined {
    const cursor = this.#sql.exec<Row>(
      "SELECT seq, kind, body, version FROM journal WHERE task = ? AND seq > ? AND kind = 'message' ORDER BY seq, piece",
      task,
      afterSeq,
    );
    return collect(cursor, 1)[0];
  }

  /** The task as a client sees it, or saw it when the row `record.seq` was its newest. */
  toTask(record: TaskRecord, view: View): Task {
    const rows = this.#rowsFor(record, view);
    return toTask(
      record,
      rows.at(-1)?.seq === record.seq ? rows : rows.filter(({ seq }) => seq <= record.seq),
      view,
    );
  }

  /** The task without its history, as it was when row `seq` was its newest: the rows say it, whatever came later. */
  taskAt(task: string, seq: number): Task {
    const entries = this.read(task, 0).filter((entry) => entry.seq <= seq);
    const [first] = entries;
    const contextId = first && (JSON.parse(first.body) as Message).contextId;
    const last = splitReplaced(entries).standing.findLast(({ kind }) => kind === "status");
    const artifacts = toArtifacts(entries);
    return {
      id: task,
      ...(contextId !== undefined && { contextId }),
      status: last ? statusOf(last) : { state: "TASK_STATE_SUBMITTED" },
      ...(artifacts.length > 0 && { artifacts }),
    };
  }

  delete(task: string): void {
    this.#tails.forget(task);
    this.#sql.exec("DELETE FROM journal WHERE task = ?", task);
  }

  #rowsFor(record: TaskRecord, view: View): Entry[] {
    if (view.artifacts) return this.read(record.id, 0);
    if (view.historyLength === 0) {
      // Only the present status is needed.
      const cursor = this.#sql.exec<Row>(
        "SELECT seq, kind, body FROM journal WHERE task = ? AND seq = ? ORDER BY piece",
        record.id,
        record.statusSeq,
      );
      return collect(cursor, Number.POSITIVE_INFINITY);
    }
    const cursor = this.#sql.exec<Row>(
      "SELECT seq, kind, body FROM journal WHERE task = ? AND kind <> 'artifact' ORDER BY seq, piece",
      record.id,
    );
    return collect(cursor, Number.POSITIVE_INFINITY);
  }
}

function collect(rows: Iterable<Row>, maxUnits: number): Entry[] {
  const entries: Entry[] = [];
  let units = 0;
  for (const row of rows) {
    const last = entries.at(-1);
    if (last?.seq === row.seq) {
      last.body += row.body;
    } else {
      if (units >= maxUnits) break;
      entries.push({
        seq: row.seq,
        kind: row.kind,
        body: row.body,
        ...(row.ref != null && { ref: row.ref }),
        ...(row.version != null && { version: row.version }),
      });
    }
    units += row.body.length;
  }
  return entries;
}

function toPieces(entry: Entry): (Entry & { piece: number })[] {
  const { body } = entry;
  if (body.length <= PIECE_UNITS) return [{ ...entry, piece: 0 }];
  const pieces = [];
  let start = 0;
  while (start < body.length) {
    let end = Math.min(start + PIECE_UNITS, body.length);
    // A surrogate pair is not cut: each half alone would be stored as U+FFFD.
    const unit = body.charCodeAt(end - 1);
    if (end < body.length && unit >= 0xd800 && unit <= 0xdbff) end -= 1;
    pieces.push({ ...entry, piece: pieces.length, body: body.slice(start, end) });
    start = end;
  }
  return pieces;
}
