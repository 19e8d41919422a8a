// An endpoint that is as unreliable as they come, with its receivers: it forgets what it has in hand, is not told
// what a home answered, is told twice, sends late. What it does keep are the promises of delivery/exchange.

import {
  type Claim,
  type ExchangeAnswer,
  type ExchangeRequest,
  nextOf,
  type Settlement,
  STANDS_MS,
} from "../../src/delivery/exchange.ts";
import { ATTEMPT_MS, type Stage } from "../support/notifications.ts";
import type { Oracle } from "./webhook-oracle.ts";

/** `since`: when it was asked for, or offered. */
type InHand = { claim: Claim; since: number; sentAt: number; ending: Ending | undefined };

/** How an attempt ends; with `accepted` the receiver took it, whatever the endpoint learns of that. */
type Ending = { outcome: Settlement["outcome"]; status?: number; accepted?: boolean; retryAfterMs?: number };

export type Chance = (below: number) => number;

export class FaultyEndpoint {
  readonly name: string;
  readonly inHand = new Map<string, InHand>();
  /** Whether it has something to say to the home, or to ask. */
  awake = false;
  /** Whether everything works. */
  calm = false;
  readonly #stage: Stage;
  readonly #oracle: Oracle;
  readonly #chance: Chance;
  #settled: Settlement[] = [];
  /** What it has said before. */
  #said: Settlement[] = [];
  #holds = new Map<string, number>();
  /** When the home last said what of this endpoint's claims is gone. */
  #heardAt = Number.NEGATIVE_INFINITY;

  constructor(name: string, stage: Stage, oracle: Oracle, chance: Chance) {
    this.name = name;
    this.#stage = stage;
    this.#oracle = oracle;
    this.#chance = chance;
  }

  /** Everything it had in memory is gone; what it has begun to send may have arrived. */
  crash(): void {
    this.inHand.clear();
    this.#settled = [];
    this.#said = [];
    this.#holds.clear();
    this.#heardAt = Number.NEGATIVE_INFINITY;
    this.awake = false;
  }

  /** One exchange with the home, whose answer may be lost. */
  exchange(): void {
    const isLost = this.#happens(8);
    const request = this.#request();
    const inHand = [...this.inHand.values()].map(({ claim }) => claim);
    const answer: ExchangeAnswer = this.#stage.notifications.exchange(request);
    const { settled } = request;
    for (const [n, settlement] of settled.entries()) {
      // Sent twice, and delivered the second time: what came of the first does not show any more.
      const after = settled.slice(n + 1);
      const isOutdone = after.some((it) => it.id === settlement.id && it.outcome === "delivered");
      const followed = after.filter(({ key }) => key === settlement.key).length;
      if (!isOutdone) this.#oracle.settledAt(settlement, this.#stage.now, followed);
    }
    this.#oracle.follow();
    for (const claim of answer.claims) {
      this.#oracle.claimed(claim, inHand);
      inHand.push(claim);
    }
    // What it said may have been heard or not; it says it again.
    if (isLost) return;
    this.#said = request.settled;
    this.#settled = [];
    this.#heardAt = this.#stage.now;
    for (const key of answer.gone ?? []) {
      const held = this.inHand.get(key);
      if (held && !held.ending) this.#end(held, released);
    }
    for (const claim of answer.claims) this.#hold(claim);
    this.awake = answer.more || this.inHand.size > 0;
  }

  /** It is given claims unasked. */
  take({ claims }: ExchangeAnswer): void {
    const inHand = [...this.inHand.values()].map(({ claim }) => claim);
    for (const claim of claims.filter(({ key }) => !this.inHand.has(key))) {
      this.#oracle.claimed(claim, inHand);
      inHand.push(claim);
      this.#hold(claim);
    }
    this.awake = true;
  }

  #hold(claim: Claim): void {
    this.inHand.set(claim.key, { claim, since: this.#stage.now, sentAt: 0, ending: undefined });
  }

  #request(): ExchangeRequest {
    const { now } = this.#stage;
    const repeated = this.#happens(6) ? this.#said : [];
    const holds = [...this.#holds].filter(([, until]) => until > now);
    return {
      endpoint: this.name,
      settled: this.#happens(10) ? [...this.#settled, ...this.#settled] : [...repeated, ...this.#settled],
      want: this.calm ? 10 : this.#chance(6),
      allowances: [
        ...holds.map(([target, holdUntil]) => ({ target, claims: 0, holdUntil })),
        ...(this.#happens(5) ? [{ target: "*", claims: this.#chance(3) }] : []),
      ],
      busy: [...this.inHand.keys()],
      counters: {},
    };
  }

  /** Begins one of the sends it has in hand, or learns how one has ended. */
  send(): void {
    const all = [...this.inHand.values()];
    const held = all[this.#chance(all.length)];
    if (!held) return;
    if (!held.ending) {
      if (this.#stage.now - Math.max(held.since, this.#heardAt) > STANDS_MS) {
        this.awake = true;
        return;
      }
      if (this.#happens(12)) {
        this.#end(held, released);
        return;
      }
      held.sentAt = this.#stage.now;
      held.ending = this.calm ? good : this.#ending();
      this.#oracle.arrived(held.claim, held.ending.accepted ?? held.ending.outcome === "delivered");
      if (this.#happens(3)) return;
    }
    // Now and then nobody ever learns how it ended.
    if (this.#happens(15)) this.inHand.delete(held.claim.key);
    else this.#end(held, held.ending);
  }

  #end({ claim, sentAt }: InHand, { outcome, status, retryAfterMs }: Ending): void {
    const { key, id, attempt } = claim;
    this.inHand.delete(key);
    // It goes on to what follows, or leaves that to the home.
    const next = outcome === "delivered" && !this.#happens(3) ? nextOf(claim) : undefined;
    if (next) {
      this.#oracle.followed(claim, next);
      this.#hold(next);
    }
    this.awake = true;
    if (retryAfterMs !== undefined) this.#holds.set(claim.target, this.#stage.now + retryAfterMs);
    this.#settled.push({
      key,
      id,
      attempt,
      outcome,
      startedAt: outcome === "released" ? 0 : sentAt,
      durationMs: 10,
      ...(status !== undefined && { status }),
      ...(status === undefined && outcome === "retry" && { error: "timeout" as const }),
      ...(retryAfterMs !== undefined && { retryAfterMs }),
    });
  }

  #ending(): Ending {
    const dice = this.#chance(100);
    if (dice < 40) return good;
    if (dice < 60) return { outcome: "retry", status: 500 };
    if (dice < 72)
      return {
        outcome: "retry",
        status: 429,
        retryAfterMs: [0, 1_000, 5_000, 60_000, 3_600_000][this.#chance(5)] ?? 0,
      };
    if (dice < 80) return { outcome: "rejected", status: 404 };
    if (dice < 82) return { outcome: "gone", status: 410 };
    if (dice < 85) return { outcome: "unauthorized", status: 401 };
    return { outcome: "retry", accepted: this.#happens(2) };
  }

  /** From now on everything works; what it still has to say of the past is heard first. */
  comeRight(): void {
    this.calm = true;
    for (const held of this.inHand.values()) if (held.ending) this.#end(held, held.ending);
    this.exchange();
  }

  /** What lasts longer than an attempt may is over. */
  expire(): void {
    for (const held of this.inHand.values()) {
      if (held.ending && this.#stage.now - held.sentAt >= ATTEMPT_MS) this.#end(held, held.ending);
    }
  }

  /** Nothing of this lane is sent any more. */
  forget(lane: string): void {
    for (const held of this.inHand.values()) {
      if (held.claim.lanes.includes(lane)) this.#end(held, released);
    }
  }

  #happens(oneIn: number): boolean {
    return !this.calm && this.#chance(oneIn) === 0;
  }
}

const released: Ending = { outcome: "released" };
const good: Ending = { outcome: "delivered", status: 200 };
