// The erasure of an owner's rows in every table but the audit, and the table `erasures`: whose credentials it has revoked,
// and when.

/**
 * What revoked credentials ask for may come to a home for so long yet: they are remembered for 30 s where they have been
 * used, a body may take 30 s more, and a webhook's challenge as long again; with room.
 */
export const REVOKED_MS = 120_000;
/** An erasure that was not gone on with for so long is another when it is called again. */
const ANOTHER_MS = 3_600_000;

/** `subject`: the name of the owner's keys, if it is of that kind. */
export type OwnerNames = { owner: string; subject: string | undefined };

/**
 * Revokes all keys and sessions of an owner. When (ms) those were revoked that may work yet; undefined: there are none.
 * Of sessions the first time counts: whoever can get new ones, by tokens of an issuer, can do so for ever. Keys are given
 * by operators.
 */
export async function revokeCredentials(
  db: D1Database,
  { owner, subject = "" }: OwnerNames,
  now: number,
): Promise<number | undefined> {
  const results = await db.batch<{ revokedAt: number }>([
    db
      .prepare("UPDATE api_keys SET revoked_at = ?2 WHERE owner = ?1 AND revoked_at IS NULL")
      .bind(subject, now),
    db.prepare("UPDATE sessions SET expires_at = 0 WHERE owner = ?1 AND expires_at > 0").bind(owner),
    db
      .prepare(
        `INSERT INTO erasures (owner, revoked_at) SELECT ?1, ?3
         WHERE EXISTS (SELECT 1 FROM api_keys WHERE owner = ?2 AND revoked_at > ?4)
           OR EXISTS (SELECT 1 FROM sessions WHERE owner = ?1)
         ON CONFLICT (owner) DO UPDATE SET revoked_at = excluded.revoked_at
         WHERE revoked_at < ?5 OR EXISTS (SELECT 1 FROM api_keys WHERE owner = ?2 AND revoked_at = ?3)`,
      )
      .bind(owner, subject, now, now - REVOKED_MS, now - ANOTHER_MS),
    db.prepare("SELECT revoked_at AS revokedAt FROM erasures WHERE owner = ?").bind(owner),
  ]);
  return results.at(-1)?.results[0]?.revokedAt;
}

/**
 * The statement that deletes the retry jobs of an owner: those that name it, and those that name nobody but a task of
 * its. That is known by the task's dead letters, for which such jobs are made, and by the audit, which outlives them.
 */
function deleteRetryJobs(db: D1Database, owner: string): D1PreparedStatement {
  const isTheirs = (table: string) =>
    `EXISTS (SELECT 1 FROM ${table} INDEXED BY ${table}_by_task WHERE task = filter ->> 'task' AND owner = ?1)`;
  return db
    .prepare(
      `DELETE FROM retry_jobs WHERE id IN (
         SELECT id FROM retry_jobs INDEXED BY retry_jobs_by_owner WHERE filter ->> 'owner' = ?1
         UNION ALL
         SELECT id FROM retry_jobs WHERE filter ->> 'owner' IS NULL AND filter ->> 'task' IS NOT NULL
           AND (${isTheirs("dead_letters")} OR ${isTheirs("audit")}))`,
    )
    .bind(owner);
}

export type ErasedRows = { attempts: number; deadLetters: number; more: boolean };

/** Deletes at most `limit` rows of each table of the history, and first the retry jobs, which are known by it. */
export async function eraseHistory(db: D1Database, owner: string, limit: number): Promise<ErasedRows> {
  const some = (table: string, key: string) =>
    db
      .prepare(
        `DELETE FROM ${table} WHERE (${key}) IN (
           SELECT ${key} FROM ${table} INDEXED BY ${table}_by_owner WHERE owner = ?1 LIMIT ?2)`,
      )
      .bind(owner, limit);
  const [, ...results] = await db.batch([
    deleteRetryJobs(db, owner),
    some("attempts", "id"),
    some("dead_letters", "id"),
    some("push_configs", "home, task, config"),
  ]);
  const [attempts = 0, deadLetters = 0, configs = 0] = results.map(({ meta }) => meta.changes);
  return { attempts, deadLetters, more: Math.max(attempts, deadLetters, configs) >= limit };
}

/** Some of the origins that an owner's notifications were sent to, as far as they are summed. */
export async function originsOf(db: D1Database, owner: string, limit: number): Promise<string[]> {
  const { results } = await db
    .prepare(
      `SELECT DISTINCT origin FROM endpoint_hours INDEXED BY endpoint_hours_by_owner WHERE owner = ? LIMIT ?`,
    )
    .bind(owner, limit)
    .all<{ origin: string }>();
  return results.map(({ origin }) => origin);
}

/** Deletes the sums of these origins. Those of the whole deployment name nobody, and stay. */
export async function eraseSums(db: D1Database, owner: string, origins: readonly string[]): Promise<void> {
  await db
    .prepare(
      `DELETE FROM endpoint_hours INDEXED BY endpoint_hours_by_owner
       WHERE owner = ?1 AND origin IN (SELECT value FROM json_each(?2))`,
    )
    .bind(owner, JSON.stringify(origins))
    .run();
}

/**
 * Deletes what is left when there is no history: keys, sessions, retry jobs made meanwhile, and the owner's name. `more`:
 * an operator has made a key meanwhile, which is still to be revoked.
 */
export async function eraseIdentity(
  db: D1Database,
  { owner, subject = "" }: OwnerNames,
): Promise<{ apiKeys: number; sessions: number; more: boolean }> {
  const [keys, sessions, left] = await db.batch<{ id: string }>([
    db.prepare("DELETE FROM api_keys WHERE owner = ? AND revoked_at IS NOT NULL RETURNING id").bind(subject),
    db.prepare("DELETE FROM sessions WHERE owner = ? RETURNING id").bind(owner),
    db.prepare("SELECT id FROM api_keys WHERE owner = ? LIMIT 1").bind(subject),
    deleteRetryJobs(db, owner),
    db.prepare("DELETE FROM erasures WHERE owner = ?").bind(owner),
    // Of one who has returned there is a home already.
    db
      .prepare(
        `DELETE FROM owners WHERE owner = ?1 AND homes <= 0
           AND NOT EXISTS (SELECT 1 FROM api_keys WHERE owner = ?2)`,
      )
      .bind(owner, subject),
  ]);
  const [apiKeys = 0, gone = 0, keysLeft = 0] = [keys, sessions, left].map((rows) => rows?.results.length);
  return { apiKeys, sessions: gone, more: keysLeft > 0 };
}
