// How a shipment of a home gets into D1.

import { env } from "cloudflare:test";
import { expect, it } from "vitest";
import { archiveIn } from "../../src/tasks/archive.ts";
import type { OutboxItem } from "../../src/tasks/outbox.ts";
import { attemptRows } from "../store/rows.ts";

it("goes in pieces, so that nobody waits for the whole of it, and once", async () => {
  const batches: number[] = [];
  const db = new Proxy(env.DB, {
    get: (real, name: keyof D1Database) => {
      if (name !== "batch") return real[name].bind(real);
      return async (statements: D1PreparedStatement[]) => {
        const results = await real.batch(statements);
        batches.push(results[0]?.meta.changes ?? 0);
        return results;
      };
    },
  });
  const items = attemptRows(250, () => ({})).map((attempt, i) => {
    return { n: i + 1, item: { kind: "attempt", attempt } satisfies OutboxItem };
  });
  const archive = archiveIn(db, "a home");
  await archive({ number: 250, items });
  expect(batches).toEqual([100, 100, 50]);
  await archive({ number: 250, items });
  expect(batches.slice(3)).toEqual([0, 0, 0]);
});
