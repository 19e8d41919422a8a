// The circuit breaker of one webhook endpoint, as data.
//
// EndpointObject stores it between deliveries, so a probe can be forgotten: the object that sent it
// may be evicted before the answer. A probe therefore carries its start, and one older than the
// request timeout is replaced instead of waited for.
//
// A time further ahead than the breaker could have set it means that the clock has been put back: it counts as past.

import { err, ok, type Result } from "../lib/result.ts";

export type Breaker =
  /** `failures`: in a row. `recent`: what ended in the last minute, oldest first. */
  | { state: "closed"; failures: number; recent: readonly Slice[] }
  | { state: "open"; until: number; trips: number }
  | { state: "half-open"; probeStartedAt: number; trips: number };

/** What ended in the ten seconds from `from` (ms) on. Slices instead of single answers: there may be thousands. */
type Slice = { from: number; calls: number; failures: number };

export type Refusal = { reason: "breaker_open" | "probe_running"; retryAt: number };

/** How one delivery ended; times in ms. */
export type Ending = { failed: boolean; startedAt: number; now: number };

export const CLOSED: Breaker = { state: "closed", failures: 0, recent: [] };

/** So many failures in a row open the breaker … */
const FAILURES = 5;
/** … and so does half of at least so many answers within a minute. */
const CALLS = 10;
const MINUTE_MS = 60_000;
const SLICE_MS = 10_000;

/** The pause doubles with each probe that fails. */
const FIRST_PAUSE_MS = 30_000;
const LONGEST_PAUSE_MS = 900_000;

/** Its URL is no longer sent to: the configs that named it are gone. */
const FORGOTTEN_MS = 86_400_000;

/** Decides whether a delivery may start at `now`; on success, the state to store before it does. */
export function admit(breaker: Breaker, now: number, timeoutMs: number): Result<Breaker, Refusal> {
  switch (breaker.state) {
    case "closed":
      return ok(breaker);
    case "open": {
      const { until, trips } = breaker;
      if (now < until && until <= now + LONGEST_PAUSE_MS)
        return err({ reason: "breaker_open", retryAt: until });
      return ok({ state: "half-open", probeStartedAt: now, trips });
    }
    case "half-open": {
      const { probeStartedAt } = breaker;
      const retryAt = probeStartedAt + timeoutMs;
      if (now < retryAt && now >= probeStartedAt) return err({ reason: "probe_running", retryAt });
      return ok({ ...breaker, probeStartedAt: now });
    }
  }
}

/** The state after a delivery has ended. What was sent before the breaker opened, or before its probe, changes nothing. */
export function record(breaker: Breaker, ending: Ending): Breaker {
  switch (breaker.state) {
    case "closed":
      return recordClosed(breaker, ending);
    case "open":
      return breaker;
    case "half-open":
      if (ending.startedAt < breaker.probeStartedAt) return breaker;
      return ending.failed ? opened(ending.now, breaker.trips + 1) : CLOSED;
  }
}

/** The state after a probe that was admitted has not been sent: the next may be sent at once. */
export function forgo(breaker: Breaker, now: number): Breaker {
  return breaker.state === "half-open" ? { state: "open", until: now, trips: breaker.trips } : breaker;
}

/** Whether the breaker says nothing that a new one would not say, or nobody has asked it for a day. */
export function isAtRest(breaker: Breaker, now: number): boolean {
  switch (breaker.state) {
    case "closed":
      return breaker.failures === 0 && lastMinute(breaker.recent, now).length === 0;
    case "open":
      return now > breaker.until + FORGOTTEN_MS;
    case "half-open":
      return now > breaker.probeStartedAt + FORGOTTEN_MS;
  }
}

function recordClosed(breaker: Breaker & { state: "closed" }, { failed, now }: Ending): Breaker {
  const failures = failed ? breaker.failures + 1 : 0;
  if (failures >= FAILURES) return opened(now, 1);
  const recent = counted(lastMinute(breaker.recent, now), failed, now);
  if (failed) {
    const calls = recent.reduce((sum, slice) => sum + slice.calls, 0);
    const failedCalls = recent.reduce((sum, slice) => sum + slice.failures, 0);
    if (calls >= CALLS && failedCalls * 2 >= calls) return opened(now, 1);
  }
  return { state: "closed", failures, recent };
}

function opened(now: number, trips: number): Breaker {
  const pauseMs = Math.min(FIRST_PAUSE_MS * 2 ** (trips - 1), LONGEST_PAUSE_MS);
  return { state: "open", until: now + pauseMs, trips };
}

function lastMinute(recent: readonly Slice[], now: number): readonly Slice[] {
  return recent.filter(({ from }) => from > now - MINUTE_MS && from <= now);
}

function counted(recent: readonly Slice[], failed: boolean, now: number): Slice[] {
  const newest = recent.at(-1);
  const failure = failed ? 1 : 0;
  if (newest === undefined || now >= newest.from + SLICE_MS) {
    return [...recent, { from: now, calls: 1, failures: failure }];
  }
  const { from, calls, failures } = newest;
  return [...recent.slice(0, -1), { from, calls: calls + 1, failures: failures + failure }];
}
