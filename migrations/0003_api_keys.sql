-- What an API key may do, who made it, and the secret that it had before its last rotation.
ALTER TABLE api_keys ADD COLUMN roles TEXT NOT NULL DEFAULT '';       -- names, separated by spaces
ALTER TABLE api_keys ADD COLUMN scopes TEXT NOT NULL DEFAULT '';      -- names, separated by spaces
ALTER TABLE api_keys ADD COLUMN created_by TEXT NOT NULL DEFAULT '';  -- an actor, or cli
ALTER TABLE api_keys ADD COLUMN rotated_at INTEGER;                   -- ms
ALTER TABLE api_keys ADD COLUMN previous_hash TEXT;                   -- SHA-256, as `hash`
ALTER TABLE api_keys ADD COLUMN previous_until INTEGER;               -- ms; the previous one is valid before this

-- Keys from before there were scopes allowed everything that callers do, and go on doing so.
UPDATE api_keys SET roles = 'approver';

CREATE UNIQUE INDEX api_keys_by_previous_hash ON api_keys (previous_hash) WHERE previous_hash IS NOT NULL;
CREATE INDEX api_keys_by_created ON api_keys (created_at, id);
CREATE INDEX api_keys_by_owner ON api_keys (owner, created_at, id);
