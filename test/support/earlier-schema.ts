// Turns a home's database back into one of an earlier schema version.

/** What each version has added, beginning with the second; what is of the versions before stays. */
const undo: readonly string[] = [
  `
    DROP TABLE configs;
    DROP TABLE lanes;
    DROP TABLE batches;
    DROP TABLE validated;
    DROP TABLE outbox;
    DROP TABLE dead;
    ALTER TABLE journal DROP COLUMN at;
  `,
  "DROP TABLE audit;",
  "ALTER TABLE journal DROP COLUMN version;",
  "ALTER TABLE configs DROP COLUMN replaced;",
  "ALTER TABLE configs DROP COLUMN filters;",
];

/** The newest version. */
export const NEWEST = undo.length + 1;

export function toSchema(version: number, { sql }: DurableObjectStorage): void {
  for (const step of undo.slice(version - 1).reverse()) sql.exec(step);
  sql.exec("UPDATE schema_version SET version = ?", version);
}
