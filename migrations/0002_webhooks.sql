-- What operators ask about webhooks, across all homes. Each row is a copy that a home has shipped: no delivery
-- depends on any of it. Times are in ms since 1970.
--
-- Every list is read in the order of its key, from an index that begins with what is asked for. An index costs one
-- written row for each row of its table, so there are none but these; the columns after the key let a search check
-- its other conditions without touching the table.

-- One row for each attempt to deliver a notification.
CREATE TABLE attempts (
  id INTEGER PRIMARY KEY,
  home TEXT NOT NULL,            -- Durable Object id
  n INTEGER NOT NULL,            -- the home's own count of attempts
  owner TEXT NOT NULL,
  agent TEXT NOT NULL,
  task TEXT NOT NULL,
  config TEXT NOT NULL,
  origin TEXT NOT NULL,          -- scheme, host and port
  target TEXT NOT NULL,          -- the URL without its query
  notification TEXT NOT NULL,    -- webhook-id
  sequence INTEGER NOT NULL,     -- webhook-sequence
  attempt INTEGER NOT NULL,      -- 1 for the first
  outcome TEXT NOT NULL,
  status INTEGER,                -- NULL: no answer
  error TEXT,                    -- why there was none; NULL: there was one
  duration_ms INTEGER NOT NULL,
  committed_at INTEGER NOT NULL, -- of the event
  planned_at INTEGER NOT NULL,
  started_at INTEGER NOT NULL,
  response TEXT                  -- the beginning of the answer, on failure
);
CREATE INDEX attempts_by_time ON attempts (started_at, id, outcome, status, error);
CREATE INDEX attempts_by_task ON attempts (task, started_at, id, config, outcome, status, error);
CREATE INDEX attempts_by_owner ON attempts (owner, started_at, id, outcome, status, error);
CREATE INDEX attempts_by_origin ON attempts (origin, started_at, id, owner, outcome, status, error);
CREATE INDEX attempts_by_notification ON attempts (notification, started_at, id);
-- Failures are what is searched for, and are few among the delivered.
CREATE INDEX failures_by_time ON attempts (started_at, id, outcome, status, error) WHERE outcome <> 'delivered';
CREATE INDEX failures_by_status ON attempts (status, started_at, id, outcome)
  WHERE outcome <> 'delivered' AND status IS NOT NULL;
CREATE INDEX failures_by_error ON attempts (error, started_at, id, outcome)
  WHERE outcome <> 'delivered' AND error IS NOT NULL;
CREATE INDEX failures_by_owner ON attempts (owner, started_at, id, outcome, status, error)
  WHERE outcome <> 'delivered';
CREATE INDEX failures_by_origin ON attempts (origin, started_at, id, owner, outcome, status, error)
  WHERE outcome <> 'delivered';

-- How far each home has shipped its attempts. What comes again is known by its number, so that neither `attempts`
-- needs a unique index nor the sums below can count it twice.
CREATE TABLE ships (
  home TEXT PRIMARY KEY,
  n INTEGER NOT NULL
) WITHOUT ROWID;

-- Sums of attempts by the hour in which they started, for the whole deployment.
CREATE TABLE attempt_hours (
  hour INTEGER NOT NULL,         -- its first ms
  outcome TEXT NOT NULL,
  status INTEGER NOT NULL,       -- 0: no answer
  error TEXT NOT NULL,           -- '': there was an answer
  attempts INTEGER NOT NULL,
  retries INTEGER NOT NULL,      -- those that were not the first attempt
  duration_ms INTEGER NOT NULL,  -- of all together
  -- How many took at most so many ms, and longer than the column before says.
  le_10 INTEGER NOT NULL,
  le_25 INTEGER NOT NULL,
  le_50 INTEGER NOT NULL,
  le_100 INTEGER NOT NULL,
  le_250 INTEGER NOT NULL,
  le_500 INTEGER NOT NULL,
  le_1000 INTEGER NOT NULL,
  le_2500 INTEGER NOT NULL,
  le_5000 INTEGER NOT NULL,
  le_10000 INTEGER NOT NULL,
  le_30000 INTEGER NOT NULL,     -- no attempt may last longer
  PRIMARY KEY (hour, outcome, status, error)
) WITHOUT ROWID;

-- The same by endpoint, for who is most active.
CREATE TABLE endpoint_hours (
  hour INTEGER NOT NULL,
  owner TEXT NOT NULL,
  origin TEXT NOT NULL,
  attempts INTEGER NOT NULL,
  delivered INTEGER NOT NULL,
  retries INTEGER NOT NULL,
  duration_ms INTEGER NOT NULL,
  PRIMARY KEY (hour, owner, origin)
) WITHOUT ROWID;

-- The push notification configs there are.
CREATE TABLE push_configs (
  home TEXT NOT NULL,
  task TEXT NOT NULL,
  config TEXT NOT NULL,
  owner TEXT NOT NULL,
  agent TEXT NOT NULL,
  origin TEXT NOT NULL,
  target TEXT NOT NULL,
  state TEXT NOT NULL,           -- active, paused or disabled
  reason TEXT,                   -- why it is not active
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  PRIMARY KEY (home, task, config)
) WITHOUT ROWID;
CREATE INDEX push_configs_by_task ON push_configs (task);
CREATE INDEX push_configs_by_owner ON push_configs (owner);
CREATE INDEX push_configs_by_origin ON push_configs (origin);
CREATE INDEX push_configs_by_state ON push_configs (state) WHERE state <> 'active';

-- How many configs each endpoint has, kept by the triggers: counting them would read them all.
CREATE TABLE endpoints (
  owner TEXT NOT NULL,
  origin TEXT NOT NULL,
  active INTEGER NOT NULL,
  paused INTEGER NOT NULL,
  disabled INTEGER NOT NULL,
  PRIMARY KEY (owner, origin)
) WITHOUT ROWID;
CREATE INDEX endpoints_by_origin ON endpoints (origin);

CREATE TRIGGER push_configs_inserted AFTER INSERT ON push_configs
BEGIN
  INSERT INTO endpoints (owner, origin, active, paused, disabled)
  VALUES (new.owner, new.origin, new.state = 'active', new.state = 'paused', new.state = 'disabled')
  ON CONFLICT (owner, origin) DO UPDATE SET
    active = active + excluded.active, paused = paused + excluded.paused, disabled = disabled + excluded.disabled;
END;

CREATE TRIGGER push_configs_updated AFTER UPDATE ON push_configs
WHEN (old.owner, old.origin, old.state) <> (new.owner, new.origin, new.state)
BEGIN
  UPDATE endpoints SET
    active = active - (old.state = 'active'), paused = paused - (old.state = 'paused'),
    disabled = disabled - (old.state = 'disabled')
  WHERE owner = old.owner AND origin = old.origin;
  INSERT INTO endpoints (owner, origin, active, paused, disabled)
  VALUES (new.owner, new.origin, new.state = 'active', new.state = 'paused', new.state = 'disabled')
  ON CONFLICT (owner, origin) DO UPDATE SET
    active = active + excluded.active, paused = paused + excluded.paused, disabled = disabled + excluded.disabled;
  DELETE FROM endpoints
  WHERE owner = old.owner AND origin = old.origin AND active = 0 AND paused = 0 AND disabled = 0;
END;

CREATE TRIGGER push_configs_deleted AFTER DELETE ON push_configs
BEGIN
  UPDATE endpoints SET
    active = active - (old.state = 'active'), paused = paused - (old.state = 'paused'),
    disabled = disabled - (old.state = 'disabled')
  WHERE owner = old.owner AND origin = old.origin;
  DELETE FROM endpoints
  WHERE owner = old.owner AND origin = old.origin AND active = 0 AND paused = 0 AND disabled = 0;
END;

-- Notifications that were given up.
CREATE TABLE dead_letters (
  id TEXT PRIMARY KEY,           -- webhook-id
  home TEXT NOT NULL,
  owner TEXT NOT NULL,
  agent TEXT NOT NULL,
  task TEXT NOT NULL,
  config TEXT NOT NULL,
  lane TEXT NOT NULL,
  origin TEXT NOT NULL,
  target TEXT NOT NULL,
  seq INTEGER NOT NULL,          -- the event's row in its home's journal
  sequence INTEGER NOT NULL,     -- webhook-sequence
  reason TEXT NOT NULL,
  error TEXT,
  status INTEGER,
  attempts INTEGER NOT NULL,
  committed_at INTEGER NOT NULL,
  died_at INTEGER NOT NULL,
  state TEXT NOT NULL,           -- dead, retrying, delivered or discarded
  state_at INTEGER NOT NULL,
  body TEXT                      -- NULL: too large to be kept here
);
CREATE INDEX dead_letters_by_time ON dead_letters (died_at, id);
CREATE INDEX dead_letters_by_task ON dead_letters (task, died_at, id);
CREATE INDEX dead_letters_by_owner ON dead_letters (owner, died_at, id);
CREATE INDEX dead_letters_by_origin ON dead_letters (origin, died_at, id);
CREATE INDEX dead_letters_by_state ON dead_letters (state, died_at, id);

-- Retries of many dead letters, and how far each has come.
CREATE TABLE retry_jobs (
  id TEXT PRIMARY KEY,
  state TEXT NOT NULL,           -- running, paused, cancelled or done
  filter TEXT NOT NULL,          -- JSON
  cursor_at INTEGER NOT NULL,    -- died_at and id of the last letter that was handled
  cursor_id TEXT NOT NULL,
  retried INTEGER NOT NULL,      -- taken back by their homes
  gone INTEGER NOT NULL,         -- whose config or task exists no more
  failed INTEGER NOT NULL,       -- whose home could not be asked
  step INTEGER NOT NULL,         -- of the chunk that is being handled; a claim adds one
  lease_until INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX retry_jobs_running ON retry_jobs (lease_until) WHERE state = 'running';
