// The table `attempts`: every attempt to deliver a notification, searched by operators; and the sums of it by hour,
// which analytics reads (store/attempt-sums.ts).
//
// A home ships its attempts in the order of their numbers, always from the oldest that it has not seen saved. What
// comes twice, or late, is known by how far the home had shipped (`ships`), in the same transaction: nothing is
// stored or counted twice.

import { sumStatements } from "./attempt-sums.ts";
import { deliveredStatement } from "./dead-letters.ts";
import { toJsonChunks } from "./json-chunks.ts";
import {
  between,
  type Condition,
  equal,
  type Found,
  type Page,
  type Position,
  readPage,
  type Walk,
} from "./keyset.ts";

/** Times in ms. */
export type AttemptRow = {
  /** Durable Object id of the home. */
  home: string;
  /** The home's own count of attempts: each is higher than those shipped before. */
  n: number;
  owner: string;
  agent: string;
  task: string;
  config: string;
  /** Scheme, host and port. */
  origin: string;
  /** The URL without its query. */
  target: string;
  /** The `webhook-id`. */
  notification: string;
  sequence: number;
  /** 1 for the first. */
  attempt: number;
  outcome: string;
  /** Null: there was no answer. */
  status: number | null;
  /** Why there was none. */
  error: string | null;
  durationMs: number;
  committedAt: number;
  plannedAt: number;
  startedAt: number;
  /** The beginning of the answer, on failure only. */
  response: string | null;
};

/** As it is listed: without the answer, which may be 4 KB. */
export type ListedAttempt = Omit<AttemptRow, "n" | "response"> & { id: number };

export type AttemptFilter = {
  owner?: string | undefined;
  origin?: string | undefined;
  task?: string | undefined;
  /** Of a task: a config's id is its task's business. */
  config?: string | undefined;
  /** `failed`: every outcome but delivered. */
  outcome?: string | undefined;
  status?: number | undefined;
  error?: string | undefined;
  /** When they started: from (inclusive) and to (exclusive), in ms. */
  from?: number | undefined;
  to?: number | undefined;
};

const stored: Readonly<Record<keyof AttemptRow, string>> = {
  home: "home",
  n: "n",
  owner: "owner",
  agent: "agent",
  task: "task",
  config: "config",
  origin: "origin",
  target: "target",
  notification: "notification",
  sequence: "sequence",
  attempt: "attempt",
  outcome: "outcome",
  status: "status",
  error: "error",
  durationMs: "duration_ms",
  committedAt: "committed_at",
  plannedAt: "planned_at",
  startedAt: "started_at",
  response: "response",
};

const members = Object.keys(stored) as (keyof AttemptRow)[];

function select(...without: (keyof AttemptRow)[]): string {
  const selected = members.filter((member) => !without.includes(member));
  return ["id", ...selected.map((member) => `${stored[member]} AS ${member}`)].join(", ");
}

/** Saves attempts and what follows from them, in one transaction. May be repeated, also in part. */
export async function saveAttempts(db: D1Database, rows: readonly AttemptRow[]): Promise<void> {
  if (rows.length === 0) return;
  await db.batch([
    ...toJsonChunks(rows).map((chunk) => db.prepare(INSERT).bind(chunk)),
    ...sumStatements(db, rows),
    ...deliveredStatement(db, rows),
    // Last, because the others go by what stood there before.
    ...shipStatement(db, rows),
  ]);
}

const INSERT = `INSERT INTO attempts (${Object.values(stored).join(", ")})
  SELECT ${members.map((member) => `value ->> '${member}'`).join(", ")}
  FROM json_each(?1) LEFT JOIN ships ON ships.home = value ->> 'home'
  WHERE value ->> 'n' > coalesce(ships.n, -1)`;

function shipStatement(db: D1Database, rows: readonly AttemptRow[]): D1PreparedStatement[] {
  const highest = new Map<string, number>();
  for (const { home, n } of rows) highest.set(home, Math.max(n, highest.get(home) ?? n));
  return toJsonChunks([...highest].map(([home, n]) => ({ home, n }))).map((chunk) =>
    db
      .prepare(
        `INSERT INTO ships (home, n) SELECT value ->> 'home', value ->> 'n' FROM json_each(?1) WHERE true
         ON CONFLICT (home) DO UPDATE SET n = max(n, excluded.n)`,
      )
      .bind(chunk),
  );
}

/** Attempts, newest first. */
export function searchAttempts(
  db: D1Database,
  filter: AttemptFilter,
  page: Page,
): Promise<Found<ListedAttempt>> {
  return readPage<ListedAttempt>(db, attemptsWalk(filter), page, placeOf);
}

function placeOf({ startedAt, id }: ListedAttempt): Position {
  return [startedAt, id];
}

/** How attempts are found: exported for the tests, which ask the database about it. */
export function attemptsWalk(filter: AttemptFilter): Walk {
  const { owner, origin, task, config, outcome, status, error, from, to } = filter;
  const failing: Condition = { column: "outcome", test: "<> 'delivered'" };
  const isFailing =
    error !== undefined ||
    (status !== undefined && (status < 200 || status > 299)) ||
    (outcome !== undefined && outcome !== "delivered");
  const scopes = [...equal("task", task), ...equal("origin", origin), ...equal("owner", owner)];
  const kinds = [...equal("error", error), ...equal("status", status)];
  const [scope] = scopes;
  const [kind] = isFailing ? kinds : [];
  // What is narrowest as a rule: one task, then one endpoint, then what failed in one way.
  const narrow = scope ?? kind;
  const ofFailures = isFailing && narrow?.column !== "task";
  const all: Condition[] = [
    ...scopes,
    ...equal("config", config),
    ...kinds,
    ...(outcome === "failed" ? [failing] : equal("outcome", outcome)),
  ];
  const index = `${ofFailures ? "failures" : "attempts"}_by_${narrow?.column ?? "time"}`;
  return {
    table: "attempts",
    index,
    order: ["started_at", "id"],
    descending: true,
    columns: select("n", "response"),
    key: ["id"],
    within: [
      ...(narrow ? [narrow] : []),
      ...between("started_at", from, to),
      ...(ofFailures ? [failing] : []),
    ],
    checks: all.filter((condition) => condition !== narrow && !(ofFailures && condition === failing)),
  };
}

/** All attempts of one notification, the first one first; at most 1,000. */
export async function attemptsOf(
  db: D1Database,
  notification: string,
): Promise<(AttemptRow & { id: number })[]> {
  const { results } = await db
    .prepare(
      `SELECT ${select()} FROM attempts INDEXED BY attempts_by_notification WHERE notification = ?
       ORDER BY started_at, id LIMIT 1000`,
    )
    .bind(notification)
    .all<AttemptRow & { id: number }>();
  return results;
}

/** Deletes at most `limit` attempts that started before `before` (ms), the oldest first; how many there were. */
export async function trimAttempts(db: D1Database, before: number, limit: number): Promise<number> {
  const { meta } = await db
    .prepare(
      `DELETE FROM attempts WHERE id IN (
         SELECT id FROM attempts INDEXED BY attempts_by_time WHERE started_at < ?1 ORDER BY started_at LIMIT ?2)`,
    )
    .bind(before, limit)
    .run();
  return meta.changes;
}
