// A token bucket, as data: so much a minute, so much of it at once.
//
// It counts in 60,000ths of a token, of which `perMinute` come with each millisecond. So all numbers are whole and
// the times exact: a caller that comes back at `retryAt` is served. An absent bucket is a full one.

import { err, ok, type Result } from "./result.ts";

/** `at`: the time (ms) to which `credit` has been counted. */
export type Bucket = { credit: number; at: number };

/** `perMinute` at least 1; `burst` at least 1: how many tokens the bucket holds. */
export type Rate = { perMinute: number; burst: number };

const TOKEN = 60_000;

/** Takes `count` tokens, which must not be more than the burst. */
export function take(
  bucket: Bucket | undefined,
  rate: Rate,
  now: number,
  count = 1,
): Result<Bucket, { retryAt: number }> {
  const credit = creditAt(bucket, rate, now);
  const missing = count * TOKEN - credit;
  if (missing > 0) return err({ retryAt: now + Math.ceil(missing / rate.perMinute) });
  return ok({ credit: credit - count * TOKEN, at: now });
}

/** Whole tokens that can be taken at `now`. */
export function tokensAt(bucket: Bucket | undefined, rate: Rate, now: number): number {
  return Math.floor(creditAt(bucket, rate, now) / TOKEN);
}

/** Whether the bucket is full again at `now`, and need not be kept. */
export function isFull(bucket: Bucket | undefined, rate: Rate, now: number): boolean {
  return creditAt(bucket, rate, now) === rate.burst * TOKEN;
}

function creditAt(bucket: Bucket | undefined, { perMinute, burst }: Rate, now: number): number {
  const full = burst * TOKEN;
  if (bucket === undefined) return full;
  // A clock that was put back counts like one that went on: a burst too many at most, and nobody waits for it to catch up.
  return Math.min(full, bucket.credit + Math.abs(now - bucket.at) * perMinute);
}
