// The table `api_keys`. A key is looked up by its hash, so the database cannot tell anybody a key.

export type ApiKey = { id: string; owner: string; expiresAt: number | null; revokedAt: number | null };

/** The key with this SHA-256 hash (64 hexadecimal digits), valid or not. */
export async function findApiKey(db: D1Database, hash: string): Promise<ApiKey | undefined> {
  const row = await db
    .prepare(
      "SELECT id, owner, expires_at AS expiresAt, revoked_at AS revokedAt FROM api_keys WHERE hash = ?",
    )
    .bind(hash)
    .first<ApiKey>();
  return row ?? undefined;
}
