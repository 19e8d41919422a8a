// An endpoint's share of the deployment's limit, fetched from LimitsObject in blocks, so that a delivery costs a
// fraction of a request. The next block is asked for while the last one is still being used.
//
// The first block is as large as what waits, and each that follows soon is twice the last: an endpoint with one
// delivery a minute must not take away the tokens of fifty.

import type { Result } from "../lib/result.ts";

/** Asks for up to `want` tokens; answers how many there are, or when (ms) to ask again. */
export type Grant = (want: number) => Promise<Result<{ tokens: number }, { retryAt: number }>>;

export type ShareOptions = {
  /** The deployment's limit; 0: none. */
  perMinute: number;
  grant: Grant;
  now(): number;
  /** There is something new: tokens, or a time before which there are none. */
  changed(): void;
  /** There are no tokens left for anybody. */
  refused(): void;
  /** LimitsObject could not be reached. */
  failed(error: unknown): void;
};

/** Tokens that were not used for so long are gone: otherwise they would add up to a burst beyond the limit. */
const LIFETIME_MS = 60_000;
/** LimitsObject is asked again after a failure, later each time. */
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 5_000;

/** The largest block: what one endpoint may hold while others want it too. */
export function blockOf(perMinute: number): number {
  return Math.max(1, Math.floor(perMinute / 20));
}

export class Share {
  readonly #options: ShareOptions;
  #tokens = 0;
  #grantedAt = 0;
  #lastBlock = 0;
  #asking = false;
  #retryAt = 0;
  #failures = 0;

  constructor(options: ShareOptions) {
    this.#options = options;
  }

  /** Whether one more may be sent, of so many that wait. */
  isReady(waiting: number): boolean {
    if (this.#options.perMinute === 0) return true;
    const now = this.#options.now();
    if (Math.abs(now - this.#grantedAt) > LIFETIME_MS) this.#tokens = 0;
    if (this.#tokens < waiting && this.#tokens <= this.#lastBlock / 2) void this.#ask(waiting, now);
    return this.#tokens > 0;
  }

  /** One is being sent. */
  use(): void {
    if (this.#options.perMinute !== 0) this.#tokens -= 1;
  }

  /** Before this time (ms) nothing more can be sent; undefined: it can, or tokens are on their way. */
  heldUntil(): number | undefined {
    return this.#tokens <= 0 && this.#isResting(this.#options.now()) ? this.#retryAt : undefined;
  }

  async #ask(waiting: number, now: number): Promise<void> {
    if (this.#asking || this.#isResting(now)) return;
    this.#asking = true;
    const isRecent = Math.abs(now - this.#grantedAt) <= LIFETIME_MS;
    const want = Math.max(waiting, isRecent ? this.#lastBlock * 2 : 0);
    try {
      this.#granted(await this.#options.grant(Math.min(want, blockOf(this.#options.perMinute))));
    } catch (error) {
      this.#failures += 1;
      const pauseMs = Math.min(FIRST_PAUSE_MS * 2 ** (this.#failures - 1), LONGEST_PAUSE_MS);
      this.#retryAt = this.#options.now() + pauseMs;
      this.#options.failed(error);
    }
    this.#asking = false;
    this.#options.changed();
  }

  #granted(granted: Awaited<ReturnType<Grant>>): void {
    this.#failures = 0;
    if (!granted.ok) {
      this.#retryAt = granted.error.retryAt;
      this.#options.refused();
      return;
    }
    this.#retryAt = 0;
    this.#tokens += granted.value.tokens;
    this.#lastBlock = granted.value.tokens;
    this.#grantedAt = this.#options.now();
  }

  /** A clock that was put back makes the time longer than LimitsObject ever says: then it is over. */
  #isResting(now: number): boolean {
    return this.#retryAt > now && this.#retryAt <= now + LIFETIME_MS;
  }
}
