// Counts what happens too often to be reported one by one: sums in memory, handed to the metrics every few seconds.
// What an isolate that dies has not handed over is lost: these are counts of refusals, not of work.

import { log } from "./log.ts";
import type { MetricsDelta } from "./metrics.ts";

const GATHER_MS = 5_000;

export type Tally = {
  /** Counts one of the series `key`, as `metricKey` makes it. */
  add(key: string): void;
};

export type TallyOptions = {
  /** Hands over the sums. */
  count(delta: MetricsDelta): Promise<unknown>;
  waitUntil(promise: Promise<unknown>): void;
  sleep(ms: number): Promise<unknown>;
};

export function createTally({ count, waitUntil, sleep }: TallyOptions): Tally {
  let counters: Record<string, number> | undefined;

  async function handOver(): Promise<void> {
    await sleep(GATHER_MS);
    const sums = counters ?? {};
    counters = undefined;
    try {
      await count({ source: "", number: 0, counters: sums, observations: {}, gauges: {} });
    } catch (error) {
      log("warn", "refusals could not be counted", { error, counters: sums });
    }
  }

  return {
    add(key) {
      const isFirst = counters === undefined;
      counters ??= {};
      counters[key] = (counters[key] ?? 0) + 1;
      if (isFirst) waitUntil(handOver());
    },
  };
}
