// Sums that are handed to the metrics every few seconds, however often something happens.

import { afterEach, describe, expect, it, vi } from "vitest";
import type { MetricsDelta } from "../../src/telemetry/metrics.ts";
import { createTally } from "../../src/telemetry/tally.ts";

afterEach(() => void vi.restoreAllMocks());

function setUp(count: (delta: MetricsDelta) => Promise<unknown> = async () => {}) {
  const deltas: MetricsDelta[] = [];
  const waiting: Promise<unknown>[] = [];
  let wake = () => {};
  const tally = createTally({
    count: (delta) => {
      deltas.push(delta);
      return count(delta);
    },
    waitUntil: (promise) => void waiting.push(promise),
    sleep: () => new Promise<void>((resolve) => (wake = resolve)),
  });
  const pass = async () => {
    wake();
    await Promise.all(waiting.splice(0));
  };
  return { tally, deltas, pass };
}

describe("a tally", () => {
  it("hands over one sum for many, and counts on", async () => {
    const { tally, deltas, pass } = setUp();
    for (let i = 0; i < 1_000; i++) tally.add(i % 4 === 0 ? "b" : "a");
    expect(deltas).toEqual([]);
    await pass();
    tally.add("a");
    await pass();
    const delta = { source: "", number: 0, observations: {}, gauges: {} };
    expect(deltas).toEqual([
      { ...delta, counters: { a: 750, b: 250 } },
      { ...delta, counters: { a: 1 } },
    ]);
  });

  it("goes on when the metrics cannot be reached", async () => {
    const log = vi.spyOn(console, "warn").mockImplementation(() => {});
    const { tally, deltas, pass } = setUp(() => Promise.reject(new Error("down")));
    tally.add("a");
    await pass();
    tally.add("a");
    await pass();
    expect(deltas).toHaveLength(2);
    expect(log).toHaveBeenCalledTimes(2);
  });
});
