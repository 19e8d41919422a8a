// The table `lanes` of a home: how far each config has got in the journal of its task.
//
// The journal's row is the notification, so a lane is one row: its head, the attempts the head has had and when
// the next is due. A lane with a list of its own sends again what is on it, and is gone at its end.

import { keepNewest } from "../lib/keep-newest.ts";
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
  /** Attempts since the newest success, without those of an outage that was short and long ago; when they began. */
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

/** When (ms) a lane is due. */
export type DueTime = { task: string; lane: string; due: number };

/** `oldestAt`: when the oldest event that waits was committed, in ms. */
export type Waiting = { count: number; oldestAt: number | null; overdue: number };

type Unwritten = { lane: Lane; isNew: boolean };

/** Tasks whose lanes are kept in memory: each is read several times for every notification. */
const REMEMBERED = 100;

export class Lanes {
  readonly #sql: SqlStorage;
  /** By task and name. */
  readonly #remembered = new Map<string, Map<string, Lane>>();
  /** Of the transaction that is being written: a lane that is changed twice is one row written. By task and name. */
  readonly #unwritten = new Map<string, Unwritten>();

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  /** Forgets what is in memory: after a transaction that was rolled back. */
  forget(): void {
    this.#remembered.clear();
    this.#unwritten.clear();
  }

  /** Writes lanes that are new or have changed. */
  flush(): void {
    for (const { lane, isNew } of this.#unwritten.values()) {
      if (isNew) this.#insert(lane);
      else this.#update(lane);
    }
    this.#unwritten.clear();
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
    keepNewest(this.#remembered, task, lanes, REMEMBERED);
  }

  /** Adds a lane; it is written with the end of the transaction. */
  insert(lane: Lane): void {
    this.#unwritten.set(keyOf(lane), { lane: { ...lane }, isNew: true });
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

  /** Changes what changes in a lane's life; it is written with the end of the transaction. */
  save(lane: Lane): void {
    const remembered = this.#remembered.get(lane.task);
    if (remembered?.has(lane.lane)) remembered.set(lane.lane, { ...lane });
    const key = keyOf(lane);
    const unwritten = this.#unwritten.get(key);
    if (!unwritten?.isNew) {
      this.#unwritten.set(key, { lane: { ...lane }, isNew: false });
      return;
    }
    const { config, endpoint, target, ids, start, list } = unwritten.lane;
    Object.assign(unwritten.lane, lane, { config, endpoint, target, ids, start, list });
  }

  #update(lane: Lane): void {
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

  /** When lanes of a target are due, the earliest first; read from the index. */
  dueTimes({ endpoint, target }: Target, limit: number): DueTime[] {
    return this.#written
      .exec<DueTime>(
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

  /** How many lanes of an endpoint wait, counted up to `most`; read from the index. */
  countWaiting(endpoint: string, most: number): number {
    return this.#written
      .exec<{ count: number }>(
        `SELECT COUNT(*) AS count FROM
           (SELECT 1 FROM lanes WHERE endpoint = ? AND due IS NOT NULL LIMIT ?)`,
        endpoint,
        most,
      )
      .one().count;
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

function keyOf({ task, lane }: Pick<Lane, "task" | "lane">): string {
  return `${task} ${lane}`;
}
