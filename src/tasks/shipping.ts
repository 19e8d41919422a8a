// Takes what D1 and the metrics have to know out of the home, and brings its dead letters on their way.
//
// Both are repeated until they succeed and harmless when repeated, so a home that dies in between loses nothing:
// its rows are still there, and a new object looks for them at once.

import type { DeadNotice } from "../delivery/exchange.ts";
import { log } from "../telemetry/log.ts";
import { attemptDelta, type MetricsDelta, metricKey } from "../telemetry/metrics.ts";
import type { Waiting } from "./lanes.ts";
import type { Shipment } from "./outbox.ts";
import type { Store } from "./store.ts";

/** Rows wait so long for others to come along. */
const GATHER_MS = 2_000;
/** After a failure, doubling up to the last. */
const RETRY_MS = 5_000;
const MAX_RETRY_MS = 300_000;
/** A notice that has not led to a filing by then is sent again. */
const NOTICE_AGAIN_MS = 60_000;
const NOTICE_IDS = 100;
const REPORT_MS = 1_800_000;
/** A config whose attempt was due so long ago counts as overdue. */
const OVERDUE_MS = 60_000;

/** What waits is looked at lane by lane: if there was so much, not again for so long, as long as anything waits. */
const MUCH = 100;
const LOOK_AGAIN_MS = 10_000;

/** What D1 is told; each may be told it twice. */
export type Archive = (shipment: Shipment) => Promise<void>;

export type ShippingOptions = {
  store: Store;
  home: string;
  now(): number;
  archive: Archive;
  /** Answers with the number of the newest delta that was counted. */
  count(delta: MetricsDelta): Promise<number>;
  bury(notice: DeadNotice): Promise<void>;
};

export class Shipping {
  readonly #options: ShippingOptions;
  #shipAt = 0;
  #failures = 0;
  #noticeAt = 0;
  #reportedAt = 0;
  /** Whether a gauge has changed that nothing else will report. */
  #isStale = false;
  #shipping: Promise<boolean> | undefined;
  #seen: { at: number; waiting: Waiting } | undefined;

  constructor(options: ShippingOptions) {
    this.#options = options;
  }

  /** When there is something to do next (ms); undefined: nothing. */
  get wakesAt(): number | undefined {
    const { store } = this.#options;
    const times: number[] = [];
    if (!store.outbox.isEmpty()) times.push(this.#shipAt);
    if (store.dead.ids(1).length > 0) times.push(this.#noticeAt);
    if (store.lanes.anyDue() || this.#isStale) times.push(this.#isStale ? 0 : this.#reportedAt + REPORT_MS);
    return times.length === 0 ? undefined : Math.min(...times);
  }

  /** Rows have been added: they are shipped soon, together with what else comes. */
  soon(): void {
    const { store, now } = this.#options;
    const at = now();
    if (this.#shipAt < at) this.#shipAt = at + GATHER_MS;
    store.due.ring(this.#shipAt);
  }

  async run(now: number): Promise<void> {
    const { store } = this.#options;
    if (now >= this.#noticeAt) await this.#sendNotice(now);
    // How much waits is told while nothing happens, too: a source that is silent is taken for gone.
    const isSilent = now >= this.#reportedAt + REPORT_MS && store.lanes.anyDue();
    if (isSilent || this.#isStale) await this.#report(now);
    if (now >= this.#shipAt) await this.#ship(now);
  }

  /** Ships all that waits; false: it could not be. Afterwards no shipment is under way that could arrive later. */
  async drain(): Promise<boolean> {
    const { store, now } = this.#options;
    await this.#shipping;
    while (!store.outbox.isEmpty()) if (!(await this.#ship(now()))) return false;
    return true;
  }

  /** One at a time: an older word on a config must not come after a newer one. */
  #ship(now: number): Promise<boolean> {
    this.#shipping ??= this.#shipNext(now).finally(() => {
      this.#shipping = undefined;
    });
    return this.#shipping;
  }

  /** Whether what waits could be shipped. */
  async #shipNext(now: number): Promise<boolean> {
    const { store, archive } = this.#options;
    const shipment = store.outbox.next();
    if (!shipment) return true;
    try {
      await archive(shipment);
      await this.#count(shipment, now);
      store.write(() => store.outbox.shipped(shipment.number));
      this.#failures = 0;
      this.#shipAt = now;
      this.#reportedAt = now;
      return true;
    } catch (error) {
      this.#failures += 1;
      this.#shipAt = now + Math.min(MAX_RETRY_MS, RETRY_MS * 2 ** (this.#failures - 1));
      log("warn", "the history of notifications could not be shipped; it is kept", { error });
      return false;
    }
  }

  async #report(now: number): Promise<void> {
    this.#reportedAt = now;
    this.#isStale = false;
    try {
      const delta = { source: this.#source, number: 0, counters: {}, observations: {} };
      await this.#options.count({ ...delta, gauges: this.#gauges(now) });
    } catch (error) {
      log("warn", "what waits could not be reported", { error });
    }
  }

  /** Rows that were counted before, in a shipment that was not finished, are left out. */
  async #count({ number, items }: Shipment, now: number): Promise<void> {
    const { count } = this.#options;
    const before = (items[0]?.n ?? 1) - 1;
    const counted = await count(this.#toDelta(items, { after: before, number, now }));
    if (counted >= number) return;
    const rest = items.filter(({ n }) => n > counted);
    await count(this.#toDelta(rest, { after: counted, number, now }));
  }

  #toDelta(
    items: Shipment["items"],
    { after, number, now }: { after: number; number: number; now: number },
  ): MetricsDelta {
    const attempts = items.flatMap(({ item }) => (item.kind === "attempt" ? [item.attempt] : []));
    const { counters, observations } = attemptDelta(attempts);
    for (const { item } of items) {
      if (item.kind !== "counters") continue;
      for (const [key, value] of Object.entries(item.counters)) counters[key] = (counters[key] ?? 0) + value;
    }
    return { source: this.#source, after, number, counters, observations, gauges: this.#gauges(now) };
  }

  #gauges(now: number): Record<string, number> {
    const { store } = this.#options;
    const waiting = this.#waiting(now);
    const gauges: Record<string, number> = {
      [metricKey("a2a_webhook_pending")]: waiting.count,
      [metricKey("a2a_webhook_overdue")]: waiting.overdue,
      [metricKey("a2a_webhook_dead_letters_unfiled")]: store.dead.count(),
    };
    if (waiting.oldestAt !== null) {
      gauges[metricKey("a2a_webhook_oldest_pending_timestamp_seconds")] = waiting.oldestAt / 1_000;
    }
    return gauges;
  }

  #waiting(now: number): Waiting {
    const { lanes } = this.#options.store;
    const isFresh = this.#seen && Math.abs(now - this.#seen.at) < LOOK_AGAIN_MS;
    if (this.#seen && isFresh && this.#seen.waiting.count >= MUCH && lanes.anyDue())
      return this.#seen.waiting;
    this.#seen = { at: now, waiting: lanes.waiting(now - OVERDUE_MS) };
    return this.#seen.waiting;
  }

  get #source(): string {
    return `home/${this.#options.home}`;
  }

  async #sendNotice(now: number): Promise<void> {
    const { store, home, bury } = this.#options;
    const ids = store.dead.ids(NOTICE_IDS);
    if (ids.length === 0) return;
    this.#noticeAt = now + NOTICE_AGAIN_MS;
    try {
      await bury({ kind: "dead", home, ids });
    } catch (error) {
      log("warn", "a notice of dead letters could not be sent; it is sent again", { error });
    }
  }

  /** Some dead letters are filed: the next are due. */
  filed(): void {
    const { store, now } = this.#options;
    this.#noticeAt = 0;
    this.#isStale = true;
    store.due.ring(now());
  }
}
