// The validation challenge: an origin is asked once in 30 days to echo a random text, at `{url}/validate?challenge=…`,
// and so shows that it means to receive notifications.
//
// By default that happens after the first delivery and changes nothing but what operators see: most receivers have
// never heard of it. No credentials are sent along, for nobody knows yet who is there.

import { err, ok, type Result } from "../lib/result.ts";
import type { Outbound, OutboundError } from "../outbound/fetch.ts";
import { log } from "../telemetry/log.ts";
import { metricKey } from "../telemetry/metrics.ts";
import type { OriginState } from "./endpoint-state.ts";
import { USER_AGENT } from "./request.ts";

export type ChallengeResult = Result<{ validatedUntil: number }, { error: string }>;

export type ChallengeOptions = {
  /** `off`: only when asked for. */
  mode: "off" | "warn" | "required";
  /** Scheme, host and port. */
  origin: string;
  outbound: Outbound;
  timeoutMs: number;
  /** What is remembered of this origin. */
  state(): OriginState;
  save(state: OriginState): void;
  count(key: string): void;
  now(): number;
};

const DAY_MS = 86_400_000;
const VALID_MS = 30 * DAY_MS;
/** An origin that failed is not asked again by itself for so long … */
const REST_MS = DAY_MS;
/** … and for so long not either because a config names it: callers must not make us knock at anybody's door. */
const REFUSED_MS = 60_000;

export class Challenge {
  readonly #options: ChallengeOptions;
  #running: Promise<ChallengeResult> | undefined;
  #forgotten = 0;

  constructor(options: ChallengeOptions) {
    this.#options = options;
  }

  /** Until when (ms) the origin counts as validated; undefined: it does not. */
  validatedUntil(): number | undefined {
    const { validatedUntil } = this.#options.state();
    return validatedUntil !== undefined && validatedUntil > this.#options.now() ? validatedUntil : undefined;
  }

  /**
   * Asks the origin now, at one of its URLs. A success that is remembered answers, and so does a failure of the last
   * minute, unless a fresh answer is wanted.
   */
  async ask(url: string, fresh = false): Promise<ChallengeResult> {
    const validatedUntil = this.validatedUntil();
    if (validatedUntil !== undefined && !fresh) return ok({ validatedUntil });
    const { challenge } = this.#options.state();
    if (challenge && !fresh && this.#isWithin(challenge.failedAt, REFUSED_MS)) {
      return err({ error: challenge.error });
    }
    if (URL.parse(url)?.origin !== this.#options.origin)
      return err({ error: "the URL is of another origin" });
    this.#running ??= this.#run(url).finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  /** A notification was delivered: the moment to ask, if the origin has to be asked. Never throws. */
  async delivered(url: string): Promise<void> {
    const { mode, state } = this.#options;
    if (mode === "off" || this.#running || this.validatedUntil() !== undefined) return;
    const { challenge } = state();
    if (challenge && this.#isWithin(challenge.failedAt, REST_MS)) return;
    await this.ask(url);
  }

  /** What is known of the origin is erased: of one that is under way nothing is remembered. */
  forget(): void {
    this.#forgotten += 1;
  }

  #isWithin(at: number, ms: number): boolean {
    return Math.abs(this.#options.now() - at) < ms;
  }

  async #run(url: string): Promise<ChallengeResult> {
    const { outbound, timeoutMs, state, count, now, origin } = this.#options;
    const forgotten = this.#forgotten;
    const save = (result: OriginState) => {
      if (forgotten === this.#forgotten) this.#options.save(result);
    };
    const text = crypto.randomUUID().replaceAll("-", "");
    const sent = await outbound.send({
      method: "GET",
      url: challengeUrl(url, text),
      headers: { Accept: "text/plain, application/json", "User-Agent": USER_AGENT },
      timeoutMs,
    });
    const problem = sent.ok ? problemOf(sent.value, text) : sent.error.error;
    if (problem === undefined) {
      const validatedUntil = now() + VALID_MS;
      const { challenge: _failure, ...others } = state();
      save({ ...others, validatedUntil });
      count(metricKey("a2a_webhook_challenges_total", { outcome: "passed" }));
      return ok({ validatedUntil });
    }
    save({ ...state(), challenge: { failedAt: now(), error: problem } });
    count(metricKey("a2a_webhook_challenges_total", { outcome: "failed" }));
    if (!sent.ok) countBlocked(sent.error.error, count);
    log("warn", "an origin did not pass the validation challenge", { origin, error: problem });
    return err({ error: problem });
  }
}

/** Counts a request that is no notification and was stopped by the guard or by TLS. */
export function countBlocked(error: OutboundError["error"] | undefined, count: (key: string) => void): void {
  if (error === "blocked_destination" || error === "dns_failure" || error === "tls_error") {
    count(metricKey("a2a_webhook_blocked_total", { reason: error }));
  }
}

/** `{url}/validate?challenge=…`; the URL's own query stays, for it may hold a key. */
function challengeUrl(text: string, challenge: string): string {
  const url = new URL(text);
  url.pathname = `${url.pathname.replace(/\/$/, "")}/validate`;
  url.searchParams.set("challenge", challenge);
  return url.href;
}

/** The echo is the whole body, or the member `challenge` of a JSON object. */
function problemOf(
  { status, text }: { status: number; text: string },
  challenge: string,
): string | undefined {
  if (status < 200 || status > 299) return `it answered ${status}`;
  return text.trim() === challenge || memberOf(text) === challenge
    ? undefined
    : "its answer was not the challenge";
}

function memberOf(text: string): unknown {
  try {
    return (JSON.parse(text) as { challenge?: unknown } | null)?.challenge;
  } catch {
    return undefined;
  }
}
