// EndpointObject: the only sender of one owner's notifications to one origin (scheme, host, port). This class is the
// composition and the door; the pump sends, targets say how fast, the sender makes a request of a claim.
//
// It is named `<owner>|<origin>`. What it remembers may be lost: homes know what is due, and ring again.

import { DurableObject } from "cloudflare:workers";
import { type Config, loadConfig } from "../config.ts";
import { type KeyRing, parseKeyRing } from "../keys/ring.ts";
import { parseSigningKeys, type SigningKeys } from "../keys/signing-keys.ts";
import { orLate } from "../lib/or-late.ts";
import { keepStubs } from "../lib/stubs.ts";
import { createOutbound } from "../outbound/fetch.ts";
import { createResolver } from "../outbound/resolve.ts";
import { log } from "../telemetry/log.ts";
import { type MetricsDelta, metricKey } from "../telemetry/metrics.ts";
import { Challenge, type ChallengeResult, countBlocked } from "./challenge.ts";
import { EndpointState, type OriginState } from "./endpoint-state.ts";
import {
  type DeliveryObject,
  type Endpoint,
  type ExchangeWire,
  fromWire,
  type Settlement,
} from "./exchange.ts";
import { LIMITS_NAME } from "./limits.ts";
import { createFetchToken, type FetchToken } from "./oauth2.ts";
import type { ErrorClass } from "./outcome.ts";
import { Pump } from "./pump.ts";
import { Reporting } from "./reporting.ts";
import { createSend, type Send } from "./sender.ts";
import { type Grant, Share } from "./share.ts";
import { MAX_CONSTRAINED, type TargetHealth, Targets } from "./targets.ts";
import { TokenCache } from "./token-cache.ts";

/** How an endpoint fares. Times in ms; null: there is none. */
export type EndpointHealth = {
  endpoint: string;
  origin: string;
  /** Since when an operator has paused it. */
  pausedAt: number | null;
  /** Until when it counts as having passed the validation challenge. */
  validatedUntil: number | null;
  /** When it last failed the challenge, and how. */
  challenge: { failedAt: number; error: string } | null;
  /** The newest failed attempt since this object was started. */
  lastError: { at: number; status: number | null; error: ErrorClass | null } | null;
  inFlight: number;
  /** Claims that wait here for their turn. */
  queued: number;
  /** Of URLs without their query: those that are not in their default state, or have been sent to of late. */
  targets: TargetHealth[];
};

/** What is not answered by then by another object has failed; should it be answered after all, nobody hears it. */
const ANSWER_MS = 15_000;

/** Targets in one answer; those that are held come first. */
const MAX_TARGETS = 500;

export class EndpointObject extends DurableObject<Env> implements Endpoint {
  readonly #endpoint: string;
  readonly #origin: string;
  readonly #store: EndpointState;
  readonly #targets: Targets;
  readonly #pump: Pump;
  readonly #tokens: TokenCache;
  readonly #challenge: Challenge;
  #state: OriginState;
  #lastError: EndpointHealth["lastError"] = null;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    const loaded = loadConfig(env);
    if (!loaded.ok) throw new Error(loaded.error.join("; "));
    const config = loaded.value;
    const { ring, signingKeys } = loadKeys(config);
    const now = () => Date.now();
    const timeoutMs = config.webhookTimeoutMs;
    this.#endpoint = ctx.id.name ?? "";
    this.#origin = this.#endpoint.slice(this.#endpoint.lastIndexOf("|") + 1);
    this.#store = new EndpointState(ctx.storage);
    this.#state = this.#store.origin();

    const policy = {
      allowPrivate: config.allowPrivateWebhooks,
      ports: config.webhookPorts,
      ownHosts: config.publicUrl === "" ? [] : [new URL(config.publicUrl).hostname],
    };
    // Not shared between objects: what one of them waits for, another must not.
    const resolve = createResolver({ dohUrl: config.dohUrl, now });
    const fetch = egressOf(env);
    const outbound = createOutbound({ policy, resolve, now, fetch });
    const tokenOutbound = createOutbound({ policy, resolve, now, fetch, keepBytes: 16_384 });
    const rate = { perMinute: config.webhookRatePerMinute, burst: config.webhookBurst };
    const waitUntil = (promise: Promise<unknown>) => ctx.waitUntil(promise);
    const reporting = new Reporting({
      source: `endpoint/${ctx.id}`,
      add: (delta) => env.METRICS.get(env.METRICS.idFromName("all")).add(delta),
      gauges: () => this.#gauges(),
      now,
      sleep: (ms) => scheduler.wait(ms),
      waitUntil,
    });
    const count = (key: string) => reporting.count(key);

    this.#targets = new Targets({
      rate,
      timeoutMs,
      stored: this.#store.targets(MAX_CONSTRAINED),
      save: (target, state) => this.#store.saveTarget(target, state),
      count,
      changed: () => reporting.changed(),
    });
    this.#challenge = new Challenge({
      mode: config.webhookChallenge,
      origin: this.#origin,
      outbound,
      timeoutMs,
      state: () => this.#state,
      save: (state) => this.#save(state),
      count,
      now,
    });
    const share = new Share({
      perMinute: config.webhookGlobalPerMinute,
      grant: async (want) => {
        const limits = env.LIMITS.get(env.LIMITS.idFromName(LIMITS_NAME));
        return inTime(limits.grant(want) as ReturnType<Grant>);
      },
      now,
      changed: () => this.#pump.advance(),
      refused: () => count(metricKey("a2a_webhook_rate_limited_total", { by: "deployment" })),
      failed: (error) => log("error", "the deployment's limit cannot be reached", { error }),
    });
    const fetchToken = counted(createFetchToken(tokenOutbound), count);
    this.#tokens = new TokenCache({ fetchToken, rate, now });
    const issuer = config.publicUrl || "a2a-edge";
    const send = createSend({ outbound, tokens: this.#tokens, ring, signingKeys, issuer, timeoutMs, now });
    const callHome = keepStubs(
      (id) => env.HOMES.get(env.HOMES.idFromString(id)) as unknown as DeliveryObject,
    );
    this.#pump = new Pump({
      endpoint: this.#endpoint,
      homeOf: (id) => ({
        exchange: async (request) => fromWire(await callHome(id, (home) => inTime(home.exchange(request)))),
      }),
      targets: this.#targets,
      share,
      send: this.#watched(send),
      isPaused: () => this.#state.pausedAt !== undefined,
      resumedAt: () => this.#state.resumedAt,
      toldOfPause: (home) => this.#toldOfPause(home),
      validatedUntil: () => this.#challenge.validatedUntil(),
      now,
      sleep: (ms) => scheduler.wait(ms),
      waitUntil,
      callSoon: () => waitUntil(ctx.storage.setAlarm(now())),
    });
  }

  /** Being called is all that it is for. */
  override async alarm(): Promise<void> {
    this.#pump.advance();
  }

  // Calls of homes and of the queue's consumer.

  async ring(home: string, offered?: ExchangeWire): Promise<void> {
    // One that is none throws here, and not in the loop.
    this.env.HOMES.idFromString(home);
    if (offered) this.#pump.offer(home, fromWire(offered));
    else this.#pump.ring(home);
  }

  async forget(home: string, lane: string): Promise<void> {
    await this.#pump.forget(home, lane);
  }

  async erase(): Promise<void> {
    this.#tokens.clear();
    this.#targets.clear();
    this.#lastError = null;
    this.#challenge.forget();
    const { validatedUntil, challenge, ...operators } = this.#state;
    if (validatedUntil !== undefined || challenge) this.#save(operators);
  }

  // Calls of operators, and of the operation that takes a config.

  async health(): Promise<EndpointHealth> {
    const targets = this.#targets.health(Date.now());
    return {
      endpoint: this.#endpoint,
      origin: this.#origin,
      pausedAt: this.#state.pausedAt ?? null,
      validatedUntil: this.#challenge.validatedUntil() ?? null,
      challenge: this.#state.challenge ?? null,
      lastError: this.#lastError,
      inFlight: this.#pump.inFlight,
      queued: this.#pump.queued,
      targets: targets.toSorted((a, b) => (b.holdUntil ?? 0) - (a.holdUntil ?? 0)).slice(0, MAX_TARGETS),
    };
  }

  /** Nothing more is sent to the origin until `resume`; what is under way ends. */
  async pause(): Promise<void> {
    if (this.#state.pausedAt !== undefined) return;
    this.#save({ ...this.#state, pausedAt: Date.now() });
    this.#pump.advance();
  }

  async resume(): Promise<void> {
    const { pausedAt, pausedHomes = [], ...rest } = this.#state;
    if (pausedAt === undefined) return;
    this.#save({ ...rest, resumedAt: Date.now() });
    for (const home of pausedHomes) this.#pump.ring(home);
  }

  /** Has the origin echo a challenge at one of its URLs. A remembered success answers, unless a `fresh` one is wanted. */
  async challengeNow(url: string, fresh = false): Promise<ChallengeResult> {
    return this.#challenge.ask(url, fresh);
  }

  // What the parts have in common.

  /** Looks at what becomes of each attempt. */
  #watched(send: Send): Send {
    return async (claim, signal) => {
      const settlement = await send(claim, signal);
      if (settlement.outcome === "delivered") this.ctx.waitUntil(this.#challenge.delivered(claim.url));
      else if (settlement.outcome !== "released") this.#lastError = toLastError(settlement);
      return settlement;
    };
  }

  #save(state: OriginState): void {
    this.#state = state;
    this.#store.saveOrigin(state);
  }

  #toldOfPause(home: string): void {
    const { pausedHomes = [] } = this.#state;
    if (!pausedHomes.includes(home)) this.#save({ ...this.#state, pausedHomes: [...pausedHomes, home] });
  }

  #gauges(): MetricsDelta["gauges"] {
    const { open, halfOpen } = this.#targets.breakers();
    return {
      [metricKey("a2a_webhook_breakers", { state: "open" })]: open,
      [metricKey("a2a_webhook_breakers", { state: "half_open" })]: halfOpen,
    };
  }
}

/** What another object answers; throws if it takes too long. */
async function inTime<T>(answer: Promise<T>): Promise<T> {
  const answered = await orLate(answer, ANSWER_MS);
  if (answered === undefined) throw new Error(`it was not answered within ${ANSWER_MS} ms`);
  return answered;
}

/** A shorter way into the network than `fetch`, if there is one: scripts/egress.ts. */
function egressOf({ EGRESS }: Env & { EGRESS?: Fetcher }): typeof fetch | undefined {
  return EGRESS && ((input, init) => EGRESS.fetch(input, init));
}

/** The keys of this isolate's endpoints: a key is parsed and imported once, however many objects there are. */
let keys: { texts: string; ring: KeyRing; signingKeys: SigningKeys } | undefined;

function loadKeys({ encryptionKeys, signingKeys }: Config): NonNullable<typeof keys> {
  const texts = JSON.stringify([encryptionKeys, signingKeys]);
  if (keys?.texts === texts) return keys;
  const ring = parseKeyRing(encryptionKeys);
  if (!ring.ok) throw new Error(ring.error);
  const signing = parseSigningKeys(signingKeys);
  if (!signing.ok) throw new Error(signing.error);
  keys = { texts, ring: ring.value, signingKeys: signing.value };
  return keys;
}

function counted(fetchToken: FetchToken, count: (key: string) => void): FetchToken {
  return async (client) => {
    const fetched = await fetchToken(client);
    count(metricKey("a2a_webhook_oauth2_refreshes_total", { outcome: fetched.ok ? "ok" : "failed" }));
    if (!fetched.ok) countBlocked(fetched.error.cause, count);
    return fetched;
  };
}

function toLastError({ startedAt, durationMs, status, error }: Settlement): EndpointHealth["lastError"] {
  return { at: startedAt + durationMs, status: status ?? null, error: error ?? null };
}
