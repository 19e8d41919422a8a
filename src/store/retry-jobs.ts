// The table `retry_jobs`: retries of many dead letters, in chunks.
//
// A chunk is claimed for a while (its lease) by adding one to `step`, and can be finished while the step is still the
// same: see retry-chunks. Whoever dies in between leaves a chunk that is claimed again when the lease has run out, also
// if its job was paused or cancelled meanwhile. A job retries what had died when it was made; what dies again is not
// its business.

import type { DeadLetterFilter } from "./dead-letters.ts";
import { type Found, type Page, readPage } from "./keyset.ts";

export type RetryJobState = "running" | "paused" | "cancelled" | "done";

/** Letters in any state but dead are not retried by a job. */
export type RetryFilter = Omit<DeadLetterFilter, "state">;

/** Times in ms. */
export type RetryJob = {
  id: string;
  state: RetryJobState;
  filter: RetryFilter;
  /** How far it has come: when the last letter that it handled had died; 0 at the beginning. */
  cursorAt: number;
  cursorId: string;
  /** Taken back by their homes. */
  retried: number;
  /** Whose config or task exists no more. */
  gone: number;
  /** Whose home could not be asked; they are still dead. */
  failed: number;
  step: number;
  /** The operator who made it; empty: it was made before they were remembered. */
  actor: string;
  createdAt: number;
  updatedAt: number;
};

type Row = Omit<RetryJob, "filter"> & { filter: string };

const COLUMNS =
  "id, state, filter, cursor_at AS cursorAt, cursor_id AS cursorId, retried, gone, failed, step, actor, created_at AS createdAt, updated_at AS updatedAt";

export async function createRetryJob(
  db: D1Database,
  { id, filter, actor, now }: { id: string; filter: RetryFilter; actor: string; now: number },
): Promise<RetryJob> {
  const row = await db
    .prepare(
      `INSERT INTO retry_jobs (id, state, filter, cursor_at, cursor_id, retried, gone, failed, step, lease_until,
         actor, created_at, updated_at)
       VALUES (?1, 'running', ?2, 0, '', 0, 0, 0, 0, 0, ?4, ?3, ?3) RETURNING ${COLUMNS}`,
    )
    .bind(id, JSON.stringify(filter), now, actor)
    .first<Row>();
  if (row === null) throw new Error("a retry job was inserted and is not there");
  return toJob(row);
}

export async function findRetryJob(db: D1Database, id: string): Promise<RetryJob | undefined> {
  const row = await db.prepare(`SELECT ${COLUMNS} FROM retry_jobs WHERE id = ?`).bind(id).first<Row>();
  return row === null ? undefined : toJob(row);
}

/** Jobs, the newest first: their ids are UUIDs v7. */
export async function listRetryJobs(db: D1Database, page: Page): Promise<Found<RetryJob>> {
  const walk = {
    table: "retry_jobs",
    index: undefined,
    order: ["id"],
    descending: true,
    columns: COLUMNS,
    key: ["id"],
    within: [{ column: "id", test: "> ?", value: "" }],
    checks: [],
  };
  const { rows, next } = await readPage<Row>(db, walk, page, ({ id }) => [id]);
  return { rows: rows.map(toJob), next };
}

/** Changes a job's state if it is in one of the states `from`; the job as it is then, undefined if it was in another. */
export async function changeRetryJob(
  db: D1Database,
  id: string,
  { from, to, now }: { from: readonly RetryJobState[]; to: RetryJobState; now: number },
): Promise<RetryJob | undefined> {
  const row = await db
    .prepare(
      `UPDATE retry_jobs SET state = ?2, updated_at = ?3
       WHERE id = ?1 AND state IN (SELECT value FROM json_each(?4)) RETURNING ${COLUMNS}`,
    )
    .bind(id, to, now, JSON.stringify(from))
    .first<Row>();
  return row === null ? undefined : toJob(row);
}

/** Jobs that run, or have a chunk in hand, and that nobody holds; those first that have waited longest. */
export async function idleRetryJobs(db: D1Database, now: number, limit: number): Promise<string[]> {
  const { results } = await db
    .prepare(
      `SELECT id, lease_until FROM retry_jobs INDEXED BY retry_jobs_running
       WHERE state = 'running' AND lease_until <= ?1
       UNION
       SELECT id, lease_until FROM retry_jobs INDEXED BY retry_jobs_begun
       WHERE chunk IS NOT NULL AND lease_until <= ?1
       ORDER BY lease_until LIMIT ?2`,
    )
    .bind(now, limit)
    .all<{ id: string }>();
  return results.map(({ id }) => id);
}

/** `chunk`: what its former holder has left; null: nothing. */
export type ClaimedJob = RetryJob & { chunk: string | null };

/** Takes a job until `leaseUntil`; undefined if there is nothing to do, or somebody holds it. */
export async function claimRetryJob(
  db: D1Database,
  id: string,
  { now, leaseUntil }: { now: number; leaseUntil: number },
): Promise<ClaimedJob | undefined> {
  const row = await db
    .prepare(
      `UPDATE retry_jobs SET step = step + 1, lease_until = ?3
       WHERE id = ?1 AND (state = 'running' OR chunk IS NOT NULL) AND lease_until <= ?2
       RETURNING ${COLUMNS}, chunk`,
    )
    .bind(id, now, leaseUntil)
    .first<Row & Pick<ClaimedJob, "chunk">>();
  return row === null ? undefined : { ...toJob(row), chunk: row.chunk };
}

/** Deletes at most `limit` jobs that ended before `before` (ms); how many there were. */
export async function trimRetryJobs(db: D1Database, before: number, limit: number): Promise<number> {
  const { meta } = await db
    .prepare(
      `DELETE FROM retry_jobs WHERE id IN (
         SELECT id FROM retry_jobs WHERE updated_at < ?1 AND state IN ('cancelled', 'done') ORDER BY id LIMIT ?2)`,
    )
    .bind(before, limit)
    .run();
  return meta.changes;
}

function toJob(row: Row): RetryJob {
  return { ...row, filter: JSON.parse(row.filter) as RetryFilter };
}
