// Token buckets of many keys, in bounded memory.
//
// A bucket that is full again is the same as none. When there are too many, those go first; then the oldest, which
// gives their keys one burst too many. Whoever has keys enough to bring that about has their bursts anyway.

import { type Bucket, isFull, type Rate, take } from "./bucket.ts";

export class Buckets {
  readonly #rate: Rate;
  readonly #max: number;
  readonly #buckets = new Map<string, Bucket>();

  /** `max`: how many buckets are kept. */
  constructor(rate: Rate, max: number) {
    this.#rate = rate;
    this.#max = max;
  }

  get size(): number {
    return this.#buckets.size;
  }

  /** Takes a token; if there is none, the time (ms) at which there is one. */
  take(key: string, now: number): number | undefined {
    const bucket = this.#buckets.get(key);
    const taken = take(bucket, this.#rate, now);
    if (!taken.ok) return taken.error.retryAt;
    if (bucket === undefined && this.#buckets.size >= this.#max) this.#makeRoom(now);
    this.#buckets.set(key, taken.value);
    return undefined;
  }

  /** A tenth at once, so that it is seldom done. */
  #makeRoom(now: number): void {
    for (const [key, bucket] of this.#buckets) {
      if (isFull(bucket, this.#rate, now)) this.#buckets.delete(key);
    }
    const most = Math.floor(this.#max * 0.9);
    for (const key of this.#buckets.keys()) {
      if (this.#buckets.size <= most) return;
      this.#buckets.delete(key);
    }
  }
}
