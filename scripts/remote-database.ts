// The deployed database as the Worker's own functions see one, by wrangler's command line, which takes SQL as text.

import { Refusal } from "./command.ts";
import { wrangler } from "./project.ts";

/** What `wrangler d1 execute` takes for the deployed database. */
const REMOTE = ["--remote", "--env", "production"];

/** As much of a D1Database as src/store/api-keys.ts uses. A batch is one command, which is one transaction. */
export function remoteDatabase(target = REMOTE): D1Database {
  const execute = (sql: readonly string[]) =>
    run([...target, "--yes", "--json", "--command", sql.join(";\n")]);
  const one = async (sql: string) => (await execute([sql]))[0] ?? { results: [] };
  const prepare = (sql: string) => ({
    bind(...values: unknown[]) {
      const text = withValues(sql, values);
      return { text, all: () => one(text), first: async () => (await one(text)).results[0] ?? null };
    },
  });
  type Statement = ReturnType<ReturnType<typeof prepare>["bind"]>;
  const batch = (statements: Statement[]) => execute(statements.map(({ text }) => text));
  return { prepare, batch } as unknown as D1Database;
}

/** The results of each statement. */
async function run(args: string[]): Promise<{ results: unknown[] }[]> {
  const { code, output } = await wrangler(["d1", "execute", "DB", ...args], "collect");
  if (code !== 0) throw new Refusal(output.trim());
  // Warnings may stand before it.
  return JSON.parse(output.slice(output.search(/^\[$/m))) as { results: unknown[] }[];
}

/** Puts values where `?` and `?1` stand. The statements are ours and hold no `?` in a text. */
export function withValues(sql: string, values: readonly unknown[]): string {
  let place = 0;
  return sql.replace(/\?(\d*)/g, (_, number: string) => {
    place = number === "" ? place + 1 : Number(number);
    return toLiteral(values[place - 1]);
  });
}

function toLiteral(value: unknown): string {
  if (value === null) return "NULL";
  if (typeof value === "number" && Number.isSafeInteger(value)) return String(value);
  if (typeof value !== "string" || value.includes("\0"))
    throw new Refusal("a value cannot be written as SQL");
  return `'${value.replaceAll("'", "''")}'`;
}
