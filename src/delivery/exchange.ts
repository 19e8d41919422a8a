// What homes and endpoints say to each other. The home is the truth: it knows which notifications are due and
// what became of each. The EndpointObject is the only sender to its origin: it knows how fast, and whether at all.
//
// Nearly all of it happens in one call, `exchange`: the endpoint hands over what it has settled and takes what comes
// next under a lease. A claim whose answer is lost is claimed again when the lease has run out. What begins such a
// conversation is `ring`: the home calls, with the first claims; if that fails, a doorbell goes through the queue.

import type { ErrorClass, Outcome } from "./outcome.ts";

/** A message in the queue of doorbells: "this home has something for this endpoint". It is never the only copy. */
export type Doorbell = {
  kind: "ring";
  /** Durable Object id of the home. */
  home: string;
  /** Name of the EndpointObject: `<owner>|<origin>`. */
  endpoint: string;
};

/** A message in the dead-letter queue: these notifications of a home died and want to be filed in D1. */
export type DeadNotice = { kind: "dead"; home: string; ids: string[] };

/**
 * Of messages in the queues. One of another version is left there for the code that knows it: while a deployment goes on
 * there are both. One without a version is of the time before there was any, and as in version 1.
 */
export const MESSAGE_VERSION = 1;

/** What goes into a queue, with its version. */
export function toMessage<T extends { kind: string }>(content: T): T & { v: number } {
  return { v: MESSAGE_VERSION, ...content };
}

/** The name of the EndpointObject that sends an owner's notifications to an origin (scheme, host, port). */
export function endpointName(owner: string, origin: string): string {
  return `${owner}|${origin}`;
}

/** What a config asks for beyond a URL, without its secrets. */
export type ClaimOptions = {
  /** The scheme of `authentication`, spelled as configured. */
  scheme?: string;
  jwt?: { audience?: string };
  oauth2?: {
    tokenUrl: string;
    clientId: string;
    scope?: string;
    audience?: string;
    method: "client_secret_basic" | "client_secret_post";
  };
  /** Per URL; never above what the deployment allows. */
  rateLimit?: { perMinute: number; burst?: number };
  securityLevel?: string;
};

/** One notification (or one batch of them) to be sent once. */
export type Claim = {
  /** The lane, or the batch of lanes, that is claimed; at most one send of it may be under way. */
  key: string;
  /** The lanes it belongs to: one, or the members of a batch. A lane is named by its config's generation. */
  lanes: string[];
  /** The `webhook-id`: the same on every attempt; no dot in it. */
  id: string;
  task: string;
  config: string;
  /** The URL without its query: what breaker, bucket and pauses go by. */
  target: string;
  url: string;
  /** `webhook-sequence`: 1, 2, 3 … per config; of a batch the first. */
  sequence: number;
  /** 1 for the first attempt. */
  attempt: number;
  /** The same bytes on every attempt. */
  body: string;
  contentType: string;
  /** `A2A-Version` of the payload. */
  version: string;
  /** The config's PushSecrets, encrypted with the context `<task>/<config>`; null: it has none. */
  sealed: string | null;
  options: ClaimOptions;
  /** When the event was committed, in ms; of a batch the first. */
  committedAt: number;
  /** When this attempt was due, in ms. */
  plannedAt: number;
  /** What follows in the lane: sent one after the other, each only once the one before was delivered. */
  following: Following[];
};

/**
 * What follows begins within so many ms of the first send, or is left to the home: who waits for the end of a claim that
 * is under way waits this much longer than an attempt may take.
 */
export const FOLLOWING_MS = 1_000;

/**
 * An endpoint begins to send a claim only if its home has said within so many ms that it stands. So a lane whose end its
 * endpoint could not be told is over after this time and an attempt.
 */
export const STANDS_MS = 15_000;

/** A notification that a claim brings along: its first attempt, with all else as in the claim. */
export type Following = Pick<Claim, "id" | "sequence" | "body" | "committedAt">;

/** The claim of the first of those that follow; undefined: there is none. */
export function nextOf(claim: Claim): Claim | undefined {
  const [next, ...following] = claim.following;
  return next && { ...claim, ...next, attempt: 1, following };
}

/** The length of all bodies of a claim. */
export function charsOf({ body, following }: Claim): number {
  return following.reduce((sum, next) => sum + next.body.length, body.length);
}

/** What became of one attempt. */
export type Settlement = {
  key: string;
  /** Of the claim: a settlement of another attempt than the present one is ignored. */
  id: string;
  attempt: number;
  /** `released`: not attempted (paused, stopped, aborted before the send); uses up no attempt. */
  outcome: Outcome | "released";
  /** When it was sent, in ms; 0 if it was not. */
  startedAt: number;
  durationMs: number;
  /** HTTP status, if there was an answer. */
  status?: number;
  error?: ErrorClass;
  /** The beginning of the answer (at most 4 KB), on failure only. */
  response?: string;
  /** Of Retry-After: the next attempt comes not before so many ms from the answer. */
  retryAfterMs?: number;
};

/** How much of a target may be claimed now. Targets not named may be claimed without limit. */
export type Allowance = {
  /** `*`: every target that is not named, for what the deployment's limit or an operator says of all. */
  target: string;
  /** Claims at most. */
  claims: number;
  /** Nothing before this time (ms): breaker, bucket, Retry-After or an operator's pause. */
  holdUntil?: number;
};

export type ExchangeRequest = {
  endpoint: string;
  settled: Settlement[];
  /** Claims wanted at most; 0: only to settle. */
  want: number;
  allowances: Allowance[];
  /** Keys of claims that are being sent or wait in the endpoint: they are not claimed again. */
  busy: string[];
  /** From an endpoint that runs the code of before, what it has counted; one of today tells the metrics itself. */
  counters: Record<string, number>;
  /** When (ms) an operator has last resumed the endpoint, which was paused: the age of what waits counts from then. */
  resumedAt?: number;
  /** Until when (ms) the origin counts as validated by the challenge; absent: unchanged. */
  validatedUntil?: number;
};

export type ExchangeAnswer = {
  claims: Claim[];
  /** Whether more could have been claimed had more been wanted: call again when there is room. */
  more: boolean;
  /** Keys among the busy ones of which no send is to begin any more: deleted, replaced or stopped meanwhile. */
  gone?: string[];
};

/** An answer on its way: bodies in UTF-8. As strings they could be twice as long, and exceed what RPC carries. */
export type ExchangeWire = Omit<ExchangeAnswer, "claims"> & { claims: ClaimWire[] };

type Encoded<T extends { body: string }> = Omit<T, "body"> & { body: Uint8Array };
/** From a home that runs the code of before, nothing follows. */
type ClaimWire = Encoded<Omit<Claim, "following">> & { following?: Encoded<Following>[] };

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export function toWire({ claims, ...rest }: ExchangeAnswer): ExchangeWire {
  const encode = <T extends { body: string }>(one: T) => ({ ...one, body: encoder.encode(one.body) });
  return {
    ...rest,
    claims: claims.map((claim) => ({ ...encode(claim), following: claim.following.map(encode) })),
  };
}

export function fromWire({ claims, ...rest }: ExchangeWire): ExchangeAnswer {
  const decode = <T extends { body: Uint8Array }>(one: T) => ({ ...one, body: decoder.decode(one.body) });
  return {
    ...rest,
    claims: claims.map((claim) => ({ ...decode(claim), following: claim.following?.map(decode) ?? [] })),
  };
}

/** The methods of a home that endpoints call. */
export type DeliveryObject = { exchange(request: ExchangeRequest): Promise<ExchangeWire> };

/** A home as endpoints see it. Each call may be made twice with the same effect as once; each settles. */
export type DeliveryHome = {
  exchange(request: ExchangeRequest): Promise<ExchangeAnswer>;
};

/** An endpoint as homes, the queue's consumer and operators see it. */
export type Endpoint = {
  /**
   * Something is due in this home; `offered`: the first of it, claimed already. Answers at once; the sending goes on
   * under `waitUntil`.
   */
  ring(home: string, offered?: ExchangeWire): Promise<void>;
  /**
   * Drops what is claimed of a lane and aborts its send. When it answers, no send of the lane is under way, and none
   * will start from a claim made before.
   */
  forget(home: string, lane: string): Promise<void>;
  /**
   * Forgets tokens, the state of every URL, and whether the origin was validated. A pause by an operator stays: it is
   * lifted by one.
   */
  erase(): Promise<void>;
};

/** How deliveries of one config fare. Times in ms; null: there is none. */
export type DeliveryHealth = {
  state: "active" | "paused" | "disabled";
  /** Why it is not active. */
  reason: string | null;
  stateAt: number | null;
  /** Notifications that wait to be delivered, those that are sent again among them. */
  pending: number;
  oldestPendingAt: number | null;
  nextAttemptAt: number | null;
  /** Attempts that the one that is tried next has had. */
  attempt: number;
  delivered: number;
  dead: number;
  failingSince: number | null;
  lastAttemptAt: number | null;
  lastStatus: number | null;
  lastError: string | null;
};
