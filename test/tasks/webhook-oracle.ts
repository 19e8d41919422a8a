// What must be true of a home's notifications at every moment, whatever goes wrong: the oracle of the seeded runs. It
// knows the journal and what callers and operators asked for, and is told what was claimed, sent and settled.

import { expect } from "vitest";
import type { Claim, Settlement } from "../../src/delivery/exchange.ts";
import type { StoredConfig } from "../../src/delivery/stored-config.ts";
import type { DeadLetter } from "../../src/store/dead-letters.ts";
import { wants } from "../../src/tasks/upcoming.ts";
import { RETRY_MS, type Stage } from "../support/notifications.ts";

/** One config from when it was first set until it is deleted, over all that replaced it. */
export type Life = {
  task: string;
  id: string;
  /** What its webhook-ids begin with. */
  ids: string;
  /** The rows that it wants, as far as the journal has been read. */
  wanted: number[];
  readTo: number;
  config: StoredConfig;
  /** Its lanes, but for those that send again. */
  lanes: Set<string>;
  /** Its deletion has begun: nothing more is claimed. */
  isDeleted: boolean;
  /** Its deletion has answered: nothing more is sent. */
  isGone: boolean;
  isPaused: boolean;
  /** How often its clock was started anew. */
  starts: number;
  /** Something of it was sent again beside its lane. */
  isReplayed: boolean;
  /** The number of the newest notification that has come to its end. */
  settled: number;
  /** Of the head: failures since its clock was started. */
  attempts: number;
  failure: { at: number; settlement: Settlement } | undefined;
  /** The highest number that has reached the receiver. */
  arrived: number;
  accepted: Set<number>;
};

type Notified = { life: Life; seq: number; sequence: number };

export class Oracle {
  readonly lives: Life[] = [];
  readonly #stage: Stage;
  readonly #letters = new Map<string, DeadLetter>();
  readonly #bodies = new Map<string, string>();
  /** Of claims: how often the clocks of their configs had been started. */
  readonly #starts = new WeakMap<Claim, Map<Life, number>>();

  constructor(stage: Stage) {
    this.#stage = stage;
  }

  /** The config as callers see it. */
  live(task: string, id: string): Life | undefined {
    return this.lives.find((life) => life.task === task && life.id === id && !life.isDeleted);
  }

  /** A config has been set; `after`: the row after which a new one hears. */
  set(task: string, config: StoredConfig, after: number): Life {
    const known = this.live(task, config.id);
    const life: Life = known ?? {
      task,
      id: config.id,
      ids: config.lane,
      wanted: [],
      readTo: after,
      config,
      lanes: new Set(),
      isDeleted: false,
      isGone: false,
      isPaused: false,
      starts: 0,
      isReplayed: false,
      settled: 0,
      attempts: 0,
      failure: undefined,
      arrived: 0,
      accepted: new Set(),
    };
    if (!known) this.lives.push(life);
    life.config = config;
    life.lanes = new Set([config.lane]);
    this.restarted(life);
    return life;
  }

  /** The clock of what is pending was started anew. */
  restarted(life: Life): void {
    life.isPaused = false;
    life.starts += 1;
    life.attempts = 0;
    life.failure = undefined;
  }

  /** The rows that a config wants, in order. */
  wanted(life: Life): readonly number[] {
    const { task, config, wanted } = life;
    for (const entry of this.#stage.store.journal.events(task, life.readTo)) {
      if (wants(config.events, entry)) wanted.push(entry.seq);
      life.readTo = entry.seq;
    }
    return wanted;
  }

  /** What is in a claim. */
  notified({ id, body, sequence, key }: Claim): Notified[] {
    const named = key.startsWith("batch/")
      ? (JSON.parse(body) as { id: string; sequence: number }[])
      : [{ id, sequence }];
    return named.map(({ id, sequence }) => {
      const cut = id.lastIndexOf("-");
      const life = this.lives.find(({ ids }) => ids === id.slice(0, cut));
      if (!life) throw new Error(`nobody asked for ${id}`);
      return { life, seq: Number(id.slice(cut + 1)), sequence };
    });
  }

  /** The home gives this to an endpoint that has `inHand`. */
  claimed(claim: Claim, inHand: Iterable<Claim>): void {
    const { key, lanes, attempt, plannedAt, committedAt } = claim;
    expect(plannedAt, "an attempt is not made before its time").toBeLessThanOrEqual(this.#stage.now);
    const notified = this.notified(claim);
    for (const { life, seq, sequence } of notified) {
      expect(life.isDeleted, "nothing is claimed of what is deleted").toBe(false);
      expect(life.isPaused, "nothing is claimed of what is paused").toBe(false);
      expect(this.wanted(life)[sequence - 1], "numbers are those of what is wanted").toBe(seq);
    }
    expect(committedAt).toBeGreaterThan(0);
    this.#starts.set(claim, new Map(notified.map(({ life }) => [life, life.starts])));
    for (const other of inHand) {
      // One that was stopped has left its batch: when it goes on, that may still be under way.
      const left = [...(this.#starts.get(other) ?? [])].some(([life, starts]) => life.starts !== starts);
      if (left && other.key.startsWith("batch/")) continue;
      const shared = other.lanes.filter((lane) => lanes.includes(lane));
      expect(shared, "a lane is sent once at a time").toEqual([]);
    }
    const [first] = notified;
    if (key.startsWith("batch/")) this.#checkMembers(claim);
    else this.#checkBody(claim.id, claim.body);
    if (!first || key.startsWith("batch/") || !first.life.lanes.has(lanes[0] ?? "")) return;
    const { life } = first;
    expect(first.sequence, "the head is what is sent").toBe(life.settled + 1);
    expect(attempt, "attempts are numbered on").toBe(life.attempts + 1);
    if (life.failure) this.#checkTime(life, life.failure, plannedAt);
  }

  /** An endpoint goes on to what follows in a claim. */
  followed(claim: Claim, next: Claim): void {
    const [before] = this.notified(claim);
    const [after] = this.notified(next);
    if (!before || !after) throw new Error("a claim of a lane is of one notification");
    expect(after.life, "what follows is of the same config").toBe(before.life);
    if (before.life.lanes.has(claim.lanes[0] ?? ""))
      expect(after.sequence, "what follows is the next").toBe(before.sequence + 1);
    expect(this.wanted(after.life)[after.sequence - 1], "numbers are those of what is wanted").toBe(
      after.seq,
    );
    this.#checkBody(next.id, next.body);
    this.#starts.set(next, this.#starts.get(claim) ?? new Map());
  }

  #checkBody(id: string, body: string): void {
    expect(body, "what has the same id has the same bytes").toBe(this.#bodies.get(id) ?? body);
    this.#bodies.set(id, body);
  }

  #checkMembers(claim: Claim): void {
    const pieces = JSON.parse(claim.body) as { id: string }[];
    expect(pieces.length).toBeLessThanOrEqual(50);
    const ids = pieces.map((piece) => piece.id);
    expect(new Set(ids).size, "a batch holds an event once").toBe(ids.length);
    this.#checkBody(claim.id, claim.body);
    for (const piece of pieces) this.#checkBody(`in a batch: ${piece.id}`, JSON.stringify(piece));
  }

  #checkTime(
    { config, attempts }: Life,
    { at, settlement }: NonNullable<Life["failure"]>,
    plannedAt: number,
  ) {
    const { outcome, retryAfterMs = 0 } = settlement;
    const wait = plannedAt - at;
    expect(wait, "Retry-After is honoured").toBeGreaterThanOrEqual(retryAfterMs);
    if (outcome !== "retry" && outcome !== "rejected") return;
    const delay = (config.retryMs ?? RETRY_MS)[attempts] ?? Number.NaN;
    expect(wait, "the schedule is kept").toBeGreaterThanOrEqual(Math.floor(delay * 0.8));
    expect(wait, "the schedule is kept").toBeLessThanOrEqual(Math.max(Math.ceil(delay * 1.2), retryAfterMs));
  }

  /** The receiver got a request. */
  arrived(claim: Claim, accepted: boolean): void {
    for (const { life, seq, sequence } of this.notified(claim)) {
      expect(life.isGone, "no send starts after a deletion has answered").toBe(false);
      expect(sequence, "nothing overtakes").toBeLessThanOrEqual(life.arrived + 1);
      life.arrived = Math.max(life.arrived, sequence);
      if (accepted) life.accepted.add(seq);
    }
  }

  /** The home was told of an attempt, with `followed` others of its lane behind it, and has written what follows. */
  settledAt(settlement: Settlement, now: number, followed: number): void {
    const { key, id, attempt, outcome } = settlement;
    if (key.startsWith("batch/") || outcome === "released") return;
    const lane = key.slice(key.lastIndexOf("/") + 1);
    const life = this.lives.find(({ lanes }) => lanes.has(lane));
    if (!life || life.isDeleted || id !== `${life.ids}-${this.wanted(life)[life.settled]}`) return;
    if (outcome !== "delivered" && attempt !== life.attempts + 1) return;
    const after = this.#stage.store.lanes.get(life.task, lane);
    if (outcome !== "delivered") {
      life.attempts += 1;
      life.failure = { at: now, settlement };
      if (after?.state === "disabled") life.isPaused = true;
    }
    const moved = (after?.sequence ?? 0) - life.settled;
    const wrong = "a lane goes on by what has come to its end";
    expect(moved, wrong).toBeGreaterThanOrEqual(outcome === "delivered" ? 1 : 0);
    expect(moved, wrong).toBeLessThanOrEqual(1 + followed);
    if (moved === 0) return;
    if (outcome !== "delivered") expect(this.#isDead(id), "what is given up is a dead letter").toBe(true);
    this.#next(life);
  }

  #next(life: Life): void {
    life.settled += 1;
    life.attempts = 0;
    life.failure = undefined;
  }

  /** Of lanes that share batches the home is believed how far they are, and checked at the end. */
  follow(): void {
    const rows = this.#stage.storage.sql
      .exec<{ lane: string; sequence: number; state: string }>("SELECT lane, sequence, state FROM lanes")
      .toArray();
    const byLane = new Map(rows.map((row) => [row.lane, row]));
    for (const life of this.lives) {
      if (life.isDeleted) continue;
      const [name = ""] = life.lanes;
      const lane = byLane.get(name);
      if (!lane) throw new Error(`the config ${life.id} of ${life.task} has no lane`);
      if (life.config.batch) life.settled = lane.sequence;
      if (lane.state === "disabled") life.isPaused = true;
    }
  }

  /** Dead letters have been filed in D1. */
  filed(letters: readonly DeadLetter[]): void {
    for (const letter of letters) this.#letters.set(letter.id, letter);
  }

  /** All dead letters, those that are not filed yet among them. */
  letters(): DeadLetter[] {
    const { dead, journal } = this.#stage.store;
    this.filed(dead.load("home", dead.ids(1_000), journal));
    return [...this.#letters.values()];
  }

  #isDead(id: string): boolean {
    if (this.#letters.has(id)) return true;
    return this.#stage.storage.sql.exec("SELECT 1 FROM dead WHERE id = ?", id).toArray().length > 0;
  }

  /** When everything has had its time: whatever is not delivered is a letter that says why. */
  checkEnd(): void {
    const { store } = this.#stage;
    for (const life of this.lives.filter(({ isDeleted }) => !isDeleted)) {
      const lost = this.wanted(life).filter(
        (seq) => !life.accepted.has(seq) && !this.#isDead(`${life.ids}-${seq}`),
      );
      expect(lost, `nothing of ${life.task} ${life.id} is lost`).toEqual([]);
      const lanes = store.lanes.forTask(life.task).filter(({ config }) => config === life.id);
      expect(lanes.map(({ pending, list }) => [pending, list])).toEqual([[false, null]]);
    }
    for (const letter of this.letters()) {
      expect(letter.reason, "a dead letter explains itself").toMatch(
        /(failed|too old after .*); (it|the last) /,
      );
      expect(letter.body).not.toBeNull();
    }
    this.#checkAttempts();
  }

  #checkAttempts(): void {
    const all = this.#stage.attempts();
    const replayed = new Set(this.lives.filter(({ isReplayed }) => isReplayed).map(({ ids }) => ids));
    for (const [id, attempts] of Map.groupBy(all, ({ notification }) => notification)) {
      if (replayed.has(id.slice(0, id.lastIndexOf("-")))) continue;
      const numbers = attempts.map(({ attempt }) => attempt);
      // Beginning anew is what a config does that was replaced or resumed.
      const odd = numbers.filter((number, i) => number !== 1 && number !== (numbers[i - 1] ?? 0) + 1);
      expect(odd, "attempts are all there").toEqual([]);
    }
    const counted = Object.entries(this.#stage.counters);
    const sum = (name: string) =>
      counted.filter(([key]) => key.startsWith(name)).reduce((total, [, value]) => total + value, 0);
    expect(sum("a2a_webhook_attempts_total"), "each attempt is counted once").toBe(all.length);
    const delivered = all.filter(({ outcome }) => outcome === "delivered").length;
    expect(sum('a2a_webhook_deliveries_total{outcome="delivered"}')).toBe(delivered);
  }
}
