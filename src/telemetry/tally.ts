// Counts what happens too often to be reported one by one: sums in memory, handed to the metrics every few seconds.
// What an isolate that dies has not handed over is lost: these are counts of refusals, not of work.

import { createGathering } from "../lib/gathering.ts";
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

export function createTally({ count, ...options }: TallyOptions): Tally {
  const gathering = createGathering<Record<string, number>>({
    ...options,
    everyMs: GATHER_MS,
    async handOver(counters) {
      try {
        await count({ source: "", number: 0, counters, observations: {}, gauges: {} });
      } catch (error) {
        log("warn", "refusals could not be counted", { error, counters });
      }
    },
  });
  return {
    add: (key) =>
      gathering.add((counters = {}) => {
        counters[key] = (counters[key] ?? 0) + 1;
        return counters;
      }),
  };
}
