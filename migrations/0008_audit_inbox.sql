-- What was done in this database and is to be in the audit: told in the transaction that did it, and deleted when the
-- chain of administration has it.
CREATE TABLE audit_inbox (
  at INTEGER NOT NULL,           -- ms
  id TEXT NOT NULL,
  body TEXT NOT NULL,            -- JSON: the event
  PRIMARY KEY (at, id)
) WITHOUT ROWID;
