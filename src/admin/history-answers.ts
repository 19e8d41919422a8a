// What is answered about the history: attempts, dead letters and their retries, and the sums of all that.

import * as z from "zod/mini";
import {
  count,
  maybe,
  maybeText,
  maybeTime,
  named,
  nextPageToken,
  OUTCOMES,
  status,
  text,
  time,
} from "./schemas.ts";

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

const share = maybe(z.number().check(z.gte(0), z.lte(1)));
const ms = maybe(count);
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
