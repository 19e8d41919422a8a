// What an endpoint tells the metrics: counts of what it alone sees, and how its breakers stand.
//
// Both go straight to them and not with an exchange: much is counted when there is nobody left to talk to. What was
// sent and perhaps not counted is sent again as it was, under the same number, so it counts once.

import { log } from "../telemetry/log.ts";
import type { MetricsDelta } from "../telemetry/metrics.ts";

export type ReportingOptions = {
  /** Names the endpoint to the metrics. */
  source: string;
  /** Answers with the newest number of this source that has been counted. */
  add(delta: MetricsDelta): Promise<number>;
  gauges(): MetricsDelta["gauges"];
  now(): number;
  sleep(ms: number): Promise<unknown>;
  waitUntil(promise: Promise<unknown>): void;
};

/** Changes are gathered for so long: an endpoint that counts all the time costs one request a second. */
const GATHER_MS = 1_000;
/** So often in a row it may fail, with pauses that double: about a minute. Then the next change tries again. */
const TRIES = 6;

type Report = Pick<MetricsDelta, "number" | "counters">;

export class Reporting {
  readonly #options: ReportingOptions;
  #counters: Record<string, number> = {};
  /** Sent, and not known to have been counted. */
  #sent: Report | undefined;
  #number = 0;
  #isStale = false;
  #isRunning = false;

  constructor(options: ReportingOptions) {
    this.#options = options;
  }

  /** Adds one to a counter. */
  count(key: string): void {
    this.#counters[key] = (this.#counters[key] ?? 0) + 1;
    this.changed();
  }

  /** A gauge has changed. */
  changed(): void {
    this.#isStale = true;
    if (this.#isRunning) return;
    this.#isRunning = true;
    this.#options.waitUntil(this.#run());
  }

  async #run(): Promise<void> {
    for (let failures = 0; this.#isStale && failures < TRIES; ) {
      await this.#options.sleep(GATHER_MS * 2 ** failures);
      this.#isStale = false;
      try {
        await this.#report();
        failures = 0;
      } catch (error) {
        log("warn", "what an endpoint has counted could not be reported; it is kept", { error });
        this.#isStale = true;
        failures += 1;
      }
    }
    this.#isRunning = false;
  }

  async #report(): Promise<void> {
    const { add, source, gauges } = this.#options;
    this.#sent ??= this.#take();
    const { number, counters } = this.#sent ?? { number: 0, counters: {} };
    const newest = await add({ source, number, counters, observations: {}, gauges: gauges() });
    this.#number = Math.max(newest, number);
    // If something newer was counted, the object before this one had a clock that was ahead: this was taken for old.
    if (this.#sent && newest > number) this.#sent.number = newest + 1;
    else this.#sent = undefined;
    // What was counted while an older report was repeated.
    if (this.#sent || Object.keys(this.#counters).length > 0) this.#isStale = true;
  }

  /** Numbers go by the time, so an object that starts anew goes on where it was without having stored it. */
  #take(): Report | undefined {
    const counters = this.#counters;
    if (Object.keys(counters).length === 0) return undefined;
    this.#counters = {};
    return { number: Math.max(this.#options.now(), this.#number + 1), counters };
  }
}
