// The text of GET /metrics: the Prometheus text format, version 0.0.4. Pure.
//
// Every metric of the list is there, and every series whose label values the list knows, with 0 if nothing has
// happened yet: an alert on a series that does not exist yet would never fire.

import { type MetricName, metricKey, metrics } from "./metrics.ts";
import { knownKeys, metricOf, parseKey, SeriesMap } from "./series.ts";
import type { Histogram, Totals } from "./totals.ts";

export const EXPOSITION_TYPE = "text/plain; version=0.0.4; charset=utf-8";

export type Exposed = {
  totals: Totals;
  /** The gauges of each source that has reported within the hour, by key. */
  reports: Iterable<Readonly<Record<string, number>>>;
  version: string;
  now: number;
};

/** One line a sample; ends with a line feed, as the format wants it. */
export function exposition(exposed: Exposed): string {
  const values = new Map([...gauges(exposed), ...exposed.totals.counters()]);
  const histograms = new Map(exposed.totals.histograms());
  const lines = (Object.keys(metrics) as MetricName[]).flatMap((name) => {
    const metric = metricOf(name);
    const head = [`# HELP ${name} ${escapeHelp(metric.help)}`, `# TYPE ${name} ${metric.type}`];
    if (metric.type === "histogram") {
      const keys = ownKeys(name, knownKeys(name), histograms);
      return [...head, ...keys.flatMap((key) => histogramLines(key, metric.buckets, histograms.get(key)))];
    }
    // A least value of nothing is not 0.
    const known = metric.type === "gauge" && metric.combine !== "sum" ? [] : knownKeys(name);
    return [...head, ...ownKeys(name, known, values).map((key) => `${key} ${values.get(key) ?? 0}`)];
  });
  return `${lines.join("\n")}\n`;
}

function ownKeys(name: MetricName, known: readonly string[], values: ReadonlyMap<string, unknown>): string[] {
  const present = [...values.keys()].filter((key) => key === name || key.startsWith(`${name}{`));
  return [...new Set([...known, ...present])];
}

function gauges({ reports, version, now }: Exposed): [string, number][] {
  const combined = new SeriesMap<number>();
  let sources = 0;
  for (const report of reports) {
    sources += 1;
    for (const [text, value] of Object.entries(report)) {
      const key = parseKey(text, "gauge");
      if (!key) continue;
      const metric = metricOf(key.name);
      const before = combined.get(key);
      const isLeast = metric.type === "gauge" && metric.combine === "min";
      combined.set(key, isLeast ? Math.min(before ?? Infinity, value) : (before ?? 0) + value);
    }
  }
  const oldest = new Map(combined.entries()).get(metricKey("a2a_webhook_oldest_pending_timestamp_seconds"));
  const age = oldest === undefined ? 0 : Math.max(0, now / 1_000 - oldest);
  return [
    ...combined.entries(),
    [metricKey("a2a_webhook_oldest_pending_age_seconds"), age],
    [metricKey("a2a_metrics_sources"), sources],
    [metricKey("a2a_build_info", { version }), 1],
  ];
}

/** Buckets are cumulative, and `le` stands after the labels of the series. */
function histogramLines(key: string, bounds: readonly number[], histogram: Histogram | undefined): string[] {
  const [, name, labels] = /^(\w+)(?:\{(.*)\})?$/s.exec(key) ?? [];
  const series = (suffix: string, inner: string) => `${name}${suffix}${inner === "" ? "" : `{${inner}}`}`;
  const own = labels ?? "";
  let total = 0;
  const buckets = [...bounds, Infinity].map((bound) => {
    total += histogram?.buckets.get(bound) ?? 0;
    const le = `le="${bound === Infinity ? "+Inf" : bound}"`;
    return `${series("_bucket", own === "" ? le : `${own},${le}`)} ${total}`;
  });
  return [...buckets, `${series("_sum", own)} ${histogram?.sum ?? 0}`, `${series("_count", own)} ${total}`];
}

function escapeHelp(text: string): string {
  return text.replace(/\\/g, "\\\\").replace(/\n/g, "\\n");
}
