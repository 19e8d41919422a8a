// What an attempt came to. The class of an outcome decides everything that follows, so it is decided in one place:
// the schedule of the next attempt, the breaker, whether a config is disabled.
//
// A redirect is never followed (it would carry credentials to a place nobody has checked), so a 3xx is a refusal.

import type { Result } from "../lib/result.ts";
import type { Claim, Settlement } from "./exchange.ts";

/**
 * `retry` soon, `rejected` by the receiver (four attempts), `unauthorized` and `blocked` (slowly: somebody has to
 * repair something), `gone` (the config is disabled).
 */
export type Outcome = "delivered" | "retry" | "rejected" | "unauthorized" | "gone" | "blocked";

/** Why there was no answer; all that a caller may learn about it. */
export type ErrorClass =
  | "blocked_destination"
  | "dns_failure"
  | "tls_error"
  | "timeout"
  | "network_error"
  | "oauth2_failed"
  | "secrets_unreadable";

/** The outcome of an HTTP answer or of the lack of one. */
export function classify(result: Result<{ status: number }, { error: ErrorClass }>): Outcome {
  return result.ok ? ofStatus(result.value.status) : ofError(result.error.error);
}

function ofStatus(status: number): Outcome {
  if (status >= 200 && status < 300) return "delivered";
  switch (status) {
    case 408:
    case 425:
    case 429:
      return "retry";
    case 410:
      return "gone";
    case 401:
    case 403:
      return "unauthorized";
    default:
      return status >= 500 ? "retry" : "rejected";
  }
}

function ofError(error: ErrorClass): Outcome {
  switch (error) {
    case "blocked_destination":
    case "tls_error":
      return "blocked";
    case "dns_failure":
    case "timeout":
    case "network_error":
    case "oauth2_failed":
    case "secrets_unreadable":
      return "retry";
  }
}

/** The settlement of a claim that was not sent. */
export function released({ key, id, attempt }: Claim): Settlement {
  return { key, id, attempt, outcome: "released", startedAt: 0, durationMs: 0 };
}

const DAY_MS = 86_400_000;

/** The three forms of a date that a recipient has to understand (RFC 9110 §5.6.7). `Date.parse` takes far more. */
const httpDates = [
  /^(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/,
  /^(Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, \d{2}-[A-Z][a-z]{2}-\d{2} \d{2}:\d{2}:\d{2} GMT$/,
  /^(Mon|Tue|Wed|Thu|Fri|Sat|Sun) [A-Z][a-z]{2} [ \d]\d \d{2}:\d{2}:\d{2} \d{4}$/,
];

/**
 * Retry-After (RFC 9110 §10.2.3) in ms from `now`: seconds or a date, at most 24 h. Undefined when it is absent or
 * says nothing that we understand.
 */
export function parseRetryAfter(value: string | undefined, now: number): number | undefined {
  const text = value?.trim() ?? "";
  if (/^\d+$/.test(text)) return Math.min(Number(text) * 1_000, DAY_MS);
  if (!httpDates.some((form) => form.test(text))) return undefined;
  // The third form names no zone; it is GMT like the others.
  const at = Date.parse(text.endsWith("GMT") ? text : `${text} GMT`);
  return Number.isNaN(at) ? undefined : Math.min(Math.max(0, at - now), DAY_MS);
}
