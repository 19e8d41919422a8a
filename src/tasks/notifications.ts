// The notifications of a home: which lanes an event wakes, and the one conversation with endpoints.
//
// The journal's row is the outbox, so an event costs nothing here until a lane that was idle gets it: then one row
// says so. Endpoints are called with what is due first, never awaited by a request, and come back by `exchange`. One
// that cannot be called, or does not come, is rung through a queue.

import {
  type Claim,
  charsOf,
  type Doorbell,
  type ExchangeAnswer,
  type ExchangeRequest,
} from "../delivery/exchange.ts";
import { log } from "../telemetry/log.ts";
import { Claims } from "./claims.ts";
import type { Lane, LaneKey, Target } from "./lanes.ts";
import { allowanceOf, Leases, RING_AGAIN_MS } from "./leases.ts";
import type { Entry } from "./machine.ts";
import type { LaneRef } from "./push-configs.ts";
import { Settling } from "./settling.ts";
import type { Store } from "./store.ts";
import { wants } from "./upcoming.ts";

/** What an endpoint is given unasked: it knows better how much there is room for. */
const OFFERED = 6;

/** What an endpoint is given in one answer; an RPC value holds at most 32 MiB. */
const EXCHANGE_BYTES = 8_388_608;

/** Lanes of a target that are due, as far as they were read. */
type Line = {
  target: Target;
  due: readonly LaneKey[];
  /** Of `due`, the next to be looked at. */
  next: number;
  /** Claims that its endpoint allows. */
  allowed: number;
  /** Whether more may be due. */
  isCut: boolean;
};

/** Who asks for claims, or is given them unasked. */
type Asking = Pick<ExchangeRequest, "endpoint" | "allowances" | "busy">;

export type NotificationsOptions = {
  store: Store;
  /** The Durable Object id of this home. */
  home: string;
  now(): number;
  random(): number;
  /** How long a claim may take before it is given to whoever comes (ms). */
  leaseMs: number;
  /** The deployment's schedule: the delay before each attempt, in ms. */
  retryMs: readonly number[];
  /** Calls an endpoint, and gives it what is due first. */
  offer(endpoint: string, offered: ExchangeAnswer): Promise<void>;
  /** Puts a doorbell into the queue. */
  ring(doorbell: Doorbell): Promise<void>;
  waitUntil(promise: Promise<unknown>): void;
  /** Something has come to an end, and the history is to be told. */
  settled(): void;
};

export class Notifications {
  readonly claims: Claims;
  readonly settling: Settling;
  readonly #options: NotificationsOptions;
  readonly #leases: Leases;
  /** Whether any config exists here; undefined: not looked yet. */
  #any: boolean | undefined;

  constructor(options: NotificationsOptions) {
    const { store, retryMs, random, leaseMs } = options;
    const { lanes, configs, journal, outbox, dead } = store;
    this.#options = options;
    this.claims = new Claims({ lanes, configs, journal });
    this.settling = new Settling({
      lanes,
      configs,
      journal,
      outbox,
      dead,
      claims: this.claims,
      retryMs,
      random,
    });
    this.#leases = new Leases(lanes, leaseMs);
    store.onCommit = (task, entries, at) => this.#committed(task, entries, at);
  }

  /** A lane has been made, or goes on: it is rung for if it is due. */
  wake(lane: Lane): void {
    this.#any = true;
    if (lane.due === null) return;
    this.#leases.watch(lane);
    this.#ring([lane], lane.due);
  }

  /** Rows have joined the journal of a task, in the same transaction: lanes that were idle may have something now. */
  #committed(task: string, entries: readonly Entry[], at: number): void {
    const { store } = this.#options;
    this.#any ??= store.configs.any();
    if (!this.#any) return;
    for (const lane of store.lanes.forTask(task)) {
      if (lane.pending || lane.list) continue;
      const config = store.configs.get(task, lane.config);
      const first = config && !config.deleting && entries.find((entry) => wants(config.events, entry));
      if (!config || !first) continue;
      const due = lane.state === "active" ? at + (config.batch?.maxWaitMs ?? 0) : null;
      store.lanes.save({ ...lane, pending: true, head: first.seq, attempt: 0, due });
      if (due === null) continue;
      this.#leases.watch(lane);
      this.#ring([lane], due);
    }
  }

  /** Rings for what is due now, and has the clock ring for what is due later or was not heard. */
  #ring(targets: readonly Target[], due: number): void {
    const { now, store } = this.#options;
    const at = now();
    if (due > at) {
      store.due.ring(due);
      return;
    }
    for (const target of targets) {
      if (this.#leases.ring(target, at)) this.#options.waitUntil(this.#call(target.endpoint));
    }
    store.due.ring(at + RING_AGAIN_MS);
  }

  async #call(endpoint: string): Promise<void> {
    const { offer, now } = this.#options;
    // Not inside the transaction that is being written. What is claimed leaves this object when that is on disk.
    await undefined;
    const at = now();
    const offered = this.#leases.isFamiliar(endpoint)
      ? this.#claim({ endpoint, allowances: this.#leases.holds(endpoint, at), busy: [] }, OFFERED, at)
      : { claims: [], more: true };
    try {
      await offer(endpoint, offered);
    } catch {
      // The queue's consumer says so if it cannot either. Should the endpoint have heard, it takes no claim twice.
      this.#leases.lost(endpoint, new Set(offered.claims.map(({ key }) => key)));
      await this.#sendDoorbell(endpoint);
    }
  }

  async #sendDoorbell(endpoint: string): Promise<void> {
    const { ring, home } = this.#options;
    try {
      await ring({ kind: "ring", home, endpoint });
    } catch (error) {
      log("warn", "a doorbell could not be sent; it is rung again", { error });
    }
  }

  /** What an endpoint has settled is settled, and it is given what comes next. */
  exchange(request: ExchangeRequest): ExchangeAnswer {
    const { store, now } = this.#options;
    if (!store.exists) return { claims: [], more: false, gone: request.busy };
    const at = now();
    const { endpoint, settled, want, allowances, busy, counters, resumedAt, validatedUntil } = request;
    this.#leases.heard(endpoint, allowances, at);
    // This home has forgotten that it gave them, or does not know that they have arrived.
    for (const key of this.#leases.renew(endpoint, new Set(busy), at)) {
      for (const { lane } of this.claims.members(key)) this.#leases.take(lane, key, at);
    }
    // What follows in a claim may be under way while its first is settled.
    this.#leases.settled(
      endpoint,
      new Set(settled.map(({ key }) => key).filter((key) => !busy.includes(key))),
    );
    const writes = settled.some((settlement) => settlement.outcome !== "released");
    if (writes || Object.keys(counters).length > 0 || validatedUntil !== undefined) {
      store.write(() => {
        for (const settlement of settled) this.settling.settle(settlement, at, resumedAt);
        if (Object.keys(counters).length > 0) store.outbox.add([{ kind: "counters", counters }]);
        if (validatedUntil !== undefined && store.isInUse)
          store.configs.saveValidated(endpoint, validatedUntil);
      });
      this.#options.settled();
    }
    const gone = busy.filter((key) => !this.claims.stands(key));
    const answer = { ...this.#claim(request, want, at), ...(gone.length > 0 && { gone }) };
    // It knows of the rest, so nobody has to ring for it.
    if (answer.more && want > 0) this.#leases.comesBack(endpoint, at);
    const wakeAt = this.#leases.wakeAfter(request, answer, at);
    if (wakeAt !== undefined) store.due.ring(wakeAt);
    return answer;
  }

  /** One of each target, then another of each: a target that has many due leaves room for the others. */
  #claim(request: Asking, want: number, now: number): ExchangeAnswer {
    const answer: ExchangeAnswer = { claims: [], more: false };
    const busy = new Set(request.busy);
    let bytes = 0;
    let lines: Line[] = [];
    const takeFrom = (line: Line) => {
      const claim = this.#next(line, answer, busy, now);
      if (!claim) return;
      // A UTF-16 unit takes at most three bytes of UTF-8. Sealed secrets are base64.
      bytes += 3 * charsOf(claim) + (claim.sealed?.length ?? 0);
      answer.claims.push(claim);
      lines.push(line);
    };
    const isFull = () => answer.claims.length >= want || bytes > EXCHANGE_BYTES;
    for (const target of this.#leases.claimable(request.endpoint, now)) {
      if (isFull()) return { ...answer, more: true };
      const line = this.#lineOf(target, request, want, now);
      if (line) takeFrom(line);
    }
    while (lines.length > 0) {
      const round = lines;
      lines = [];
      for (const line of round) {
        if (isFull())
          return { ...answer, more: answer.more || line.next < line.due.length || lines.length > 0 };
        takeFrom(line);
      }
    }
    return answer;
  }

  /** What is due at a target; undefined: nothing of it may be claimed now. */
  #lineOf(target: Target, { allowances, busy }: Asking, want: number, now: number): Line | undefined {
    const allowance = allowanceOf(target, allowances);
    if (allowance?.holdUntil !== undefined && allowance.holdUntil > now) return undefined;
    const allowed = Math.min(allowance?.claims ?? Number.POSITIVE_INFINITY, want + 1);
    const limit = allowed + this.#leases.taken(target) + busy.length + 1;
    const due = this.#leases.due(target, now, limit);
    // A batch takes many lanes along, so there may be others behind those that were read.
    return { target, due, next: 0, allowed, isCut: due.length === limit };
  }

  /** The next claim of a line; undefined: it has no more, and `answer` says if it was for want of leave. */
  #next(line: Line, answer: ExchangeAnswer, busy: ReadonlySet<string>, now: number): Claim | undefined {
    for (; line.next < line.due.length; line.next++) {
      const key = line.due[line.next];
      if (!key || this.#leases.isTaken(key, now)) continue;
      if (line.allowed === 0) {
        answer.more = true;
        return undefined;
      }
      const lane = this.#options.store.lanes.get(key.task, key.lane);
      const claim = lane && this.#take(lane, line.target, busy, now);
      if (!claim) continue;
      line.allowed--;
      line.next++;
      return claim;
    }
    if (line.isCut) answer.more = true;
    return undefined;
  }

  #take(lane: Lane, target: Target, busy: ReadonlySet<string>, now: number) {
    const { store } = this.#options;
    const isBatch = store.configs.get(lane.task, lane.config)?.batch;
    // Those whose window is still open may come along.
    const peers = () =>
      this.#leases.due(target, now + 2_000, 100 + this.#leases.taken(target)).flatMap((key) => {
        const peer = this.#leases.isTaken(key, now) ? undefined : store.lanes.get(key.task, key.lane);
        return peer ?? [];
      });
    const claim = () => this.claims.claim(lane, peers);
    const claimed = isBatch ? store.write(claim) : claim();
    if (!claimed) return undefined;
    for (const member of claimed.members) this.#leases.take(member.lane, claimed.claim.key, now);
    // The endpoint has it already: this home has forgotten only that it gave it.
    return busy.has(claimed.claim.key) ? undefined : claimed.claim;
  }

  /** One run of the clock: rings for whatever is due and was not heard. */
  ringOverdue(now: number): void {
    for (const endpoint of this.#leases.ringDue(now)) this.#options.waitUntil(this.#sendDoorbell(endpoint));
  }

  /** When the clock has to look again; undefined: nothing is pending. */
  get wakesAt(): number | undefined {
    const { store, now } = this.#options;
    return store.exists ? this.#leases.wake(now()) : undefined;
  }

  /** How far an endpoint is behind: see `Signals`; `most`: how far the backlog is counted. */
  behind(endpoint: string, most: number): { overdueMs: number; backlog: number } {
    const { store, now } = this.#options;
    if (!store.exists || !this.#leases.isAwaited(endpoint)) return { overdueMs: 0, backlog: 0 };
    return {
      overdueMs: this.#leases.overdueMs(endpoint, now()),
      backlog: store.lanes.countWaiting(endpoint, most),
    };
  }

  /** Forgets what it remembers of a lane that is gone. */
  dropped(lane: LaneRef): void {
    this.#leases.release(lane);
  }
}
