// The table `dead_letters`: notifications that were given up, with their payload and the reason, until somebody has
// them retried or discards them, or their time is over.
//
// A home files them and is done with them; a retry takes the event from the home's journal again. So the state here
// follows what happens there: filed again, it is dead again; delivered (an attempt says so), it is delivered.

import type { AttemptRow } from "./attempts.ts";
import { toJsonChunks } from "./json-chunks.ts";
import { between, equal, type Found, type Page, readPage, type Walk } from "./keyset.ts";

/** Times in ms. */
export type DeadLetter = {
  /** The `webhook-id`. */
  id: string;
  /** Durable Object id of the home. */
  home: string;
  owner: string;
  agent: string;
  task: string;
  config: string;
  /** The generation of the config. */
  lane: string;
  /** Scheme, host and port. */
  origin: string;
  /** The URL without its query. */
  target: string;
  /** The event's row in the journal. */
  seq: number;
  /** `webhook-sequence`. */
  sequence: number;
  /** A sentence. */
  reason: string;
  /** Why the last attempt had no answer; null: it had one. */
  error: string | null;
  /** What the last attempt was answered; null: nothing. */
  status: number | null;
  attempts: number;
  /** Null: it is larger than 1,000,000 bytes. */
  body: string | null;
  committedAt: number;
  diedAt: number;
};

/** `retrying` since an operator asked for it. */
export type DeadLetterState = "dead" | "retrying" | "delivered" | "discarded";

export type FiledLetter = DeadLetter & { state: DeadLetterState; stateAt: number };

/** As it is listed: without the payload, which may be a megabyte. */
export type ListedLetter = Omit<FiledLetter, "body">;

export type DeadLetterFilter = {
  owner?: string | undefined;
  origin?: string | undefined;
  task?: string | undefined;
  config?: string | undefined;
  state?: DeadLetterState | undefined;
  error?: string | undefined;
  status?: number | undefined;
  /** When they died: from (inclusive) and to (exclusive), in ms. */
  from?: number | undefined;
  to?: number | undefined;
};

/** Times in the database end in `_at`, here in `At`. */
const members = [
  ...["id", "home", "owner", "agent", "task", "config", "lane", "origin", "target", "seq", "sequence"],
  ...["reason", "error", "status", "attempts", "committedAt", "diedAt", "body"],
];
const toColumn = (member: string) => member.replace("At", "_at");
const selected = [...members, "state", "stateAt"].map((member) => `${toColumn(member)} AS ${member}`);
/** The columns of a ListedLetter. */
export const LISTED = selected.filter((column) => !column.startsWith("body")).join(", ");

/** An attempt that was delivered after the death was the retry's; it may have been shipped before the filing. */
const STATE = `CASE WHEN EXISTS (
    SELECT 1 FROM attempts INDEXED BY attempts_by_notification
    WHERE notification = value ->> 'id' AND started_at >= value ->> 'diedAt' AND outcome = 'delivered')
  THEN 'delivered' ELSE 'dead' END`;

const FILE = `INSERT INTO dead_letters (${members.map(toColumn).join(", ")}, state, state_at)
  SELECT ${members.map((member) => (member === "body" ? "coalesce(?2, value ->> 'body')" : `value ->> '${member}'`)).join(", ")},
    ${STATE}, value ->> 'diedAt'
  FROM json_each(?1) WHERE true
  ON CONFLICT (id) DO UPDATE SET
    ${[...members.slice(1).map(toColumn), "state", "state_at"].map((column) => `${column} = excluded.${column}`).join(", ")}
  WHERE excluded.died_at > died_at`;

/** Larger bodies are bound by themselves: in JSON text each of their quotes would be escaped once more. */
const SMALL_BODY = 100_000;

/** Ids of one statement. */
const IDS_TOGETHER = 1_000;

/** Files letters. The same death filed again changes nothing; a later death of the same letter makes it dead again. */
export async function saveDeadLetters(db: D1Database, letters: readonly DeadLetter[]): Promise<void> {
  if (letters.length === 0) return;
  const isLarge = ({ body }: DeadLetter) => (body?.length ?? 0) > SMALL_BODY;
  const small = toJsonChunks(letters.filter((letter) => !isLarge(letter)));
  const file = db.prepare(FILE);
  await db.batch([
    ...small.map((chunk) => file.bind(chunk, null)),
    ...letters
      .filter(isLarge)
      .map(({ body, ...letter }) => file.bind(JSON.stringify([{ ...letter, body: null }]), body)),
  ]);
}

/**
 * The statement, if any, that marks the letters among these attempts that have been delivered after all, by a retry or
 * a replay: then that is what they are, also those that somebody has discarded.
 */
export function deliveredStatement(db: D1Database, rows: readonly AttemptRow[]): D1PreparedStatement[] {
  const delivered = rows
    .filter(({ outcome }) => outcome === "delivered")
    .map(({ notification, startedAt }) => ({ id: notification, at: startedAt }));
  return toJsonChunks(delivered).map((chunk) =>
    db
      .prepare(
        `UPDATE dead_letters SET state = 'delivered', state_at = retried.at
         FROM (SELECT value ->> 'id' AS id, max(value ->> 'at') AS at FROM json_each(?1) GROUP BY 1) retried
         WHERE dead_letters.id = retried.id AND state <> 'delivered' AND died_at <= retried.at`,
      )
      .bind(chunk),
  );
}

export async function findDeadLetter(db: D1Database, id: string): Promise<FiledLetter | undefined> {
  const row = await db
    .prepare(`SELECT ${selected.join(", ")} FROM dead_letters WHERE id = ?`)
    .bind(id)
    .first<FiledLetter>();
  return row ?? undefined;
}

/** Letters, the last to die first. */
export function searchDeadLetters(
  db: D1Database,
  filter: DeadLetterFilter,
  page: Page,
): Promise<Found<ListedLetter>> {
  return readPage<ListedLetter>(db, deadLettersWalk(filter), page, ({ diedAt, id }) => [diedAt, id]);
}

/** How letters are found; `oldestFirst` is the order in which a job retries them. */
export function deadLettersWalk(filter: DeadLetterFilter, oldestFirst = false): Walk {
  const { owner, origin, task, config, state, error, status, from, to } = filter;
  const all = [
    ...equal("task", task),
    ...equal("origin", origin),
    ...equal("owner", owner),
    ...equal("state", state),
    ...equal("config", config),
    ...equal("error", error),
    ...equal("status", status),
  ];
  const [narrow] = all.filter(({ column }) => ["task", "origin", "owner", "state"].includes(column));
  return {
    table: "dead_letters",
    index: `dead_letters_by_${narrow?.column ?? "time"}`,
    order: ["died_at", "id"],
    descending: !oldestFirst,
    columns: LISTED,
    key: ["id"],
    within: [...(narrow ? [narrow] : []), ...between("died_at", from, to)],
    checks: all.filter((condition) => condition !== narrow),
  };
}

/** A letter as it was read: one that has died again since is another. */
export type LetterVersion = Pick<DeadLetter, "id" | "diedAt">;

export type Marking = { from: readonly DeadLetterState[]; to: DeadLetterState; now: number };

/** Marks those of the letters that are in one of the states `from`; how many were. */
export async function markDeadLetters(
  db: D1Database,
  letters: readonly LetterVersion[],
  { from, to, now }: Marking,
): Promise<number> {
  const versions = JSON.stringify(letters.map(({ id, diedAt }) => [id, diedAt]));
  const { meta } = await db
    .prepare(
      `UPDATE dead_letters SET state = ?2, state_at = ?3
       WHERE (id, died_at) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?1))
         AND state IN (SELECT value FROM json_each(?4))`,
    )
    .bind(versions, to, now, JSON.stringify(from))
    .run();
  return meta.changes;
}

/** Makes those that were being retried dead again: what they wait for is gone. */
export async function endRetries(db: D1Database, ids: readonly string[], now: number): Promise<void> {
  const reason = "Its config or its task was deleted before it was sent again.";
  for (let start = 0; start < ids.length; start += IDS_TOGETHER) {
    await db
      .prepare(
        `UPDATE dead_letters SET state = 'dead', state_at = ?2, reason = ?3
         WHERE id IN (SELECT value FROM json_each(?1)) AND state = 'retrying'`,
      )
      .bind(JSON.stringify(ids.slice(start, start + IDS_TOGETHER)), now, reason)
      .run();
  }
}

/** Deletes letters, in whatever state. */
export async function deleteDeadLetters(db: D1Database, ids: readonly string[]): Promise<void> {
  const among = "IN (SELECT value FROM json_each(?))";
  await db.prepare(`DELETE FROM dead_letters WHERE id ${among}`).bind(JSON.stringify(ids)).run();
}

/** Deletes at most `limit` letters that died before `before` (ms), in whatever state; how many there were. */
export async function trimDeadLetters(db: D1Database, before: number, limit: number): Promise<number> {
  const { meta } = await db
    .prepare(
      `DELETE FROM dead_letters WHERE id IN (
         SELECT id FROM dead_letters INDEXED BY dead_letters_by_time WHERE died_at < ?1 ORDER BY died_at LIMIT ?2)`,
    )
    .bind(before, limit)
    .run();
  return meta.changes;
}
