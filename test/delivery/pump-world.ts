// A world for the pump without a runtime: a clock that jumps to the next thing that happens, homes that keep their
// lanes in memory and go by the rules of exchange.ts, and a network that answers as a test wants.

import type { TargetState } from "../../src/delivery/endpoint-state.ts";
import type {
  Allowance,
  Claim,
  DeliveryHome,
  ExchangeAnswer,
  ExchangeRequest,
  Settlement,
} from "../../src/delivery/exchange.ts";
import { Pump } from "../../src/delivery/pump.ts";
import { type Grant, Share } from "../../src/delivery/share.ts";
import { Targets } from "../../src/delivery/targets.ts";
import { aClaim } from "./claims.ts";

export type Time = { readonly now: number; sleep(ms: number): Promise<void> };

/** Time that passes only when everybody waits. */
export class Clock implements Time {
  now = 1_000_000;
  #timers: { at: number; ring: () => void }[] = [];

  sleep(ms: number): Promise<void> {
    return new Promise((ring) => void this.#timers.push({ at: this.now + Math.max(0, ms), ring }));
  }

  /** Lets everything run that waits for no time. */
  async settle(): Promise<void> {
    for (let tick = 0; tick < 100; tick++) await null;
  }

  /** Lets time pass until `over`, or until `ms` have passed. */
  async run(ms: number, over: () => boolean = () => false): Promise<void> {
    const end = this.now + ms;
    for (;;) {
      await this.settle();
      if (over()) return;
      const next = this.#timers.reduce((least, { at }) => Math.min(least, at), Number.POSITIVE_INFINITY);
      if (next > end) break;
      this.now = Math.max(this.now, next);
      const due = this.#timers.filter(({ at }) => at <= this.now);
      this.#timers = this.#timers.filter(({ at }) => at > this.now);
      for (const { ring } of due) ring();
    }
    this.now = end;
  }
}

const RING_AGAIN_MS = 5_000;

type Lane = {
  lane: string;
  target: string;
  bodies: string[];
  head: number;
  attempt: number;
  due: number;
  leased: number;
};

/** What a home may be made to do with an exchange: fail before it has taken it, or lose its answer. */
export type Fault = "refuse" | "lose" | undefined;

export class FakeHome implements DeliveryHome {
  readonly id: string;
  readonly requests: ExchangeRequest[] = [];
  /** Ids of what was settled as delivered, in order, by lane. */
  readonly delivered = new Map<string, string[]>();
  /** How long an exchange takes. */
  latencyMs = 1;
  fault: (request: ExchangeRequest) => Fault = () => undefined;
  retryMs = 1_000;
  /** Notifications that a claim brings along. */
  following = 0;
  leaseMs = 30_000;
  readonly #clock: Time;
  readonly #lanes = new Map<string, Lane>();
  #holds: readonly Allowance[] = [];
  #rungAt = Number.NEGATIVE_INFINITY;
  exchanging = 0;
  mostExchanging = 0;

  constructor(id: string, clock: Time) {
    this.id = id;
    this.#clock = clock;
  }

  /** Adds a notification to a lane. */
  add(lane: string, target: string, body: string): void {
    const known = this.#lanes.get(lane);
    if (known) {
      if (known.head === known.bodies.length) known.due = this.#clock.now;
      known.bodies.push(body);
    } else {
      this.#lanes.set(lane, {
        lane,
        target,
        bodies: [body],
        head: 0,
        attempt: 0,
        due: this.#clock.now,
        leased: 0,
      });
    }
  }

  remove(lane: string): void {
    this.#lanes.delete(lane);
  }

  get pending(): number {
    return [...this.#lanes.values()].reduce((sum, { bodies, head }) => sum + bodies.length - head, 0);
  }

  async exchange(request: ExchangeRequest): Promise<ExchangeAnswer> {
    this.requests.push(structuredClone(request));
    this.exchanging += 1;
    this.mostExchanging = Math.max(this.mostExchanging, this.exchanging);
    const fault = this.fault(request);
    await this.#clock.sleep(this.latencyMs / 2);
    const answer = fault === "refuse" ? undefined : this.#answer(request);
    await this.#clock.sleep(this.latencyMs / 2);
    this.exchanging -= 1;
    if (answer === undefined || fault === "lose") throw new Error("the connection was lost");
    return structuredClone(answer);
  }

  #answer({ settled, want, allowances, busy }: ExchangeRequest): ExchangeAnswer {
    this.#rungAt = Number.NEGATIVE_INFINITY;
    this.#holds = allowances.filter(({ holdUntil }) => holdUntil !== undefined);
    for (const settlement of settled) this.#settle(settlement);
    const gone = busy.filter((key) => !this.#lanes.has(key));
    const answer: ExchangeAnswer = { claims: [], more: false, gone };
    const allowed = new Map(allowances.map((allowance) => [allowance.target, allowance.claims]));
    const keys = new Set(busy);
    const { now } = this.#clock;
    for (const lane of this.#due()) {
      if (this.#holdOf(lane.target) > now) continue;
      if (keys.has(lane.lane)) {
        lane.leased = now + this.leaseMs;
        continue;
      }
      if (lane.leased > now) continue;
      const left = allowed.get(lane.target) ?? Number.POSITIVE_INFINITY;
      if (answer.claims.length >= want || left === 0) {
        answer.more = true;
        continue;
      }
      allowed.set(lane.target, left - 1);
      lane.leased = now + this.leaseMs;
      answer.claims.push(this.#claim(lane));
    }
    // The endpoint knows that there is more, and comes again by itself.
    if (answer.more) this.#rungAt = now;
    return answer;
  }

  #claim({ lane, target, bodies, head, attempt, due }: Lane): Claim {
    const body = bodies[head] ?? "";
    const id = `${lane}-${head}`;
    const url = `${target}?q`;
    const following = bodies
      .slice(head + 1, attempt > 0 ? head : head + 1 + this.following)
      .map((next, i) => {
        return { id: `${lane}-${head + 1 + i}`, sequence: head + 2 + i, body: next, committedAt: 1_000 };
      });
    const claim = { key: lane, lanes: [lane], id, target, url, body, attempt: attempt + 1, plannedAt: due };
    return aClaim({ ...claim, sequence: head + 1, following });
  }

  #settle({ key, id, attempt, outcome }: Settlement): void {
    const lane = this.#lanes.get(key);
    if (!lane || id !== `${lane.lane}-${lane.head}`) return;
    lane.leased = 0;
    if (outcome === "released") return;
    if (outcome !== "delivered" && attempt !== lane.attempt + 1) return;
    lane.attempt += 1;
    lane.due = this.#clock.now + this.retryMs;
    if (outcome !== "delivered") return;
    this.delivered.set(key, [...(this.delivered.get(key) ?? []), id]);
    lane.head += 1;
    lane.attempt = 0;
    lane.due = this.#clock.now;
  }

  #due(): Lane[] {
    const lanes = [...this.#lanes.values()];
    return lanes.filter(({ bodies, head, due }) => head < bodies.length && due <= this.#clock.now);
  }

  #holdOf(target: string): number {
    const hold =
      this.#holds.find((one) => one.target === target) ?? this.#holds.find((one) => one.target === "*");
    return hold?.holdUntil ?? 0;
  }

  /** The home's alarm: whether the endpoint is to be rung now. */
  alarm(): boolean {
    const { now } = this.#clock;
    if (now < this.#rungAt + RING_AGAIN_MS) return false;
    const waits = this.#due().some(({ target, leased }) => leased <= now && this.#holdOf(target) <= now);
    if (waits) this.#rungAt = now;
    return waits;
  }
}

export type WorldOptions = {
  send(claim: Claim, signal: AbortSignal, world: World): Promise<Settlement>;
  rate?: { perMinute: number; burst: number };
  share?: { perMinute: number; grant: Grant };
  /** How often homes look at what is due; their alarm. */
  alarmMs?: number;
};

/** An endpoint's pump with all that it talks to. */
export class World {
  readonly clock = new Clock();
  readonly homes = new Map<string, FakeHome>();
  readonly pump: Pump;
  readonly targets: Targets;
  readonly stored = new Map<string, TargetState>();
  /** What was sent, in order. */
  readonly sent: { claim: Claim; at: number }[] = [];
  readonly counters: Record<string, number> = {};
  readonly inFlight = new Set<Claim>();
  mostInFlight = 0;
  paused = false;
  pausedHomes: string[] = [];
  validatedUntil: number | undefined;
  awake = 0;
  /** When the pump had itself called. */
  readonly calls: number[] = [];

  constructor(options: WorldOptions) {
    const { clock } = this;
    const now = () => clock.now;
    this.targets = new Targets({
      rate: options.rate ?? { perMinute: 0, burst: 10 },
      timeoutMs: 15_000,
      stored: [],
      save: (target, state) => void this.stored.set(target, structuredClone(state)),
      count: (key) => {
        this.counters[key] = (this.counters[key] ?? 0) + 1;
      },
      changed: () => {},
    });
    const { perMinute = 0, grant = async () => ({ ok: true as const, value: { tokens: 1 } }) } =
      options.share ?? {};
    this.pump = new Pump({
      endpoint: "open::anna|https://receiver.example",
      homeOf: (id) => this.home(id),
      targets: this.targets,
      share: new Share({
        perMinute,
        grant,
        now,
        changed: () => this.pump.advance(),
        refused: () => {},
        failed: () => {},
      }),
      send: (claim, signal) => this.#send(options, claim, signal),
      isPaused: () => this.paused,
      resumedAt: () => undefined,
      toldOfPause: (home) => void this.pausedHomes.push(home),
      validatedUntil: () => this.validatedUntil,
      now,
      sleep: (ms) => clock.sleep(ms),
      callSoon: () => void this.calls.push(clock.now),
      waitUntil: (promise) => {
        this.awake += 1;
        void promise.then(() => {
          this.awake -= 1;
        });
      },
    });
    void this.#alarms(options.alarmMs ?? 100);
  }

  home(id: string): FakeHome {
    const home = this.homes.get(id) ?? new FakeHome(id, this.clock);
    this.homes.set(id, home);
    return home;
  }

  get pending(): number {
    return [...this.homes.values()].reduce((sum, home) => sum + home.pending, 0);
  }

  /** Lets time pass until everything is delivered. */
  async drain(ms = 3_600_000): Promise<void> {
    await this.clock.run(ms, () => this.pending === 0 && this.awake === 0);
  }

  async #alarms(everyMs: number): Promise<void> {
    for (;;) {
      await this.clock.sleep(everyMs);
      for (const home of this.homes.values()) if (home.alarm()) this.pump.ring(home.id);
    }
  }

  async #send({ send }: WorldOptions, claim: Claim, signal: AbortSignal): Promise<Settlement> {
    for (const other of this.inFlight) {
      if (other.key === claim.key) throw new Error(`${claim.key} is being sent already`);
    }
    this.sent.push({ claim, at: this.clock.now });
    this.inFlight.add(claim);
    this.mostInFlight = Math.max(this.mostInFlight, this.inFlight.size);
    try {
      return await send(claim, signal, this);
    } finally {
      this.inFlight.delete(claim);
    }
  }
}

/** A settlement of a claim that was sent at `startedAt`. */
export function settlementOf(claim: Claim, startedAt: number, members: Partial<Settlement> = {}): Settlement {
  const { key, id, attempt } = claim;
  return { key, id, attempt, outcome: "delivered", startedAt, durationMs: 0, status: 200, ...members };
}

/** A receiver that takes everything after `ms`; an attempt that is aborted ends at once. */
export function answering(
  ms: number | ((claim: Claim) => number),
  members: (claim: Claim) => Partial<Settlement> = () => ({}),
) {
  return async (claim: Claim, signal: AbortSignal, { clock }: World): Promise<Settlement> => {
    const startedAt = clock.now;
    const aborted = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
    await Promise.race([clock.sleep(typeof ms === "number" ? ms : ms(claim)), aborted]);
    if (signal.aborted) return settlementOf(claim, 0, { outcome: "released" });
    return settlementOf(claim, startedAt, { durationMs: clock.now - startedAt, ...members(claim) });
  };
}
