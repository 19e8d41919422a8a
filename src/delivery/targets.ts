// Whether, and how fast, an endpoint's targets (URLs without their query) may be sent to: breaker, bucket, and the
// pause that a Retry-After asked for. Every send passes `admit`, and every answer `settle`.
//
// A state is stored only while it is not the default one, and when it changes what a new object would do: a bucket
// is stored when it turns claims away for longer than they wait here. Until then this object is awake, and if it
// dies all the same, one burst too many is all that follows.

import { isFull, type Rate, take, tokensAt } from "../lib/bucket.ts";
import { err, ok, type Result } from "../lib/result.ts";
import { metricKey } from "../telemetry/metrics.ts";
import { admit, type Breaker, CLOSED, forgo, isAtRest, record } from "./breaker.ts";
import type { TargetState } from "./endpoint-state.ts";
import type { Claim, Settlement } from "./exchange.ts";

/** A claim waits in the endpoint for so long at most; if it has to wait longer, it goes back to its home. */
export const PATIENCE_MS = 5_000;

const QUICK_MS = 1_000;

/** The longest pause that a receiver can ask for. */
const LONGEST_HOLD_MS = 86_400_000;
/** States beyond this number that are not stored are forgotten. */
const MAX_TARGETS = 10_000;
/**
 * Targets that have to wait: each exchange names them all, and only they are stored. Beyond this number those that had
 * to wait first are forgotten, which costs an attempt each, spaced by the schedules of their lanes.
 */
export const MAX_CONSTRAINED = 1_000;

export type HoldReason = "breaker_open" | "probe_running" | "retry_after" | "rate_limited";
/** `claims`: so many can be sent within `PATIENCE_MS`; absent: as many as there are, once the hold is over. */
export type Hold = { reason: HoldReason; retryAt: number; claims?: number };

/** How many claims of a target can be sent within `PATIENCE_MS`; none if it is held. */
export type Room = { claims: number; hold?: Hold };

export type TargetHealth = {
  target: string;
  breaker: Breaker["state"];
  /** Nothing before this time (ms), and why. */
  holdUntil: number | null;
  holdReason: HoldReason | null;
  /** Deliveries that the rate limit allows at once; null: there is none. */
  tokensLeft: number | null;
};

export type TargetsOptions = {
  /** The deployment's limit for a URL; `perMinute` 0: none. The burst is also that of a config that names none. */
  rate: Rate;
  /** Of an attempt; a probe that is older is replaced. */
  timeoutMs: number;
  stored: Iterable<readonly [target: string, TargetState]>;
  save(target: string, state: TargetState): void;
  /** Counts a metric, named by its key. */
  count(key: string): void;
  /** A breaker has changed. */
  changed(): void;
};

/** Of one target; absent members are in their default state. */
type Target = TargetState & { breaker: Breaker; isStored: boolean; isQuick: boolean };

const UNLIMITED: Room = { claims: Number.POSITIVE_INFINITY };

export class Targets {
  readonly #options: TargetsOptions;
  readonly #targets = new Map<string, Target>();
  /** Those that were held or ran out of tokens, and may be so still, in this order. What is stored is among them. */
  readonly #constrained = new Set<string>();
  #tidiedAt = 0;

  constructor(options: TargetsOptions) {
    this.#options = options;
    for (const [target, { breaker = CLOSED, ...rest }] of options.stored) {
      this.#targets.set(target, { ...rest, breaker, isStored: true, isQuick: false });
      this.#constrained.add(target);
    }
  }

  /** Whether the claim may be sent now. If so, it has taken its token, and may be the breaker's probe. */
  admit(claim: Claim, now: number): Result<void, Hold> {
    const target = this.#get(claim.target, now);
    const rate = lowerOf(this.#options.rate, claim.options.rateLimit);
    if (rate) target.rate = rate;
    else delete target.rate;
    const held = heldUntil(target, now);
    if (held !== undefined) return err({ reason: "retry_after", retryAt: held });
    const breaker = admit(target.breaker, now, this.#options.timeoutMs);
    if (!breaker.ok) return breaker;
    if (rate) {
      const bucket = take(target.bucket, rate, now);
      if (!bucket.ok) {
        const { retryAt } = bucket.error;
        if (!this.#constrained.has(claim.target)) {
          this.#constrain(claim.target);
          this.#options.count(metricKey("a2a_webhook_rate_limited_total", { by: "url" }));
        }
        if (retryAt > now + PATIENCE_MS) this.#save(claim.target, target, now);
        return err({
          reason: "rate_limited",
          retryAt,
          claims: tokensAt(target.bucket, rate, now + PATIENCE_MS),
        });
      }
      target.bucket = bucket.value;
    }
    this.#setBreaker(claim.target, target, breaker.value, now);
    return ok(undefined);
  }

  /** Takes note of how an admitted claim ended. Answers whether a target that was held is free again. */
  settle(target: string, settlement: Settlement, admittedAt: number, now: number): boolean {
    const state = this.#get(target, now);
    const { status, retryAfterMs = 0 } = settlement;
    const failed = isFailure(settlement);
    if (settlement.outcome !== "released") state.isQuick = !failed && settlement.durationMs < QUICK_MS;
    if (retryAfterMs > 0 && (status === 429 || status === 503)) {
      const until = now + Math.min(retryAfterMs, LONGEST_HOLD_MS);
      state.holdUntil = Math.max(heldUntil(state, now) ?? 0, until);
      this.#constrain(target);
      this.#options.count(metricKey("a2a_webhook_rate_limited_total", { by: "endpoint" }));
      this.#save(target, state, now);
    }
    const before = state.breaker;
    const isProbe = before.state === "half-open" && admittedAt >= before.probeStartedAt;
    const after = saysSomething(settlement)
      ? record(before, { failed, startedAt: admittedAt, now })
      : isProbe
        ? forgo(before, now)
        : before;
    this.#setBreaker(target, state, after, now);
    return before.state !== "closed" && after.state === "closed";
  }

  /** Whether the newest attempt was answered soon: such a target may use more slots at once than others. */
  isQuick(target: string): boolean {
    return this.#targets.get(target)?.isQuick ?? false;
  }

  /** Targets of which not everything can be claimed. */
  *constrained(now: number): Iterable<readonly [target: string, Room]> {
    for (const name of this.#constrained) {
      const target = this.#targets.get(name);
      const room = target ? this.#room(target, now) : UNLIMITED;
      if (room !== UNLIMITED) {
        yield [name, room];
        continue;
      }
      this.#constrained.delete(name);
      if (target) this.#save(name, target, now);
    }
  }

  #room(target: Target, now: number): Room {
    const held = heldUntil(target, now);
    const breaker = admit(target.breaker, now, this.#options.timeoutMs);
    if (!breaker.ok) {
      const { reason, retryAt } = breaker.error;
      return { claims: 0, hold: { reason, retryAt: Math.max(retryAt, held ?? 0) } };
    }
    if (held !== undefined) return { claims: 0, hold: { reason: "retry_after", retryAt: held } };
    if (breaker.value.state === "half-open") return { claims: 1 };
    const { bucket, rate } = target;
    if (!rate || isFull(bucket, rate, now)) return UNLIMITED;
    const claims = tokensAt(bucket, rate, now + PATIENCE_MS);
    const next = take(bucket, rate, now);
    if (claims > 0 || next.ok) return { claims };
    return { claims: 0, hold: { reason: "rate_limited", retryAt: next.error.retryAt } };
  }

  /** How many breakers are open and half-open. */
  breakers(): { open: number; halfOpen: number } {
    const count = { open: 0, halfOpen: 0 };
    for (const name of this.#constrained) {
      const state = this.#targets.get(name)?.breaker.state;
      if (state === "open") count.open += 1;
      if (state === "half-open") count.halfOpen += 1;
    }
    return count;
  }

  health(now: number): TargetHealth[] {
    return [...this.#targets].map(([name, target]) => {
      const { hold } = this.#room(target, now);
      const { breaker, bucket, rate } = target;
      return {
        target: name,
        breaker: breaker.state,
        holdUntil: hold?.retryAt ?? null,
        holdReason: hold?.reason ?? null,
        tokensLeft: rate ? tokensAt(bucket, rate, now) : null,
      };
    });
  }

  /** Forgets everything. */
  clear(): void {
    for (const [name, { isStored }] of this.#targets) if (isStored) this.#options.save(name, {});
    this.#targets.clear();
    this.#constrained.clear();
    this.#options.changed();
  }

  /** Forgets what is as it would be anyway; once a minute at most. */
  tidy(now: number): void {
    if (Math.abs(now - this.#tidiedAt) < 60_000) return;
    this.#tidiedAt = now;
    for (const [name, target] of this.#targets) {
      if (isDefault(target, now)) this.#forget(name);
    }
  }

  #constrain(name: string): void {
    this.#constrained.add(name);
    if (this.#constrained.size <= MAX_CONSTRAINED) return;
    const [first] = this.#constrained;
    if (first !== undefined) this.#forget(first);
  }

  #forget(name: string): void {
    const target = this.#targets.get(name);
    this.#constrained.delete(name);
    this.#targets.delete(name);
    if (target?.isStored) this.#options.save(name, {});
    if (target && target.breaker.state !== "closed") this.#options.changed();
  }

  #get(name: string, now: number): Target {
    const known = this.#targets.get(name);
    if (known) return known;
    if (this.#targets.size >= MAX_TARGETS) this.#shrink(now);
    const target: Target = { breaker: CLOSED, isStored: false, isQuick: false };
    this.#targets.set(name, target);
    return target;
  }

  /** A closed breaker of which there are ten thousand is worth less than the memory. */
  #shrink(now: number): void {
    this.tidy(now);
    for (const [name, { isStored }] of this.#targets) {
      if (this.#targets.size < MAX_TARGETS / 2) return;
      if (!isStored) this.#targets.delete(name);
    }
  }

  #setBreaker(name: string, target: Target, breaker: Breaker, now: number): void {
    const before = target.breaker;
    target.breaker = breaker;
    if (before.state === "closed" && breaker.state === "closed") return;
    this.#constrain(name);
    if (before !== breaker) this.#save(name, target, now);
    if (before.state === breaker.state) return;
    const to = breaker.state === "half-open" ? "half_open" : breaker.state;
    this.#options.count(metricKey("a2a_webhook_breaker_transitions_total", { to }));
    this.#options.changed();
  }

  #save(name: string, target: Target, now: number): void {
    const { breaker, bucket, rate } = target;
    const holdUntil = heldUntil(target, now);
    const state: TargetState = {
      ...(breaker.state !== "closed" && { breaker }),
      ...(bucket && rate && !isFull(bucket, rate, now) && { bucket, rate }),
      ...(holdUntil !== undefined && { holdUntil }),
    };
    if (Object.keys(state).length === 0 && !target.isStored) return;
    this.#options.save(name, state);
    target.isStored = Object.keys(state).length > 0;
  }
}

/** A clock that was put back makes a pause longer than any can be: such a one is over. */
function heldUntil({ holdUntil = 0 }: Pick<Target, "holdUntil">, now: number): number | undefined {
  return holdUntil > now && holdUntil <= now + LONGEST_HOLD_MS ? holdUntil : undefined;
}

function isDefault(target: Target, now: number): boolean {
  const { breaker, bucket, rate } = target;
  const isRested = rate === undefined || isFull(bucket, rate, now);
  return isRested && heldUntil(target, now) === undefined && isAtRest(breaker, now);
}

/** The lower of the deployment's limit for a URL and what the config asks for; undefined: there is neither. */
function lowerOf(rate: Rate, asked: Claim["options"]["rateLimit"]): Rate | undefined {
  if (!asked) return rate.perMinute === 0 ? undefined : rate;
  const { perMinute, burst = rate.burst } = asked;
  const own = { perMinute: Math.max(1, perMinute), burst: Math.max(1, burst) };
  if (rate.perMinute === 0) return own;
  return { perMinute: Math.min(own.perMinute, rate.perMinute), burst: Math.min(own.burst, rate.burst) };
}

/** Whether the settlement says anything about the endpoint: the request may not have got so far. */
function saysSomething({ outcome, error }: Settlement): boolean {
  return (
    outcome !== "released" &&
    error !== "blocked_destination" &&
    error !== "oauth2_failed" &&
    error !== "secrets_unreadable"
  );
}

/** An endpoint that refuses a notification is up; one without a valid certificate is not. */
function isFailure({ outcome, error }: Settlement): boolean {
  return outcome === "retry" || error === "tls_error";
}
