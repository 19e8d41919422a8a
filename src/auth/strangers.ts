// Requests that cannot say who they are: slowed down by address, in the memory of an isolate.
//
// An address that has tried many different wrong credentials waits before each further one, longer each time, and
// nothing is looked up for it meanwhile. A right credential waits as well: otherwise the wait would tell which is
// right. But those that were right here before do not, so nobody is locked out by who else is behind their address;
// and a client that repeats one wrong credential guesses nothing.

import { Buckets } from "../lib/buckets.ts";
import { keepNewest } from "../lib/keep-newest.ts";
import { type Failure, failure } from "../protocol/errors.ts";
import { addressOf } from "./address.ts";
import { sessionsInQuery } from "./credential.ts";
import type { RefusalReason } from "./refusal.ts";

export type Strangers = {
  /** Before anything is looked up for a request: why nothing will be, if so. */
  refusal(request: Request): Failure | undefined;
  /** Its credential was right. */
  admitted(request: Request): void;
  /** It was not, or there was none; why the address is to wait instead of trying again, if so. */
  refused(request: Request, reason: RefusalReason): Failure | undefined;
  /** How many addresses and credentials are remembered, for tests. */
  sizes(): { guessing: number; good: number; failing: number };
};

export type StrangersOptions = {
  /** Different wrong credentials of one address that are looked up without a pause; 0: all. */
  guesses: number;
  /** Requests of one address without a right credential that are answered with 401, a minute; 0: all. */
  failuresPerMinute: number;
  now(): number;
  /** Counts a request that was told to wait. */
  counted(limit: "guessing" | "address"): void;
};

type Guessing = {
  /** Different wrong credentials so far. */
  strikes: number;
  /** Until when nothing is looked up (ms). */
  until: number;
  lastAt: number;
  /** Of the newest wrong credentials. */
  recent: number[];
  /** The one credential that is looked at now, although the address must wait. */
  trying?: number | undefined;
};

const MAX_ADDRESSES = 10_000;
const MAX_GOOD = 10_000;
const RECENT = 16;
/** An address that has not guessed for so long is a new one. */
const FORGET_MS = 3_600_000;
const MAX_PAUSE_MS = 300_000;

/** Refusals of what nobody guesses: nothing at all, what was right once or soon will be, what cannot be judged now. */
const innocent: ReadonlySet<RefusalReason> = new Set<RefusalReason>([
  "missing",
  "unsupported_scheme",
  "expired",
  "revoked",
  "credential_ended",
  "not_yet_valid",
  "keys_unavailable",
  "lookup_failed",
]);

export function createStrangers({ guesses, failuresPerMinute, now, counted }: StrangersOptions): Strangers {
  const guessing = new Map<string, Guessing>();
  // In the order in which they were first seen to be right; by fingerprint, so that no secret is kept.
  const good = new Set<number>();
  const failing =
    failuresPerMinute === 0
      ? undefined
      : new Buckets({ perMinute: failuresPerMinute, burst: failuresPerMinute }, MAX_ADDRESSES);
  const seed = crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;

  const wait = (limit: "guessing" | "address", ms: number): Failure => {
    counted(limit);
    return failure("RATE_LIMIT_EXCEEDED", {
      message: "Too many requests from this address without a valid credential",
      metadata: { limit },
      retryAfterSeconds: Math.max(1, Math.ceil(ms / 1_000)),
    });
  };

  /** What is known of an address that has guessed lately. */
  const known = (address: string, at: number): Guessing | undefined => {
    const state = guessing.get(address);
    if (state === undefined || Math.abs(at - state.lastAt) < FORGET_MS) return state;
    guessing.delete(address);
    return undefined;
  };

  return {
    refusal(request) {
      // Nobody has guessed: the usual case costs nothing.
      if (guessing.size === 0) return undefined;
      const at = now();
      const state = known(addressOf(request), at);
      if (state === undefined || state.strikes < guesses) return undefined;
      const print = fingerprint(request, seed);
      if (print === undefined || good.has(print)) return undefined;
      if (state.trying === print) return undefined;
      if (state.until > at) return wait("guessing", state.until - at);
      if (state.recent.includes(print)) return undefined;
      // Of those that come at once after a pause, one is looked at; the others wait for how it ends.
      state.until = at + pauseMs(state.strikes + 1 - guesses);
      state.trying = print;
      return undefined;
    },

    admitted(request) {
      if (guesses === 0) return;
      const print = fingerprint(request, seed);
      if (print === undefined || good.has(print)) return;
      remember(good, print, MAX_GOOD);
      // Whoever it was, the pause was not for this one, nor for who comes next.
      const state = guessing.get(addressOf(request));
      if (state) Object.assign(state, { until: 0, trying: undefined });
    },

    refused(request, reason) {
      const at = now();
      const address = addressOf(request);
      const print = fingerprint(request, seed);
      if (print !== undefined) good.delete(print);
      if (guesses > 0 && print !== undefined && !innocent.has(reason)) {
        const state = known(address, at) ?? { strikes: 0, until: 0, lastAt: at, recent: [] };
        state.lastAt = at;
        state.trying = undefined;
        if (!state.recent.includes(print)) {
          state.strikes += 1;
          state.recent = [print, ...state.recent].slice(0, RECENT);
          state.until = state.strikes < guesses ? 0 : at + pauseMs(state.strikes - guesses);
        }
        // Those that have not guessed for longest go first.
        keepNewest(guessing, address, state, MAX_ADDRESSES);
      }
      const retryAt = failing?.take(address, at);
      return retryAt === undefined ? undefined : wait("address", retryAt - at);
    },

    sizes: () => ({ guessing: guessing.size, good: good.size, failing: failing?.size ?? 0 }),
  };
}

/** 1 s, doubling. */
function pauseMs(beyond: number): number {
  return Math.min(MAX_PAUSE_MS, 1_000 * 2 ** Math.min(beyond, 20));
}

function remember(set: Set<number>, value: number, max: number): void {
  const [oldest] = set;
  if (set.size >= max && oldest !== undefined) set.delete(oldest);
  set.add(value);
}

/**
 * 53 bits of whatever a request presents as a credential; undefined: nothing. A guess that is taken for a right one
 * only goes without its pause, so this need not be a hash that withstands more than chance.
 */
function fingerprint({ headers, url }: Request, seed: number): number | undefined {
  const authorization = headers.get("authorization");
  const apiKey = headers.get("x-api-key");
  const sessions = sessionsInQuery(url);
  if (authorization === null && apiKey === null && sessions.length === 0) return undefined;
  const text = [authorization ?? "", apiKey ?? "", ...sessions].join("\n");
  let [a, b] = [seed ^ 0x811c9dc5, seed ^ 0x9e3779b9];
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    a = Math.imul(a ^ unit, 0x01000193);
    b = Math.imul(b ^ unit, 0x5bd1e995);
    b ^= b >>> 13;
  }
  return (a >>> 0) * 2_097_152 + (b >>> 11);
}
