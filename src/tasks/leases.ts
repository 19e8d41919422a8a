// What a home remembers of its conversation with endpoints, in memory only: who has been rung, what is claimed,
// which targets must wait. All of it may be forgotten: a home that starts anew rings once per endpoint and is told.
//
// The lanes are the truth. So a doorbell or a lease that is lost costs a few seconds, never a notification. What is
// due when is remembered by target, so that ten thousand URLs of one origin cost no query each time it comes.

import type { Allowance, ExchangeAnswer, ExchangeRequest } from "../delivery/exchange.ts";
import type { DueTime, LaneKey, Lanes, Target } from "./lanes.ts";
import type { LaneRef } from "./push-configs.ts";

/** A doorbell that was not answered by then is rung again. */
export const RING_AGAIN_MS = 5_000;

/** While an endpoint comes and all goes well, the clock looks this soon for what is due. */
const LOOK_MS = 1_000;

type Lease = { until: number; key: string; target: string };

/** A lane, wherever it is known from. */
type Claimable = Target & { lane: string };

type TargetTalk = Target & {
  /** Until when it waits: its breaker is open, its bucket empty, or somebody has paused it. */
  holdUntil: number;
  /** When its first lane may be claimed (ms); undefined: to be looked up. */
  earliest: number | undefined;
};

type Talk = {
  /** When it was rung, or said that it comes back; undefined: it is not expected. */
  expectedSince: number | undefined;
  targets: Map<string, TargetTalk>;
  /** What it has claimed, by lane. */
  leases: Map<string, Lease>;
};

export class Leases {
  readonly #lanes: Lanes;
  readonly #leaseMs: number;
  /** By endpoint; unknown to a new object, which looks once. */
  #talks: Map<string, Talk> | undefined;
  /** Endpoints that have said since this object was started what they have in hand. */
  readonly #familiar = new Set<string>();

  /** `leaseMs`: an attempt and a little more; what an endpoint keeps longer it names as busy. */
  constructor(lanes: Lanes, leaseMs: number) {
    this.#lanes = lanes;
    this.#leaseMs = leaseMs;
  }

  /** Something has changed about what is due for this target. */
  watch(target: Target): void {
    this.#targetTalk(target).earliest = undefined;
  }

  /** Targets of which something may be claimed now, as far as it is known without a look: last those served last. */
  claimable(endpoint: string, now: number): Target[] {
    const targets = this.#known().get(endpoint)?.targets.values() ?? [];
    return [...targets].filter(({ earliest = now }) => earliest <= now);
  }

  /** Lanes of a target that are due before or at `until` (ms), the longest waiting first, claimed ones among them. */
  due(target: Target, until: number, limit: number): LaneKey[] {
    const times = this.#look(this.#talk(target.endpoint), this.#targetTalk(target), limit);
    const { endpoint, target: url } = target;
    return times
      .filter(({ due }) => due <= until)
      .map(({ task, lane }) => ({ task, lane, endpoint, target: url }));
  }

  /** An endpoint has come: its doorbell was heard, and it says what must wait. */
  heard(endpoint: string, allowances: readonly Allowance[], now: number): void {
    this.#familiar.add(endpoint);
    const talk = this.#known().get(endpoint);
    if (!talk) return;
    talk.expectedSince = undefined;
    const byTarget = new Map(allowances.map((allowance) => [allowance.target, allowance]));
    for (const target of talk.targets.values()) {
      const hold = (byTarget.get(target.target) ?? byTarget.get("*"))?.holdUntil ?? 0;
      target.holdUntil = hold > now ? hold : 0;
    }
  }

  /** Whether it is known what an endpoint has in hand: then it may be given claims unasked. */
  isFamiliar(endpoint: string): boolean {
    return this.#familiar.has(endpoint);
  }

  /** Whether these claims have reached their endpoint is not known. */
  lost(endpoint: string, keys: ReadonlySet<string>): void {
    this.#familiar.delete(endpoint);
    this.settled(endpoint, keys);
  }

  /** What an endpoint has said that must wait still. */
  holds(endpoint: string, now: number): Allowance[] {
    const targets = this.#known().get(endpoint)?.targets.values() ?? [];
    return [...targets]
      .filter(({ holdUntil }) => holdUntil > now)
      .map(({ target, holdUntil }) => ({ target, claims: 0, holdUntil }));
  }

  /** The endpoint knows that there is more, and comes back for it. */
  comesBack(endpoint: string, now: number): void {
    const talk = this.#known().get(endpoint);
    if (talk) talk.expectedSince = now;
  }

  take(lane: Claimable, key: string, now: number): void {
    const { leases, targets } = this.#talk(lane.endpoint);
    leases.set(lane.lane, { until: now + this.#leaseMs, key, target: lane.target });
    const target = this.#targetTalk(lane);
    target.earliest = undefined;
    // To the end of the map.
    targets.delete(lane.target);
    targets.set(lane.target, target);
  }

  isTaken(lane: Claimable, now: number): boolean {
    const lease = this.#known().get(lane.endpoint)?.leases.get(lane.lane);
    return lease !== undefined && lease.until > now;
  }

  /** Claims that their endpoint still has in hand are not due to anybody else. Gives those that were not known here. */
  renew(endpoint: string, keys: ReadonlySet<string>, now: number): ReadonlySet<string> {
    const unknown = new Set(keys);
    for (const [lane, { target, key }] of this.#leasesOf(endpoint, keys)) {
      this.take({ lane, endpoint, target }, key, now);
      unknown.delete(key);
    }
    return unknown;
  }

  /** Releases what was claimed under these keys. */
  settled(endpoint: string, keys: ReadonlySet<string>): void {
    for (const [lane] of this.#leasesOf(endpoint, keys)) this.release({ endpoint, lane });
  }

  release({ endpoint, lane }: LaneRef): void {
    const leases = this.#known().get(endpoint)?.leases;
    const lease = leases?.get(lane);
    if (!lease) return;
    leases?.delete(lane);
    this.watch({ endpoint, target: lease.target });
  }

  #leasesOf(endpoint: string, keys: ReadonlySet<string>): [lane: string, Lease][] {
    const talk = keys.size === 0 ? undefined : this.#known().get(endpoint);
    return talk ? [...talk.leases].filter(([, lease]) => keys.has(lease.key)) : [];
  }

  /** How many lanes of a target are claimed. */
  taken({ endpoint, target }: Target): number {
    const talk = this.#known().get(endpoint);
    return talk ? [...talk.leases.values()].filter((lease) => lease.target === target).length : 0;
  }

  /** Whether the endpoint is to be rung for what is due at this target; remembers that it was. */
  ring(target: Target, now: number): boolean {
    const talk = this.#talk(target.endpoint);
    if (this.#targetTalk(target).holdUntil > now || isExpected(talk, now)) return false;
    talk.expectedSince = now;
    return true;
  }

  /** Endpoints to be rung now because something is due that nobody has claimed; remembers that they were. */
  ringDue(now: number): string[] {
    const due: string[] = [];
    for (const [endpoint, talk] of this.#known()) {
      if ((this.#wakeOf(talk, now) ?? now + 1) > now) continue;
      // A lane may have been paused or deleted since this was looked up.
      for (const target of talk.targets.values()) {
        if ((target.earliest ?? now) <= now) target.earliest = undefined;
      }
      if ((this.#wakeOf(talk, now) ?? now + 1) > now) continue;
      talk.expectedSince = now;
      due.push(endpoint);
    }
    return due;
  }

  /** When to look for this endpoint again (ms) after it has come; undefined: nothing is pending for it. */
  wakeAfter(
    { endpoint, settled, allowances }: ExchangeRequest,
    { claims }: ExchangeAnswer,
    now: number,
  ): number | undefined {
    const goesWell = settled.every(({ outcome }) => outcome === "delivered");
    const isHeld = allowances.some(({ holdUntil }) => holdUntil !== undefined);
    // Under load the question what is due after these is left to the clock.
    if (claims.length > 0 && goesWell && !isHeld) return now + LOOK_MS;
    const talk = this.#known().get(endpoint);
    return talk && this.#wakeOf(talk, now);
  }

  /** When any endpoint is to be rung next (ms); undefined: nothing is pending. */
  wake(now: number): number | undefined {
    let wake: number | undefined;
    for (const [endpoint, talk] of this.#known()) {
      const at = this.#wakeOf(talk, now);
      if (at === undefined) this.#talks?.delete(endpoint);
      else wake = Math.min(wake ?? at, at);
    }
    return wake;
  }

  /** Whether anything may be due for an endpoint, now or later: known without a look. */
  isAwaited(endpoint: string): boolean {
    return (this.#known().get(endpoint)?.targets.size ?? 0) > 0;
  }

  /** How long (ms) the oldest lane of an endpoint has been due that waits for nothing but to be sent. */
  overdueMs(endpoint: string, now: number): number {
    const talk = this.#known().get(endpoint);
    if (!talk) return 0;
    let earliest = now;
    for (const target of [...talk.targets.values()]) {
      if (target.holdUntil <= now) earliest = Math.min(earliest, this.#earliest(talk, target, now) ?? now);
    }
    return now - earliest;
  }

  #wakeOf(talk: Talk, now: number): number | undefined {
    const again = isExpected(talk, now) ? (talk.expectedSince ?? 0) + RING_AGAIN_MS : 0;
    let wake: number | undefined;
    for (const target of [...talk.targets.values()]) {
      const earliest = this.#earliest(talk, target, now);
      if (earliest === undefined) continue;
      const at = Math.max(earliest, target.holdUntil, again);
      wake = Math.min(wake ?? at, at);
    }
    return wake;
  }

  /** When the first lane of a target may be claimed; a target without any is forgotten. */
  #earliest(talk: Talk, target: TargetTalk, now: number): number | undefined {
    if (target.earliest !== undefined) return target.earliest;
    for (const [lane, lease] of talk.leases) if (lease.until <= now) talk.leases.delete(lane);
    this.#look(talk, target, this.taken(target) + 1);
    return target.earliest;
  }

  /** When lanes of a target are due, the first `limit`: more than are claimed. A target without any is forgotten. */
  #look(talk: Talk, target: TargetTalk, limit: number): DueTime[] {
    const times = this.#lanes.dueTimes(target, limit);
    if (times.length === 0) talk.targets.delete(target.target);
    else
      target.earliest = Math.min(
        ...times.map(({ lane, due }) => Math.max(due, talk.leases.get(lane)?.until ?? 0)),
      );
    return times;
  }

  #targetTalk({ endpoint, target }: Target): TargetTalk {
    const { targets } = this.#talk(endpoint);
    let known = targets.get(target);
    if (!known) {
      known = { endpoint, target, holdUntil: 0, earliest: undefined };
      targets.set(target, known);
    }
    return known;
  }

  #talk(endpoint: string): Talk {
    const talks = this.#known();
    let talk = talks.get(endpoint);
    if (!talk) {
      talk = { expectedSince: undefined, targets: new Map(), leases: new Map() };
      talks.set(endpoint, talk);
    }
    return talk;
  }

  #known(): Map<string, Talk> {
    if (!this.#talks) {
      this.#talks = new Map();
      for (const target of this.#lanes.targets()) this.#targetTalk(target);
    }
    return this.#talks;
  }
}

function isExpected({ expectedSince }: Talk, now: number): boolean {
  // A clock that was set back must not make a doorbell wait.
  return expectedSince !== undefined && now >= expectedSince && now - expectedSince < RING_AGAIN_MS;
}

/** What an endpoint allows of a target; undefined: there is no limit. */
export function allowanceOf({ target }: Target, allowances: readonly Allowance[]): Allowance | undefined {
  return (
    allowances.find((allowance) => allowance.target === target) ??
    allowances.find((allowance) => allowance.target === "*")
  );
}
