-- Erasures of owners that have revoked keys or sessions: these may work for a moment yet where they have been used, and
-- the erasure is not done before that is over.
CREATE TABLE erasures (
  owner TEXT PRIMARY KEY,
  revoked_at INTEGER NOT NULL    -- ms
) WITHOUT ROWID;

-- By which an owner's sums and retries are deleted.
CREATE INDEX endpoint_hours_by_owner ON endpoint_hours (owner, origin);
CREATE INDEX retry_jobs_by_owner ON retry_jobs (filter ->> 'owner') WHERE filter ->> 'owner' IS NOT NULL;
