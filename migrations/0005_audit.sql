-- Who did what: the entries of all chains, as their objects have shipped them. docs/audit.md has the format. Each is
-- kept as the bytes that were hashed; what is searched for is read out of them, so that it cannot differ.
CREATE TABLE audit (
  chain TEXT NOT NULL,           -- Durable Object id of a home, or `admin`
  n INTEGER NOT NULL,            -- 1 for the first of its chain
  at INTEGER NOT NULL,           -- ms
  since INTEGER NOT NULL,        -- `at` of the entry before; 0: there was none
  body TEXT NOT NULL,            -- JSON
  hash TEXT NOT NULL,
  kind TEXT AS (body ->> 'kind') VIRTUAL,
  owner TEXT AS (body ->> 'owner') VIRTUAL,
  actor TEXT AS (body ->> 'actor') VIRTUAL,
  task TEXT AS (body ->> 'task') VIRTUAL,
  PRIMARY KEY (chain, n)
) WITHOUT ROWID;
CREATE INDEX audit_by_time ON audit (at, chain, n, kind, actor);
CREATE INDEX audit_by_owner ON audit (owner, at, chain, n, kind, actor) WHERE owner IS NOT NULL;
CREATE INDEX audit_by_actor ON audit (actor, at, chain, n, kind, owner) WHERE actor IS NOT NULL;
CREATE INDEX audit_by_task ON audit (task, at, chain, n, kind, actor) WHERE task IS NOT NULL;
-- Messages are most of it, and what else there is is searched for.
CREATE INDEX audit_by_kind ON audit (kind, at, chain, n, owner, actor)
  WHERE kind <> 'task.created' AND kind <> 'task.continued';

-- The operator who made it: what its chunks do in homes is theirs.
ALTER TABLE retry_jobs ADD COLUMN actor TEXT NOT NULL DEFAULT '';

-- What the first entry follows that is kept of a chain whose older ones have been trimmed.
CREATE TABLE audit_anchors (
  chain TEXT PRIMARY KEY,
  n INTEGER NOT NULL,
  hash TEXT NOT NULL
) WITHOUT ROWID;
