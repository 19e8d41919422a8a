// The notifications of a home without anything around them: their parts over a real object's storage, and the clock,
// the queue, D1, the metrics and the endpoint in the hands of the test.
//
// Importing this file stops Date.now: time passes when a test says so. The object's real alarm is never set, so
// nothing happens by itself either.

import { runInDurableObject } from "cloudflare:test";
import type {
  Claim,
  DeadNotice,
  Doorbell,
  ExchangeAnswer,
  ExchangeRequest,
  Settlement,
} from "../../src/delivery/exchange.ts";
import type { StoredConfig } from "../../src/delivery/stored-config.ts";
import type { TaskState } from "../../src/protocol/state.ts";
import type { AttemptRow } from "../../src/store/attempts.ts";
import { Clock, type ClockOptions } from "../../src/tasks/clock.ts";
import type { Lane } from "../../src/tasks/lanes.ts";
import { newRecord, receive, type TaskRecord } from "../../src/tasks/machine.ts";
import { Notifications } from "../../src/tasks/notifications.ts";
import type { OutboxItem, Shipment } from "../../src/tasks/outbox.ts";
import { PushCommands } from "../../src/tasks/push-commands.ts";
import { PushOperations } from "../../src/tasks/push-operations.ts";
import { migrate } from "../../src/tasks/schema.ts";
import { Shipping } from "../../src/tasks/shipping.ts";
import { Store } from "../../src/tasks/store.ts";
import type { MetricsDelta } from "../../src/telemetry/metrics.ts";
import { homeOf, newOwner } from "./client.ts";
import { type Counted, CountingStorage } from "./counting-storage.ts";
import {
  BY,
  configOf,
  DAY,
  ENDPOINT,
  forever,
  HOME,
  LEASE_MS,
  newName,
  RETRY_MS,
  resetNames,
  START,
  UNHEARD_MS,
} from "./webhook-forms.ts";

export * from "./webhook-forms.ts";

let clock = START;
Date.now = () => clock;

/** What a home reaches outside of itself. A test puts its own in the place of any of them. */
export type World = {
  offer(endpoint: string, offered: ExchangeAnswer): Promise<void>;
  ring(doorbell: Doorbell): Promise<void>;
  archive(shipment: Shipment): Promise<void>;
  count(delta: MetricsDelta): Promise<number>;
  bury(notice: DeadNotice): Promise<void>;
  forget(endpoint: string, lane: string): Promise<void>;
  report(dueAt: number | undefined): Promise<void>;
};

/** Runs `use` on a stage of its own; `storage` keeps what it writes. */
export function onStage<T>(use: (stage: Stage) => T | Promise<T>): Promise<T> {
  return runInDurableObject(homeOf(newOwner()), async (_, { storage }) => {
    const stage = new Stage(storage);
    await stage.start();
    return use(stage);
  }) as Promise<T>;
}

/** As many stages as are wanted, one after the other in one object: each begins with empty tables. */
export function onStages(use: (next: () => Promise<Stage>) => Promise<void>): Promise<void> {
  return runInDurableObject(homeOf(newOwner()), async (_, { storage }) => {
    await use(async () => {
      migrate(storage);
      empty(storage.sql);
      const stage = new Stage(storage);
      await stage.start();
      return stage;
    });
  });
}

function empty(sql: SqlStorage): void {
  const tables = ["tasks", "journal", "configs", "lanes", "batches", "validated", "outbox", "dead", "due"];
  for (const table of tables) sql.exec(`DELETE FROM ${table}`);
  sql.exec("INSERT INTO due VALUES ('trim', '', ?)", START + DAY);
}

export class Stage {
  readonly doorbells: Doorbell[] = [];
  readonly notices: DeadNotice[] = [];
  /** What D1 holds, by its number. */
  readonly archived = new Map<number, OutboxItem>();
  /** What the metrics hold. */
  readonly counters: Record<string, number> = {};
  readonly observations: Record<string, number[]> = {};
  gauges: Record<string, number> = {};
  readonly forgotten: string[] = [];
  readonly world: World;
  /** From 0 up to 1, for the jitter. */
  random: () => number = () => 0.5;
  maxConfigs = 10;
  /** Whether its world takes real time, which is waited for. */
  isReal = false;

  store!: Store;
  notifications!: Notifications;
  commands!: PushCommands;
  operations!: PushOperations;
  shipping!: Shipping;
  #clock!: Clock;
  /** As the object's parts see it. */
  readonly storage: DurableObjectStorage;
  #life = 0;
  #sleepers: { at: number; wake: () => void }[] = [];
  #newest: number | undefined;
  readonly #counting: CountingStorage;

  constructor(storage: DurableObjectStorage) {
    clock = START;
    resetNames();
    this.#counting = new CountingStorage(storage);
    this.storage = this.#counting.storage;
    this.world = {
      // As a rule a test has the queue ring and asks for claims itself.
      offer: async () => {
        throw new Error("nobody can be called");
      },
      ring: async (doorbell) => void this.doorbells.push(doorbell),
      archive: async ({ items }) => {
        for (const { n, item } of items) this.archived.set(n, item);
      },
      count: async (delta) => this.#count(delta),
      bury: async (notice) => void this.notices.push(notice),
      forget: async (_, lane) => void this.forgotten.push(lane),
      report: async () => {},
    };
  }

  /** What a start of the object does; what an earlier one was at is never finished. */
  async start(): Promise<void> {
    const life = ++this.#life;
    this.#sleepers = [];
    const call =
      <In extends unknown[], Out>(name: keyof World) =>
      async (...args: In): Promise<Out> => {
        if (life !== this.#life) return forever;
        const work = (this.world[name] as unknown as (...args: In) => Promise<Out>)(...args);
        const settled = await work.then(
          (value) => () => value,
          (error: unknown) => () => {
            throw error;
          },
        );
        return life === this.#life ? settled() : forever;
      };
    const store = new Store(this.storage, HOME, "anonymous/0");
    const waitUntil = (promise: Promise<unknown>) => void promise;
    const shared = { store, home: HOME, now: Date.now, waitUntil };
    const shipping = new Shipping({
      ...shared,
      archive: call("archive"),
      count: call("count"),
      bury: call("bury"),
    });
    const notifications = new Notifications({
      ...shared,
      random: () => this.random(),
      leaseMs: LEASE_MS,
      retryMs: RETRY_MS,
      offer: call("offer"),
      ring: call("ring"),
      settled: () => shipping.soon(),
    });
    const commands = new PushCommands({
      ...shared,
      notifications,
      maxConfigs: this.maxConfigs,
      allValidated: false,
      unheardMs: UNHEARD_MS,
      forget: call("forget"),
      changed: () => shipping.soon(),
      sleep: (ms) =>
        new Promise<void>((wake) => {
          this.#sleepers.push({ at: clock + ms, wake });
        }),
    });
    this.store = store;
    this.shipping = shipping;
    this.notifications = notifications;
    this.commands = commands;
    this.operations = new PushOperations({
      ...shared,
      notifications,
      commands,
      changed: () => shipping.soon(),
    });
    this.#clock = new Clock({
      ...shared,
      notifications,
      shipping,
      turns: { catchUp() {}, watch() {}, count: 0 } as unknown as ClockOptions["turns"],
      jobs: {} as ClockOptions["jobs"],
      auditing: { wakesAt: undefined, async run() {} } as unknown as ClockOptions["auditing"],
      retentionMs: 7 * DAY,
      report: call("report"),
      forget: async () => {},
      // What is not there when all is calm, is late.
      orLate: (promise) =>
        this.isReal ? promise : Promise.race([promise, this.calm(60).then(() => undefined)]),
    });
    if (store.exists) await store.due.load();
  }

  // Time.

  get now(): number {
    return clock;
  }

  /** When the alarm rings, in ms. */
  get alarmAt(): number | null {
    return this.#counting.alarmAt;
  }

  set alarmAt(at: number | null) {
    this.#counting.alarmAt = at;
  }

  /** Lets time pass, or turns it back, without the alarm. */
  async pass(ms: number): Promise<void> {
    clock += ms;
    const woken = this.#sleepers.filter(({ at }) => at <= clock);
    this.#sleepers = this.#sleepers.filter(({ at }) => at > clock);
    for (const { wake } of woken) wake();
    await this.calm();
  }

  /** Lets time pass; the alarm rings whenever it is set for. Returns how often it did. */
  async run(ms: number): Promise<number> {
    const end = clock + ms;
    let rings = 0;
    while (this.alarmAt !== null && this.alarmAt <= end) {
      await this.pass(Math.max(0, this.alarmAt - clock));
      await this.alarm();
      rings += 1;
    }
    await this.pass(end - clock);
    return rings;
  }

  async alarm(): Promise<void> {
    this.alarmAt = null;
    await this.#clock.ring();
    await this.calm();
  }

  /** Until everything has happened that waits for nothing outside. */
  async calm(ticks = 40): Promise<void> {
    for (let i = 0; i < ticks; i++) await undefined;
  }

  // Tasks and their events.

  /** A new task; a config that comes with it hears of everything. */
  task(id: string = newName("0-task"), inline?: StoredConfig): string {
    const created = newRecord(id, "echo", "0-context", clock);
    const step = receive(created, { messageId: "m", role: "ROLE_USER", parts: [{ text: "go" }] });
    this.store.save({
      before: undefined,
      after: step.record,
      entries: [step.entry],
      ...(inline && { companion: () => void this.commands.save(step.record, inline, 0, BY) }),
    });
    return id;
  }

  /** A task with one config, and that config. */
  taskWith(own?: Partial<StoredConfig>): { task: string; config: StoredConfig } {
    const id = newName("0-task");
    const config = configOf(id, own);
    return { task: this.task(id, config), config };
  }

  record(task: string): TaskRecord {
    const record = this.store.get(task);
    if (!record) throw new Error(`there is no task ${task}`);
    return record;
  }

  /** Journals an artifact; returns its row. */
  artifact(task: string, text = "x"): number {
    const artifact = { artifactId: "a", parts: [{ text }] };
    return this.store.put(
      this.record(task),
      { kind: "artifact", artifact, append: true, lastChunk: false },
      clock,
    ).seq;
  }

  status(task: string, state: TaskState = "TASK_STATE_WORKING"): number {
    return this.store.put(this.record(task), { kind: "status", state }, clock).seq;
  }

  async set(task: string, own?: Partial<StoredConfig>): Promise<unknown> {
    const answer = await this.commands.set(this.record(task), configOf(task, own), BY);
    // The endpoint could not be called.
    await this.calm(15);
    return answer;
  }

  lanes(task: string): Lane[] {
    return this.store.lanes.forTask(task);
  }

  lane(task: string): Lane {
    const [lane] = this.lanes(task);
    if (!lane) throw new Error(`${task} has no lane`);
    return lane;
  }

  // The endpoint's side.

  exchange(request: Partial<ExchangeRequest> = {}): ExchangeAnswer {
    return this.notifications.exchange({
      endpoint: ENDPOINT,
      settled: [],
      want: 10,
      allowances: [],
      busy: [],
      counters: {},
      ...request,
    });
  }

  claims(request?: Partial<ExchangeRequest>): Claim[] {
    return this.exchange(request).claims;
  }

  /** The one claim there is. */
  claim(request?: Partial<ExchangeRequest>): Claim {
    const [claim, ...more] = this.claims(request);
    if (!claim || more.length > 0) throw new Error(`${claim ? more.length + 1 : 0} claims instead of one`);
    return claim;
  }

  /** Settles and takes nothing. */
  settle(...settled: Settlement[]): void {
    this.exchange({ settled, want: 0 });
  }

  // What was told outside.

  /** Attempts, those not shipped yet among them, in order. */
  attempts(): (Omit<AttemptRow, "home" | "n"> & { n: number })[] {
    const waiting = this.store.outbox.next()?.items ?? [];
    const all = new Map([...this.archived, ...waiting.map(({ n, item }) => [n, item] as const)]);
    return [...all].flatMap(([n, item]) => (item.kind === "attempt" ? [{ ...item.attempt, n }] : []));
  }

  /** Counts rows and alarms from now on. */
  countCosts(): () => Counted {
    return this.#counting.begin();
  }

  /** As MetricsObject does it. */
  #count(delta: MetricsDelta): number {
    const { number, after, counters, observations, gauges } = delta;
    const last = this.#newest;
    const counts = Object.keys(counters).length + Object.keys(observations).length > 0;
    if (counts && last !== undefined && (number <= last || (after ?? last) < last)) return last;
    for (const [key, value] of Object.entries(counters))
      this.counters[key] = (this.counters[key] ?? 0) + value;
    for (const [key, values] of Object.entries(observations)) {
      this.observations[key] = [...(this.observations[key] ?? []), ...values];
    }
    this.gauges = gauges;
    this.#newest = Math.max(number, last ?? number);
    return this.#newest;
  }
}
