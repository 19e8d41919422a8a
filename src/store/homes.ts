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

/** Homes that had something due before `before` (ms) and have not been heard of since, oldest first. */
export async function listOverdueHomes(db: D1Database, before: number, limit: number): Promise<string[]> {
  const { results } = await db
    .prepare("SELECT id FROM homes WHERE due_at < ? ORDER BY due_at LIMIT ?")
    .bind(before, limit)
    .all<{ id: string }>();
  return results.map((row) => row.id);
}
