// What an endpoint tells the metrics, over metrics that fail as a test wants and a clock that only waits move.

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Reporting } from "../../src/delivery/reporting.ts";
import type { MetricsDelta } from "../../src/telemetry/metrics.ts";

const NOW = 1_700_000_000_000;

function setUp() {
  const world = { isDown: false, counted: {} as Record<string, number>, newest: 0, now: NOW };
  const deltas: MetricsDelta[] = [];
  const slept: number[] = [];
  const waiting: Promise<unknown>[] = [];
  const reporting = new Reporting({
    source: "endpoint/1",
    async add(delta) {
      deltas.push(structuredClone(delta));
      if (world.isDown) throw new Error("down");
      const { number, counters } = delta;
      if (number > world.newest)
        for (const key in counters) world.counted[key] = (world.counted[key] ?? 0) + 1;
      world.newest = Math.max(world.newest, number);
      return world.newest;
    },
    gauges: () => ({ open: 1 }),
    now: () => world.now,
    sleep: async (ms) => {
      slept.push(ms);
      world.now += ms;
    },
    waitUntil: (promise) => void waiting.push(promise),
  });
  /** Waits until nothing is under way any more. */
  const rest = async () => {
    while (waiting.length > 0) await waiting.shift();
  };
  return { world, deltas, slept, reporting, rest };
}

beforeEach(() => void vi.spyOn(console, "warn").mockImplementation(() => {}));
afterEach(() => void vi.restoreAllMocks());

describe("an endpoint's report", () => {
  it("has its counters, under a number, and its gauges", async () => {
    const { deltas, reporting, rest } = setUp();
    reporting.count("x");
    reporting.count("x");
    reporting.changed();
    await rest();
    const report = { source: "endpoint/1", observations: {}, gauges: { open: 1 } };
    expect(deltas).toEqual([{ ...report, number: NOW + 1_000, counters: { x: 2 } }]);
  });

  it("of gauges alone has no number, and is told once although others have been counted", async () => {
    const { deltas, reporting, rest } = setUp();
    reporting.count("x");
    await rest();
    reporting.changed();
    await rest();
    expect(deltas.map(({ number, counters }) => [number, counters])).toEqual([
      [NOW + 1_000, { x: 1 }],
      [0, {}],
    ]);
  });

  it("that fails is repeated for about a minute, then kept for the next", async () => {
    const { world, deltas, slept, reporting, rest } = setUp();
    world.isDown = true;
    reporting.count("x");
    await rest();
    expect(slept).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 32_000]);
    expect(new Set(deltas.map(({ number }) => number)).size).toBe(1);
    world.isDown = false;
    reporting.count("y");
    await rest();
    expect(world.counted).toEqual({ x: 1, y: 1 });
    expect(deltas.slice(6).map(({ counters }) => counters)).toEqual([{ x: 1 }, { y: 1 }]);
    expect(deltas[6]?.number).toBe(deltas[0]?.number);
  });

  it("has a number above the last also when the clock was put back", async () => {
    const { world, reporting, rest } = setUp();
    for (const at of [NOW, NOW - 3_600_000]) {
      world.now = at;
      reporting.count("x");
      await rest();
    }
    expect(world.counted).toEqual({ x: 2 });
  });
});
