// What is answered about the history: attempts, dead letters and their retries, and the sums of all that.

import {
  count,
  fieldValues,
  flag,
  list,
  maybe,
  maybeText,
  maybeTime,
  named,
  nextPageToken,
  number,
  OUTCOMES,
  object,
  oneOf,
  share,
  status,
  type TypeOf,
  text,
  time,
} from "./schemas.ts";

const place = { home: text, owner: text, agent: text, task: text, config: text, origin: text, target: text };

const attempt = {
  notification: text,
  sequence: count,
  attempt: count,
  outcome: oneOf(OUTCOMES),
  status,
  error: maybeText,
  durationMs: count,
  committedAt: time,
  plannedAt: time,
  startedAt: time,
  ...place,
};

export const Delivery = named("Delivery", object(attempt));
export type Delivery = TypeOf<typeof Delivery>;

export const DeliveryList = named("DeliveryList", object({ deliveries: list(Delivery), nextPageToken }));

const letter = {
  id: text,
  ...place,
  sequence: count,
  state: oneOf(["dead", "retrying", "delivered", "discarded"]),
  stateAt: time,
  reason: text,
  error: maybeText,
  status,
  attempts: count,
  committedAt: time,
  diedAt: time,
};

export const DeadLetter = named("DeadLetter", object(letter));
export type DeadLetter = TypeOf<typeof DeadLetter>;

export const DeadLetterWithBody = named("DeadLetterWithBody", object({ ...letter, body: maybeText }));

export const DeadLetterList = named(
  "DeadLetterList",
  object({ deadLetters: list(DeadLetter), nextPageToken }),
);

export const Notification = named(
  "Notification",
  object({
    id: text,
    attempts: list(object({ ...attempt, response: maybeText })),
    deadLetter: maybe(DeadLetter),
  }),
);

export const RetryJob = named(
  "RetryJob",
  object({
    id: text,
    state: oneOf(["running", "paused", "cancelled", "done"]),
    filter: fieldValues,
    handledUpTo: maybeTime,
    retried: count,
    gone: count,
    failed: count,
    createdAt: time,
    updatedAt: time,
  }),
);
export type RetryJob = TypeOf<typeof RetryJob>;

export const RetryJobList = named("RetryJobList", object({ retryJobs: list(RetryJob), nextPageToken }));

const maybeShare = maybe(share);
const ms = maybe(count);
const Durations = named("Durations", object({ mean: ms, p50: ms, p95: ms, p99: ms }));
export type Durations = TypeOf<typeof Durations>;
const activity = { attempts: count, delivered: count, retries: count, successShare: maybeShare, meanMs: ms };

export const Analytics = named(
  "Analytics",
  object({
    from: time,
    to: time,
    attempts: count,
    delivered: count,
    failed: count,
    retries: count,
    successShare: maybeShare,
    attemptsPerMinute: number,
    durationMs: object({ all: Durations, delivered: Durations }),
    hours: list(object({ hour: time, attempts: count, delivered: count, failed: count, retries: count })),
    codes: list(object({ code: text, attempts: count })),
    failures: list(object({ outcome: text, status, error: maybeText, attempts: count, retries: count })),
    mostActive: object({
      since: time,
      owners: list(object({ owner: text, ...activity })),
      endpoints: list(object({ owner: text, origin: text, ...activity })),
    }),
  }),
);
export type Analytics = TypeOf<typeof Analytics>;

export const Retention = named(
  "Retention",
  object({
    days: number,
    keptSince: time,
    attempts: object({ count, oldestAt: maybeTime, newestAt: maybeTime }),
    deadLetters: object({
      dead: count,
      retrying: count,
      delivered: count,
      discarded: count,
      oldestAt: maybeTime,
    }),
  }),
);
export type Retention = TypeOf<typeof Retention>;

export const Trimmed = named(
  "Trimmed",
  object({ attempts: count, sums: count, deadLetters: count, retryJobs: count, more: flag }),
);
export type Trimmed = TypeOf<typeof Trimmed>;
