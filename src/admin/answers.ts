// What the operators' API answers with. The handlers are typed by these schemas and the OpenAPI document is made of
// them; nothing is parsed with them here. What there is not is null, and times are RFC 3339.

import * as z from "zod/mini";
import type { ErrorClass, Outcome } from "../delivery/outcome.ts";

const outcomes: Readonly<Record<Outcome, true>> = {
  delivered: true,
  retry: true,
  rejected: true,
  unauthorized: true,
  gone: true,
  blocked: true,
};
const errorClasses: Readonly<Record<ErrorClass, true>> = {
  blocked_destination: true,
  dns_failure: true,
  tls_error: true,
  timeout: true,
  network_error: true,
  oauth2_failed: true,
  secrets_unreadable: true,
};
export const OUTCOMES = Object.keys(outcomes) as Outcome[];
export const ERROR_CLASSES = Object.keys(errorClasses) as ErrorClass[];

/** The schemas that have a name in the OpenAPI document. */
export const schemas = z.registry<{ id: string }>();

function named<T extends z.ZodMiniType>(id: string, schema: T): T {
  schemas.add(schema, { id });
  return schema;
}

const text = z.string();
const count = z.int().check(z.nonnegative());
const time = z.iso.datetime();
const maybe = z.nullable;
const maybeText = maybe(text);
const maybeTime = maybe(time);
const status = maybe(z.int());
/** The token of the next page; empty: this was the last. */
const nextPageToken = text;

export function toTime(ms: number): string {
  return new Date(ms).toISOString();
}

export function toTimeOrNull(ms: number | null): string | null {
  return ms === null ? null : toTime(ms);
}

// Endpoints and configs.

const state = z.enum(["active", "paused", "disabled"]);

const endpoint = {
  owner: text,
  origin: text,
  configs: z.strictObject({ active: count, paused: count, disabled: count }),
};

export const Endpoint = named("Endpoint", z.strictObject(endpoint));
export type Endpoint = z.infer<typeof Endpoint>;

const Target = named(
  "Target",
  z.strictObject({
    target: text,
    breaker: z.enum(["closed", "open", "half-open"]),
    holdUntil: maybeTime,
    holdReason: maybe(z.enum(["breaker_open", "probe_running", "retry_after", "rate_limited"])),
    tokensLeft: maybe(z.number()),
  }),
);

export const EndpointStatus = named(
  "EndpointStatus",
  z.strictObject({
    ...endpoint,
    pausedAt: maybeTime,
    validatedUntil: maybeTime,
    challenge: maybe(z.strictObject({ failedAt: time, error: text })),
    lastError: maybe(z.strictObject({ at: time, status, error: maybeText })),
    inFlight: count,
    queued: count,
    targets: z.array(Target),
  }),
);
export type EndpointStatus = z.infer<typeof EndpointStatus>;

export const EndpointList = named(
  "EndpointList",
  z.strictObject({ endpoints: z.array(Endpoint), nextPageToken }),
);

export const ChallengeOutcome = named(
  "ChallengeOutcome",
  z.strictObject({ passed: z.boolean(), validatedUntil: maybeTime, error: maybeText }),
);

const config = {
  home: text,
  task: text,
  config: text,
  owner: text,
  agent: text,
  origin: text,
  target: text,
  state,
  reason: maybeText,
  createdAt: time,
  updatedAt: time,
};

export const PushConfig = named("PushConfig", z.strictObject(config));
export type PushConfig = z.infer<typeof PushConfig>;

export const Health = named(
  "DeliveryHealth",
  z.strictObject({
    state,
    reason: maybeText,
    stateAt: maybeTime,
    pending: count,
    oldestPendingAt: maybeTime,
    nextAttemptAt: maybeTime,
    attempt: count,
    delivered: count,
    dead: count,
    failingSince: maybeTime,
    lastAttemptAt: maybeTime,
    lastStatus: status,
    lastError: maybeText,
  }),
);

export const PushConfigStatus = named("PushConfigStatus", z.strictObject({ ...config, health: Health }));
export type PushConfigStatus = z.infer<typeof PushConfigStatus>;

export const PushConfigList = named(
  "PushConfigList",
  z.strictObject({ configs: z.array(PushConfig), nextPageToken }),
);

export const RotatedSecret = named(
  "RotatedSecret",
  z.strictObject({ secret: text, previousValidUntil: maybeTime }),
);
export type RotatedSecret = z.infer<typeof RotatedSecret>;

export const Replay = named("Replay", z.strictObject({ notifications: count }));

// The history.

const place = { home: text, owner: text, agent: text, task: text, config: text, origin: text, target: text };

const attempt = {
  notification: text,
  sequence: count,
  attempt: count,
  outcome: z.enum(OUTCOMES),
  status,
  error: maybeText,
  durationMs: count,
  committedAt: time,
  plannedAt: time,
  startedAt: time,
  ...place,
};

export const Delivery = named("Delivery", z.strictObject(attempt));
export type Delivery = z.infer<typeof Delivery>;

export const DeliveryList = named(
  "DeliveryList",
  z.strictObject({ deliveries: z.array(Delivery), nextPageToken }),
);

const letter = {
  id: text,
  ...place,
  sequence: count,
  state: z.enum(["dead", "retrying", "delivered", "discarded"]),
  stateAt: time,
  reason: text,
  error: maybeText,
  status,
  attempts: count,
  committedAt: time,
  diedAt: time,
};

export const DeadLetter = named("DeadLetter", z.strictObject(letter));
export type DeadLetter = z.infer<typeof DeadLetter>;

export const DeadLetterWithBody = named("DeadLetterWithBody", z.strictObject({ ...letter, body: maybeText }));

export const DeadLetterList = named(
  "DeadLetterList",
  z.strictObject({ deadLetters: z.array(DeadLetter), nextPageToken }),
);

export const Notification = named(
  "Notification",
  z.strictObject({
    id: text,
    attempts: z.array(z.strictObject({ ...attempt, response: maybeText })),
    deadLetter: maybe(DeadLetter),
  }),
);

export const RetryJob = named(
  "RetryJob",
  z.strictObject({
    id: text,
    state: z.enum(["running", "paused", "cancelled", "done"]),
    filter: z.record(z.string(), z.union([z.string(), z.number()])),
    handledUpTo: maybeTime,
    retried: count,
    gone: count,
    failed: count,
    createdAt: time,
    updatedAt: time,
  }),
);
export type RetryJob = z.infer<typeof RetryJob>;

export const RetryJobList = named(
  "RetryJobList",
  z.strictObject({ retryJobs: z.array(RetryJob), nextPageToken }),
);

// Sums and the store.

const share = maybe(z.number().check(z.gte(0), z.lte(1)));
const ms = maybe(z.number().check(z.nonnegative()));
const Durations = named("Durations", z.strictObject({ mean: ms, p50: ms, p95: ms, p99: ms }));
export type Durations = z.infer<typeof Durations>;
const activity = { attempts: count, delivered: count, retries: count, successShare: share, meanMs: ms };

export const Analytics = named(
  "Analytics",
  z.strictObject({
    from: time,
    to: time,
    attempts: count,
    delivered: count,
    failed: count,
    retries: count,
    successShare: share,
    attemptsPerMinute: z.number(),
    durationMs: z.strictObject({ all: Durations, delivered: Durations }),
    hours: z.array(
      z.strictObject({ hour: time, attempts: count, delivered: count, failed: count, retries: count }),
    ),
    codes: z.array(z.strictObject({ code: text, attempts: count })),
    failures: z.array(
      z.strictObject({ outcome: text, status, error: maybeText, attempts: count, retries: count }),
    ),
    mostActive: z.strictObject({
      since: time,
      owners: z.array(z.strictObject({ owner: text, ...activity })),
      endpoints: z.array(z.strictObject({ owner: text, origin: text, ...activity })),
    }),
  }),
);
export type Analytics = z.infer<typeof Analytics>;

export const Retention = named(
  "Retention",
  z.strictObject({
    days: z.number(),
    keptSince: time,
    attempts: z.strictObject({ count, oldestAt: maybeTime, newestAt: maybeTime }),
    deadLetters: z.strictObject({
      dead: count,
      retrying: count,
      delivered: count,
      discarded: count,
      oldestAt: maybeTime,
    }),
  }),
);
export type Retention = z.infer<typeof Retention>;

export const Trimmed = named(
  "Trimmed",
  z.strictObject({ attempts: count, sums: count, deadLetters: count, retryJobs: count, more: z.boolean() }),
);
export type Trimmed = z.infer<typeof Trimmed>;

export const OpenApi = z.looseObject({ openapi: text });

// Errors, as the HTTP+JSON binding answers them (§11.6).

export const ErrorAnswer = named(
  "Error",
  z.strictObject({
    error: z.strictObject({
      code: z.int(),
      status: text,
      message: text,
      details: z.array(z.looseObject({ "@type": text })),
    }),
  }),
);
