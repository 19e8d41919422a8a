// MetricsObject: what it counts once, keeps, forgets and refuses.

import { abortAllDurableObjects, env, evictDurableObject, runInDurableObject } from "cloudflare:test";
import parse from "parse-prometheus-text-format";
import { afterEach, describe, expect, it, vi } from "vitest";
import { type MetricName, type MetricsDelta, metricKey } from "../../src/telemetry/metrics.ts";
import { advance } from "../support/home.ts";

const HOUR_MS = 3_600_000;

const attempts = (code: "2xx" | "5xx") => metricKey("a2a_webhook_attempts_total", { code });
const pending = metricKey("a2a_webhook_pending");
const lateness = metricKey("a2a_webhook_lateness_seconds");

let objects = 0;

/** An object of its own for each test. */
function newMetrics() {
  objects += 1;
  const id = env.METRICS.idFromName(`test ${objects}`);
  // A stub is broken for good once its object has crashed.
  const open = () => env.METRICS.get(id);
  let number = 0;
  const add = (members: Partial<MetricsDelta>) => {
    number += 1;
    return open().add({ source: "home/1", number, counters: {}, observations: {}, gauges: {}, ...members });
  };
  const values = async (name: MetricName) => {
    const family = parse(await open().read()).find((family) => family.name === name);
    return Object.fromEntries(
      (family?.metrics ?? []).map(({ labels, value, count }) => [
        Object.values(labels ?? {}).join(),
        Number(value ?? count),
      ]),
    );
  };
  return { open, read: () => open().read(), add, values };
}

afterEach(() => {
  vi.restoreAllMocks();
});

describe("a delta", () => {
  it("is added to what was counted before", async () => {
    const { add, values } = newMetrics();
    await add({ counters: { [attempts("2xx")]: 2 }, observations: { [lateness]: [1, 2] } });
    await add({
      source: "home/2",
      counters: { [attempts("2xx")]: 3, [attempts("5xx")]: 1 },
      observations: { [lateness]: [3] },
    });
    expect(await values("a2a_webhook_attempts_total")).toMatchObject({ "2xx": 5, "5xx": 1 });
    expect(await values("a2a_webhook_lateness_seconds")).toEqual({ "": 3 });
  });

  it("counts once when it comes twice, also late", async () => {
    const { add, values } = newMetrics();
    const counters = { [attempts("2xx")]: 1 };
    for (const number of [7, 7, 8, 7, 8, 6]) await add({ number, counters, gauges: { [pending]: number } });
    expect(await values("a2a_webhook_attempts_total")).toMatchObject({ "2xx": 2 });
    expect(await values("a2a_webhook_pending")).toEqual({ "": 8 });
  });

  it("that has grown since its answer was lost is counted only from where the last one ended", async () => {
    const { add, values } = newMetrics();
    const counters = (count: number) => ({ [attempts("2xx")]: count });
    expect(await add({ after: 0, number: 3, counters: counters(3) })).toBe(3);
    // The rows 1 to 3 again, with two more.
    expect(await add({ after: 0, number: 5, counters: counters(5) })).toBe(3);
    expect(await add({ after: 2, number: 5, counters: counters(3) })).toBe(3);
    expect(await add({ after: 3, number: 5, counters: counters(2) })).toBe(5);
    expect(await add({ after: 3, number: 5, counters: counters(2) })).toBe(5);
    expect(await values("a2a_webhook_attempts_total")).toMatchObject({ "2xx": 5 });
    // A gap is nothing to worry about: numbers may be skipped.
    expect(await add({ after: 9, number: 10, counters: counters(1) })).toBe(10);
    expect(await values("a2a_webhook_attempts_total")).toMatchObject({ "2xx": 6 });
  });

  it("has a number for its source alone", async () => {
    const { add, values } = newMetrics();
    for (const source of ["home/1", "home/2", "endpoint/1"]) {
      await add({ source, number: 1, counters: { [attempts("2xx")]: 1 } });
    }
    expect(await values("a2a_webhook_attempts_total")).toMatchObject({ "2xx": 3 });
  });

  it("counts each time without a source, and has no gauges", async () => {
    const { add, values } = newMetrics();
    const counters = { [metricKey("a2a_webhook_doorbells_failed_total")]: 1 };
    for (const number of [1, 1, 0]) await add({ source: "", number, counters, gauges: { [pending]: 1 } });
    expect(await values("a2a_webhook_doorbells_failed_total")).toEqual({ "": 3 });
    expect(await values("a2a_webhook_pending")).toEqual({ "": 0 });
    expect(await values("a2a_metrics_sources")).toEqual({ "": 0 });
  });

  it("loses nothing when a hundred come at once", async () => {
    const { add, values } = newMetrics();
    await Promise.all(
      Array.from({ length: 100 }, (_, index) =>
        add({ source: `home/${index % 10}`, counters: { [attempts("2xx")]: 1 } }),
      ),
    );
    expect(await values("a2a_webhook_attempts_total")).toMatchObject({ "2xx": 100 });
  });

  it("writes two rows, however many series it touches", async () => {
    const { open, read, add } = newMetrics();
    await add({ counters: { [attempts("2xx")]: 1 } });
    const rows = await runInDurableObject(open(), (_, { storage }) => {
      const cursors: SqlStorageCursor<Record<string, SqlStorageValue>>[] = [];
      const exec = storage.sql.exec.bind(storage.sql);
      Object.defineProperty(storage.sql, "exec", {
        value: (text: string, ...bindings: SqlStorageValue[]) => {
          const cursor = exec(text, ...bindings);
          cursors.push(cursor);
          return cursor;
        },
      });
      return () => cursors.reduce((sum, { rowsWritten }) => sum + rowsWritten, 0);
    });
    const delta = {
      counters: {
        [attempts("2xx")]: 1,
        [attempts("5xx")]: 1,
        [metricKey("a2a_webhook_retries_total")]: 1,
        [metricKey("a2a_webhook_deliveries_total", { outcome: "delivered" })]: 1,
      },
      observations: {
        [lateness]: [1, 2, 3],
        [metricKey("a2a_webhook_commit_to_delivered_seconds")]: [1],
        [metricKey("a2a_webhook_attempt_duration_seconds")]: [1],
      },
    };
    await add({ ...delta, gauges: { [pending]: 1 } });
    expect(rows()).toBe(2);
    // With gauges alone one, for a repeated delta none.
    await add({ number: 10, gauges: { [pending]: 2 } });
    expect(rows()).toBe(3);
    await add({ ...delta, number: 10 });
    expect(rows()).toBe(3);
    await read();
    expect(rows()).toBe(3);
  });
});

describe("a restart", () => {
  it.each([
    ["an eviction", (stub: DurableObjectStub) => evictDurableObject(stub)],
    ["a crash", () => abortAllDurableObjects()],
  ])("by %s changes nothing that is read, and repeated deltas stay known", async (_, restart) => {
    const { open, read, add, values } = newMetrics();
    await add({
      counters: { [attempts("2xx")]: 5 },
      observations: { [lateness]: [0.2, 400_000] },
      gauges: { [pending]: 3, [metricKey("a2a_webhook_oldest_pending_timestamp_seconds")]: 1 },
    });
    const withoutAge = async () => (await read()).replace(/^.*pending_age.*\n/gm, "");
    const before = await withoutAge();
    await restart(open());
    expect(await withoutAge()).toBe(before);
    await restart(open());
    await add({ number: 1, counters: { [attempts("2xx")]: 5 }, gauges: { [pending]: 30 } });
    expect(await withoutAge()).toBe(before);
    await restart(open());
    await add({ counters: { [attempts("2xx")]: 1 } });
    expect(await values("a2a_webhook_attempts_total")).toMatchObject({ "2xx": 6 });
  });

  it("after a write that failed finds what is on disk, and the delta can be repeated", async () => {
    const { open, add, values } = newMetrics();
    await add({ counters: { [attempts("2xx")]: 1 }, gauges: { [pending]: 1 } });
    await runInDurableObject(open(), (_, { storage }) => {
      const transactionSync = storage.transactionSync.bind(storage);
      Object.defineProperty(storage, "transactionSync", {
        configurable: true,
        value: (write: () => void) => {
          Object.defineProperty(storage, "transactionSync", { value: transactionSync });
          return transactionSync(() => {
            write();
            throw new Error("the disk is full");
          });
        },
      });
    });
    const counters = { [attempts("2xx")]: 1 };
    const next = { source: "home/1", number: 2, counters, observations: {}, gauges: { [pending]: 2 } };
    await runInDurableObject(open(), (object) =>
      expect(object.add(next)).rejects.toThrow("the disk is full"),
    );
    expect(await values("a2a_webhook_attempts_total")).toMatchObject({ "2xx": 1 });
    expect(await values("a2a_webhook_pending")).toEqual({ "": 1 });
    await add(next);
    expect(await values("a2a_webhook_attempts_total")).toMatchObject({ "2xx": 2 });
    expect(await values("a2a_webhook_pending")).toEqual({ "": 2 });
  });
});

describe("gauges", () => {
  it("replace those that the source reported before, and those it leaves out are gone", async () => {
    const { add, values } = newMetrics();
    const unfiled = metricKey("a2a_webhook_dead_letters_unfiled");
    await add({ gauges: { [pending]: 4, [unfiled]: 1 } });
    await add({ source: "home/2", gauges: { [pending]: 10 } });
    await add({ gauges: { [pending]: 1 } });
    expect(await values("a2a_webhook_pending")).toEqual({ "": 11 });
    expect(await values("a2a_webhook_dead_letters_unfiled")).toEqual({ "": 0 });
  });

  it.each([false, true])(
    "of a source not heard of for an hour no longer count (evicted: %s)",
    async (evicted) => {
      const { open, add, values } = newMetrics();
      await add({ source: "home/1", counters: { [attempts("2xx")]: 1 }, gauges: { [pending]: 1 } });
      advance(HOUR_MS - 60_000);
      await add({ source: "home/2", gauges: { [pending]: 20 } });
      if (evicted) await evictDurableObject(open());
      expect(await values("a2a_webhook_pending")).toEqual({ "": 21 });
      advance(120_000);
      if (evicted) await evictDurableObject(open());
      expect(await values("a2a_webhook_pending")).toEqual({ "": 20 });
      expect(await values("a2a_metrics_sources")).toEqual({ "": 1 });
      expect(await values("a2a_webhook_attempts_total")).toMatchObject({ "2xx": 1 });
    },
  );

  it("make the age of the oldest pending notification grow while nobody reports", async () => {
    const { add, values } = newMetrics();
    const committedAt = Date.now();
    await add({
      gauges: { [metricKey("a2a_webhook_oldest_pending_timestamp_seconds")]: committedAt / 1_000 },
    });
    advance(600_000);
    const age = (await values("a2a_webhook_oldest_pending_age_seconds"))[""];
    expect(age).toBeGreaterThanOrEqual(600);
    expect(age).toBeLessThan(610);
  });

  it("of sources gone for a month are forgotten, counters are not", async () => {
    const { open, add, values } = newMetrics();
    await add({ counters: { [attempts("2xx")]: 1 }, gauges: { [pending]: 1 } });
    advance(31 * 24 * HOUR_MS);
    await add({ source: "home/2", counters: { [attempts("2xx")]: 1 } });
    const sources = await runInDurableObject(open(), (_, { storage }) =>
      storage.sql.exec<{ source: string }>("SELECT source FROM sources").toArray(),
    );
    expect(sources).toEqual([{ source: "home/2" }]);
    expect(await values("a2a_webhook_attempts_total")).toMatchObject({ "2xx": 2 });
  });
});

describe("what does not belong there", () => {
  it("is dropped with one line of the log, and the rest of the delta counts", async () => {
    const { read, add, values } = newMetrics();
    const before = await read();
    const warn = vi.spyOn(console, "warn").mockImplementation(() => {});
    const long = "x".repeat(5_000);
    await add({
      counters: {
        a2a_unknown_total: 1,
        __proto__: 1,
        constructor: 2,
        [long]: 1,
        [pending]: 1,
        [attempts("2xx")]: 1,
      },
      observations: { [attempts("2xx")]: [1], [lateness]: [Number.NaN], "evil\nmetric 1": [1] },
      gauges: { [attempts("5xx")]: 1, [pending]: Number.NaN, 'a2a_build_info{version="9"}': 1 },
    });
    expect(warn).toHaveBeenCalledOnce();
    const line = JSON.parse(String(warn.mock.calls[0]?.[0]));
    expect(line).toMatchObject({ level: "warn", dropped: 10 });
    expect(String(warn.mock.calls[0]?.[0]).length).toBeLessThan(1_000);
    expect(await values("a2a_webhook_attempts_total")).toMatchObject({ "2xx": 1 });
    const lines = (await read()).split("\n").filter((line) => !before.split("\n").includes(line));
    expect(lines).toEqual(['a2a_webhook_attempts_total{code="2xx"} 1', "a2a_metrics_sources 1"]);
  });

  it("includes series beyond the first 200 of a metric, also after a restart", async () => {
    const { open, add, values } = newMetrics();
    const warn = vi.spyOn(console, "warn").mockImplementation(() => {});
    const many = (from: number, to: number) =>
      Object.fromEntries(
        Array.from({ length: to - from }, (_, i) => [`a2a_webhook_attempts_total{code="${from + i}"}`, 1]),
      );
    await add({ counters: many(0, 150) });
    expect(warn).not.toHaveBeenCalled();
    await evictDurableObject(open());
    await add({ counters: { ...many(100, 300), [metricKey("a2a_webhook_retries_total")]: 1 } });
    expect(JSON.parse(String(warn.mock.calls[0]?.[0]))).toMatchObject({ dropped: 100 });
    const found = Object.values(await values("a2a_webhook_attempts_total")).filter((value) => value > 0);
    expect(found).toHaveLength(200);
    expect(found.filter((value) => value === 2)).toHaveLength(50);
    expect(await values("a2a_webhook_retries_total")).toEqual({ "": 1 });
  });

  it("includes series of gauges beyond the first 200 of a metric, whatever the number of sources", async () => {
    const { add, values } = newMetrics();
    for (let source = 0; source < 3; source += 1) {
      const gauges = Object.fromEntries(
        Array.from({ length: 100 }, (_, i) => [`a2a_webhook_breakers{state="${source}-${i}"}`, 1]),
      );
      await add({ source: `endpoint/${source}`, gauges });
    }
    const found = Object.values(await values("a2a_webhook_breakers")).filter((value) => value > 0);
    expect(found).toHaveLength(200);
  });

  it.each([
    ["a source that is too long", { source: "x".repeat(257) }],
    ["a number that is none", { number: Number.NaN }],
    ["a number that is too large", { number: 2 ** 60 }],
    ["half a number", { number: 1.5 }],
  ])("includes a delta with %s", async (_, members) => {
    const { add, values } = newMetrics();
    const warn = vi.spyOn(console, "warn").mockImplementation(() => {});
    await add({ counters: { [attempts("2xx")]: 1 }, ...members });
    expect(warn).toHaveBeenCalledOnce();
    expect(await values("a2a_webhook_attempts_total")).toMatchObject({ "2xx": 0 });
    expect(await values("a2a_metrics_sources")).toEqual({ "": 0 });
  });
});
