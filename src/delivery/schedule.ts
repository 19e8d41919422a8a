// When a notification is tried again, and when it is given up. Pure: the home asks after every failed attempt.
//
// Two things end a notification: its attempts are used up, or it has grown too old. Age counts from the event's
// commit (or from when its config or endpoint was resumed), not from its first attempt: otherwise each notification behind
// a dead one would hold the lane for days of its own. One that is too old when its turn comes gets one attempt.

import type { ErrorClass, Outcome } from "./outcome.ts";

/** The outcomes after which there may be another attempt. */
export type FailedOutcome = Exclude<Outcome, "delivered" | "gone">;

export type Failure = {
  outcome: FailedOutcome;
  /** The attempt that failed; the first is 1. */
  attempt: number;
  /** When it failed, in ms. */
  now: number;
  /** When the event was committed, in ms; of a batch the youngest. */
  committedAt: number;
  /** When the clock was last started, in ms: a config was paused or disabled, or an endpoint paused, and is resumed. */
  clockFrom: number;
  /** The delay before each attempt, the first 0; their number is that of the attempts. */
  retryMs: readonly number[];
  /** The receiver's Retry-After. */
  retryAfterMs?: number | undefined;
  /** From 0 to below 1, of which the jitter is made. */
  random: number;
  /** How the attempt ended, for the reason of a death. */
  status?: number | undefined;
  error?: ErrorClass | undefined;
};

export type Plan = { next: "retry"; at: number } | { next: "dead"; reason: string };

/** A receiver that says no is asked so many times in all: it may be in the middle of a deployment. */
const REJECTED_ATTEMPTS = 4;

/** Before each attempt of a notification that waits for somebody to repair a credential, a certificate or a name. */
const SLOW_MS: readonly number[] = [0, 600_000, 3_600_000, 21_600_000, 86_400_000];

/** Each delay is longer or shorter by up to this share of it, so that what failed together does not return together. */
const JITTER = 0.2;

/**
 * Beyond the schedule itself: the longest pause of a breaker. Without it a short schedule would be over before a
 * breaker has let its second attempt through.
 */
const ROOM_MS = 900_000;

/** How old a notification may be at its last attempt, in ms. */
export function budgetMs(retryMs: readonly number[]): number {
  return sum(retryMs) * (1 + JITTER) + ROOM_MS;
}

/**
 * The delays before each attempt for what is retried slowly: 10 min, 1 h, 6 h, 24 h. Never more attempts than the
 * configured schedule has; and when that one is shorter as a whole, these are scaled down to take as long as it.
 */
export function slowMs(retryMs: readonly number[]): number[] {
  const steps = SLOW_MS.slice(0, retryMs.length);
  const scale = Math.min(1, sum(retryMs) / Math.max(1, sum(steps)));
  return steps.map((step) => Math.round(step * scale));
}

/** What comes after a failed attempt. */
export function planNext(failure: Failure): Plan {
  const { attempt, now, retryMs } = failure;
  const age = now - Math.max(failure.committedAt, failure.clockFrom);
  const delay = nextDelay(failure, age);
  if (delay === undefined) return { next: "dead", reason: `${attempts(attempt)} failed; ${last(failure)}` };
  const jitter = 1 - JITTER + 2 * JITTER * failure.random;
  const waitMs = Math.max(Math.round(delay * jitter), failure.retryAfterMs ?? 0);
  if (age + waitMs > budgetMs(retryMs)) {
    return { next: "dead", reason: `too old after ${attempts(attempt)}; ${last(failure)}` };
  }
  return { next: "retry", at: now + waitMs };
}

function nextDelay({ outcome, attempt, retryMs }: Failure, age: number): number | undefined {
  if (attempt >= retryMs.length) return undefined;
  switch (outcome) {
    case "retry":
      return retryMs[attempt];
    case "rejected":
      return attempt < REJECTED_ATTEMPTS ? retryMs[attempt] : undefined;
    case "unauthorized":
    case "blocked": {
      const steps = slowMs(retryMs);
      // The attempts may have been used up by an outage that ended a moment ago. Then there has been no time to
      // repair anything, and the last step is still to come.
      const over = attempt >= steps.length && age >= sum(steps) * (1 - JITTER);
      return over ? undefined : steps[Math.min(attempt, steps.length - 1)];
    }
  }
}

const endings: Record<ErrorClass, string> = {
  blocked_destination: "led to a destination that is not allowed",
  dns_failure: "could not resolve the host name",
  tls_error: "found no trustworthy certificate",
  timeout: "was not answered in time",
  network_error: "could not reach the receiver",
  oauth2_failed: "got no token from the token server",
  secrets_unreadable: "could not decrypt the secrets of the config",
};

function last({ attempt, status, error }: Failure): string {
  const which = attempt === 1 ? "it" : "the last";
  if (status !== undefined) return `${which} answered ${status}`;
  return `${which} ${error === undefined ? "had no answer" : endings[error]}`;
}

function attempts(count: number): string {
  return count === 1 ? "1 attempt" : `${count} attempts`;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
