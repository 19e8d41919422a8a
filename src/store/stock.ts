// How much of the history of webhooks is stored. None of it reads more than a bounded number of rows: attempts are
// counted by their sums.

import type { DeadLetterState } from "./dead-letters.ts";

/** Times in ms; null: there are none. */
export type Stock = {
  attempts: { count: number; oldestAt: number | null; newestAt: number | null };
  deadLetters: Record<DeadLetterState, number> & { oldestAt: number | null };
};

/** Letters of one state that are counted; there may be more. */
const COUNTED = 100_000;

export async function readStock(db: D1Database): Promise<Stock> {
  const letters = db.prepare(
    `SELECT count(*) AS value FROM (
       SELECT 1 FROM dead_letters INDEXED BY dead_letters_by_state WHERE state = ? LIMIT ${COUNTED})`,
  );
  const results = await db.batch<{ value: number | null }>([
    db.prepare("SELECT sum(attempts) AS value FROM attempt_hours"),
    db.prepare("SELECT min(started_at) AS value FROM attempts"),
    db.prepare("SELECT max(started_at) AS value FROM attempts"),
    db.prepare("SELECT min(died_at) AS value FROM dead_letters"),
    ...["dead", "retrying", "delivered", "discarded"].map((state) => letters.bind(state)),
  ]);
  const [count, oldest, newest, letter, dead, retrying, delivered, discarded] = results.map(
    (result) => result.results[0]?.value ?? null,
  );
  return {
    attempts: { count: count ?? 0, oldestAt: oldest ?? null, newestAt: newest ?? null },
    deadLetters: {
      ...{ dead: dead ?? 0, retrying: retrying ?? 0, delivered: delivered ?? 0, discarded: discarded ?? 0 },
      oldestAt: letter ?? null,
    },
  };
}
