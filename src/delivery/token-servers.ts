// How often token servers are asked, by origin. A caller names them, and none of them has asked to be: so however many
// clients, paths and secrets a caller makes up, the same limit holds for all of an origin.
//
// After a failure nobody asks it for a while; then one asks, and the others wait twice as long, until there is a token.

import type { Rate } from "../lib/bucket.ts";
import { Buckets } from "../lib/buckets.ts";
import { keepNewest } from "../lib/keep-newest.ts";
import type { OAuth2Failure } from "./oauth2.ts";

const FIRST_REST_MS = 5_000;
const LONGEST_REST_MS = 300_000;
/** Origins that are remembered; the oldest goes first. */
const MAX_ORIGINS = 1_000;

type Rest = { failure: OAuth2Failure; at: number; lastsMs: number };

export class TokenServers {
  readonly #rate: Rate;
  readonly #rests = new Map<string, Rest>();
  #buckets: Buckets;

  /** `rate`: of requests to one origin; 0 a minute: unlimited. */
  constructor(rate: Rate) {
    this.#rate = rate;
    this.#buckets = new Buckets(rate, MAX_ORIGINS);
  }

  /** Why the server of `url` must not be asked now; undefined: it may, once. */
  refusal(url: string, now: number): OAuth2Failure | undefined {
    const origin = originOf(url);
    const rest = this.#rests.get(origin);
    if (rest && isResting(rest, now)) return rest.failure;
    if (this.#rate.perMinute > 0 && this.#buckets.take(origin, now) !== undefined) {
      return { error: "oauth2_failed", detail: "the token server has been asked as often as it may be" };
    }
    if (rest) {
      const lastsMs = Math.min(2 * rest.lastsMs, LONGEST_REST_MS);
      this.#rests.set(origin, { ...rest, at: now, lastsMs });
    }
    return undefined;
  }

  failed(url: string, failure: OAuth2Failure, now: number): void {
    const origin = originOf(url);
    const before = this.#rests.get(origin);
    // Requests that were under way together are one failure, and the one that asked after a rest began the next.
    if (before && isResting(before, now)) return;
    const lastsMs = before?.lastsMs ?? FIRST_REST_MS;
    keepNewest(this.#rests, origin, { failure, at: now, lastsMs }, MAX_ORIGINS);
  }

  answered(url: string): void {
    this.#rests.delete(originOf(url));
  }

  clear(): void {
    this.#rests.clear();
    this.#buckets = new Buckets(this.#rate, MAX_ORIGINS);
  }
}

/** Also not for ever, when the clock was put back. */
function isResting({ at, lastsMs }: Rest, now: number): boolean {
  return Math.abs(now - at) < lastsMs;
}

/** What is no URL is refused when it is sent. */
function originOf(url: string): string {
  return URL.parse(url)?.origin ?? "";
}
