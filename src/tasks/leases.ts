// What a home remembers of its conversation with endpoints, in memory only: who has been rung, what is claimed,
// which targets must wait. All of it may be forgotten: a home that starts anew rings once per endpoint and is told.
//
// The lanes are the truth. So a doorbell or a lease that is lost costs a few seconds, never a notification.

import type { Allowance } from "../delivery/exchange.ts";
import type { Lane, Lanes, Target } from "./lanes.ts";

/** A doorbell that was not answered by then is rung again. */
export const RING_AGAIN_MS = 5_000;

type Lease = { until: number; endpoint: string; target: string; key: string };

export class Leases {
  readonly #lanes: Lanes;
  readonly #leaseMs: number;
  /** By lane. */
  readonly #leases = new Map<string, Lease>();
  /** When an endpoint was rung that has not come since. */
  readonly #rung = new Map<string, number>();
  /** Until when a target waits: its breaker is open, its bucket empty, or somebody has paused it. */
  readonly #holds = new Map<string, number>();
  /** Targets that something may be due for; unknown to a new object, which looks once. */
  #targets: Map<string, Target> | undefined;

  /** `leaseMs`: an attempt and a little more; what an endpoint keeps longer it names as busy. */
  constructor(lanes: Lanes, leaseMs: number) {
    this.#lanes = lanes;
    this.#leaseMs = leaseMs;
  }

  /** Something is due for this target, now or later. */
  watch(target: Target): void {
    this.#known().set(nameOf(target), { endpoint: target.endpoint, target: target.target });
  }

  targetsOf(endpoint: string): Target[] {
    return [...this.#known().values()].filter((target) => target.endpoint === endpoint);
  }

  /** An endpoint has come: its doorbell was heard, and it says what must wait. */
  heard(endpoint: string, allowances: readonly Allowance[], now: number): void {
    this.#rung.delete(endpoint);
    for (const target of this.targetsOf(endpoint)) {
      const hold = allowanceOf(target, allowances)?.holdUntil;
      if (hold !== undefined && hold > now) this.#holds.set(nameOf(target), hold);
      else this.#holds.delete(nameOf(target));
    }
  }

  take(lane: Lane, key: string, now: number): void {
    const { endpoint, target } = lane;
    this.#leases.set(lane.lane, { until: now + this.#leaseMs, endpoint, target, key });
  }

  isTaken(lane: string, now: number): boolean {
    const lease = this.#leases.get(lane);
    return lease !== undefined && lease.until > now;
  }

  /** Claims that their endpoint still has in hand are not due to anybody else. */
  renew(keys: ReadonlySet<string>, now: number): void {
    for (const lease of this.#leases.values()) if (keys.has(lease.key)) lease.until = now + this.#leaseMs;
  }

  release(lane: string): void {
    this.#leases.delete(lane);
  }

  /** How many lanes of a target are claimed. */
  taken({ endpoint, target }: Target): number {
    let count = 0;
    for (const lease of this.#leases.values()) {
      if (lease.endpoint === endpoint && lease.target === target) count++;
    }
    return count;
  }

  /** Whether the endpoint is to be rung for what has just become due; remembers that it was. */
  ring(target: Target, now: number): boolean {
    if ((this.#holds.get(nameOf(target)) ?? 0) > now) return false;
    const rungAt = this.#rung.get(target.endpoint);
    if (rungAt !== undefined && now - rungAt < RING_AGAIN_MS) return false;
    this.#rung.set(target.endpoint, now);
    return true;
  }

  /** A doorbell that could not be sent. */
  notRung(endpoint: string, now: number): void {
    if (this.#rung.has(endpoint)) this.#rung.set(endpoint, now);
  }

  /** When each endpoint is to be rung next, as far as the clock has to see to it (ms). */
  wakes(now: number): Map<string, number> {
    const wakes = new Map<string, number>();
    for (const [name, target] of this.#known()) {
      const at = this.#wakeOf(target, now);
      if (at === undefined) this.#targets?.delete(name);
      else wakes.set(target.endpoint, Math.min(at, wakes.get(target.endpoint) ?? Number.POSITIVE_INFINITY));
    }
    return wakes;
  }

  /** When this endpoint is to be rung next; undefined: nothing is pending for it. */
  wakeOf(endpoint: string, now: number): number | undefined {
    const wakes = this.targetsOf(endpoint).flatMap((target) => this.#wakeOf(target, now) ?? []);
    return wakes.length === 0 ? undefined : Math.min(...wakes);
  }

  #wakeOf(target: Target, now: number): number | undefined {
    const times = this.#lanes.dueTimes(target, this.taken(target) + 1);
    if (times.length === 0) return undefined;
    const hold = this.#holds.get(nameOf(target)) ?? 0;
    const rungAt = this.#rung.get(target.endpoint);
    const again = rungAt === undefined ? 0 : rungAt + RING_AGAIN_MS;
    let earliest = Number.POSITIVE_INFINITY;
    for (const { lane, due } of times) {
      const lease = this.#leases.get(lane);
      if (lease !== undefined && lease.until <= now) this.#leases.delete(lane);
      const held = lease !== undefined && lease.until > now ? lease.until : 0;
      earliest = Math.min(earliest, Math.max(due, hold, again, held));
    }
    return earliest;
  }

  #known(): Map<string, Target> {
    this.#targets ??= new Map(this.#lanes.targets().map((target) => [nameOf(target), target]));
    return this.#targets;
  }
}

/** What an endpoint allows of a target; undefined: there is no limit. */
export function allowanceOf({ target }: Target, allowances: readonly Allowance[]): Allowance | undefined {
  return (
    allowances.find((allowance) => allowance.target === target) ??
    allowances.find((allowance) => allowance.target === "*")
  );
}

function nameOf({ endpoint, target }: Target): string {
  return `${endpoint} ${target}`;
}
