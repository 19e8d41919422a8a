// The tables `attempt_hours` and `endpoint_hours`: what analytics reads instead of the attempts themselves. A row is
// an hour of one kind of result, or of one endpoint; a million attempts are a few thousand rows.
//
// They are written with the attempts, in the same transaction and under the same condition, so that what comes twice
// is not counted twice.

import type { AttemptRow } from "./attempts.ts";
import { toJsonChunks } from "./json-chunks.ts";

const HOUR_MS = 3_600_000;

/** Upper bounds of the classes of durations, in ms; each is a column. The last holds all that is longer, too. */
export const DURATION_BOUNDS_MS = [10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000] as const;

const bucketColumns = DURATION_BOUNDS_MS.map((bound) => `le_${bound}`);

const bucketSums = DURATION_BOUNDS_MS.map((bound, i) => {
  const above = i === 0 ? "true" : `ms > ${DURATION_BOUNDS_MS[i - 1]}`;
  const upTo = i === DURATION_BOUNDS_MS.length - 1 ? "true" : `ms <= ${bound}`;
  return `sum(${above} AND ${upTo})`;
});

/** What has not been counted yet. */
const FRESH = `fresh AS (
  SELECT value ->> 'owner' AS owner, value ->> 'origin' AS origin, value ->> 'outcome' AS outcome,
    coalesce(value ->> 'status', 0) AS status, coalesce(value ->> 'error', '') AS error,
    value ->> 'attempt' AS attempt, value ->> 'ms' AS ms,
    value ->> 'at' - value ->> 'at' % ${HOUR_MS} AS hour
  FROM json_each(?1) LEFT JOIN ships ON ships.home = value ->> 'home'
  WHERE value ->> 'n' > coalesce(ships.n, -1))`;

function add(columns: readonly string[]): string {
  return columns.map((column) => `${column} = ${column} + excluded.${column}`).join(", ");
}

const counts = ["attempts", "retries", "duration_ms", ...bucketColumns];
const ADD_HOURS = `WITH ${FRESH}
  INSERT INTO attempt_hours (hour, outcome, status, error, ${counts.join(", ")})
  SELECT hour, outcome, status, error, count(*), sum(attempt > 1), sum(ms), ${bucketSums.join(", ")}
  FROM fresh WHERE true GROUP BY hour, outcome, status, error
  ON CONFLICT (hour, outcome, status, error) DO UPDATE SET ${add(counts)}`;

const endpointCounts = ["attempts", "delivered", "retries", "duration_ms"];
const ADD_ENDPOINTS = `WITH ${FRESH}
  INSERT INTO endpoint_hours (hour, owner, origin, ${endpointCounts.join(", ")})
  SELECT hour, owner, origin, count(*), sum(outcome = 'delivered'), sum(attempt > 1), sum(ms)
  FROM fresh WHERE true GROUP BY hour, owner, origin
  ON CONFLICT (hour, owner, origin) DO UPDATE SET ${add(endpointCounts)}`;

/** Statements that count the attempts, to be run before the home is marked as having shipped them. */
export function sumStatements(db: D1Database, rows: readonly AttemptRow[]): D1PreparedStatement[] {
  const counted = rows.map((row) => {
    const { home, n, owner, origin, outcome, status, error, attempt, durationMs, startedAt } = row;
    return { home, n, owner, origin, outcome, status, error, attempt, ms: durationMs, at: startedAt };
  });
  return toJsonChunks(counted).flatMap((chunk) => [
    db.prepare(ADD_HOURS).bind(chunk),
    db.prepare(ADD_ENDPOINTS).bind(chunk),
  ]);
}

export type HourSum = {
  /** Its first ms. */
  hour: number;
  attempts: number;
  delivered: number;
  retries: number;
};

/** The attempts that ended alike. */
export type KindSum = {
  outcome: string;
  /** Null: there was no answer. */
  status: number | null;
  /** Null: there was one. */
  error: string | null;
  attempts: number;
  retries: number;
  durationMs: number;
  /** How many took no longer than the bound at the same place of DURATION_BOUNDS_MS, but longer than the one before. */
  durations: number[];
};

/** Sums over the hours that begin from `from` (inclusive) to `to` (exclusive), in ms: by hour, and by kind of result. */
export async function readSums(
  db: D1Database,
  from: number,
  to: number,
): Promise<{ hours: HourSum[]; kinds: KindSum[] }> {
  const durations = bucketColumns.map((column) => `sum(${column})`).join(", ");
  const [hours, kinds] = await db.batch([
    db
      .prepare(
        `SELECT hour, sum(attempts) AS attempts, sum(retries) AS retries,
           sum(CASE WHEN outcome = 'delivered' THEN attempts ELSE 0 END) AS delivered
         FROM attempt_hours WHERE hour >= ? AND hour < ? GROUP BY hour ORDER BY hour`,
      )
      .bind(from, to),
    db
      .prepare(
        `SELECT outcome, nullif(status, 0) AS status, nullif(error, '') AS error, sum(attempts) AS attempts,
           sum(retries) AS retries, sum(duration_ms) AS durationMs, json_array(${durations}) AS durations
         FROM attempt_hours WHERE hour >= ? AND hour < ?
         GROUP BY attempt_hours.outcome, attempt_hours.status, attempt_hours.error
         ORDER BY attempts DESC, outcome, status, error`,
      )
      .bind(from, to),
  ]);
  const unread = (kinds?.results ?? []) as (KindSum & { durations: string })[];
  return {
    hours: (hours?.results ?? []) as HourSum[],
    kinds: unread.map((kind) => ({ ...kind, durations: JSON.parse(kind.durations) as number[] })),
  };
}

export type Activity = { attempts: number; delivered: number; retries: number; durationMs: number };

export type MostActive = {
  owners: (Activity & { owner: string })[];
  endpoints: (Activity & { owner: string; origin: string })[];
  /** The first ms of what was looked at: later than asked for when there was too much of it. */
  since: number;
};

/** Rows that one question about the most active may read. */
const ACTIVITY_ROWS = 100_000;

/** Who had the most attempts in the hours from `from` to `to`; at most `limit` of each. */
export async function readMostActive(
  db: D1Database,
  { from, to, limit }: { from: number; to: number; limit: number },
): Promise<MostActive> {
  const hours = `hours AS (
    SELECT * FROM endpoint_hours WHERE hour >= ?1 AND hour < ?2 ORDER BY hour DESC LIMIT ?3)`;
  const sums = endpointCounts
    .map((column) => `sum(${column}) AS ${column === "duration_ms" ? "durationMs" : column}`)
    .join(", ");
  const top = (columns: string) =>
    db
      .prepare(
        `WITH ${hours} SELECT ${columns}, ${sums} FROM hours GROUP BY ${columns}
         ORDER BY attempts DESC, ${columns} LIMIT ?4`,
      )
      .bind(from, to, ACTIVITY_ROWS, limit);
  const [owners, endpoints, start] = await db.batch([
    top("owner"),
    top("owner, origin"),
    db
      .prepare(
        "SELECT hour FROM endpoint_hours WHERE hour >= ? AND hour < ? ORDER BY hour DESC LIMIT 1 OFFSET ?",
      )
      .bind(from, to, ACTIVITY_ROWS),
  ]);
  const [cut] = (start?.results ?? []) as { hour: number }[];
  return {
    owners: (owners?.results ?? []) as MostActive["owners"],
    endpoints: (endpoints?.results ?? []) as MostActive["endpoints"],
    // The hour in which the limit was reached was read in part only.
    since: cut === undefined ? from : cut.hour + HOUR_MS,
  };
}

/** Deletes at most `limit` rows of each table, of hours that began before `before` (ms); how many there were. */
export async function trimSums(db: D1Database, before: number, limit: number): Promise<number> {
  const results = await db.batch([
    db
      .prepare(
        `DELETE FROM attempt_hours WHERE (hour, outcome, status, error) IN (
           SELECT hour, outcome, status, error FROM attempt_hours WHERE hour < ?1 ORDER BY hour LIMIT ?2)`,
      )
      .bind(before, limit),
    db
      .prepare(
        `DELETE FROM endpoint_hours WHERE (hour, owner, origin) IN (
           SELECT hour, owner, origin FROM endpoint_hours WHERE hour < ?1 ORDER BY hour LIMIT ?2)`,
      )
      .bind(before, limit),
  ]);
  return results.reduce((sum, { meta }) => sum + meta.changes, 0);
}
