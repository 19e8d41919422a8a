// What an EndpointObject and its homes say to each other: a home is spoken to by one exchange at a time, and what is
// settled meanwhile goes into the next. So under load an exchange carries many settlements, and when there is little
// to do none waits for company.

import { log } from "../telemetry/log.ts";
import { Correspondent } from "./correspondent.ts";
import type {
  Allowance,
  Claim,
  DeliveryHome,
  ExchangeAnswer,
  ExchangeRequest,
  Settlement,
} from "./exchange.ts";
import type { FairQueue, Waiting } from "./fair-queue.ts";
import { released } from "./outcome.ts";
import type { Share } from "./share.ts";
import { PATIENCE_MS, type Targets } from "./targets.ts";

/** Claims of a home that wait here, and of them for one target: enough that no slot waits for an exchange. */
const AHEAD = 48;
/** So many of a target's claims count against what its home may have here: a slow target must not use all of it. */
const COUNTED = 6;
/** An exchange only to claim is worth it when there is this much room. */
const WORTH = AHEAD / 2;
/** Homes that want to send to the same scarce target are asked again as often as this. */
const RIVALS_MS = 250;
/** Settlements wait so long for others, and so many go at once. */
const GATHER_MS = 20;
const ENOUGH = 32;
/**
 * A home that has offered its claims itself is asked for more when they are settled, and after this time at the latest:
 * until then it does not call again.
 */
const OFFERED_MS = 50;
/** Nothing is claimed beyond bodies of so many characters in all: an object has 128 MB, and the code needs some. */
const MAX_WAITING_CHARS = 8_000_000;
/** While an operator has paused the origin, homes ask again after this time: in case they do not hear of its end. */
const PAUSED_MS = 3_600_000;

/** An allowance of this target is one of all that are not named. */
const ALL = "*";

export type CorrespondenceOptions = {
  /** Name of the EndpointObject. */
  endpoint: string;
  homeOf(id: string): DeliveryHome;
  targets: Targets;
  share: Share;
  queue: FairQueue;
  /** Keys of a home's claims that are being sent. */
  sending(home: string): string[];
  /** A home has given claims: it was asked for them, or offered them, at `since` (ms). */
  received(home: string, claims: readonly Claim[], since: number): void;
  /** What is claimed of a home under these keys is not to be sent any more. */
  gone(home: string, keys: readonly string[]): void;
  /** A home has been given up: what is claimed of it will be claimed again. */
  gaveUp(home: string): void;
  isPaused(): boolean;
  /** When (ms) the last pause has ended; undefined: there was none. */
  resumedAt(): number | undefined;
  /** A home was told of the pause, and is to be rung when it is over. */
  toldOfPause(home: string): void;
  validatedUntil(): number | undefined;
  now(): number;
  changed(): void;
};

/** What a home may give now. */
type Wish = { want: number; allowances: Allowance[] };

export class Correspondence {
  readonly #options: CorrespondenceOptions;
  /** An owner has at most 64 homes. */
  readonly #homes = new Map<string, Correspondent>();
  #rivalsRungAt = 0;

  constructor(options: CorrespondenceOptions) {
    this.#options = options;
  }

  /** A home may have something to claim. */
  ring(home: string): void {
    this.#get(home).rung = true;
  }

  /** A home has given claims unasked; those that there is no room for go back. */
  offered(id: string, { claims, more }: ExchangeAnswer): void {
    const home = this.#get(id);
    const now = this.#options.now();
    const room = this.#roomFor(id);
    const fresh = this.#fresh(home, claims);
    const taken: Claim[] = [];
    for (const claim of fresh) {
      const { target } = claim;
      const waiting =
        this.#options.queue.countOf(target, id) + taken.filter((it) => it.target === target).length;
      if (taken.length < room && waiting < AHEAD) taken.push(claim);
      else this.settle(id, released(claim), now, true);
    }
    if (more || taken.length < fresh.length) home.rung = true;
    else home.askBy(now + OFFERED_MS);
    this.#options.received(id, taken, now);
  }

  /** A target has become free: every home may have something for it. */
  ringAll(): void {
    for (const home of this.#homes.values()) home.rung = true;
  }

  /** There is room again on a target: homes that could not give all they had are asked soon. */
  ringLimited(): void {
    for (const home of this.#homes.values()) {
      if (home.limited) home.rung = true;
      home.limited = false;
    }
  }

  /** A claim of `home` is being sent, so others may have room; it will be asked itself when this is settled. */
  ringRivals(home: string, now: number, isLast: boolean): void {
    if (!isLast && Math.abs(now - this.#rivalsRungAt) < RIVALS_MS) return;
    this.#rivalsRungAt = now;
    for (const rival of this.#homes.values()) {
      if (!rival.limited || rival.home === home) continue;
      rival.rung = true;
      rival.limited = false;
    }
  }

  /**
   * Keeps a settlement for the next exchange with its home, at `at` (ms) or as soon as may be. With `others` to come
   * it waits for them a little: each exchange is a commit in the home.
   */
  settle(home: string, settlement: Settlement, at: number, others = false): void {
    const correspondent = this.#get(home);
    const waits = others && correspondent.gathered.length < ENOUGH - 1;
    correspondent.settle(settlement, waits ? at + GATHER_MS : at);
  }

  /** Whether a home does not answer at present: what is sent for it may have to be sent again. */
  isFailing(home: string): boolean {
    return this.#homes.get(home)?.isFailing ?? false;
  }

  /** Whether a claim may be sent; if its home has not been heard of for too long, it is asked first. */
  stands({ home, since }: Waiting, now: number): boolean {
    return !this.isFailing(home) && this.#get(home).stands(since, now);
  }

  /** Whether there is nothing more to say to anybody. */
  get isQuiet(): boolean {
    return [...this.#homes.values()].every((home) => home.isQuiet);
  }

  /** Begins the exchanges that are due; answers when (ms) the next one is. */
  advance(now: number): number {
    let next = Number.POSITIVE_INFINITY;
    for (const home of this.#homes.values()) {
      if (home.isQuiet) continue;
      const at = home.exchangeAt(this.#barredUntil(now) !== undefined || this.#roomFor(home.home) >= WORTH);
      if (at <= now) void this.#exchange(home, now);
      else next = Math.min(next, at);
    }
    return next;
  }

  async #exchange(home: Correspondent, now: number): Promise<void> {
    const wasRung = home.rung;
    const { want, allowances } = this.#wishFor(home, now);
    const validatedUntil = this.#options.validatedUntil();
    const resumedAt = this.#options.resumedAt();
    const request: ExchangeRequest = {
      endpoint: this.#options.endpoint,
      settled: home.begin(now),
      want,
      allowances,
      busy: this.#busy(home.home),
      counters: {},
      ...(resumedAt !== undefined && { resumedAt }),
      ...(validatedUntil !== undefined && validatedUntil !== home.toldValidatedUntil && { validatedUntil }),
    };
    try {
      const answer = await this.#options.homeOf(home.home).exchange(request);
      home.answered(request);
      this.#understand(home, request, answer, wasRung);
      if (answer.gone) this.#options.gone(home.home, answer.gone);
      this.#options.received(home.home, this.#fresh(home, answer.claims), now);
    } catch (error) {
      if (home.failed(request, this.#options.now())) {
        log("error", "a home could not be told what became of its notifications; it will send them again", {
          home: home.home,
          settlements: request.settled.length,
          error,
        });
        this.#options.gaveUp(home.home);
      }
    }
    this.#options.changed();
  }

  /** Whether to ask again, and when. */
  #understand(
    home: Correspondent,
    { want, allowances }: ExchangeRequest,
    { claims, more }: ExchangeAnswer,
    wasRung: boolean,
  ): void {
    if (want === 0) {
      // There was no room for what it may have; if all is held, it knows until when.
      if (wasRung && !allowances.some(({ target }) => target === ALL)) home.rung = true;
      return;
    }
    if (!more) return;
    const isLimited = allowances.some(({ holdUntil }) => holdUntil === undefined);
    if (claims.length >= want || (claims.length > 0 && !isLimited)) home.rung = true;
    else home.limited = true;
  }

  /** Claims without those that are here already: their home did not know it when it answered. */
  #fresh({ home, gathered }: Correspondent, claims: readonly Claim[]): Claim[] {
    const busy = new Set([...this.#busy(home), ...gathered.map(({ key }) => key)]);
    return claims.filter(({ key }) => {
      if (busy.has(key)) return false;
      busy.add(key);
      return true;
    });
  }

  #busy(home: string): string[] {
    const waiting = [...this.#options.queue.of(home)].flat();
    return [...waiting.map(({ claim }) => claim.key), ...this.#options.sending(home)];
  }

  #roomFor(home: string): number {
    const { queue } = this.#options;
    if (queue.chars >= MAX_WAITING_CHARS) return 0;
    let counted = 0;
    for (const claims of queue.of(home)) counted += Math.min(claims.length, COUNTED);
    return Math.max(0, AHEAD - counted);
  }

  /** Until when (ms) nothing at all may be sent, if that is so. */
  #barredUntil(now: number): number | undefined {
    const { share, isPaused } = this.#options;
    if (isPaused()) return now + PAUSED_MS;
    const heldUntil = share.heldUntil() ?? 0;
    return heldUntil > now + PATIENCE_MS ? heldUntil : undefined;
  }

  #wishFor({ home }: Correspondent, now: number): Wish {
    const { targets, queue, isPaused, toldOfPause } = this.#options;
    const holdUntil = this.#barredUntil(now);
    if (holdUntil !== undefined) {
      if (isPaused()) toldOfPause(home);
      return { want: 0, allowances: [{ target: ALL, claims: 0, holdUntil }] };
    }
    const want = this.#roomFor(home);
    const allowances = new Map<string, Allowance>();
    const allow = (target: string, claims: number) => {
      if (claims < want) allowances.set(target, { target, claims: Math.max(0, claims) });
    };
    for (const [own] of queue.of(home)) {
      const target = own?.claim.target ?? "";
      allow(target, AHEAD - queue.countOf(target, home));
    }
    for (const [target, { claims: most, hold }] of targets.constrained(now)) {
      const own = queue.countOf(target, home);
      // What there is of a scarce target is for all homes that want it.
      const share = Math.ceil(most / this.#rivals(home, target));
      if (hold) allowances.set(target, { target, claims: 0, holdUntil: hold.retryAt });
      else allow(target, Math.min(most - queue.count(target), share - own, AHEAD - own));
    }
    return { want, allowances: [...allowances.values()] };
  }

  /** How many homes want to send to a target that is scarce, as far as is known, with this one. */
  #rivals(home: string, target: string): number {
    let rivals = 1;
    for (const other of this.#homes.values()) {
      if (other.home === home) continue;
      if (other.limited || this.#options.queue.countOf(target, other.home) > 0) rivals += 1;
    }
    return rivals;
  }

  #get(home: string): Correspondent {
    const known = this.#homes.get(home);
    if (known) return known;
    const made = new Correspondent(home);
    this.#homes.set(home, made);
    return made;
  }
}
