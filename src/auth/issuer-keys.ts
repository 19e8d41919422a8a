// The keys of one issuer: fetched, kept while they are young, and fetched again when a token names one that is not
// known, but not for every such token, which anybody can make up.
//
// Requests of an isolate must not wait for each other's promises: a request that is canceled takes its promises with
// it, and whoever waited would wait for ever. So the first request that needs keys fetches them under its own name and
// the others look again and again, by timers of their own, whether they have come. A fetch that is not over in 2 s is
// overtaken by one of those who wait, since its request may be gone.

import { err, ok, type Result } from "../lib/result.ts";
import type { PublicJwk } from "./key-set.ts";

export type FetchKeys = () => Promise<Result<readonly PublicJwk[], string>>;

export type IssuerKeys = {
  /** The keys that are known, fetched if need be. The error says why there are none. */
  load(): Promise<Result<readonly PublicJwk[], string>>;
  /**
   * The keys after another fetch; undefined: there was one a moment ago. The error says why it failed: what is not among
   * the keys that are known may be among the issuer's.
   */
  reload(): Promise<Result<readonly PublicJwk[], string> | undefined>;
};

export type IssuerKeysOptions = {
  fetchKeys: FetchKeys;
  now(): number;
  wait?: (ms: number) => Promise<void>;
};

/** So long a key that was withdrawn may still be used. */
const YOUNG_MS = 600_000;
/** While the issuer cannot be reached, what is known is used so long. */
const STALE_MS = 4 * 3_600_000;
/** Between two fetches for the sake of unknown keys. */
const RELOAD_MS = 30_000;
/** Between a fetch that failed and the next, when there are no keys, and when there are some to go on with. */
const REST_MS = 5_000;
const STALE_REST_MS = 60_000;
const OVERTAKE_MS = 2_000;
const LOOK_MS = 20;
/** Longest wait for somebody else's fetch. */
const PATIENCE_MS = 12_000;

type Known = { keys: readonly PublicJwk[]; at: number };

export function createIssuerKeys({ fetchKeys, now, wait = pause }: IssuerKeysOptions): IssuerKeys {
  let known: Known | undefined;
  let failure: { problem: string; at: number } | undefined;
  /** When the fetch that is under way was started. */
  let fetching: number | undefined;
  /** How many fetches have come to an end. */
  let ended = 0;
  let reloadedAt = Number.NEGATIVE_INFINITY;

  // A clock that is put back must not make anything young for ever.
  const age = (time: number) => Math.abs(now() - time);
  const current = () => (known !== undefined && age(known.at) < STALE_MS ? known.keys : undefined);
  const isResting = () =>
    failure !== undefined && age(failure.at) < (current() === undefined ? REST_MS : STALE_REST_MS);
  const isFetching = () => fetching !== undefined && age(fetching) < OVERTAKE_MS;

  async function fetchNow(): Promise<void> {
    const startedAt = now();
    fetching = startedAt;
    const fetched = await fetchKeys().catch((): Result<never, string> => err("the fetch failed"));
    // One that was overtaken may still be of use, but does not end the one after it.
    if (fetching === startedAt) fetching = undefined;
    ended += 1;
    if (!fetched.ok) {
      failure = { problem: fetched.error, at: now() };
    } else if (known === undefined || known.at <= startedAt) {
      known = { keys: fetched.value, at: startedAt };
      failure = undefined;
    }
  }

  /** Fetches, or waits until somebody else has. */
  async function fetchOnce(): Promise<void> {
    const seen = ended;
    const startedAt = now();
    while (isFetching()) {
      await wait(LOOK_MS);
      // All give up at about the same time: if each fetched now, a slow issuer would have them all at once.
      if (ended > seen || age(startedAt) >= PATIENCE_MS) return;
    }
    await fetchNow();
  }

  return {
    async load() {
      if (known !== undefined && age(known.at) < YOUNG_MS) return ok(known.keys);
      const stale = current();
      // Nobody waits for what somebody else fetches while there are keys to go on with.
      if (!isResting() && !(stale !== undefined && isFetching())) await fetchOnce();
      const keys = current();
      return keys === undefined ? err(failure?.problem ?? "the keys did not come in time") : ok(keys);
    },
    async reload() {
      const before = known;
      if (isFetching()) await fetchOnce();
      // One that is under way for long may be dead: whoever sends nonsense and hangs up must not be able to hold up others.
      else if ((fetching !== undefined || age(reloadedAt) >= RELOAD_MS) && !isResting()) {
        reloadedAt = now();
        await fetchNow();
      }
      if (known !== undefined && known !== before) return ok(known.keys);
      return failure !== undefined && isResting() ? err(failure.problem) : undefined;
    },
  };
}

function pause(ms: number): Promise<void> {
  return new Promise((settle) => setTimeout(settle, ms));
}
