// The history of attempts: what comes twice is stored once, every search walks an index in the order of its pages,
// and no search reads more than its share, however long the history is.

import { env } from "cloudflare:test";
import { beforeEach, describe, expect, it } from "vitest";
import { DURATION_BOUNDS_MS, readMostActive, readSums, trimSums } from "../../src/store/attempt-sums.ts";
import {
  type AttemptFilter,
  type AttemptRow,
  attemptsOf,
  attemptsWalk,
  type ListedAttempt,
  saveAttempts,
  searchAttempts,
  trimAttempts,
} from "../../src/store/attempts.ts";
import { type Condition, type Position, WALK } from "../../src/store/keyset.ts";
import { plansOf } from "./plans.ts";
import { attemptRow, attemptRows } from "./rows.ts";

const db = env.DB;

const countOf = async (table: string) =>
  (await db.prepare(`SELECT count(*) AS count FROM ${table}`).first<{ count: number }>())?.count;

beforeEach(async () => {
  const tables = ["attempts", "ships", "attempt_hours", "endpoint_hours", "dead_letters"];
  await db.batch(tables.map((table) => db.prepare(`DELETE FROM ${table}`)));
});

/** All pages of a search. */
async function searchAll(filter: AttemptFilter, limit = 100): Promise<ListedAttempt[]> {
  const all: ListedAttempt[] = [];
  let after: Position | undefined;
  do {
    const { rows, next } = await searchAttempts(db, filter, { after, limit });
    all.push(...rows);
    after = next;
  } while (after !== undefined);
  return all;
}

describe("saveAttempts", () => {
  it("stores a row as it is", async () => {
    const rows = [
      attemptRow({ n: 1, response: 'no "entry"\u0000 — ünïcode', status: 503, outcome: "retry" }),
      attemptRow({
        n: 2,
        status: null,
        error: "timeout",
        outcome: "retry",
        response: null,
        startedAt: 2_000,
      }),
    ];
    await saveAttempts(db, rows);
    const stored = await attemptsOf(db, "msg_1");
    expect(stored.map(({ id: _, ...row }) => row)).toEqual(rows);
  });

  it("stores nothing for nothing", async () => {
    await saveAttempts(db, []);
    expect(await countOf("attempts")).toBe(0);
  });

  it("stores once what comes twice, late or together with something new, and counts it once", async () => {
    const rows = attemptRows(30, (i) => ({ n: i + 1 }));
    await saveAttempts(db, rows.slice(0, 20));
    await saveAttempts(db, rows.slice(0, 20));
    await saveAttempts(db, rows.slice(10));
    await saveAttempts(db, rows.slice(0, 20));
    expect(await countOf("attempts")).toBe(30);
    expect((await readSums(db, 0, 1e15)).kinds).toMatchObject([{ attempts: 30 }]);
    const { owners } = await readMostActive(db, { from: 0, to: 1e15, limit: 5 });
    expect(owners).toMatchObject([{ attempts: 30 }]);
  });

  it("begins with any number, also 0, and leaves gaps alone", async () => {
    await saveAttempts(db, [attemptRow({ n: 0 }), attemptRow({ n: 7 })]);
    await saveAttempts(db, [attemptRow({ n: 7 }), attemptRow({ n: 9 })]);
    expect(await countOf("attempts")).toBe(3);
  });

  it("keeps homes apart, also within one call", async () => {
    await saveAttempts(db, [attemptRow({ home: "a", n: 5 }), attemptRow({ home: "b", n: 1 })]);
    await saveAttempts(db, [attemptRow({ home: "a", n: 5 }), attemptRow({ home: "b", n: 2 })]);
    expect(await countOf("attempts")).toBe(3);
  });

  it("stores and counts all or nothing", async () => {
    const rows = [attemptRow({ n: 1 }), { ...attemptRow({ n: 2 }), durationMs: null as unknown as number }];
    await expect(saveAttempts(db, rows)).rejects.toThrow("NOT NULL");
    for (const table of ["attempts", "ships", "attempt_hours", "endpoint_hours"]) {
      expect(await countOf(table), table).toBe(0);
    }
  });

  it("takes more than one parameter can hold", async () => {
    await saveAttempts(
      db,
      attemptRows(700, (i) => ({ n: i, response: "é".repeat(2_000) })),
    );
    expect(await countOf("attempts")).toBe(700);
  });

  it("writes six rows for an attempt that was delivered, ten for one that failed, and three for the sums", async () => {
    const written: number[] = [];
    const counting = {
      prepare: (sql: string) => db.prepare(sql),
      batch: async (statements: D1PreparedStatement[]) => {
        const results = await db.batch(statements);
        written.push(results.reduce((sum, { meta }) => sum + meta.rows_written, 0));
        return results;
      },
    } as unknown as D1Database;
    await saveAttempts(counting, [attemptRow({ n: 1 })]);
    await saveAttempts(counting, [attemptRow({ n: 2, outcome: "retry", status: 503 })]);
    await saveAttempts(
      counting,
      attemptRows(100, (i) => ({ n: 3 + i })),
    );
    // The first one of an endpoint in an hour has a row of the index by which its sums are erased.
    expect(written).toEqual([6 + 4, 10 + 3, 600 + 3]);
  });
});

describe("searchAttempts", () => {
  const outcomes = [
    { outcome: "delivered", status: 200, error: null },
    { outcome: "delivered", status: 204, error: null },
    { outcome: "retry", status: 503, error: null },
    { outcome: "retry", status: null, error: "timeout" },
    { outcome: "rejected", status: 404, error: null },
    { outcome: "gone", status: 410, error: null },
  ];
  const rows: AttemptRow[] = attemptRows(600, (i) => ({
    n: i,
    owner: `owner-${i % 3}`,
    task: `task-${i % 9}`,
    config: `config-${i % 2}`,
    origin: `https://host-${i % 4}.example`,
    ...outcomes[(i * 7) % outcomes.length],
    // Several in the same ms, and not in the order of their numbers.
    startedAt: 1_000 + ((i * 37) % 100),
  }));

  const values: { [K in keyof AttemptFilter]-?: NonNullable<AttemptFilter[K]>[] } = {
    owner: ["owner-1", "nobody"],
    origin: ["https://host-2.example"],
    task: ["task-4"],
    config: ["config-1"],
    outcome: ["delivered", "failed", "retry", "gone"],
    status: [200, 204, 503],
    error: ["timeout", "dns_failure"],
    from: [1_020],
    to: [1_080],
  };

  /** Every combination of filters, each with every value of it above. */
  function combinations(names = Object.keys(values) as (keyof AttemptFilter)[]): AttemptFilter[] {
    const [name, ...others] = names;
    if (name === undefined) return [{}];
    const rest = combinations(others);
    return [
      ...rest,
      ...values[name].flatMap((value) => rest.map((filter) => ({ ...filter, [name]: value }))),
    ];
  }

  function fits(row: Omit<ListedAttempt, "id">, filter: AttemptFilter): boolean {
    const { from = 0, to = Infinity, outcome, ...equal } = filter;
    const isOutcome =
      outcome === undefined || (outcome === "failed" ? row.outcome !== "delivered" : row.outcome === outcome);
    const isEqual = Object.entries(equal).every(([name, value]) => row[name as keyof typeof row] === value);
    return isOutcome && isEqual && row.startedAt >= from && row.startedAt < to;
  }

  it("finds with every combination of filters what fits, newest first, each once", {
    timeout: 60_000,
  }, async () => {
    await saveAttempts(db, rows);
    const all = combinations();
    expect(all.length).toBeGreaterThan(2_000);
    // All of them would take a minute; every 7th still has every pair of values.
    for (const filter of all.filter((_, i) => i % 7 === 0)) {
      const found = await searchAll(filter);
      const expected = rows.filter((row) => fits(row, filter));
      expect(found.length, JSON.stringify(filter)).toBe(expected.length);
      expect(found.every((row) => fits(row, filter))).toBe(true);
      expect(new Set(found.map(({ id }) => id)).size).toBe(found.length);
      const places = found.map(({ startedAt, id }) => startedAt * 10_000 + id);
      expect(places).toEqual(places.toSorted((a, b) => b - a));
    }
  });

  it("walks an index in the order of the list with every combination: no scan, no sorting", async () => {
    const seen = new Set<string>();
    for (const filter of combinations()) {
      const walk = attemptsWalk(filter);
      const columns = (conditions: readonly Condition[]) =>
        conditions.map(({ column, test }) => column + test);
      const shape = [walk.index, ...columns(walk.within), "/", ...columns(walk.checks)].join(" ");
      if (seen.has(shape)) continue;
      seen.add(shape);
      for (const page of [{ limit: 50 }, { limit: 50, after: [1_050, 7] }]) {
        const plans = await plansOf(db, walk, page);
        const [first] = plans;
        expect(first, JSON.stringify(filter)).toMatch(
          new RegExp(`SEARCH attempts USING (COVERING )?INDEX ${walk.index} \\(`),
        );
        for (const plan of plans) {
          expect(plan.replaceAll("SCAN walked", ""), JSON.stringify(filter)).not.toMatch(/SCAN|TEMP B-TREE/);
        }
      }
    }
    expect(seen.size).toBeGreaterThan(100);
  });

  it("checks outcome, status and error in the index, without reading the rows on the way", async () => {
    const filters: AttemptFilter[] = [
      { status: 204 },
      { owner: "o", error: "timeout" },
      { owner: "o", origin: "h", status: 503 },
      { task: "t", config: "c", outcome: "failed" },
      { outcome: "gone" },
      { error: "timeout", outcome: "retry" },
    ];
    for (const filter of filters) {
      const [plan] = await plansOf(db, attemptsWalk(filter), { limit: 50 });
      expect(plan, JSON.stringify(filter)).toContain("USING COVERING INDEX");
    }
  });

  it("looks at a bounded part of a long history, and says where to go on", async () => {
    const total = WALK * 2 + 10;
    const history = attemptRows(total, (i) => ({ n: i, status: i === 0 ? 204 : 200, startedAt: i }));
    await saveAttempts(db, history);
    const first = await searchAttempts(db, { status: 204 }, { limit: 50 });
    expect(first.rows).toEqual([]);
    expect(first.next?.[0]).toBe(total - WALK);
    const second = await searchAttempts(db, { status: 204 }, { limit: 50, after: first.next });
    expect(second.rows).toEqual([]);
    const third = await searchAttempts(db, { status: 204 }, { limit: 50, after: second.next });
    expect(third.rows).toMatchObject([{ startedAt: 0 }]);
    expect(third.next).toBeUndefined();
  });

  it("ends a page with the last row that it shows, and goes on after it although rows come in between", async () => {
    await saveAttempts(
      db,
      attemptRows(10, (i) => ({ n: i, startedAt: 100 + i })),
    );
    const first = await searchAttempts(db, {}, { limit: 4 });
    expect(first.rows.map(({ startedAt }) => startedAt)).toEqual([109, 108, 107, 106]);
    await saveAttempts(db, [attemptRow({ n: 50, startedAt: 200 }), attemptRow({ n: 51, startedAt: 103 })]);
    const second = await searchAttempts(db, {}, { limit: 4, after: first.next });
    expect(second.rows.map(({ startedAt }) => startedAt)).toEqual([105, 104, 103, 103]);
    const third = await searchAttempts(db, {}, { limit: 4, after: second.next });
    expect(third.rows.map(({ startedAt }) => startedAt)).toEqual([102, 101, 100]);
    expect(third.next).toBeUndefined();
  });

  it("has no further page when the last one is full", async () => {
    await saveAttempts(
      db,
      attemptRows(8, (i) => ({ n: i, startedAt: i })),
    );
    const { next } = await searchAttempts(db, {}, { limit: 4 });
    expect((await searchAttempts(db, {}, { limit: 4, after: next })).next).toBeUndefined();
  });
});

describe("attemptsOf", () => {
  it("tells one notification's attempts in their order, with what was answered", async () => {
    await saveAttempts(db, [
      attemptRow({ n: 1, attempt: 1, startedAt: 10, outcome: "retry", status: 500, response: "oh" }),
      attemptRow({ n: 2, attempt: 1, startedAt: 15, notification: "msg_2" }),
      attemptRow({ n: 3, attempt: 2, startedAt: 20 }),
    ]);
    const found = await attemptsOf(db, "msg_1");
    expect(found.map(({ attempt, response }) => [attempt, response])).toEqual([
      [1, "oh"],
      [2, null],
    ]);
    expect(await attemptsOf(db, "msg_3")).toEqual([]);
  });
});

describe("trimAttempts", () => {
  it("deletes the oldest before a time, no more than asked for, and does so by index", async () => {
    await saveAttempts(
      db,
      attemptRows(10, (i) => ({ n: i, startedAt: 100 + i })),
    );
    expect(await trimAttempts(db, 105, 3)).toBe(3);
    expect((await searchAll({})).map(({ startedAt }) => startedAt)).toEqual([
      109, 108, 107, 106, 105, 104, 103,
    ]);
    expect(await trimAttempts(db, 105, 3)).toBe(2);
    expect(await trimAttempts(db, 105, 3)).toBe(0);
    expect(await countOf("attempts")).toBe(5);
  });

  it("leaves what a home has shipped known, so that it is not stored again", async () => {
    await saveAttempts(db, [attemptRow({ n: 1, startedAt: 1 })]);
    await trimAttempts(db, 10, 10);
    await saveAttempts(db, [attemptRow({ n: 1, startedAt: 1 })]);
    expect(await countOf("attempts")).toBe(0);
  });
});

describe("the sums", () => {
  const HOUR = 3_600_000;

  it("count by hour, outcome, status and error, with retries and classes of duration", async () => {
    const row = (n: number, more: Partial<AttemptRow>) => attemptRow({ n, startedAt: 5 * HOUR + n, ...more });
    await saveAttempts(db, [
      row(1, { durationMs: 10 }),
      row(2, { durationMs: 11, attempt: 2 }),
      row(3, { durationMs: 29_999, outcome: "retry", status: null, error: "timeout" }),
      row(4, { durationMs: 31_000, outcome: "retry", status: null, error: "timeout", attempt: 3 }),
    ]);
    await saveAttempts(db, [row(5, { durationMs: 0 }), row(6, { startedAt: 6 * HOUR, durationMs: 1 })]);
    const only = (...places: number[]) =>
      DURATION_BOUNDS_MS.map((_, i) => places.filter((place) => place === i).length);
    const last = DURATION_BOUNDS_MS.length - 1;
    const sums = await readSums(db, 0, 10 * HOUR);
    expect(sums.hours).toEqual([
      { hour: 5 * HOUR, attempts: 5, delivered: 3, retries: 2 },
      { hour: 6 * HOUR, attempts: 1, delivered: 1, retries: 0 },
    ]);
    expect(sums.kinds).toEqual([
      {
        ...{ outcome: "delivered", status: 200, error: null },
        ...{ attempts: 4, retries: 1, durationMs: 22, durations: only(0, 0, 0, 1) },
      },
      {
        ...{ outcome: "retry", status: null, error: "timeout" },
        ...{ attempts: 2, retries: 1, durationMs: 60_999, durations: only(last, last) },
      },
    ]);
    const { hours, kinds } = await readSums(db, 6 * HOUR, 7 * HOUR);
    expect(hours).toHaveLength(1);
    expect(kinds).toMatchObject([{ attempts: 1, durationMs: 1 }]);
    expect(await readSums(db, 0, 5 * HOUR)).toEqual({ hours: [], kinds: [] });
  });

  it("tell who is most active, owners and endpoints", async () => {
    await saveAttempts(
      db,
      attemptRows(12, (i) => ({
        n: i,
        owner: i < 8 ? "busy" : "calm",
        origin: i % 2 ? "https://a.example" : "https://b.example",
        ...(i < 2 && { outcome: "retry", status: 500 }),
      })),
    );
    const { owners, endpoints, since } = await readMostActive(db, { from: 0, to: 10 * HOUR, limit: 3 });
    expect(owners).toMatchObject([
      { owner: "busy", attempts: 8, delivered: 6 },
      { owner: "calm", attempts: 4, delivered: 4 },
    ]);
    expect(endpoints).toMatchObject([
      { owner: "busy", origin: "https://a.example", attempts: 4 },
      { owner: "busy", origin: "https://b.example", attempts: 4 },
      { owner: "calm", origin: "https://a.example", attempts: 2 },
    ]);
    expect(since).toBe(0);
  });

  it("are trimmed by their hours", async () => {
    await saveAttempts(
      db,
      attemptRows(4, (i) => ({ n: i, startedAt: i * HOUR })),
    );
    expect(await trimSums(db, 2 * HOUR, 1)).toBe(2);
    expect(await trimSums(db, 2 * HOUR, 10)).toBe(2);
    expect((await readSums(db, 0, 1e15)).hours.map(({ hour }) => hour)).toEqual([2 * HOUR, 3 * HOUR]);
  });
});
