// Counts events by key in windows of a minute, in memory: for what needs no exactness across isolates, but must not
// cost anything durable, nor grow with the number of keys.

const WINDOW_MS = 60_000;

export type RateOptions = {
  perMinute: number;
  /** Keys that are told apart in one window; those beyond share one count. */
  maxKeys: number;
  now(): number;
};

/** Counts one event of a key; answers 0, or the ms to wait if there were too many in this window. */
export type Rate = (key: string) => number;

export function createRate({ perMinute, maxKeys, now }: RateOptions): Rate {
  let window = 0;
  let counts = new Map<string, number>();
  return (key) => {
    const at = now();
    const current = Math.floor(at / WINDOW_MS);
    if (current !== window) {
      window = current;
      counts = new Map();
    }
    // No address is empty.
    const counted = counts.has(key) || counts.size < maxKeys ? key : "";
    const count = (counts.get(counted) ?? 0) + 1;
    counts.set(counted, count);
    return count <= perMinute ? 0 : (current + 1) * WINDOW_MS - at;
  };
}
