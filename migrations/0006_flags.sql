-- What operators have switched at run time; a flag without a row is as the settings say.
CREATE TABLE flags (
  name TEXT PRIMARY KEY,
  is_on INTEGER NOT NULL,       -- 0 or 1; 1 allows no more than the settings do
  changed_at INTEGER NOT NULL,  -- ms
  changed_by TEXT NOT NULL      -- actor
) WITHOUT ROWID;
