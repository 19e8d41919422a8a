// Chunks of a retry job: the letters that it gives back to their homes at one time.
//
// A chunk is written into its job and its letters are marked, in one transaction, before any home is asked: from then
// on nobody can discard them, and whoever takes the job over from a holder that died has the same letters in hand and
// asks homes once more for what they have taken back already, which does no harm. It is finished in one transaction,
// too, after which the letters that no home has taken are dead again.

import { deadLettersWalk, type LetterVersion, LISTED, type ListedLetter } from "./dead-letters.ts";
import { type Found, type Position, readPage } from "./keyset.ts";
import type { ClaimedJob, RetryJob } from "./retry-jobs.ts";

export type Chunk = {
  /** Those that are still to be given to their homes. */
  letters: readonly ListedLetter[];
  /** How many it had when it was begun. */
  size: number;
  /** Where the next chunk begins; undefined: nothing was found, so there is none. */
  end: Position | undefined;
  isLast: boolean;
};

/** The column `chunk`. */
type Saved = { letters: [id: string, diedAt: number][]; end: [number, string]; isLast: boolean };

const OF_CHUNK = `(id, died_at) IN (
  SELECT value ->> 0, value ->> 1 FROM retry_jobs, json_each(chunk, '$.letters')
  WHERE retry_jobs.id = ?1 AND step = ?2)`;

/** Begins the next chunk of a job, or takes over the one that its former holder has left. */
export async function takeChunk(
  db: D1Database,
  job: ClaimedJob,
  { limit, now }: { limit: number; now: number },
): Promise<Chunk> {
  const load = db
    .prepare(
      `SELECT ${LISTED} FROM dead_letters WHERE ${OF_CHUNK} AND state = 'retrying' ORDER BY died_at, id`,
    )
    .bind(job.id, job.step);
  if (job.chunk !== null) {
    const { letters, end, isLast } = JSON.parse(job.chunk) as Saved;
    return { letters: (await load.all<ListedLetter>()).results, size: letters.length, end, isLast };
  }
  const { rows, next } = await readChunk(db, job, limit);
  const last = rows.at(-1);
  const end = next ?? (last && [last.diedAt, last.id]);
  const isLast = next === undefined;
  if (last === undefined) return { letters: [], size: 0, end, isLast };
  const found = rows.map(({ id, diedAt }) => [id, diedAt]);
  const [, , loaded] = await db.batch<ListedLetter>([
    // Some may have been discarded since they were read.
    db
      .prepare(
        `UPDATE retry_jobs SET chunk = json_object('end', json(?4), 'isLast', json(?5), 'letters', json((
           SELECT json_group_array(json_array(id, died_at)) FROM dead_letters
           WHERE (id, died_at) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?3)) AND state = 'dead')))
         WHERE id = ?1 AND step = ?2`,
      )
      .bind(job.id, job.step, JSON.stringify(found), JSON.stringify(end), JSON.stringify(isLast)),
    db
      .prepare(`UPDATE dead_letters SET state = 'retrying', state_at = ?3 WHERE ${OF_CHUNK}`)
      .bind(job.id, job.step, now),
    load,
  ]);
  const letters = loaded?.results ?? [];
  return { letters, size: letters.length, end, isLast };
}

/** The next dead letters of a job, the oldest first. */
export function readChunk(db: D1Database, job: RetryJob, limit: number): Promise<Found<ListedLetter>> {
  const { from, to = Number.POSITIVE_INFINITY, ...filter } = job.filter;
  // What has died since would be retried for ever.
  const walk = deadLettersWalk({ ...filter, state: "dead", from, to: Math.min(to, job.createdAt) }, true);
  const after: Position | undefined = job.cursorId === "" ? undefined : [job.cursorAt, job.cursorId];
  return readPage<ListedLetter>(db, walk, { after, limit }, ({ diedAt, id }) => [diedAt, id]);
}

export type ChunkResult = {
  /** Letters whose config or task exists no more. */
  gone: readonly LetterVersion[];
  /** Letters whose home could not be asked. */
  failed: readonly LetterVersion[];
  now: number;
};

/** Finishes a chunk and moves its job on; whether it was still the holder's to finish. */
export async function finishChunk(
  db: D1Database,
  job: RetryJob,
  { size, end, isLast }: Chunk,
  { gone, failed, now }: ChunkResult,
): Promise<boolean> {
  const [cursorAt = job.cursorAt, cursorId = job.cursorId] = end ?? [];
  const back = [...gone, ...failed].map(({ id, diedAt }) => [id, diedAt]);
  const [, advanced] = await db.batch([
    // Not when somebody else has the chunk now: a home may be taking them back from them.
    db
      .prepare(
        `UPDATE dead_letters SET state = 'dead', state_at = ?4
         WHERE (id, died_at) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?3)) AND state = 'retrying'
           AND EXISTS (SELECT 1 FROM retry_jobs WHERE retry_jobs.id = ?1 AND step = ?2)`,
      )
      .bind(job.id, job.step, JSON.stringify(back), now),
    db
      .prepare(
        `UPDATE retry_jobs SET chunk = NULL, cursor_at = ?3, cursor_id = ?4, retried = retried + ?5,
           gone = gone + ?6, failed = failed + ?7, updated_at = ?8, lease_until = 0,
           state = CASE WHEN ?9 AND state IN ('running', 'paused') THEN 'done' ELSE state END
         WHERE id = ?1 AND step = ?2`,
      )
      .bind(
        ...[job.id, job.step, cursorAt, cursorId, size - back.length, gone.length, failed.length],
        ...[now, isLast ? 1 : 0],
      ),
  ]);
  return advanced?.meta.changes === 1;
}
