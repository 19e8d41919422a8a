// Turns a home's database back into one of schema version 1, as homes had it before there were push notifications.

/** What later versions have added is gone; tasks and everything else of version 1 stays. */
export function toSchema1({ sql }: DurableObjectStorage): void {
  sql.exec(`
    DROP TABLE configs;
    DROP TABLE lanes;
    DROP TABLE batches;
    DROP TABLE validated;
    DROP TABLE outbox;
    DROP TABLE dead;
    DROP TABLE audit;
    ALTER TABLE journal DROP COLUMN at;
    ALTER TABLE journal DROP COLUMN version;
    UPDATE schema_version SET version = 1;
  `);
}
