// Remembers for a while what a lookup has found, and that it has found nothing: so neither a busy caller nor a
// guessing one costs a query each time. A lookup that failed is not remembered.
//
// What is not there has a memory of its own, so that guesses push out other guesses and never what is in use.

import { keepNewest } from "./keep-newest.ts";

export type Memory<T> = {
  /** What is at `key`, as it was at `readSince` (ms) or later; undefined: nothing. */
  get(key: string, readSince?: number): Promise<T | undefined>;
  /** Forgets the values that fit. */
  forget(fits: (value: T) => boolean): void;
};

export type MemoryOptions<T> = {
  load(key: string): Promise<T | undefined>;
  keepMs: number;
  /** Keys that are remembered of either kind; of more, the oldest are forgotten first. */
  maxKeys: number;
  now(): number;
};

type Entry<T> = { value: T; at: number };

export function createMemory<T extends object>(options: MemoryOptions<T>): Memory<T> {
  const { load, keepMs, maxKeys, now } = options;
  const found = new Map<string, Entry<T>>();
  const missing = new Map<string, Entry<undefined>>();

  return {
    async get(key, readSince = Number.NEGATIVE_INFINITY) {
      const at = now();
      const known = found.get(key) ?? missing.get(key);
      // A clock that was put back makes nothing younger than it is.
      if (known && known.at >= readSince && Math.abs(at - known.at) < keepMs) return known.value;
      const value = await load(key);
      found.delete(key);
      // It is as old as the question.
      if (value === undefined) keepNewest(missing, key, { value, at }, maxKeys);
      else keepNewest(found, key, { value, at }, maxKeys);
      return value;
    },
    forget(fits) {
      for (const [key, { value }] of found) if (fits(value)) found.delete(key);
    },
  };
}
