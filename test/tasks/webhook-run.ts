// One seeded run: tasks with several configs, callers, operators, endpoints and a home, in which anything may happen
// at any time and everything may fail. In the end all of it works again, and everything has to come right.

import { expect, vi } from "vitest";
import type { Shipment } from "../../src/tasks/outbox.ts";
import {
  BY,
  configOf,
  DAY,
  forever,
  HOUR,
  MINUTE,
  newName,
  SECOND,
  type Stage,
} from "../support/notifications.ts";
import { createRandom } from "./random.ts";
import { type Chance, FaultyEndpoint } from "./webhook-endpoint.ts";
import { Oracle } from "./webhook-oracle.ts";

const STEPS = 100;
const ORIGINS = ["https://one.test", "https://two.test"];
const batch = { key: "shared", maxEvents: 5, maxWaitMs: SECOND };

const uuid = vi.spyOn(crypto, "randomUUID");

/** Runs one seed on a stage with an empty database. */
export async function runSeed(stage: Stage, seed: number): Promise<void> {
  // The same in every run of this seed.
  let uuids = 0;
  uuid.mockImplementation(() => `00000000-0000-7000-8000-${`${++uuids}`.padStart(12, "0")}`);
  const run = new Run(stage, seed);
  for (let i = 0; i < STEPS; i++) await run.step();
  await run.end();
}

class Run {
  readonly #stage: Stage;
  readonly #chance: Chance;
  readonly #oracle: Oracle;
  readonly #endpoints: Map<string, FaultyEndpoint>;
  readonly #tasks: string[] = [];
  readonly #hasBatches: boolean;
  /** Calls to endpoints that have not come there yet. */
  #late: (() => void)[] = [];
  #rung = 0;
  #calm = false;

  constructor(stage: Stage, seed: number) {
    this.#stage = stage;
    this.#chance = createRandom(seed);
    this.#oracle = new Oracle(stage);
    this.#hasBatches = this.#chance(2) === 0;
    const names = ORIGINS.map((origin) => `anonymous|${origin}`);
    this.#endpoints = new Map(
      names.map((name) => [name, new FaultyEndpoint(name, stage, this.#oracle, this.#chance)]),
    );
    stage.random = () => this.#chance(1_000) / 1_000;
    this.#breakWorld();
    this.#newTask();
  }

  /** What may happen, and how often in relation to the rest. */
  readonly #deeds: [weight: number, () => Promise<void> | void][] = [
    [20, () => this.#emit()],
    [2, () => this.#newTask()],
    [30, () => this.#passTime()],
    [4, () => this.#stage.alarm()],
    [1, () => this.#dropAlarm()],
    [2, () => this.#restart()],
    [2, () => this.#pick([...this.#endpoints.values()])?.crash()],
    [4, () => this.#set()],
    [2, () => this.#delete()],
    [2, () => this.#pause()],
    [2, () => this.#resume()],
    [1, () => this.#sendAgain()],
  ];

  async step(): Promise<void> {
    let dice = this.#chance(this.#deeds.reduce((sum, [weight]) => sum + weight, 0));
    const deed = this.#deeds.find(([weight]) => {
      dice -= weight;
      return dice < 0;
    });
    await deed?.[1]();
    await this.#stage.calm();
    if (this.#chance(2) === 0) this.#hearDoorbells();
    for (const endpoint of this.#endpoints.values()) {
      for (let i = this.#chance(4); i > 0; i--) endpoint.send();
      if (endpoint.awake && this.#chance(2) === 0) endpoint.exchange();
    }
  }

  /** From now on nothing fails any more; it takes as long as it takes. */
  async end(): Promise<void> {
    const stage = this.#stage;
    this.#calm = true;
    await stage.start();
    for (const endpoint of this.#endpoints.values()) endpoint.comeRight();
    for (const life of this.#oracle.lives) {
      if (life.isDeleted) continue;
      const query = { task: life.task, config: life.id };
      // Paused first, so that each begins anew.
      stage.operations.setState({ by: BY, ...query, state: "paused" });
      stage.operations.setState({ by: BY, ...query, state: "active" });
      this.#oracle.restarted(life);
    }
    for (let i = 0; i < 100 && !this.#isQuiet(); i++) {
      await stage.run(Math.max(0, (stage.alarmAt ?? stage.now) - stage.now));
      this.#hearDoorbells();
      for (const endpoint of this.#endpoints.values()) {
        while (endpoint.inHand.size > 0) endpoint.send();
        if (endpoint.awake) endpoint.exchange();
      }
    }
    expect(this.#isQuiet(), "everything comes to an end").toBe(true);
    this.#oracle.checkEnd();
    stage.store.lanes.trimBatches();
    const left = stage.storage.sql.exec("SELECT id FROM batches").toArray();
    expect(left, "no batch is left").toEqual([]);
  }

  #isQuiet(): boolean {
    const { store, storage } = this.#stage;
    const endpoints = [...this.#endpoints.values()];
    if (endpoints.some(({ awake, inHand }) => awake || inHand.size > 0)) return false;
    const query = `SELECT 1 FROM lanes JOIN configs ON configs.task = lanes.task AND configs.id = lanes.config
      WHERE pending = 1 AND deleting = 0`;
    return store.outbox.isEmpty() && storage.sql.exec(query).toArray().length === 0;
  }

  // Tasks and time.

  #emit(): void {
    const task = this.#pick(this.#tasks);
    if (task === undefined) return;
    const dice = this.#chance(20);
    if (dice === 0) {
      this.#stage.status(task, "TASK_STATE_COMPLETED");
      this.#tasks.splice(this.#tasks.indexOf(task), 1);
    } else if (dice < 6) this.#stage.status(task);
    else this.#stage.artifact(task, `${dice}`.repeat(this.#chance(30)));
  }

  #newTask(): void {
    if (this.#tasks.length === 5) return;
    const id = newName("0-task");
    const config = this.#chance(2) === 0 ? this.#config(id) : undefined;
    this.#stage.task(id, config);
    if (config) this.#oracle.set(id, config, 0);
    this.#tasks.push(id);
  }

  async #restart(): Promise<void> {
    this.#late = [];
    await this.#stage.start();
  }

  async #passTime(): Promise<void> {
    for (const arrive of this.#late.splice(0)) arrive();
    await this.#stage.calm();
    const dice = this.#chance(100);
    if (dice < 5) await this.#stage.pass(-this.#chance(5) * SECOND);
    else
      await this.#stage.pass(
        this.#chance(dice < 70 ? 10 * SECOND : dice < 88 ? MINUTE : dice < 98 ? HOUR : DAY),
      );
    for (const endpoint of this.#endpoints.values()) endpoint.expire();
    const { alarmAt, now } = this.#stage;
    if (alarmAt !== null && alarmAt <= now) await this.#stage.alarm();
  }

  /** Of an alarm that is lost only the cron knows, which comes later. */
  #dropAlarm(): void {
    this.#stage.alarmAt = this.#stage.now + 10 * MINUTE;
  }

  // Doorbells and endpoints.

  #hearDoorbells(): void {
    const { doorbells } = this.#stage;
    while (this.#rung < doorbells.length) {
      const bell = doorbells[this.#rung++];
      const dice = this.#calm ? 2 : this.#chance(6);
      const endpoint = bell && dice > 0 ? this.#endpoints.get(bell.endpoint) : undefined;
      for (let i = 0; i < (dice === 1 ? 3 : 1); i++) endpoint?.exchange();
    }
  }

  // Callers.

  #config(task: string, id = "abc"[this.#chance(3)] ?? "a") {
    const known = this.#oracle.live(task, id)?.config;
    const path = `/${this.#chance(2)}`;
    return configOf(task, {
      id,
      url: `${ORIGINS[this.#chance(2)]}${path}`,
      // A filter is changed in tests of its own.
      events: known ? known.events : this.#chance(3) === 0 ? ["artifactAdded", "completed"] : null,
      batch: known ? known.batch : this.#hasBatches && this.#chance(2) === 0 ? batch : null,
      retryMs: this.#chance(2) === 0 ? null : [0, 1_000, 5_000],
    });
  }

  #set(): void {
    const task = this.#pick(this.#tasks);
    if (task === undefined) return;
    const record = this.#stage.record(task);
    const config = this.#config(task);
    void this.#stage.commands.set(record, config, BY);
    const life = this.#oracle.set(task, config, record.seq);
    if (this.#chance(5) === 0) this.#delete(life);
  }

  #delete(life = this.#pick(this.#oracle.lives.filter(({ isDeleted }) => !isDeleted))): void {
    if (!life) return;
    life.isDeleted = true;
    void this.#stage.commands.delete(life.task, life.id, BY).then(() => {
      life.isGone = true;
    });
  }

  // Operators.

  #pause(): void {
    const life = this.#pick(this.#oracle.lives.filter(({ isDeleted, isPaused }) => !isDeleted && !isPaused));
    if (!life) return;
    this.#stage.operations.setState({ by: BY, task: life.task, config: life.id, state: "paused" });
    life.isPaused = true;
  }

  #resume(): void {
    const life = this.#pick(this.#oracle.lives.filter(({ isDeleted, isPaused }) => !isDeleted && isPaused));
    if (!life) return;
    this.#stage.operations.setState({ by: BY, task: life.task, config: life.id, state: "active" });
    this.#oracle.restarted(life);
  }

  #sendAgain(): void {
    const life = this.#pick(this.#oracle.lives.filter(({ isDeleted }) => !isDeleted));
    if (!life) return;
    const query = { task: life.task, config: life.id };
    life.isReplayed = true;
    const letters = this.#oracle.letters().filter(({ id }) => id.startsWith(`${life.ids}-`));
    if (this.#chance(2) === 0) this.#stage.operations.retryDead(letters, BY);
    else
      this.#stage.operations.replay({ by: BY, ...query, from: this.#stage.now - HOUR, to: this.#stage.now });
  }

  // What the home reaches outside of itself.

  #breakWorld(): void {
    const { world } = this.#stage;
    const { ring, archive, count, bury } = world;
    world.offer = async (name, offered) => {
      if (this.#chance(3) === 0) throw new Error("nobody can be called");
      this.#endpoints.get(name)?.take(offered);
      if (this.#fails(6)) throw new Error("the answer of the endpoint was lost");
    };
    world.ring = async (doorbell) => {
      if (this.#fails(10)) throw new Error("the queue is down");
      await ring(doorbell);
    };
    world.archive = async (shipment: Shipment) => {
      if (this.#fails(6)) throw new Error("D1 is down");
      await archive(shipment);
      if (this.#fails(6)) throw new Error("the answer of D1 was lost");
    };
    world.count = async (delta) => {
      if (this.#fails(6)) throw new Error("no metrics");
      const counted = await count(delta);
      if (this.#fails(6)) throw new Error("the answer of the metrics was lost");
      return counted;
    };
    world.bury = async (notice) => {
      if (this.#fails(6)) throw new Error("the queue is down");
      await bury(notice);
      if (this.#fails(4)) return;
      // The consumer of the queue files them.
      const { store, shipping } = this.#stage;
      const letters = store.dead.load(notice.home, notice.ids, store.journal);
      this.#oracle.filed(letters);
      if (this.#fails(4)) return;
      store.write(() => store.dead.filed(letters));
      shipping.filed();
    };
    world.forget = async (name, lane) => {
      if (this.#fails(3)) await new Promise<void>((arrive) => this.#late.push(arrive));
      const endpoint = this.#endpoints.get(name);
      if (this.#fails(4)) {
        // It has just died, with all that it had, or lives on and has not heard.
        if (this.#chance(2) === 0) endpoint?.crash();
        if (this.#chance(2) === 0) await forever;
        throw new Error("overloaded");
      }
      endpoint?.forget(lane);
    };
  }

  #fails(oneIn: number): boolean {
    return !this.#calm && this.#chance(oneIn) === 0;
  }

  #pick<T>(from: readonly T[]): T | undefined {
    return from[this.#chance(from.length)];
  }
}
