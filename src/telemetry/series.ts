// The keys of series, read back. They come from other objects, which may run another version of this code, so
// nothing about them is believed: a metric has the labels that the list gives it and a bounded number of series.

import { type Metric, type MetricName, metrics, toKey } from "./metrics.ts";

/** Series of one metric; more are left out. */
export const MAX_SERIES = 200;
const MAX_VALUE_LENGTH = 128;

export type Key = { name: MetricName; labels: (readonly [string, string])[]; text: string };

export function metricOf(name: MetricName): Metric {
  return metrics[name];
}

/** The key as the list would have it written; undefined if no metric of this type has such a key. */
export function parseKey(text: string, type: Metric["type"]): Key | undefined {
  const [, name, inner] = /^([a-z0-9_]+)(?:\{(.*)\})?$/s.exec(text) ?? [];
  if (name === undefined || !isMetricName(name)) return undefined;
  const metric = metricOf(name);
  const given = parseLabels(inner ?? "");
  if (given === undefined || metric.type !== type) return undefined;
  if (metric.type === "gauge" && metric.combine === "made") return undefined;
  const labels: [string, string][] = [];
  for (const label of Object.keys(metric.labels)) {
    const value = given.get(label);
    if (value === undefined) return undefined;
    labels.push([label, value]);
  }
  return given.size === labels.length ? { name, labels, text: toKey(name, labels) } : undefined;
}

function isMetricName(name: string): name is MetricName {
  return Object.hasOwn(metrics, name);
}

function parseLabels(text: string): Map<string, string> | undefined {
  const labels = new Map<string, string>();
  const pair = /([a-z_]+)="((?:[^"\\\n]|\\[\\n"])*)"(?:,|$)/y;
  while (pair.lastIndex < text.length) {
    const [, label, escaped] = pair.exec(text) ?? [];
    if (label === undefined || escaped === undefined || labels.has(label)) return undefined;
    const value = escaped.replace(/\\(.)/g, (_, sign: string) => (sign === "n" ? "\n" : sign));
    if (value.length > MAX_VALUE_LENGTH) return undefined;
    labels.set(label, value);
  }
  return labels;
}

/** All combinations of the label values that the list names; none for a metric with an open label. */
export function knownKeys(name: MetricName): string[] {
  let sets: [string, string][][] = [[]];
  for (const [label, values] of Object.entries(metricOf(name).labels)) {
    sets = sets.flatMap((set) => values.map((value): [string, string][] => [...set, [label, value]]));
  }
  return sets.map((set) => toKey(name, set));
}

/** Values by key, with no more keys of a metric than it may have series. */
export class SeriesMap<T> {
  readonly #values = new Map<string, T>();
  readonly #counts = new Map<MetricName, number>();

  get(key: Key): T | undefined {
    return this.#values.get(key.text);
  }

  /** False: the metric has all the series it may have. */
  set(key: Key, value: T): boolean {
    if (!this.#values.has(key.text)) {
      const count = this.#counts.get(key.name) ?? 0;
      if (count >= MAX_SERIES) return false;
      this.#counts.set(key.name, count + 1);
    }
    this.#values.set(key.text, value);
    return true;
  }

  entries(): [string, T][] {
    return [...this.#values];
  }
}
