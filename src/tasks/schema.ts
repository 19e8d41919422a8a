// The database of one home, as numbered migrations. A home that only ever answered reads has none:
// the schema is made with the first write, so asking about an unknown owner leaves nothing behind.
//
// Rows written are what a home costs, so keys are primary keys of WITHOUT ROWID tables (one row an insert,
// not two) and an index is here only because a list needs it.

const migrations: readonly string[] = [
  `
  -- One row a task: its place in lists, and where its journal and its turn stand.
  CREATE TABLE tasks (
    id TEXT PRIMARY KEY,
    agent TEXT NOT NULL,
    context_id TEXT NOT NULL,
    state TEXT NOT NULL,         -- TaskState
    status_at INTEGER NOT NULL,  -- ms
    status_seq INTEGER NOT NULL, -- the journal's row of the current status; 0: submitted, no row
    seq INTEGER NOT NULL,        -- newest journal row
    bytes INTEGER NOT NULL,      -- length of all journal bodies in UTF-8
    attempt INTEGER NOT NULL,    -- how often the present turn has been started; 0: no turn runs
    turn_seq INTEGER NOT NULL,   -- newest journal row when the turn began
    turn_input INTEGER NOT NULL, -- journal row of the message that began the turn
    answered INTEGER NOT NULL,   -- journal row of the newest message the turn has taken
    inputs INTEGER NOT NULL,     -- journal row of the newest message from the client
    job TEXT                     -- Workflow instance of a durable turn
  ) WITHOUT ROWID;
  CREATE INDEX tasks_by_time ON tasks (agent, status_at, id);
  CREATE INDEX tasks_by_context ON tasks (agent, context_id, status_at, id);
  CREATE INDEX tasks_by_state ON tasks (agent, state, status_at, id);
  -- Quick turns that a dead process left behind.
  CREATE INDEX tasks_running ON tasks (id) WHERE attempt > 0 AND job IS NULL;

  -- What happened to a task, in order; the task is the fold of it. A body longer than a row may be is
  -- spread over pieces.
  CREATE TABLE journal (
    task TEXT NOT NULL,
    seq INTEGER NOT NULL,
    piece INTEGER NOT NULL,
    kind TEXT NOT NULL,          -- message, status, artifact or restart
    body TEXT NOT NULL,
    ref TEXT,                    -- of a follow-up: the call that brought it, which may be made twice;
                                 -- of a status with which a turn takes a message: that message's row
    PRIMARY KEY (task, seq, piece)
  ) WITHOUT ROWID;

  -- Reports of durable turns that were taken, so that a repeated one is not.
  CREATE TABLE reports (
    task TEXT NOT NULL,
    key TEXT NOT NULL,
    PRIMARY KEY (task, key)
  ) WITHOUT ROWID;

  -- Answers to requests that carried an Idempotency-Key.
  CREATE TABLE idempotency (
    key TEXT PRIMARY KEY,        -- agent, operation and the client's key
    fingerprint TEXT NOT NULL,   -- SHA-256 of the parsed request
    task TEXT,                   -- the task it made or continued
    input INTEGER,               -- and the journal row of its message
    message TEXT,                -- or the Message it was answered with
    expires_at INTEGER NOT NULL  -- ms
  ) WITHOUT ROWID;

  -- What agents remember of a conversation.
  CREATE TABLE memory (
    agent TEXT NOT NULL,
    context_id TEXT NOT NULL,
    body TEXT NOT NULL,          -- JSON object
    used_at INTEGER NOT NULL,    -- ms
    PRIMARY KEY (agent, context_id)
  ) WITHOUT ROWID;

  -- What the alarm has to see to, and when.
  CREATE TABLE due (
    kind TEXT NOT NULL,          -- job, trim or register
    key TEXT NOT NULL,
    at INTEGER NOT NULL,         -- ms
    PRIMARY KEY (kind, key)
  ) WITHOUT ROWID;
  CREATE INDEX due_by_time ON due (at);
  `,
];

/** The schema's version in this database; 0 when there is none. Writes nothing. */
export function schemaVersion(sql: SqlStorage): number {
  const tables = sql.exec("SELECT 1 FROM sqlite_master WHERE name = 'schema_version'").toArray();
  if (tables.length === 0) return 0;
  return sql.exec<{ version: number }>("SELECT version FROM schema_version").one().version;
}

/** Brings the database to the newest version, all steps in one transaction. */
export function migrate(storage: DurableObjectStorage): void {
  const from = schemaVersion(storage.sql);
  if (from === migrations.length) return;
  if (from > migrations.length) {
    throw new Error(`this home's schema (${from}) is newer than this code (${migrations.length})`);
  }
  storage.transactionSync(() => {
    if (from === 0) storage.sql.exec("CREATE TABLE schema_version (version INTEGER NOT NULL)");
    for (const step of migrations.slice(from)) storage.sql.exec(step);
    storage.sql.exec("DELETE FROM schema_version");
    storage.sql.exec("INSERT INTO schema_version VALUES (?)", migrations.length);
  });
}
