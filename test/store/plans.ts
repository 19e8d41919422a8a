// What the database says about how it would answer a page: one text for each statement.

import { type Page, toStatements, type Walk } from "../../src/store/keyset.ts";

export async function plansOf(db: D1Database, walk: Walk, page: Page): Promise<string[]> {
  const plans = await db.batch<{ detail: string }>(
    toStatements(walk, page).map(({ sql, bindings }) =>
      db.prepare(`EXPLAIN QUERY PLAN ${sql}`).bind(...bindings),
    ),
  );
  return plans.map(({ results }) => results.map(({ detail }) => detail).join("\n"));
}
