// What an EndpointObject remembers across its own death: only what is not as it would be anyway. A healthy endpoint
// has no row, and not even a table.

import type { Bucket, Rate } from "../lib/bucket.ts";
import type { Breaker } from "./breaker.ts";

/** Of one target; absent members are in their default state. */
export type TargetState = {
  breaker?: Breaker;
  bucket?: Bucket;
  /** The limits by which the bucket was filled last. */
  rate?: Rate;
  /** Nothing before this time (ms): what Retry-After asked for. */
  holdUntil?: number;
};

/** Of the origin as a whole; times in ms. */
export type OriginState = {
  /** Since when an operator has paused it. */
  pausedAt?: number;
  /** Homes that were told so, and want to hear when it is over. */
  pausedHomes?: string[];
  /** When such a pause has ended last. */
  resumedAt?: number;
  /** Until when it counts as having passed the validation challenge. */
  validatedUntil?: number;
  /** When it last failed the challenge, and how. */
  challenge?: { failedAt: number; error: string };
};

const ORIGIN = "origin";
const TARGET = "target ";

export class EndpointState {
  readonly #storage: DurableObjectStorage;
  #exists: boolean;

  constructor(storage: DurableObjectStorage) {
    this.#storage = storage;
    this.#exists = storage.sql.exec("SELECT 1 FROM sqlite_master WHERE name = 'state'").toArray().length > 0;
  }

  origin(): OriginState {
    return this.#rows<OriginState>(ORIGIN, 1)[0]?.value ?? {};
  }

  targets(limit: number): [target: string, TargetState][] {
    return this.#rows<TargetState>(`${TARGET}*`, limit).map(({ key, value }) => [
      key.slice(TARGET.length),
      value,
    ]);
  }

  saveOrigin(origin: OriginState): void {
    this.#save(ORIGIN, origin);
  }

  /** Stores a target's state; an empty one is forgotten. */
  saveTarget(target: string, state: TargetState): void {
    this.#save(TARGET + target, state);
  }

  /** Rows whose key is like the pattern; each kind of key has one type of value. */
  #rows<T>(pattern: string, limit: number): { key: string; value: T }[] {
    if (!this.#exists) return [];
    return this.#storage.sql
      .exec<{ key: string; value: string }>(
        "SELECT key, value FROM state WHERE key GLOB ? LIMIT ?",
        pattern,
        limit,
      )
      .toArray()
      .map(({ key, value }) => ({ key, value: JSON.parse(value) as T }));
  }

  #save(key: string, value: OriginState | TargetState): void {
    const { sql } = this.#storage;
    if (Object.keys(value).length === 0) {
      if (this.#exists) sql.exec("DELETE FROM state WHERE key = ?", key);
      return;
    }
    if (!this.#exists) {
      sql.exec("CREATE TABLE state (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID");
      this.#exists = true;
    }
    sql.exec("INSERT OR REPLACE INTO state VALUES (?, ?)", key, JSON.stringify(value));
  }
}
