// Every metric there is: its name, what it means, its labels and, of a histogram, its buckets. Who counts writes
// keys with `metricKey`, so that a name or a label that does not exist does not compile.
//
// No URL, owner, agent, task or config is a label: a scrape is read by whoever runs the monitoring, and series are
// kept for good. Each list of label values is complete, so that all its series are there from the beginning, with 0.

type Labels = Readonly<Record<string, readonly string[]>>;

export type Metric = { help: string; labels: Labels } & (
  | { type: "counter" }
  /** How the gauges of the sources become one: their sum, or the least. "made": no source reports it. */
  | { type: "gauge"; combine: "sum" | "min" | "made" }
  /** Upper bounds, without +Inf. */
  | { type: "histogram"; buckets: readonly number[] }
);

// One attempt lasts 15 s by default and 30 s at most.
const ATTEMPT_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30];
// From a notification that goes out at once to one that took all its retries (about 75 h).
const DELIVERY_SECONDS = [
  0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1_800, 7_200, 21_600, 86_400, 259_200,
];

/** What an attempt got: the class of its status, or why there was no answer. */
const codes = [
  "2xx",
  "3xx",
  "4xx",
  "5xx",
  "timeout",
  "network_error",
  "tls_error",
  "dns_failure",
  "blocked_destination",
  "oauth2_failed",
  "secrets_unreadable",
  "other",
] as const;

/** Of these the requests that were stopped for the sake of safety, not by the endpoint. */
const blockReasons = ["blocked_destination", "dns_failure", "tls_error"] as const;

export const metrics = {
  a2a_webhook_deliveries_total: {
    type: "counter",
    help: "Notifications that came to an end: delivered, dead (given up), or dropped with their config or task.",
    labels: { outcome: ["delivered", "dead", "dropped"] },
  },
  a2a_webhook_attempts_total: {
    type: "counter",
    help: "Attempts by class of the status or kind of the error; a batch counts for each notification in it.",
    labels: { code: codes },
  },
  a2a_webhook_retries_total: {
    type: "counter",
    help: "Attempts after the first of a notification.",
    labels: {},
  },
  a2a_webhook_attempt_duration_seconds: {
    type: "histogram",
    help: "How long attempts took, from the first byte sent to the last byte read.",
    labels: {},
    buckets: ATTEMPT_SECONDS,
  },
  a2a_webhook_commit_to_delivered_seconds: {
    type: "histogram",
    help: "From the commit of an event to the end of the attempt that delivered it, all waiting included.",
    labels: {},
    buckets: DELIVERY_SECONDS,
  },
  a2a_webhook_lateness_seconds: {
    type: "histogram",
    help: "From when an attempt was due to when it began; waiting for rate limits and breakers is part of it.",
    labels: {},
    buckets: DELIVERY_SECONDS,
  },
  a2a_webhook_pending: {
    type: "gauge",
    combine: "sum",
    help: "Lanes (one config of one task) with a notification that waits; not those of paused or disabled configs.",
    labels: {},
  },
  a2a_webhook_overdue: {
    type: "gauge",
    combine: "sum",
    help: "Lanes whose next attempt was due more than a minute ago, also those that a breaker or a limit holds.",
    labels: {},
  },
  a2a_webhook_oldest_pending_timestamp_seconds: {
    type: "gauge",
    combine: "min",
    help: "When the oldest event that waits to be delivered was committed; absent while nothing waits.",
    labels: {},
  },
  // Made of the time above, so that it grows also while nobody reports.
  a2a_webhook_oldest_pending_age_seconds: {
    type: "gauge",
    combine: "made",
    help: "Age of the oldest event that waits to be delivered; 0 while nothing waits.",
    labels: {},
  },
  a2a_webhook_dead_letters_unfiled: {
    type: "gauge",
    combine: "sum",
    help: "Dead letters that are not yet in the database and so not yet in the operators' list.",
    labels: {},
  },
  a2a_webhook_configs_disabled_total: {
    type: "counter",
    help: "Configs that were disabled: the endpoint answered 410, or nothing but failures for days.",
    labels: { reason: ["gone", "failing"] },
  },
  // Each EndpointObject is a source of its own for this one and reports whenever its breakers change. An open one
  // probes at least every 15 minutes, so a breaker that matters is heard of within the hour.
  a2a_webhook_breakers: {
    type: "gauge",
    combine: "sum",
    help: "Circuit breakers that are not closed.",
    labels: { state: ["open", "half_open"] },
  },
  a2a_webhook_breaker_transitions_total: {
    type: "counter",
    help: "Changes of circuit breakers, by the state they came to.",
    labels: { to: ["open", "half_open", "closed"] },
  },
  a2a_webhook_rate_limited_total: {
    type: "counter",
    help: "Times a URL had to wait: for its own limit, the deployment's, or because the endpoint asked for it.",
    labels: { by: ["url", "deployment", "endpoint"] },
  },
  a2a_webhook_blocked_total: {
    type: "counter",
    help: "Requests to the world (notifications, token requests, challenges) stopped by the address guard or by TLS.",
    labels: { reason: blockReasons },
  },
  a2a_webhook_oauth2_refreshes_total: {
    type: "counter",
    help: "Requests for OAuth2 tokens.",
    labels: { outcome: ["ok", "failed"] },
  },
  a2a_webhook_challenges_total: {
    type: "counter",
    help: "Validation challenges sent to origins.",
    labels: { outcome: ["passed", "failed"] },
  },
  a2a_webhook_doorbells_failed_total: {
    type: "counter",
    help: "Doorbells that the queue's consumer could not ring; homes ring again by themselves.",
    labels: {},
  },
  a2a_refused_total: {
    type: "counter",
    help: "Calls refused for the sake of others, by the limit they met.",
    labels: {
      limit: [
        "sends",
        "reads",
        "push_configs",
        "streams",
        "waiting_sends",
        "turns",
        "address",
        "guessing",
        "home_behind",
        "notifications_behind",
      ],
    },
  },
  a2a_shedding_total: {
    type: "counter",
    help: "Times a home began to refuse new work, because it or the notifications to an endpoint were behind.",
    labels: { reason: ["home", "notifications"] },
  },
  a2a_metrics_sources: {
    type: "gauge",
    combine: "made",
    help: "Homes and endpoints whose gauges count: they have reported within the hour.",
    labels: {},
  },
  a2a_build_info: {
    type: "gauge",
    combine: "made",
    help: "Always 1; the version is a label.",
    labels: { version: [] },
  },
} as const satisfies Record<string, Metric>;

export type MetricName = keyof typeof metrics;

type ValueOf<Values extends readonly string[]> = Values extends readonly [] ? string : Values[number];
type LabelsOf<Name extends MetricName> = {
  -readonly [Label in keyof (typeof metrics)[Name]["labels"]]: (typeof metrics)[Name]["labels"][Label] extends infer V extends
    readonly string[]
    ? ValueOf<V>
    : never;
};

/** What has happened at a source since its last delta, and how things stand there. */
export type MetricsDelta = {
  /** Who reports: `home/<id>` or `endpoint/<id>`; never shown. Without a source a delta counts each time it comes. */
  source: string;
  /**
   * Grows with every delta of a source that counts something; one that is not above the last is ignored. A delta of
   * gauges alone is always taken: it says how things stand, however often it comes.
   */
  number: number;
  /**
   * Of a source whose deltas are numbered ranges: this one begins after that number. If some of it has been counted
   * before, with fewer rows, nothing is, and the answer says from where to begin.
   */
  after?: number;
  /** Keys are those of `metricKey`. */
  counters: Record<string, number>;
  /** Of histograms: each single value. */
  observations: Record<string, number[]>;
  /** All gauges of the source; one that is missing is gone. */
  gauges: Record<string, number>;
};

/** The key of a series, as it is exposed: `metricKey("a2a_webhook_attempts_total", { code: "2xx" })`. */
export function metricKey<Name extends MetricName>(
  name: Name,
  ...[labels]: keyof LabelsOf<Name> extends never ? [] : [LabelsOf<Name>]
): string {
  return toKey(name, Object.entries(labels ?? {}));
}

/** `name{label="value",…}`, with the escapes of the text format. */
export function toKey(name: string, labels: readonly (readonly [string, string])[]): string {
  if (labels.length === 0) return name;
  return `${name}{${labels.map(([label, value]) => `${label}="${escapeValue(value)}"`).join(",")}}`;
}

function escapeValue(value: string): string {
  return value.replace(/\\/g, "\\\\").replace(/"/g, '\\"').replace(/\n/g, "\\n");
}

/** One attempt that is over; times in ms. */
export type SettledAttempt = {
  outcome: string;
  attempt: number;
  status: number | null;
  error: string | null;
  durationMs: number;
  committedAt: number;
  plannedAt: number;
  startedAt: number;
};

type Counts = Pick<MetricsDelta, "counters" | "observations">;

/** What attempts count for. Deaths are not among it: whether a notification died is for its home to say. */
export function attemptDelta(attempts: readonly SettledAttempt[]): Counts {
  const counters: Counts["counters"] = {};
  const observations: Counts["observations"] = {};
  const count = (key: string) => {
    counters[key] = (counters[key] ?? 0) + 1;
  };
  // A clock that was set back must not take anything away from a sum.
  const observe = (name: MetricName, ms: number) => {
    observations[name] ??= [];
    observations[name].push(Math.max(0, ms) / 1_000);
  };
  for (const { outcome, attempt, status, error, ...times } of attempts) {
    const code = codeOf(status, error);
    const blocked = blockReasons.find((reason) => status === null && reason === error);
    count(metricKey("a2a_webhook_attempts_total", { code }));
    if (attempt > 1) count(metricKey("a2a_webhook_retries_total"));
    if (blocked) count(metricKey("a2a_webhook_blocked_total", { reason: blocked }));
    observe("a2a_webhook_attempt_duration_seconds", times.durationMs);
    observe("a2a_webhook_lateness_seconds", times.startedAt - times.plannedAt);
    if (outcome !== "delivered") continue;
    count(metricKey("a2a_webhook_deliveries_total", { outcome }));
    const deliveredAt = times.startedAt + times.durationMs;
    observe("a2a_webhook_commit_to_delivered_seconds", deliveredAt - times.committedAt);
  }
  return { counters, observations };
}

function codeOf(status: number | null, error: string | null): (typeof codes)[number] {
  const text = status === null ? error : `${Math.floor(status / 100)}xx`;
  return codes.find((code) => code === text) ?? "other";
}
