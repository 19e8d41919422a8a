-- API keys. The key itself is never stored: `hash` is the SHA-256 of it.
CREATE TABLE api_keys (
  id TEXT PRIMARY KEY,
  hash TEXT NOT NULL UNIQUE,
  owner TEXT NOT NULL,
  label TEXT NOT NULL DEFAULT '',
  created_at INTEGER NOT NULL, -- ms
  expires_at INTEGER,          -- ms; NULL: never
  revoked_at INTEGER           -- ms; NULL: valid
) WITHOUT ROWID;

-- The homes that exist, and when each has something due, as far as it has said.
CREATE TABLE homes (
  id TEXT PRIMARY KEY,         -- Durable Object id
  name TEXT NOT NULL,          -- owner/shard
  due_at INTEGER,              -- ms; NULL: nothing
  seen_at INTEGER NOT NULL     -- ms
) WITHOUT ROWID;
CREATE INDEX homes_by_due ON homes (due_at) WHERE due_at IS NOT NULL;
