-- Sessions: short-lived credentials made from others, for clients that cannot set headers. The token itself is never
-- stored: `hash` is the SHA-256 of it. Times are in ms since 1970.
CREATE TABLE sessions (
  id TEXT PRIMARY KEY,           -- UUID v7
  hash TEXT NOT NULL UNIQUE,
  owner TEXT NOT NULL,
  actor TEXT NOT NULL,           -- of the credential it was made from
  api_key TEXT,                  -- id of the API key it was made from; NULL: none
  basis TEXT NOT NULL,           -- JSON: what its rights are looked up by
  scopes TEXT NOT NULL,          -- JSON: the most it may do
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,   -- 0: revoked, which no clock that is put back undoes
  ends_at INTEGER NOT NULL       -- no extension goes beyond
) WITHOUT ROWID;
CREATE INDEX sessions_by_owner ON sessions (owner, id, expires_at);
CREATE INDEX sessions_by_key ON sessions (api_key, id, expires_at) WHERE api_key IS NOT NULL;
CREATE INDEX sessions_by_expiry ON sessions (expires_at);

-- Roles that operators have defined, beside the built-in ones.
CREATE TABLE roles (
  name TEXT PRIMARY KEY,
  scopes TEXT NOT NULL,          -- JSON: names of scopes
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) WITHOUT ROWID;

-- Everybody who has a home, a key or a session, or had one: `owner` is what homes are named by.
CREATE TABLE owners (
  owner TEXT PRIMARY KEY,
  homes INTEGER NOT NULL,
  created_at INTEGER NOT NULL
) WITHOUT ROWID;

INSERT INTO owners (owner, homes, created_at)
SELECT substr(name, 1, instr(name, '/') - 1), count(*), min(seen_at)
FROM homes WHERE instr(name, '/') > 0 GROUP BY 1;

-- Names of keys could hold two characters only that stand in another form in the name of an owner.
INSERT INTO owners (owner, homes, created_at)
SELECT 'key::' || replace(replace(owner, ':', '%3A'), '@', '%40'), 0, min(created_at)
FROM api_keys WHERE true GROUP BY owner
ON CONFLICT (owner) DO UPDATE SET created_at = min(created_at, excluded.created_at);

CREATE TRIGGER homes_inserted AFTER INSERT ON homes WHEN instr(new.name, '/') > 0
BEGIN
  INSERT INTO owners (owner, homes, created_at)
  VALUES (substr(new.name, 1, instr(new.name, '/') - 1), 1, new.seen_at)
  ON CONFLICT (owner) DO UPDATE SET homes = homes + 1;
END;

CREATE TRIGGER homes_deleted AFTER DELETE ON homes WHEN instr(old.name, '/') > 0
BEGIN
  UPDATE owners SET homes = homes - 1 WHERE owner = substr(old.name, 1, instr(old.name, '/') - 1);
END;

CREATE TRIGGER sessions_inserted AFTER INSERT ON sessions
BEGIN
  INSERT INTO owners (owner, homes, created_at) VALUES (new.owner, 0, new.created_at) ON CONFLICT (owner) DO NOTHING;
END;
