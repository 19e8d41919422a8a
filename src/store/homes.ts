// The table `homes`: which homes exist, and when each has something due.

export type HomeReport = {
  /** Durable Object id. */
  id: string;
  /** `owner/shard`; given once, with the first report. */
  name: string | undefined;
  /** When the home expects to be done with what is due now, in ms. */
  dueAt: number | undefined;
};

export async function reportHome(db: D1Database, home: HomeReport, now = Date.now()): Promise<void> {
  await db
    .prepare(
      `INSERT INTO homes (id, name, due_at, seen_at) VALUES (?1, coalesce(?2, ''), ?3, ?4)
       ON CONFLICT (id) DO UPDATE SET name = coalesce(?2, name), due_at = ?3, seen_at = ?4`,
    )
    .bind(home.id, home.name ?? null, home.dueAt ?? null, now)
    .run();
}

/** Whether there is a home of this Durable Object id, or was one that was erased and has left its audit. */
export async function isHome(db: D1Database, id: string): Promise<boolean> {
  const found = await db
    .prepare(
      `SELECT 1 WHERE EXISTS (SELECT 1 FROM homes WHERE id = ?1) OR EXISTS (SELECT 1 FROM audit WHERE chain = ?1)
         OR EXISTS (SELECT 1 FROM audit_anchors WHERE chain = ?1)`,
    )
    .bind(id)
    .first();
  return found !== null;
}

/** Forgets a home that holds nothing of its owner any more. */
export async function forgetHome(db: D1Database, id: string): Promise<void> {
  await db.prepare("DELETE FROM homes WHERE id = ?").bind(id).run();
}

/** Reads the table, to see whether the database answers. */
export async function checkHomes(db: D1Database): Promise<void> {
  await db.prepare("SELECT 1 FROM homes LIMIT 1").run();
}

/**
 * Homes that had something due before `before` (ms) and have not been heard of since, oldest first. They are not
 * listed again until `again`, so that one which cannot be woken holds up no other.
 */
export async function takeOverdueHomes(
  db: D1Database,
  { before, again, limit }: { before: number; again: number; limit: number },
): Promise<string[]> {
  const { results } = await db
    .prepare(
      `UPDATE homes SET due_at = ?1
       WHERE id IN (SELECT id FROM homes WHERE due_at < ?2 ORDER BY due_at LIMIT ?3) RETURNING id`,
    )
    .bind(again, before, limit)
    .all<{ id: string }>();
  return results.map((row) => row.id);
}
