// How many bytes an isolate holds at once, of something that each request has some of.
//
// A request that is canceled may never come to give back what it holds. So what it holds counts up to a time and no
// longer: what was lost comes back by itself.

export class ByteBudget {
  readonly #maxBytes: number;
  readonly #held = new Map<object, { bytes: number; until: number }>();
  #total = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /**
   * Lets `holder` have so many bytes in place of those it has, up to `until` (ms). False: there is no room for them, and
   * it keeps those it has.
   */
  hold(holder: object, bytes: number, { until, now }: { until: number; now: number }): boolean {
    if (!this.#fits(holder, bytes)) this.#forget(now);
    if (!this.#fits(holder, bytes)) return false;
    this.release(holder);
    this.#total += bytes;
    this.#held.set(holder, { bytes, until });
    return true;
  }

  release(holder: object): void {
    this.#total -= this.#held.get(holder)?.bytes ?? 0;
    this.#held.delete(holder);
  }

  #fits(holder: object, bytes: number): boolean {
    return this.#total - (this.#held.get(holder)?.bytes ?? 0) + bytes <= this.#maxBytes;
  }

  #forget(now: number): void {
    for (const [holder, { until }] of this.#held) if (until <= now) this.release(holder);
  }
}
