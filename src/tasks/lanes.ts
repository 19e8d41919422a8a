// The table `lanes` of a home: how far each config has got in the journal of its task.
//
// The journal's row is the notification, so a lane is one row: its head, the attempts the head has had and when
// the next is due. A lane with a list of its own sends again what is on it, and is gone at its end.

import { changing, type LaneRow, toLane } from "./lane-row.ts";

export type LaneState = "active" | "paused" | "disabled";

/** A notification: its row in the journal and its number among those of its config. */
export type Notification = readonly [seq: number, sequence: number];

export type Lane = {
  task: string;
  /** The generation of the config it belongs to, or a name of its own. */
  lane: string;
  config: string;
  /** Name of the EndpointObject. */
  endpoint: string;
  target: string;
  /** What its webhook-ids begin with: the same over all generations of a config. */
  ids: string;
  /** The journal row after which the config's notifications begin. */
  start: number;
  /** What is to be sent again; null: everything that follows. */
  list: readonly Notification[] | null;
  /** Of the newest settled notification. */
  sequence: number;
  /** Journal row of the oldest pending notification; if none is pending, of the newest settled one. */
  head: number;
  pending: boolean;
  /** Attempts that the head has had. */
  attempt: number;
  /** When the head is to be sent, in ms; null: nothing is pending, or the lane does not run. */
  due: number | null;
  /** The time a notification has is counted from here at the earliest (ms): a lane that stood still gets it anew. */
  clockFrom: number;
  state: LaneState;
  reason: string | null;
  stateAt: number;
  delivered: number;
  dead: number;
  /** Attempts since the newest success, and when they began. */
  failures: number;
  failingSince: number | null;
  lastAt: number | null;
  lastStatus: number | null;
  lastError: string | null;
  /** The batch that the head is frozen in. */
  batch: string | null;
};

/** Where pending notifications go. */
export type Target = { endpoint: string; target: string };

export type LaneKey = Target & { task: string; lane: string };

/** `oldestAt`: when the oldest event that waits was committed, in ms. */
export type Waiting = { count: number; oldestAt: number | null; overdue: number };

/** Tasks whose lanes are kept in memory: each is read several times for every notification. */
const REMEMBERED = 1_000;

export class Lanes {
  readonly #sql: SqlStorage;
  /** By task and name. */
  readonly #remembered = new Map<string, Map<string, Lane>>();
  /** Of the transaction that is being written: a lane that is woken by the same event is one row written, not two. */
  #unwritten: Lane[] = [];

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  /** Forgets what is in memory: after a transaction that was rolled back. */
  forget(): void {
    this.#remembered.clear();
    this.#unwritten = [];
  }

  /** Writes lanes that are new. */
  flush(): void {
    if (this.#unwritten.length === 0) return;
    const lanes = this.#unwritten;
    this.#unwritten = [];
    for (const lane of lanes) this.#insert(lane);
  }

  /** What is read must have been written. */
  get #written(): SqlStorage {
    this.flush();
    return this.#sql;
  }

  /** A task that is new has none. */
  begin(task: string): void {
    this.#remember(task, new Map());
  }

  get(task: string, lane: string): Lane | undefined {
    const found = this.#lanesOf(task).get(lane);
    return found && { ...found };
  }

  forTask(task: string): Lane[] {
    return Array.from(this.#lanesOf(task).values(), (lane) => ({ ...lane }));
  }

  #lanesOf(task: string): ReadonlyMap<string, Lane> {
    const remembered = this.#remembered.get(task);
    if (remembered) return remembered;
    const rows = this.#written.exec<LaneRow>("SELECT * FROM lanes WHERE task = ?", task).toArray();
    const lanes = new Map(rows.map((row) => [row.lane, toLane(row)]));
    this.#remember(task, lanes);
    return lanes;
  }

  #remember(task: string, lanes: Map<string, Lane>): void {
    if (this.#remembered.size >= REMEMBERED) this.#remembered.clear();
    this.#remembered.set(task, lanes);
  }

  /** Adds a lane; it is written with the end of the transaction. */
  insert(lane: Lane): void {
    this.#unwritten.push({ ...lane });
    this.#remembered.get(lane.task)?.set(lane.lane, { ...lane });
  }

  #insert(lane: Lane): void {
    this.#sql.exec(
      `INSERT OR REPLACE INTO lanes VALUES
         (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      lane.task,
      lane.lane,
      lane.config,
      lane.endpoint,
      lane.target,
      lane.ids,
      lane.start,
      lane.list && JSON.stringify(lane.list),
      ...changing(lane),
    );
  }

  /** Writes what changes in a lane's life. */
  save(lane: Lane): void {
    const remembered = this.#remembered.get(lane.task);
    if (remembered?.has(lane.lane)) remembered.set(lane.lane, { ...lane });
    const unwritten = this.#unwritten.find((other) => other.task === lane.task && other.lane === lane.lane);
    if (unwritten) {
      const { config, endpoint, target, ids, start, list } = unwritten;
      Object.assign(unwritten, lane, { config, endpoint, target, ids, start, list });
      return;
    }
    this.#sql.exec(
      `UPDATE lanes SET sequence = ?, head = ?, attempt = ?, due = ?, pending = ?, clock_from = ?, state = ?,
         reason = ?, state_at = ?, delivered = ?, dead = ?, failures = ?, failing_since = ?, last_at = ?,
         last_status = ?, last_error = ?, batch = ? WHERE task = ? AND lane = ?`,
      ...changing(lane),
      lane.task,
      lane.lane,
    );
  }

  delete(task: string, lane: string): void {
    this.#written.exec("DELETE FROM lanes WHERE task = ? AND lane = ?", task, lane);
    this.#remembered.get(task)?.delete(lane);
  }

  deleteTask(task: string): void {
    this.#written.exec("DELETE FROM lanes WHERE task = ?", task);
    this.#remembered.delete(task);
  }

  /** Lanes of a target that are due before or at `until` (ms), the longest waiting first; read from the index. */
  due({ endpoint, target }: Target, until: number, limit: number): LaneKey[] {
    return this.#written
      .exec<LaneKey>(
        `SELECT task, lane, endpoint, target FROM lanes WHERE endpoint = ? AND target = ? AND due <= ?
         ORDER BY due LIMIT ?`,
        endpoint,
        target,
        until,
        limit,
      )
      .toArray();
  }

  /** When lanes of a target are due, the earliest first. */
  dueTimes({ endpoint, target }: Target, limit: number): { task: string; lane: string; due: number }[] {
    return this.#written
      .exec<{ task: string; lane: string; due: number }>(
        `SELECT task, lane, due FROM lanes WHERE endpoint = ? AND target = ? AND due IS NOT NULL
         ORDER BY due LIMIT ?`,
        endpoint,
        target,
        limit,
      )
      .toArray();
  }

  /** Every target that something is due for, now or later. */
  targets(): Target[] {
    return this.#written
      .exec<Target>("SELECT DISTINCT endpoint, target FROM lanes WHERE due IS NOT NULL")
      .toArray();
  }

  /** Whether any lane waits for its time. */
  anyDue(): boolean {
    return this.#written.exec("SELECT 1 FROM lanes WHERE due IS NOT NULL LIMIT 1").toArray().length > 0;
  }

  /** How many lanes wait, counted up to `most`. */
  countWaiting(most: number): number {
    const query = "SELECT COUNT(*) AS count FROM (SELECT 1 FROM lanes WHERE due IS NOT NULL LIMIT ?)";
    return this.#written.exec<{ count: number }>(query, most).one().count;
  }

  /** How many lanes wait, and how many of them were due before `dueBefore` (ms). */
  waiting(dueBefore: number): Waiting {
    const row = this.#written
      .exec<{ count: number; oldest: number | null; overdue: number | null }>(
        `SELECT COUNT(*) AS count, SUM(due < ?) AS overdue,
           MIN((SELECT at FROM journal WHERE journal.task = lanes.task AND seq = head AND piece = 0)) AS oldest
         FROM lanes WHERE due IS NOT NULL`,
        dueBefore,
      )
      .one();
    return { count: row.count, oldestAt: row.oldest, overdue: row.overdue ?? 0 };
  }

  loadBatch(id: string): string | undefined {
    const query = "SELECT members FROM batches WHERE id = ?";
    return this.#sql.exec<{ members: string }>(query, id).toArray()[0]?.members;
  }

  saveBatch(id: string, members: string): void {
    this.#sql.exec("INSERT OR REPLACE INTO batches VALUES (?, ?)", id, members);
  }

  deleteBatch(id: string): void {
    this.#sql.exec("DELETE FROM batches WHERE id = ?", id);
  }

  /** Deletes batches whose members have all been deleted or stopped. */
  trimBatches(): void {
    this.#written.exec(
      "DELETE FROM batches WHERE id NOT IN (SELECT batch FROM lanes WHERE batch IS NOT NULL)",
    );
  }
}
