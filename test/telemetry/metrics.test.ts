// The list of metrics, the keys of their series, and what attempts count for.

import { describe, expect, it } from "vitest";
import type { ErrorClass } from "../../src/delivery/outcome.ts";
import {
  attemptDelta,
  type MetricName,
  metricKey,
  metrics,
  type SettledAttempt,
} from "../../src/telemetry/metrics.ts";
import { knownKeys, MAX_SERIES, metricOf, parseKey } from "../../src/telemetry/series.ts";

const names = Object.keys(metrics) as MetricName[];

const settled = (members: Partial<SettledAttempt>): SettledAttempt => ({
  outcome: "delivered",
  attempt: 1,
  status: 200,
  error: null,
  durationMs: 40,
  committedAt: 1_000,
  plannedAt: 1_000,
  startedAt: 1_010,
  ...members,
});

describe("the list of metrics", () => {
  it.each(names)("%s is named as Prometheus wants it: unit at the end, counters in _total", (name) => {
    const { type, help } = metricOf(name);
    expect(name).toMatch(/^a2a_[a-z0-9_]+$/);
    expect(name.endsWith("_total")).toBe(type === "counter");
    expect(help).toMatch(/^[A-Z].*\.$/);
  });

  it.each(names)("%s has labels and buckets that the format allows", (name) => {
    const metric = metricOf(name);
    for (const label of Object.keys(metric.labels)) expect(label).toMatch(/^(?!le$|quantile$|__)[a-z_]+$/);
    if (metric.type === "histogram") {
      expect(metric.buckets).toEqual([...metric.buckets].toSorted((a, b) => a - b));
      expect(name).toMatch(/_seconds$/);
    }
  });

  it("has no label that could hold a URL, an owner, an agent, a task or a config", () => {
    const labels = new Set(names.flatMap((name) => Object.keys(metricOf(name).labels)));
    expect([...labels].toSorted()).toEqual([
      "by",
      "code",
      "limit",
      "outcome",
      "reason",
      "state",
      "to",
      "version",
    ]);
  });

  it("stays far from the most series a metric may have", () => {
    for (const name of names) expect(knownKeys(name).length, name).toBeLessThan(MAX_SERIES / 10);
  });
});

describe("metricKey", () => {
  it("writes a key as it is exposed", () => {
    expect(metricKey("a2a_webhook_retries_total")).toBe("a2a_webhook_retries_total");
    expect(metricKey("a2a_webhook_attempts_total", { code: "2xx" })).toBe(
      'a2a_webhook_attempts_total{code="2xx"}',
    );
  });

  it("escapes backslash, quote and line feed", () => {
    expect(metricKey("a2a_build_info", { version: 'a\\b"c\nd' })).toBe(
      'a2a_build_info{version="a\\\\b\\"c\\nd"}',
    );
  });

  it("does not compile with a name, a label or a value that is not in the list", () => {
    const wrong = [
      // @ts-expect-error: no such metric
      () => metricKey("a2a_webhook_atempts_total", { code: "2xx" }),
      // @ts-expect-error: no such label
      () => metricKey("a2a_webhook_attempts_total", { status: "2xx" }),
      // @ts-expect-error: no such value
      () => metricKey("a2a_webhook_attempts_total", { code: "200" }),
      // @ts-expect-error: without its label
      () => metricKey("a2a_webhook_attempts_total"),
      // @ts-expect-error: with a label it does not have
      () => metricKey("a2a_webhook_retries_total", { code: "2xx" }),
    ];
    expect(wrong).toHaveLength(5);
  });
});

describe("parseKey", () => {
  it("reads back every key that the list names", () => {
    for (const name of names) {
      const { type } = metricOf(name);
      for (const text of knownKeys(name)) {
        const isMade = ["a2a_metrics_sources", "a2a_webhook_oldest_pending_age_seconds"].includes(name);
        expect(parseKey(text, type)?.text, text).toBe(isMade ? undefined : text);
      }
    }
  });

  it("takes label values it does not know: the sender may be newer", () => {
    const key = 'a2a_webhook_attempts_total{code="a\\\\b\\"c\\nd"}';
    expect(parseKey(key, "counter")).toEqual({
      name: "a2a_webhook_attempts_total",
      labels: [["code", 'a\\b"c\nd']],
      text: key,
    });
  });

  it.each([
    "",
    "a2a_unknown_total",
    "constructor",
    "__proto__",
    "toString",
    "a2a_webhook_retries_total{",
    "a2a_webhook_retries_total}",
    'a2a_webhook_retries_total{code="2xx"}',
    " a2a_webhook_retries_total",
    "a2a_webhook_retries_total\n",
    "a2a_webhook_retries_total 5\n# TYPE evil counter\nevil",
    "a2a_webhook_attempts_total",
    "a2a_webhook_attempts_total{}",
    "a2a_webhook_attempts_total{code=2xx}",
    'a2a_webhook_attempts_total{code="2xx"',
    'a2a_webhook_attempts_total{code="2xx"} ',
    'a2a_webhook_attempts_total{code="2xx"}{code="2xx"}',
    'a2a_webhook_attempts_total{code="2xx",code="3xx"}',
    'a2a_webhook_attempts_total{code="2xx",owner="alice"}',
    'a2a_webhook_attempts_total{owner="alice"}',
    'a2a_webhook_attempts_total{code="a"b"}',
    'a2a_webhook_attempts_total{code="a\\"}',
    'a2a_webhook_attempts_total{code="a\\x"}',
    'a2a_webhook_attempts_total{code="a\nb"}',
    `a2a_webhook_attempts_total{code="${"x".repeat(129)}"}`,
    "a2a_webhook_pending",
    "a2a_webhook_lateness_seconds",
  ])("refuses %j as a counter", (text) => {
    expect(parseKey(text, "counter")).toBeUndefined();
  });

  it("refuses what is made when it is read as a gauge of a source", () => {
    for (const text of ["a2a_metrics_sources", 'a2a_build_info{version="9"}']) {
      expect(parseKey(text, "gauge"), text).toBeUndefined();
    }
  });

  it("ends on a hostile text as long as a message may be", () => {
    const text = `a2a_webhook_attempts_total{${'code="\\\\'.repeat(100_000)}`;
    const startedAt = performance.now();
    expect(parseKey(text, "counter")).toBeUndefined();
    expect(performance.now() - startedAt).toBeLessThan(1_000);
  });
});

describe("attemptDelta", () => {
  it("counts a delivery with its duration, its lateness and its age, in seconds", () => {
    const attempt = settled({ attempt: 3, committedAt: 1_000, plannedAt: 31_000, startedAt: 31_500 });
    expect(attemptDelta([attempt])).toEqual({
      counters: {
        'a2a_webhook_attempts_total{code="2xx"}': 1,
        a2a_webhook_retries_total: 1,
        'a2a_webhook_deliveries_total{outcome="delivered"}': 1,
      },
      observations: {
        a2a_webhook_attempt_duration_seconds: [0.04],
        a2a_webhook_lateness_seconds: [0.5],
        a2a_webhook_commit_to_delivered_seconds: [30.54],
      },
    });
  });

  it("adds up many attempts", () => {
    const { counters, observations } = attemptDelta([
      settled({}),
      settled({}),
      settled({ outcome: "retry", status: 503 }),
    ]);
    expect(counters).toEqual({
      'a2a_webhook_attempts_total{code="2xx"}': 2,
      'a2a_webhook_attempts_total{code="5xx"}': 1,
      'a2a_webhook_deliveries_total{outcome="delivered"}': 2,
    });
    expect(observations.a2a_webhook_attempt_duration_seconds).toHaveLength(3);
    expect(observations.a2a_webhook_commit_to_delivered_seconds).toHaveLength(2);
  });

  it.each([
    [200, null, "2xx"],
    [204, null, "2xx"],
    [302, null, "3xx"],
    [410, null, "4xx"],
    [429, null, "4xx"],
    [500, null, "5xx"],
    [599, "timeout", "5xx"],
    [999, null, "other"],
    [101, null, "other"],
    [null, "timeout", "timeout"],
    [null, "network_error", "network_error"],
    [null, "an error of a newer version", "other"],
    [null, "2xx", "2xx"],
    [null, null, "other"],
  ])("status %s with error %s has the code %s", (status, error, code) => {
    const { counters } = attemptDelta([settled({ outcome: "retry", status, error })]);
    expect(counters).toEqual({ [`a2a_webhook_attempts_total{code="${code}"}`]: 1 });
  });

  it("has a code for every class of errors", () => {
    const classes = {
      blocked_destination: true,
      dns_failure: true,
      tls_error: true,
      timeout: true,
      network_error: true,
      oauth2_failed: true,
      secrets_unreadable: true,
    } satisfies Record<ErrorClass, true>;
    for (const error of Object.keys(classes)) {
      const { counters } = attemptDelta([settled({ outcome: "retry", status: null, error })]);
      expect(counters).toHaveProperty([`a2a_webhook_attempts_total{code="${error}"}`]);
    }
  });

  it.each(["blocked_destination", "dns_failure", "tls_error"])("%s counts as blocked too", (error) => {
    const { counters } = attemptDelta([settled({ outcome: "retry", status: null, error })]);
    expect(counters).toEqual({
      [`a2a_webhook_attempts_total{code="${error}"}`]: 1,
      [`a2a_webhook_blocked_total{reason="${error}"}`]: 1,
    });
  });

  it("observes nothing negative when the clock was set back", () => {
    const { observations } = attemptDelta([settled({ plannedAt: 99_000, committedAt: 99_000 })]);
    expect(observations.a2a_webhook_lateness_seconds).toEqual([0]);
    expect(observations.a2a_webhook_commit_to_delivered_seconds).toEqual([0]);
  });

  it("uses only keys that the list knows", () => {
    const { counters, observations } = attemptDelta([
      settled({ attempt: 2 }),
      settled({ status: null, error: "dns_failure" }),
    ]);
    for (const key of Object.keys(counters)) expect(parseKey(key, "counter"), key).toBeDefined();
    for (const key of Object.keys(observations)) expect(parseKey(key, "histogram"), key).toBeDefined();
  });
});
