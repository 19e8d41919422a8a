// The text of GET /metrics, read by a parser that is not ours.

import parse, { type Sample } from "parse-prometheus-text-format";
import { describe, expect, it } from "vitest";
import { type Exposed, exposition } from "../../src/telemetry/exposition.ts";
import { type MetricName, metricKey, metrics } from "../../src/telemetry/metrics.ts";
import { knownKeys, metricOf } from "../../src/telemetry/series.ts";
import { Totals } from "../../src/telemetry/totals.ts";

type Counts = Partial<Parameters<Totals["add"]>[0]>;

function totalsOf({ counters = {}, observations = {} }: Counts): Totals {
  const totals = new Totals();
  expect(totals.add({ counters, observations })).toEqual([]);
  return totals;
}

const expose = (members: Partial<Exposed> = {}) =>
  exposition({ totals: new Totals(), reports: [], version: "1.2.3", now: 1_000_000, ...members });

/** The samples of a metric, as the parser understands them. */
function samples(text: string, name: MetricName): Sample[] {
  const family = parse(text).find((family) => family.name === name);
  expect(family, name).toBeDefined();
  return family?.metrics ?? [];
}

const valuesOf = (text: string, name: MetricName) => samples(text, name).map(({ value }) => value);

describe("the exposition of a server that has done nothing", () => {
  const text = expose();

  it("has every metric of the list, with help and type, in its order", () => {
    expect(parse(text).map(({ name, help, type }) => ({ name, help, type }))).toEqual(
      Object.entries(metrics).map(([name, { help, type }]) => ({ name, help, type: type.toUpperCase() })),
    );
  });

  it("has every series whose labels are known, with 0", () => {
    for (const [name, { labels }] of Object.entries(metrics) as [MetricName, { labels: object }][]) {
      if (metricOf(name).type !== "counter") continue;
      const found = samples(text, name);
      expect(found, name).toHaveLength(knownKeys(name).length);
      for (const sample of found) {
        expect(sample.value).toBe("0");
        expect(Object.keys(sample.labels ?? {})).toEqual(Object.keys(labels));
      }
    }
    expect(samples(text, "a2a_webhook_lateness_seconds")).toMatchObject([{ count: "0", sum: "0" }]);
  });

  it("names the build", () => {
    expect(samples(text, "a2a_build_info")).toEqual([{ value: "1", labels: { version: "1.2.3" } }]);
  });

  it("says that nothing waits: an age of 0, and no time", () => {
    expect(valuesOf(text, "a2a_webhook_oldest_pending_age_seconds")).toEqual(["0"]);
    expect(text).not.toMatch(/^a2a_webhook_oldest_pending_timestamp_seconds/m);
  });

  it("consists of comments and samples, one a line, none twice, and ends with a line feed", () => {
    const lines = text.split("\n");
    expect(lines.at(-1)).toBe("");
    const keys = lines.slice(0, -1).map((line) => {
      expect(line).toMatch(
        /^(# HELP a2a_\w+ \S.*|# TYPE a2a_\w+ (counter|gauge|histogram)|a2a_\w+(\{.+\})? [0-9.e+-]+)$/,
      );
      return line.startsWith("#") ? line.split(" ", 3).join(" ") : line.slice(0, line.lastIndexOf(" "));
    });
    expect(new Set(keys).size).toBe(keys.length);
  });
});

describe("counters", () => {
  it("are shown with their labels", () => {
    const counters = {
      [metricKey("a2a_webhook_attempts_total", { code: "5xx" })]: 7,
      [metricKey("a2a_webhook_retries_total")]: 3,
    };
    const text = expose({ totals: totalsOf({ counters }) });
    const byCode = samples(text, "a2a_webhook_attempts_total");
    expect(byCode.filter(({ value }) => value !== "0")).toEqual([{ value: "7", labels: { code: "5xx" } }]);
    expect(valuesOf(text, "a2a_webhook_retries_total")).toEqual(["3"]);
  });

  it("of label values that the list does not know stand beside the others, escaped", () => {
    const strange = 'line\nfeed, "quote", back\\slash, }brace{ and ünicode';
    const key = metricKey("a2a_webhook_attempts_total", { code: strange as "2xx" });
    const text = expose({ totals: totalsOf({ counters: { [key]: 2 } }) });
    const found = samples(text, "a2a_webhook_attempts_total").find(({ value }) => value === "2");
    expect(found).toEqual({ value: "2", labels: { code: strange } });
    expect(samples(text, "a2a_webhook_attempts_total")).toHaveLength(
      knownKeys("a2a_webhook_attempts_total").length + 1,
    );
  });

  it("show numbers of any size as numbers", () => {
    for (const amount of [2 ** 53, 1e21, 0.1 + 0.2]) {
      const text = expose({ totals: totalsOf({ counters: { a2a_webhook_retries_total: amount } }) });
      expect(valuesOf(text, "a2a_webhook_retries_total").map(Number)).toEqual([amount]);
    }
  });
});

describe("histograms", () => {
  const lateness = (values: number[]) => {
    const totals = totalsOf({ observations: { [metricKey("a2a_webhook_lateness_seconds")]: values } });
    const [sample] = samples(expose({ totals }), "a2a_webhook_lateness_seconds");
    return sample;
  };

  it("are cumulative up to +Inf, which is the count", () => {
    const sample = lateness([0.001, 0.005, 0.006, 1, 1_000_000]);
    const buckets = Object.entries(sample?.buckets ?? {})
      .map(([le, count]) => [le === "+Inf" ? Infinity : Number(le), Number(count)] as const)
      .toSorted(([a], [b]) => a - b);
    expect(buckets.map(([le]) => le)).toEqual([...metrics.a2a_webhook_lateness_seconds.buckets, Infinity]);
    const at = new Map(buckets);
    // A value on a bound belongs to it.
    expect([0.005, 0.01, 0.5, 1, 259_200, Infinity].map((le) => at.get(le))).toEqual([2, 3, 3, 4, 4, 5]);
    expect(sample?.count).toBe("5");
    expect(Number(sample?.sum)).toBeCloseTo(1_000_001.012);
    const counts = buckets.map(([, count]) => count);
    expect(counts).toEqual(counts.toSorted((a, b) => a - b));
  });

  it("with no observations in a delta stay as they are", () => {
    expect(lateness([])).toMatchObject({ count: "0", sum: "0" });
  });
});

describe("gauges", () => {
  it("of several sources are summed, and the oldest pending is the least", () => {
    const text = expose({
      now: 500_000,
      reports: [
        {
          [metricKey("a2a_webhook_pending")]: 4,
          [metricKey("a2a_webhook_oldest_pending_timestamp_seconds")]: 300,
        },
        {
          [metricKey("a2a_webhook_pending")]: 5,
          [metricKey("a2a_webhook_oldest_pending_timestamp_seconds")]: 200,
        },
        { [metricKey("a2a_webhook_breakers", { state: "open" })]: 1 },
      ],
    });
    expect(valuesOf(text, "a2a_webhook_pending")).toEqual(["9"]);
    expect(valuesOf(text, "a2a_webhook_oldest_pending_timestamp_seconds")).toEqual(["200"]);
    expect(valuesOf(text, "a2a_webhook_oldest_pending_age_seconds")).toEqual(["300"]);
    expect(samples(text, "a2a_webhook_breakers")).toEqual([
      { value: "1", labels: { state: "open" } },
      { value: "0", labels: { state: "half_open" } },
    ]);
    expect(valuesOf(text, "a2a_metrics_sources")).toEqual(["3"]);
  });

  it("never show a negative age", () => {
    const key = metricKey("a2a_webhook_oldest_pending_timestamp_seconds");
    const text = expose({ now: 1_000, reports: [{ [key]: 50 }] });
    expect(valuesOf(text, "a2a_webhook_oldest_pending_age_seconds")).toEqual(["0"]);
  });
});

describe("totals", () => {
  it("are the same after they were saved and loaded", () => {
    const totals = totalsOf({
      counters: { a2a_webhook_retries_total: 2, 'a2a_webhook_attempts_total{code="x\\"y"}': 1 },
      observations: { a2a_webhook_lateness_seconds: [0.001, 7, 1e9] },
    });
    const loaded = Totals.load(totals.save());
    expect(expose({ totals: loaded })).toBe(expose({ totals }));
    expect(loaded.save()).toBe(totals.save());
  });

  it("saved with other buckets or with a metric that is gone are loaded as far as they mean something", () => {
    const saved = JSON.stringify({
      counters: [
        ["a2a_gone_total", 5],
        ["a2a_webhook_retries_total", 6],
      ],
      histograms: [
        [
          "a2a_webhook_lateness_seconds",
          12.5,
          [
            [0.003, 2],
            [2.7, 3],
            [null, 1],
          ],
        ],
        ["a2a_gone_seconds", 1, [[null, 1]]],
      ],
    });
    const text = expose({ totals: Totals.load(saved) });
    expect(text).not.toContain("gone_");
    expect(valuesOf(text, "a2a_webhook_retries_total")).toEqual(["6"]);
    const [sample] = samples(text, "a2a_webhook_lateness_seconds");
    expect(sample).toMatchObject({ count: "6", sum: "12.5" });
    expect(sample?.buckets).toMatchObject({ "0.005": "2", "2.5": "2", "5": "5", "259200": "5", "+Inf": "6" });
  });

  it.each([Number.NaN, Infinity, -1, "1" as unknown as number, null as unknown as number])(
    "take no amount of %s",
    (amount) => {
      const totals = new Totals();
      const before = totals.save();
      const counters = { a2a_webhook_retries_total: amount };
      const observations = { a2a_webhook_lateness_seconds: [1, amount] };
      expect(totals.add({ counters, observations })).toEqual([
        "a2a_webhook_retries_total",
        "a2a_webhook_lateness_seconds",
      ]);
      expect(totals.save()).toBe(before);
    },
  );
});
