// How a shipment of a home gets into D1.

import { env } from "cloudflare:test";
import { expect, it } from "vitest";
import { findDeadLetter, markDeadLetters, saveDeadLetters } from "../../src/store/dead-letters.ts";
import { archiveIn } from "../../src/tasks/archive.ts";
import type { OutboxItem } from "../../src/tasks/outbox.ts";
import { attemptRow, attemptRows, deadLetter } from "../store/rows.ts";

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
  expect(batches).toEqual([50, 50, 50, 50, 50]);
  await archive({ number: 250, items });
  expect(batches.slice(5)).toEqual([0, 0, 0, 0, 0]);
});

it("ends the retries that were dropped, but not one that was delivered before", async () => {
  await env.DB.batch(
    ["dead_letters", "attempts", "ships"].map((table) => env.DB.prepare(`DELETE FROM ${table}`)),
  );
  const letters = ["dropped", "delivered"].map((id) => deadLetter({ id }));
  await saveDeadLetters(env.DB, letters);
  await markDeadLetters(env.DB, letters, { from: ["dead"], to: "retrying", now: 2_000 });
  const attempt = attemptRow({ notification: "delivered", startedAt: 2_500 });
  const items: OutboxItem[] = [
    { kind: "unretried", notifications: ["dropped", "delivered"] },
    { kind: "attempt", attempt },
  ];
  await archiveIn(env.DB, "a home")({ number: 2, items: items.map((item, i) => ({ n: i + 1, item })) });
  const states = await Promise.all(letters.map(({ id }) => findDeadLetter(env.DB, id)));
  expect(states.map((letter) => letter?.state)).toEqual(["dead", "delivered"]);
});
