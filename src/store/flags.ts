// The table `flags`: what operators have switched at run time.

export type FlagRow = { name: string; isOn: boolean; changedAt: number; changedBy: string };

export async function readFlags(db: D1Database): Promise<FlagRow[]> {
  const { results } = await db
    .prepare(
      "SELECT name, is_on AS isOn, changed_at AS changedAt, changed_by AS changedBy FROM flags ORDER BY name",
    )
    .all<Omit<FlagRow, "isOn"> & { isOn: number }>();
  return results.map((row) => ({ ...row, isOn: row.isOn === 1 }));
}

export async function saveFlag(db: D1Database, { name, isOn, changedAt, changedBy }: FlagRow): Promise<void> {
  await db
    .prepare("INSERT OR REPLACE INTO flags (name, is_on, changed_at, changed_by) VALUES (?, ?, ?, ?)")
    .bind(name, isOn ? 1 : 0, changedAt, changedBy)
    .run();
}

export async function deleteFlag(db: D1Database, name: string): Promise<void> {
  await db.prepare("DELETE FROM flags WHERE name = ?").bind(name).run();
}
