// The loop of an EndpointObject: takes claims from homes, sends them, and tells the homes what became of them, until
// nothing is pending. It knows no HTTP and no storage, so it runs anywhere with a clock.
//
// Everything happens in `advance`, which is called whenever something has changed, and never waits.

import { log } from "../telemetry/log.ts";
import { Correspondence, type CorrespondenceOptions } from "./correspondence.ts";
import { type Claim, type ExchangeAnswer, FOLLOWING_MS, nextOf, type Settlement } from "./exchange.ts";
import { FairQueue, type Waiting } from "./fair-queue.ts";
import { released } from "./outcome.ts";
import { PATIENCE_MS } from "./targets.ts";

/** Workers may have six requests waiting for headers at once. */
const SLOTS = 6;
/**
 * Of them for one target, while others wait or as long as it is slow. A quick one alone gets one less than all:
 * whoever comes next finds a slot.
 */
const SLOTS_OF_TARGET = 3;
/** Nothing of a forgotten lane is sent for so long: longer than an answer with its claims can be under way. */
const FORGOTTEN_MS = 60_000;
/**
 * The runtime ends an object that nobody has called for 70 s, whatever is under way in it: while there is, it has itself
 * called as often as this.
 */
const CALLED_MS = 20_000;
/** Claims of forgotten lanes are handed back without haste, or they could come and go in a circle. */
const FORGOTTEN_PAUSE_MS = 1_000;

export type PumpOptions = Pick<
  CorrespondenceOptions,
  | "endpoint"
  | "homeOf"
  | "targets"
  | "share"
  | "isPaused"
  | "resumedAt"
  | "toldOfPause"
  | "validatedUntil"
  | "now"
> & {
  /** One attempt. Once `signal` fires, nothing is sent any more, and what is under way ends. */
  send(claim: Claim, signal: AbortSignal): Promise<Settlement>;
  sleep(ms: number): Promise<void>;
  /** Keeps the object alive until the promise settles. */
  waitUntil(promise: Promise<unknown>): void;
  /** Has the runtime call `advance` soon. */
  callSoon(): void;
};

type Sending = Waiting & {
  beganAt: number;
  admittedAt: number;
  abort: AbortController;
  ended: Promise<void>;
};

export class Pump {
  readonly #options: PumpOptions;
  readonly #queue = new FairQueue();
  readonly #homes: Correspondence;
  readonly #sending = new Set<Sending>();
  /** Until when (ms), by home and lane. */
  readonly #forgotten = new Map<string, number>();
  #wakeAt = Number.POSITIVE_INFINITY;
  #idle: (() => void) | undefined;
  /** When (ms) somebody has called for certain. */
  #calledAt = 0;

  constructor(options: PumpOptions) {
    this.#options = options;
    this.#homes = new Correspondence({
      ...options,
      queue: this.#queue,
      sending: (home) => [...this.#sending].filter((it) => it.home === home).map(({ claim }) => claim.key),
      received: (home, claims, since) => this.#receive(home, claims, since),
      gone: (home, keys) =>
        this.#drop((waiting) => waiting.home === home && keys.includes(waiting.claim.key)),
      gaveUp: (home) => void this.#queue.remove((waiting) => waiting.home === home),
      changed: () => this.advance(),
    });
  }

  /** Something is due in this home. */
  ring(home: string): void {
    this.#homes.ring(home);
    this.advance();
  }

  /** Something is due in this home, and this is the first of it. */
  offer(home: string, offered: ExchangeAnswer): void {
    this.#homes.offered(home, offered);
    this.advance();
  }

  /** Something may be due in every home that is known here. */
  ringAll(): void {
    this.#homes.ringAll();
    this.advance();
  }

  /** Drops what is claimed of a lane, and resolves when nothing of it is under way. */
  async forget(home: string, lane: string): Promise<void> {
    const now = this.#options.now();
    for (const [key, until] of this.#forgotten) if (until <= now) this.#forgotten.delete(key);
    this.#forgotten.set(`${home} ${lane}`, now + FORGOTTEN_MS);
    const isIt = ({ home: of, claim }: Waiting) => of === home && claim.lanes.includes(lane);
    this.#drop(isIt);
    const underWay = [...this.#sending].filter(isIt);
    for (const { abort } of underWay) abort.abort();
    this.advance();
    await Promise.all(underWay.map(({ ended }) => ended));
  }

  get inFlight(): number {
    return this.#sending.size;
  }

  get queued(): number {
    return this.#queue.size;
  }

  /** Does everything that can be done now. */
  advance(): void {
    const now = this.#options.now();
    const wakeAt = Math.min(this.#dispatch(now), this.#homes.advance(now));
    if (wakeAt < this.#wakeAt) void this.#wake(wakeAt, now);
    const isBusy = this.#sending.size > 0 || this.#queue.size > 0 || !this.#homes.isQuiet;
    if (isBusy && !this.#idle) {
      this.#calledAt = now;
      this.#options.waitUntil(
        new Promise<void>((resolve) => {
          this.#idle = resolve;
        }),
      );
    } else if (isBusy && Math.abs(now - this.#calledAt) >= CALLED_MS) {
      this.#calledAt = now;
      this.#options.callSoon();
    } else if (!isBusy && this.#idle) {
      this.#options.targets.tidy(now);
      this.#idle();
      this.#idle = undefined;
    }
  }

  async #wake(at: number, now: number): Promise<void> {
    this.#wakeAt = at;
    await this.#options.sleep(at - now);
    if (this.#wakeAt === at) this.#wakeAt = Number.POSITIVE_INFINITY;
    this.advance();
  }

  #receive(home: string, claims: readonly Claim[], since: number): void {
    const now = this.#options.now();
    for (const claim of claims) {
      if (claim.lanes.some((lane) => (this.#forgotten.get(`${home} ${lane}`) ?? 0) > now)) {
        this.#homes.settle(home, released(claim), now + FORGOTTEN_PAUSE_MS);
      } else {
        this.#queue.add({ home, claim, since });
      }
    }
  }

  /** Starts what may start; answers when (ms) to look again, unless something changes before. */
  #dispatch(now: number): number {
    const { share, isPaused } = this.#options;
    for (;;) {
      if (isPaused()) this.#drop(everything);
      if (this.#queue.size === 0 || this.#sending.size === SLOTS) return Number.POSITIVE_INFINITY;
      if (!share.isReady(this.#queue.size)) {
        const heldUntil = share.heldUntil();
        // Tokens are on their way.
        if (heldUntil === undefined) return Number.POSITIVE_INFINITY;
        if (heldUntil > now + PATIENCE_MS) this.#drop(everything);
        return heldUntil;
      }
      const refusedUntil = this.#startNext(now);
      if (refusedUntil !== undefined) return refusedUntil;
    }
  }

  /** Starts one send; if no target may be sent to, answers when (ms) one may. */
  #startNext(now: number): number | undefined {
    let refusedUntil = Number.POSITIVE_INFINITY;
    for (const target of this.#queue.targets()) {
      if (!this.#hasSlot(target)) continue;
      const next = this.#queue.next(target, (waiting) => this.#homes.stands(waiting, now));
      if (!next) continue;
      const admitted = this.#options.targets.admit(next.claim, now);
      if (admitted.ok) {
        this.#start(next, now);
        return undefined;
      }
      const { retryAt, claims = Number.POSITIVE_INFINITY } = admitted.error;
      const keep = retryAt > now + PATIENCE_MS ? 0 : claims;
      this.#release(this.#queue.shorten(target, keep), now);
      if (keep > 0) refusedUntil = Math.min(refusedUntil, retryAt);
    }
    return refusedUntil;
  }

  #hasSlot(target: string): boolean {
    let own = 0;
    for (const { claim } of this.#sending) if (claim.target === target) own += 1;
    if (own === 0) return true;
    const isAlone = this.#queue.breadth === 1 && this.#options.targets.isQuick(target);
    const most = isAlone ? SLOTS - 1 : SLOTS_OF_TARGET;
    return own < most && this.#sending.size < SLOTS - 1;
  }

  #start(waiting: Waiting, now: number): void {
    const { target } = waiting.claim;
    this.#queue.take(waiting);
    this.#options.share.use();
    const sending: Sending = {
      ...waiting,
      beganAt: now,
      admittedAt: now,
      abort: new AbortController(),
      ended: Promise.resolve(),
    };
    this.#sending.add(sending);
    sending.ended = this.#send(sending);
    this.#homes.ringRivals(waiting.home, now, this.#queue.count(target) === 0);
  }

  /** Sends a claim, and what follows in it. */
  async #send(sending: Sending): Promise<void> {
    const { home } = sending;
    const { targets, now } = this.#options;
    for (let goesOn = true; goesOn; ) {
      const settlement = await this.#attempt(sending);
      const { claim, admittedAt } = sending;
      if (targets.settle(claim.target, settlement, admittedAt, now())) this.#homes.ringAll();
      goesOn = settlement.outcome === "delivered" && this.#follow(sending);
      if (!goesOn) this.#sending.delete(sending);
      // What follows is settled soon, and both in one exchange.
      this.#homes.settle(home, settlement, now(), goesOn || this.#queue.sizeOf(home) >= SLOTS);
      this.advance();
    }
  }

  async #attempt({ claim, admittedAt, abort }: Sending): Promise<Settlement> {
    const { send, now } = this.#options;
    try {
      return await send(claim, abort.signal);
    } catch (error) {
      log("error", "a notification could not be sent because of a bug", { task: claim.task, error });
      // It counts as an attempt: a notification that breaks the sender must not do so for ever.
      const { key, id, attempt } = claim;
      const durationMs = now() - admittedAt;
      return {
        key,
        id,
        attempt,
        outcome: "retry",
        error: "network_error",
        startedAt: admittedAt,
        durationMs,
      };
    }
  }

  /** Goes on to what follows in the claim, if it may be sent at once; if not, its home will claim it. */
  #follow(sending: Sending): boolean {
    const { targets, share, isPaused, now } = this.#options;
    const next = nextOf(sending.claim);
    if (!next || sending.abort.signal.aborted || isPaused() || this.#homes.isFailing(sending.home))
      return false;
    // Whoever waits comes first.
    if (this.#queue.size > this.#queue.sizeOf(sending.home) || !share.isReady(this.#queue.size + 1))
      return false;
    const at = now();
    if (Math.abs(at - sending.beganAt) >= FOLLOWING_MS || !targets.admit(next, at).ok) return false;
    share.use();
    sending.claim = next;
    sending.admittedAt = at;
    return true;
  }

  #drop(unwanted: (waiting: Waiting) => boolean): void {
    this.#release(this.#queue.remove(unwanted), this.#options.now());
  }

  /** Gives claims back to their homes, which claim them again when they may be sent. */
  #release(claims: readonly Waiting[], now: number): void {
    for (const { home, claim } of claims) this.#homes.settle(home, released(claim), now);
    if (claims.length > 0) this.#homes.ringLimited();
  }
}

const everything = () => true;
