// What an EndpointObject owes one home and wants from it: what became of its claims, and the next ones. The state
// of that conversation; the pump does the talking.
//
// A home that does not answer is asked again for a minute, with what has been settled; then this is dropped, and
// the home's lease runs out: the notifications are sent again. At least once, and never a queue without end.

import { type ExchangeRequest, type Settlement, STANDS_MS } from "./exchange.ts";

const FIRST_PAUSE_MS = 200;
const LONGEST_PAUSE_MS = 5_000;
const GIVE_UP_MS = 60_000;

export class Correspondent {
  readonly home: string;
  /** An exchange is under way. */
  talking = false;
  /** Its last answer was short of what it could have given, because a target's share of the queue was full. */
  limited = false;
  /** Until when the origin counts as validated, as the home was told. */
  toldValidatedUntil: number | undefined;
  /** When (ms) it is to be asked for claims. */
  #askAt = Number.POSITIVE_INFINITY;
  #settled: Settlement[] = [];
  #settleAt = Number.POSITIVE_INFINITY;
  /** It is to be asked at once whether what is claimed of it stands. */
  #inDoubt = false;
  #beganAt = Number.NEGATIVE_INFINITY;
  /** When (ms) the newest exchange began that was answered: what was claimed then stands, or the answer named it. */
  #heardAt = Number.NEGATIVE_INFINITY;
  #failingSince: number | undefined;
  #failures = 0;
  #restUntil = 0;

  constructor(home: string) {
    this.home = home;
  }

  /** Whether it may have something to claim. */
  get rung(): boolean {
    return this.#askAt < Number.POSITIVE_INFINITY;
  }

  set rung(rung: boolean) {
    this.#askAt = rung ? 0 : Number.POSITIVE_INFINITY;
  }

  /** It may have something to claim by then (ms). */
  askBy(at: number): void {
    this.#askAt = Math.min(this.#askAt, at);
  }

  /** Keeps a settlement for the next exchange, which comes at `at` (ms) at the latest. */
  settle(settlement: Settlement, at: number): void {
    this.#settled.push(settlement);
    this.#settleAt = Math.min(this.#settleAt, at);
  }

  /** Settlements that wait for the next exchange. */
  get gathered(): readonly Settlement[] {
    return this.#settled;
  }

  /** When (ms) an exchange is due: what has been settled wants to be told, or `hungry`: there is room for claims. */
  exchangeAt(hungry: boolean): number {
    if (this.talking) return Number.POSITIVE_INFINITY;
    const askAt = hungry ? this.#askAt : Number.POSITIVE_INFINITY;
    return Math.max(this.#restUntil, this.#inDoubt ? 0 : Math.min(askAt, this.#settleAt));
  }

  /** Whether a claim of it stands that was made at or after `since` (ms); if that is too long ago, it is asked. */
  stands(since: number, now: number): boolean {
    const isRecent = (at: number) => Math.abs(now - at) <= STANDS_MS;
    if (isRecent(since) || isRecent(this.#heardAt)) return true;
    this.#inDoubt = true;
    return false;
  }

  get isFailing(): boolean {
    return this.#failures > 0;
  }

  /** Whether there is nothing more to say. */
  get isQuiet(): boolean {
    return !this.talking && !this.rung && !this.#inDoubt && this.#settled.length === 0;
  }

  /** An exchange begins; gives what it has to hand over. */
  begin(now: number): Settlement[] {
    const settled = this.#settled;
    this.#settled = [];
    this.#settleAt = Number.POSITIVE_INFINITY;
    this.#inDoubt = false;
    this.#beganAt = now;
    this.talking = true;
    this.rung = false;
    return settled;
  }

  /** The exchange has been answered. */
  answered(request: ExchangeRequest): void {
    this.talking = false;
    this.#heardAt = this.#beganAt;
    this.#failures = 0;
    this.#failingSince = undefined;
    this.#restUntil = 0;
    if (request.validatedUntil !== undefined) this.toldValidatedUntil = request.validatedUntil;
  }

  /** The exchange has failed. Answers whether the home is given up, with all that was to be told to it. */
  failed(request: ExchangeRequest, now: number): boolean {
    this.talking = false;
    this.#failingSince ??= now;
    this.#failures += 1;
    if (now - this.#failingSince >= GIVE_UP_MS) {
      this.#settled = [];
      this.#settleAt = Number.POSITIVE_INFINITY;
      this.#failingSince = undefined;
      this.#failures = 0;
      this.#restUntil = 0;
      this.rung = false;
      return true;
    }
    this.rung = true;
    this.#settled = [...request.settled, ...this.#settled];
    this.#settleAt = now;
    this.#restUntil = now + Math.min(FIRST_PAUSE_MS * 2 ** (this.#failures - 1), LONGEST_PAUSE_MS);
    return false;
  }
}
