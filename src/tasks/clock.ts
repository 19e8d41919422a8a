// What happens in a home without anybody asking: its alarm sees to what is due, and tells D1 of the home, so
// that the cron can notice an alarm that was lost.
//
// The runtime runs no alarm while another goes on, so none waits long for D1, the queue and the metrics: what they are
// being told goes on beside it. It is not given up, and nothing else is told meanwhile: it may still arrive, and an
// older word on a config must not come after a newer one.

import type { AuditShipping } from "../audit/shipping.ts";
import { log } from "../telemetry/log.ts";
import type { Jobs } from "./jobs.ts";
import { TRIM_EVERY_MS } from "./lifecycle.ts";
import type { Notifications } from "./notifications.ts";
import type { Shipping } from "./shipping.ts";
import type { Store } from "./store.ts";
import { type Turns, WATCHDOG_MS } from "./turns.ts";

/** Rows that one run of the alarm sees to. */
const ITEMS = 100;
/** How far ahead of the truth the time reported to D1 may be. */
const REPORT_SLACK_MS = 300_000;
const REPORT_RETRY_MS = 60_000;

/** An alarm waits so long for what is told outside; if that is not over by then, it is looked at again. */
const TELLING_MS = 3_000;
const TELLING_AGAIN_MS = 10_000;

/** The alarm does not ring more often. */
const MIN_PAUSE_MS = 100;

export type ClockOptions = {
  store: Store;
  turns: Turns;
  jobs: Jobs;
  notifications: Notifications;
  shipping: Shipping;
  auditing: AuditShipping;
  now(): number;
  waitUntil(promise: Promise<unknown>): void;
  /** The value of a promise, or undefined if it takes longer than `ms`. */
  orLate<T>(promise: Promise<T>, ms: number): Promise<T | undefined>;
  retentionMs: number;
  /**
   * Writes to D1 that this home exists, and when it expects to be done with what is due now (ms). `name` is given
   * the first time.
   */
  report(dueAt: number | undefined, name?: string): Promise<void>;
  /** Has D1 forget this home. */
  forget(): Promise<void>;
};

export class Clock {
  readonly #options: ClockOptions;
  /** What D1 was told last; unknown to a new object, which therefore tells it again. */
  #reportedDueAt = 0;
  #reporting: Promise<void> | undefined;
  /** Of what D1, the queue and the metrics are being told: how much takes longer than an alarm waits. */
  #late = 0;

  constructor(options: ClockOptions) {
    this.#options = options;
  }

  /** One run of the alarm. Never throws: an alarm that throws six times is dropped for good. */
  async ring(): Promise<void> {
    const { store, turns, now } = this.#options;
    store.due.rang();
    try {
      turns.catchUp();
      turns.watch();
      if (store.exists) await this.#runDue(now());
    } catch (error) {
      log("error", "alarm failed", { error });
      store.due.ring(now() + WATCHDOG_MS);
    } finally {
      this.#arm();
    }
  }

  async #runDue(now: number): Promise<void> {
    const { store, jobs, notifications, retentionMs, waitUntil, orLate } = this.#options;
    let name: string | undefined;
    for (const { kind, key } of store.due.take(now, ITEMS)) {
      if (kind === "job") {
        await jobs.drive(key);
      } else if (kind === "trim") {
        const trimmed = store.trim(store.isFull ? now : now - retentionMs, now, ITEMS);
        store.write(() => store.due.set("trim", "", trimmed === ITEMS ? now + 1_000 : now + TRIM_EVERY_MS));
      } else {
        name = key;
      }
    }
    notifications.ringOverdue(now);
    if (this.#late > 0) return;
    const telling = this.#tell(now, name).then(() => true);
    waitUntil(telling);
    if (await orLate(telling, TELLING_MS)) return;
    this.#late += 1;
    waitUntil(telling.then(() => (this.#late -= 1)));
  }

  /** Never throws. */
  async #tell(now: number, name: string | undefined): Promise<void> {
    const { store, shipping, auditing } = this.#options;
    try {
      await shipping.run(now);
      await auditing.run(now);
      // A time that D1 knows and that has passed is corrected, or the cron would wake this home for nothing.
      if (!store.isInUse || (name === undefined && this.#reportedDueAt >= now)) return;
      await this.#reporting;
      this.#reporting = this.#report(now, name);
      await this.#reporting;
    } catch (error) {
      log("error", "what the home has to tell could not be told", { error });
      store.due.ring(now + WATCHDOG_MS);
    }
  }

  /** Has D1 forget a home that was left empty; one that is used again meanwhile is registered again. */
  async unregister(name: string): Promise<void> {
    await this.#reporting;
    await this.#options.forget();
    this.#reportedDueAt = 0;
    this.#options.store.registerAgain(name);
  }

  async #report(now: number, name: string | undefined): Promise<void> {
    const { store, notifications, shipping, report } = this.#options;
    // Of the audit nobody waits for a minute more: it would cost every home that has done something a visit of the cron.
    const dueAt = earliest(store.due.earliest(["job", "trim"]), notifications.wakesAt, shipping.wakesAt);
    const reported = dueAt === undefined ? undefined : Math.max(dueAt, now + REPORT_SLACK_MS);
    try {
      await report(reported, name);
      this.#reportedDueAt = reported ?? Number.POSITIVE_INFINITY;
      if (name !== undefined) store.write(() => store.due.clear("register", name));
    } catch (error) {
      log("warn", "the home could not be registered", { error });
      if (name !== undefined && store.isInUse) {
        store.write(() => store.due.set("register", name, now + REPORT_RETRY_MS));
      }
    }
  }

  /** Sets the alarm for whatever comes first. */
  #arm(): void {
    const { store, turns, notifications, now } = this.#options;
    if (store.exists) {
      const due = store.due.earliest(["job", "trim"]);
      const at = earliest(due, notifications.wakesAt, this.#tellsAt());
      // What could not be done now is not tried at once again.
      if (at !== undefined) store.due.ring(Math.max(at, now() + MIN_PAUSE_MS));
    }
    if (turns.count > 0) store.due.ring(now() + WATCHDOG_MS);
  }

  /** When there is something to tell outside (ms). */
  #tellsAt(): number | undefined {
    const { store, shipping, auditing, now } = this.#options;
    if (this.#late > 0) return now() + TELLING_AGAIN_MS;
    return earliest(store.due.earliest(["register"]), shipping.wakesAt, auditing.wakesAt);
  }
}

function earliest(...times: (number | undefined)[]): number | undefined {
  const set = times.filter((time) => time !== undefined);
  return set.length === 0 ? undefined : Math.min(...set);
}
