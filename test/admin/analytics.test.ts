// What operators are told about a time: sums, shares, percentiles, who is most active, what fails how.

import { beforeEach, describe, expect, it } from "vitest";
import { percentile } from "../../src/admin/analytics.ts";
import { DURATION_BOUNDS_MS } from "../../src/store/attempt-sums.ts";
import { saveAttempts } from "../../src/store/attempts.ts";
import { attemptRow, attemptRows } from "../store/rows.ts";
import { createOperator, startAfresh } from "./operator.ts";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const NOW = 100 * DAY + HOUR / 2;
const operator = createOperator({ now: () => NOW });
const { db } = operator.deps;
const iso = (ms: number) => new Date(ms).toISOString();
const ask = (query = "") => operator.result("GET", `/analytics${query}`);

beforeEach(startAfresh);

describe("GET /admin/v1/analytics", () => {
  it("tells of the last 24 hours unless asked otherwise", async () => {
    await saveAttempts(db, [
      attemptRow({ n: 1, startedAt: NOW - 1_000, durationMs: 40 }),
      attemptRow({ n: 2, startedAt: NOW - 2 * HOUR, durationMs: 300, attempt: 2 }),
      attemptRow({
        n: 3,
        startedAt: NOW - 2 * HOUR,
        durationMs: 15_000,
        outcome: "retry",
        status: null,
        error: "timeout",
      }),
      attemptRow({ n: 4, startedAt: NOW - HOUR, durationMs: 20, outcome: "retry", status: 503, owner: "b" }),
      attemptRow({ n: 5, startedAt: NOW - HOUR, durationMs: 20, outcome: "retry", status: 503, attempt: 3 }),
      attemptRow({ n: 6, startedAt: NOW - 2 * DAY }),
    ]);
    expect(await ask()).toEqual({
      from: iso(99 * DAY),
      to: iso(100 * DAY + HOUR),
      attempts: 5,
      delivered: 2,
      failed: 3,
      retries: 2,
      successShare: 0.4,
      attemptsPerMinute: 5 / (24.5 * 60),
      durationMs: {
        all: { mean: 15_380 / 5, p50: 38, p95: 25_000, p99: 29_000 },
        delivered: { mean: 170, p50: 50, p95: 475, p99: 495 },
      },
      hours: [
        { hour: iso(100 * DAY - 2 * HOUR), attempts: 2, delivered: 1, failed: 1, retries: 1 },
        { hour: iso(100 * DAY - HOUR), attempts: 2, delivered: 0, failed: 2, retries: 1 },
        { hour: iso(100 * DAY), attempts: 1, delivered: 1, failed: 0, retries: 0 },
      ],
      codes: [
        { code: "2xx", attempts: 2 },
        { code: "5xx", attempts: 2 },
        { code: "timeout", attempts: 1 },
      ],
      failures: [
        { outcome: "retry", status: 503, error: null, attempts: 2, retries: 1 },
        { outcome: "retry", status: null, error: "timeout", attempts: 1, retries: 0 },
      ],
      mostActive: {
        since: iso(99 * DAY),
        owners: [
          { owner: "open::owner", attempts: 4, delivered: 2, retries: 2, successShare: 0.5, meanMs: 3_840 },
          { owner: "b", attempts: 1, delivered: 0, retries: 0, successShare: 0, meanMs: 20 },
        ],
        endpoints: [
          {
            ...{ owner: "open::owner", origin: "https://hooks.example" },
            ...{ attempts: 4, delivered: 2, retries: 2, successShare: 0.5, meanMs: 3_840 },
          },
          {
            ...{ owner: "b", origin: "https://hooks.example" },
            ...{ attempts: 1, delivered: 0, retries: 0, successShare: 0, meanMs: 20 },
          },
        ],
      },
    });
  });

  it("tells of nothing where nothing was", async () => {
    const none = { mean: null, p50: null, p95: null, p99: null };
    expect(await ask()).toMatchObject({
      ...{ attempts: 0, successShare: null, attemptsPerMinute: 0, hours: [], codes: [], failures: [] },
      durationMs: { all: none, delivered: none },
      mostActive: { owners: [], endpoints: [] },
    });
  });

  it("extends a time to full hours, and names as many as it is asked to", async () => {
    await saveAttempts(
      db,
      attemptRows(20, (i) => ({ n: i, startedAt: NOW - DAY + i, owner: `owner-${i % 4}` })),
    );
    const [from, to] = [NOW - DAY + 60_000, NOW - DAY + 120_000].map(iso);
    expect(await ask(`?from=${from}&to=${to}&top=3`)).toMatchObject({
      ...{ from: iso(99 * DAY), to: iso(99 * DAY + HOUR), attempts: 20 },
      mostActive: { owners: [{ attempts: 5 }, { attempts: 5 }, { attempts: 5 }] },
    });
  });

  it.each([
    ["more than 7 days", `?from=${iso(NOW - 8 * DAY)}&to=${iso(NOW)}`, "from"],
    ["a time that ends before it begins", `?from=${iso(NOW)}&to=${iso(NOW - 1)}`, "to"],
    ["a time that begins in the future", `?from=${iso(NOW + HOUR)}`, "to"],
    ["to name nobody", "?top=0", "top"],
  ])("refuses %s", async (_, query, field) => {
    expect((await operator.refusal("GET", `/analytics${query}`)).fields).toEqual([field]);
  });

  it("takes 7 days to the ms", async () => {
    await ask(`?from=${iso(NOW - 7 * DAY)}&to=${iso(NOW)}`);
  });
});

describe("a percentile", () => {
  const buckets = (...counts: [bound: number, count: number][]) =>
    DURATION_BOUNDS_MS.map((bound) => counts.find(([of]) => of === bound)?.[1] ?? 0);

  it.each([
    ["of nothing is unknown", buckets(), 0.5, null],
    ["lies in its class in proportion", buckets([100, 10]), 0.5, 75],
    ["of everything is the upper bound of the last class", buckets([10, 5], [30_000, 1]), 1, 30_000],
    ["of almost nothing begins at 0", buckets([10, 10]), 0.1, 1],
    ["skips classes without any", buckets([10, 1], [1_000, 1]), 0.75, 750],
    ["at the edge of a class is its bound", buckets([10, 1], [1_000, 1]), 0.5, 10],
  ])("%s", (_, counts, p, expected) => {
    expect(percentile(counts, p)).toEqual(expected);
  });
});
