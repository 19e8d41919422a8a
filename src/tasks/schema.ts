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
  `
  ALTER TABLE journal ADD COLUMN at INTEGER NOT NULL DEFAULT 0; -- ms; when it was committed

  -- Push notification configs: what the caller asked for. What became of it stands in lanes.
  CREATE TABLE configs (
    task TEXT NOT NULL,
    id TEXT NOT NULL,
    agent TEXT NOT NULL,
    lane TEXT NOT NULL,          -- this generation of the config, and its lane
    url TEXT NOT NULL,
    version TEXT NOT NULL,       -- dialect of its payloads
    events TEXT,                 -- JSON array of event names; NULL: all
    batch TEXT,                  -- JSON; NULL: every notification by itself
    retry TEXT,                  -- JSON array of delays in ms; NULL: the deployment's
    sealed TEXT,                 -- PushSecrets, encrypted
    options TEXT NOT NULL,       -- JSON, ClaimOptions
    answer TEXT NOT NULL,        -- JSON, what callers are shown
    created_at INTEGER NOT NULL, -- ms
    deleting INTEGER NOT NULL,   -- 1: deleted, but a send may still be under way
    PRIMARY KEY (task, id)
  ) WITHOUT ROWID;

  -- One row a lane: a config's place in the journal of its task. The journal's row is the notification; a lane
  -- with a list of its own sends again what it names.
  CREATE TABLE lanes (
    task TEXT NOT NULL,
    lane TEXT NOT NULL,
    config TEXT NOT NULL,
    endpoint TEXT NOT NULL,      -- owner|origin
    target TEXT NOT NULL,        -- the URL without its query
    ids TEXT NOT NULL,           -- what the webhook-ids of the config begin with
    start INTEGER NOT NULL,      -- journal row after which the config's notifications begin
    list TEXT,                   -- JSON array of [journal row, sequence]; NULL: all that follow
    sequence INTEGER NOT NULL,   -- of the newest settled notification
    head INTEGER NOT NULL,       -- journal row of the oldest pending notification; none: of the newest settled
    attempt INTEGER NOT NULL,    -- attempts that the head has had
    due INTEGER,                 -- ms; NULL: nothing is pending, or the lane does not run
    pending INTEGER NOT NULL,    -- 1: the head is pending
    clock_from INTEGER NOT NULL, -- ms; the time of pending notifications is counted from here at the earliest
    state TEXT NOT NULL,         -- active, paused or disabled
    reason TEXT,
    state_at INTEGER NOT NULL,   -- ms
    delivered INTEGER NOT NULL,
    dead INTEGER NOT NULL,
    failures INTEGER NOT NULL,   -- attempts since the newest success
    failing_since INTEGER,       -- ms
    last_at INTEGER,             -- ms; the newest attempt
    last_status INTEGER,
    last_error TEXT,
    batch TEXT,                  -- the batch that the head is frozen in
    PRIMARY KEY (task, lane)
  ) WITHOUT ROWID;
  CREATE INDEX lanes_due ON lanes (endpoint, target, due) WHERE due IS NOT NULL;

  -- Batches that were sent at least once: the same notifications go together under the same id.
  CREATE TABLE batches (
    id TEXT PRIMARY KEY,
    members TEXT NOT NULL        -- JSON array of [task, lane, [[journal row, sequence], ...]]
  ) WITHOUT ROWID;

  -- Endpoints that there were configs for, and until when their origin counts as having echoed a challenge.
  CREATE TABLE validated (
    endpoint TEXT PRIMARY KEY,
    until INTEGER NOT NULL       -- ms; 0: it does not
  ) WITHOUT ROWID;

  -- What D1 and the metrics have not been told yet, in order.
  CREATE TABLE outbox (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,          -- items; older rows: the kind of the one item that they hold
    body TEXT NOT NULL           -- JSON array of OutboxItem; n is the number of the last
  );

  -- Notifications that died and are not filed in D1 yet.
  CREATE TABLE dead (
    id TEXT PRIMARY KEY,         -- webhook-id
    task TEXT NOT NULL,
    seq INTEGER NOT NULL,
    body TEXT NOT NULL           -- JSON, DeadLetter without its payload
  ) WITHOUT ROWID;
  CREATE INDEX dead_by_task ON dead (task);
  `,
  `
  -- Who did what: see audit/entry. Once D1 has them, only the newest entry stays: the next one follows it.
  CREATE TABLE audit (
    n INTEGER PRIMARY KEY,       -- 1 for the first
    at INTEGER NOT NULL,         -- ms
    since INTEGER NOT NULL,      -- at of the entry before; 0: there was none
    body TEXT NOT NULL,          -- JSON, AuditEvent
    hash TEXT NOT NULL,          -- of this entry and the hash before
    shipped INTEGER NOT NULL     -- 1: D1 has it, and all before
  );
  `,
  `
  -- Of a message from the client: the version of A2A that it came in; NULL: 1.0.
  ALTER TABLE journal ADD COLUMN version TEXT;
  `,
  `
  -- JSON array of LaneRef: lanes that the config had before, until their endpoints have dropped them; NULL: none.
  ALTER TABLE configs ADD COLUMN replaced TEXT;
  `,
  `
  -- JSON array of Filter: those that the config has had, the present one last; NULL: that one from its beginning.
  ALTER TABLE configs ADD COLUMN filters TEXT;
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
