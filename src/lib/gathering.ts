// Gathers what happens too often to be told one by one, and hands it over every few seconds. What an isolate that dies
// has not handed over is lost.
//
// The wait is that of the request which came first. Should it be cut off together with its promises, a later one waits
// anew: otherwise nothing would be told any more for as long as the isolate lives.

export type Gathering<T> = {
  /** Changes what has been gathered; undefined: nothing has. */
  add(change: (gathered: T | undefined) => T): void;
};

export type GatheringOptions<T> = {
  everyMs: number;
  /** Must not throw. */
  handOver(gathered: T): Promise<void>;
  waitUntil(promise: Promise<unknown>): void;
  sleep(ms: number): Promise<unknown>;
  now?: () => number;
};

/** So many times the wait, and whoever waited is gone. */
const PATIENCE = 3;

export function createGathering<T>(options: GatheringOptions<T>): Gathering<T> {
  const { everyMs, handOver, waitUntil, sleep, now = Date.now } = options;
  let gathered: T | undefined;
  let since = 0;

  async function wait(): Promise<void> {
    await sleep(everyMs);
    if (gathered === undefined) return;
    const sums = gathered;
    gathered = undefined;
    await handOver(sums);
  }

  return {
    add(change) {
      const at = now();
      const isDue = gathered === undefined || Math.abs(at - since) >= PATIENCE * everyMs;
      gathered = change(gathered);
      if (!isDue) return;
      since = at;
      waitUntil(wait());
    },
  };
}
