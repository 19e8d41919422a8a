// Applies the D1 migrations to a local database, in wrangler's own table, so that
// `wrangler d1 migrations list DB --local` agrees. Done in process because the command takes three seconds.

import { readdir, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { convertV4MiniflareOptions, Miniflare } from "miniflare";
import { unstable_getMiniflareWorkerOptions, unstable_splitSqlQuery } from "wrangler";
import { type Project, root } from "./project.ts";

type Database = Awaited<ReturnType<Miniflare["getD1Database"]>>;

/** Runs `use` with the local databases, up to date; no server must be running on the same state. */
export async function withLocalDatabases(
  project: Project,
  stateDir: string,
  use: (runtime: Miniflare) => Promise<void> = async () => {},
): Promise<void> {
  const { d1Databases } = unstable_getMiniflareWorkerOptions(project).workerOptions;
  const runtime = new Miniflare(
    convertV4MiniflareOptions({
      modules: true,
      script: "",
      cf: false,
      telemetry: { enabled: false },
      resourcePersistencePath: join(stateDir, "v3"),
      d1Databases: d1Databases as Record<string, { id: string }>,
    }),
  );
  try {
    await applyMigrations(runtime, project);
    await use(runtime);
  } finally {
    await runtime.dispose();
  }
}

/** Brings every database of wrangler.toml up to date; what is applied already is left alone. */
export async function applyMigrations(runtime: Miniflare, project: Project): Promise<void> {
  for (const { binding, migrations_dir, migrations_table } of project.d1_databases) {
    if (migrations_dir === undefined) continue;
    const folder = join(project.configPath ? dirname(project.configPath) : root, migrations_dir);
    await apply(await runtime.getD1Database(binding), folder, migrations_table ?? "d1_migrations");
  }
}

async function apply(db: Database, folder: string, table: string): Promise<void> {
  const names = (await readdir(folder)).filter((name) => name.endsWith(".sql")).sort();
  await db
    .prepare(
      `CREATE TABLE IF NOT EXISTS "${table}" (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE,
       applied_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP NOT NULL)`,
    )
    .run();
  const { results } = await db.prepare(`SELECT name FROM "${table}"`).all<{ name: string }>();
  const applied = new Set(results.map((row) => row.name));
  for (const name of names) {
    if (applied.has(name)) continue;
    const sql = await readFile(join(folder, name), "utf8");
    // One batch is one transaction: a migration cut off by a kill is applied again from its start.
    await db.batch([
      ...unstable_splitSqlQuery(sql).map((statement) => db.prepare(statement)),
      db.prepare(`INSERT INTO "${table}" (name) VALUES (?)`).bind(name),
    ]);
  }
}
