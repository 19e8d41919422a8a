// What all deltas add up to: counters and histograms. They are saved as one JSON text and loaded again.

import type { MetricName, MetricsDelta } from "./metrics.ts";
import { type Key, metricOf, parseKey, SeriesMap } from "./series.ts";

/**
 * Each observation is counted once, under the least bound it does not exceed (`Infinity` is the last). Bounds are
 * saved with the counts, so that a later version with other buckets can still place them.
 */
export type Histogram = { sum: number; buckets: Map<number, number> };

type Saved = {
  counters: [string, number][];
  histograms: [string, number, [bound: number | null, count: number][]][];
};

export class Totals {
  readonly #counters = new SeriesMap<number>();
  readonly #histograms = new SeriesMap<Histogram>();

  /** What `save` wrote. Metrics that are no longer in the list are left out. */
  static load(text: string): Totals {
    const totals = new Totals();
    const { counters, histograms } = JSON.parse(text) as Saved;
    for (const [text, value] of counters) totals.#count(text, value);
    for (const [text, sum, buckets] of histograms) {
      const key = parseKey(text, "histogram");
      const histogram = key && totals.#histogramOf(key);
      if (!key || !histogram) continue;
      histogram.sum += sum;
      for (const [bound, count] of buckets) put(histogram, key.name, bound ?? Infinity, count);
    }
    return totals;
  }

  save(): string {
    const saved: Saved = {
      counters: this.#counters.entries(),
      // JSON has no Infinity: it becomes null.
      histograms: this.#histograms.entries().map(([text, { sum, buckets }]) => [text, sum, [...buckets]]),
    };
    return JSON.stringify(saved);
  }

  /** Counts what can be counted; returns the keys of the rest. */
  add({ counters, observations }: Pick<MetricsDelta, "counters" | "observations">): string[] {
    const dropped: string[] = [];
    for (const [text, value] of Object.entries(counters)) {
      if (!isAmount(value) || !this.#count(text, value)) dropped.push(text);
    }
    for (const [text, values] of Object.entries(observations)) {
      if (!values.every(isAmount) || !this.#observe(text, values)) dropped.push(text);
    }
    return dropped;
  }

  counters(): [string, number][] {
    return this.#counters.entries();
  }

  histograms(): [string, Histogram][] {
    return this.#histograms.entries();
  }

  #count(text: string, value: number): boolean {
    const key = parseKey(text, "counter");
    return key !== undefined && this.#counters.set(key, (this.#counters.get(key) ?? 0) + value);
  }

  #observe(text: string, values: readonly number[]): boolean {
    const key = parseKey(text, "histogram");
    const histogram = key && this.#histogramOf(key);
    if (!key || !histogram) return false;
    for (const value of values) {
      histogram.sum += value;
      put(histogram, key.name, value, 1);
    }
    return true;
  }

  #histogramOf(key: Key): Histogram | undefined {
    const histogram = this.#histograms.get(key) ?? { sum: 0, buckets: new Map() };
    return this.#histograms.set(key, histogram) ? histogram : undefined;
  }
}

/** A counter only grows, and one NaN would stay for good. */
function isAmount(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value) && value >= 0;
}

function put(histogram: Histogram, name: MetricName, value: number, count: number): void {
  const metric = metricOf(name);
  const bounds = metric.type === "histogram" ? metric.buckets : [];
  const bound = bounds.find((bound) => value <= bound) ?? Infinity;
  histogram.buckets.set(bound, (histogram.buckets.get(bound) ?? 0) + count);
}
