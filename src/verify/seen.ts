// What makes a replay visible: the requests that were accepted, for as long as their time would still be.
//
// Several processes that receive for one URL need a store they share; it has to answer at once and to only one of
// two that ask for the same key at the same time, as `INSERT ... ON CONFLICT DO NOTHING` or Redis' `SET NX` do.

export type Seen = {
  /** Remembers `key` until `untilMs`; false: it was there already. */
  add(key: string, untilMs: number): boolean | Promise<boolean>;
};

/** A store for one process. When it is full it forgets the oldest; `maxEntries`, at least 1, is 100,000 unless given. */
export function createMemorySeen({
  maxEntries = 100_000,
  now = Date.now,
}: {
  maxEntries?: number;
  now?: () => number;
} = {}): Seen {
  if (!(maxEntries >= 1)) throw new TypeError("maxEntries must be at least 1");
  // In the order of their coming, which is about that of their end.
  const until = new Map<string, number>();

  function makeRoom(): void {
    for (const [key, end] of until) {
      if (until.size < maxEntries && end > now()) return;
      until.delete(key);
    }
  }

  return {
    add(key, untilMs) {
      const end = until.get(key);
      if (end !== undefined && end > now()) return false;
      until.delete(key);
      makeRoom();
      until.set(key, untilMs);
      return true;
    },
  };
}
