// What one caller may ask of a home, and how much may go on in it at once: counted in memory, so an admitted call
// costs no row. A home that starts anew has forgotten it, which gives each caller one burst.
//
// A caller is a credential, also when it comes by one of its sessions. An owner's callers share a home. One that floods it is refused before its calls wait with those of the others.

import { credentialOf } from "../auth/caller.ts";
import type { Config } from "../config.ts";
import type { Rate } from "../lib/bucket.ts";
import { Buckets } from "../lib/buckets.ts";
import { err, type Result } from "../lib/result.ts";
import { type Failure, failure } from "../protocol/errors.ts";
import type { By } from "./commands.ts";

/** What is counted by the minute: messages; setting and deleting push notification configs; and all the rest. */
export type CallKind = "sends" | "push_configs" | "reads";

/** What may go on at once: of one caller, or (`turns`) of all callers of the home. */
export type Crowd = "streams" | "waiting_sends" | "turns";

export type LimitName = CallKind | Crowd;

export type LimitsOptions = {
  config: Pick<
    Config,
    | "callerSendsPerMinute"
    | "callerReadsPerMinute"
    | "callerPushConfigsPerMinute"
    | "callerBurstMs"
    | "callerStreams"
    | "callerWaitingSends"
    | "ownerTurns"
  >;
  now(): number;
  refused(limit: LimitName): void;
};

/** Callers of one owner whose buckets are kept. */
const MAX_CALLERS = 10_000;
/** Nobody knows when a stream or a turn will end. */
const CROWDED_RETRY_SECONDS = 5;

type Actor = Pick<By, "actor">;

export class Limits {
  readonly #options: LimitsOptions;
  readonly #buckets: Readonly<Record<CallKind, Buckets | undefined>>;
  readonly #streams = new Map<string, number>();
  readonly #waiting = new Map<string, number>();

  constructor(options: LimitsOptions) {
    const { config } = options;
    const bucketsOf = (perMinute: number) => {
      if (perMinute === 0) return undefined;
      return new Buckets(toRate(perMinute, config.callerBurstMs), MAX_CALLERS);
    };
    this.#options = options;
    this.#buckets = {
      sends: bucketsOf(config.callerSendsPerMinute),
      push_configs: bucketsOf(config.callerPushConfigsPerMinute),
      reads: bucketsOf(config.callerReadsPerMinute),
    };
  }

  /** Counts a call; why it is refused, if it is. */
  call(kind: CallKind, { actor }: Actor): Failure | undefined {
    const { now } = this.#options;
    const at = now();
    const retryAt = this.#buckets[kind]?.take(credentialOf(actor), at);
    if (retryAt === undefined) return undefined;
    return this.#refuse(kind, Math.ceil((retryAt - at) / 1_000));
  }

  /** Whether one more turn may begin beside those that run. */
  turn(running: number): Failure | undefined {
    const { ownerTurns } = this.#options.config;
    if (ownerTurns === 0 || running < ownerTurns) return undefined;
    return this.#refuse("turns", CROWDED_RETRY_SECONDS);
  }

  /** Opens a stream as one of the caller's, until `closed` is called; one that does not open is closed. */
  async stream<T>(
    { actor }: Actor,
    open: (closed: () => void) => Promise<Result<T, Failure>>,
  ): Promise<Result<T, Failure>> {
    const caller = credentialOf(actor);
    if (isCrowded(this.#streams, caller, this.#options.config.callerStreams)) {
      return err(this.#refuse("streams", CROWDED_RETRY_SECONDS));
    }
    const closed = enter(this.#streams, caller);
    try {
      const opened = await open(closed);
      if (!opened.ok) closed();
      return opened;
    } catch (error) {
      closed();
      throw error;
    }
  }

  /** Waits for a task as one of the caller's sends that do. */
  async wait<T>({ actor }: Actor, send: () => Promise<Result<T, Failure>>): Promise<Result<T, Failure>> {
    const caller = credentialOf(actor);
    if (isCrowded(this.#waiting, caller, this.#options.config.callerWaitingSends)) {
      return err(this.#refuse("waiting_sends", CROWDED_RETRY_SECONDS));
    }
    const left = enter(this.#waiting, caller);
    try {
      return await send();
    } finally {
      left();
    }
  }

  #refuse(limit: LimitName, retryAfterSeconds: number): Failure {
    this.#options.refused(limit);
    return failure("RATE_LIMIT_EXCEEDED", {
      message: messages[limit],
      metadata: { limit },
      retryAfterSeconds: Math.max(1, retryAfterSeconds),
    });
  }
}

const messages: Readonly<Record<LimitName, string>> = {
  sends: "Too many messages a minute",
  push_configs: "Too many changes of push notification configs a minute",
  reads: "Too many calls a minute",
  streams: "Too many open streams; close one first",
  waiting_sends: "Too many sends that wait for their tasks; use returnImmediately, or wait for one of them",
  turns: "Too many turns are running; wait for one to end",
};

/** What may come at once is what comes in `burstMs`, and at least one. */
function toRate(perMinute: number, burstMs: number): Rate {
  return { perMinute, burst: Math.max(1, Math.floor((perMinute * burstMs) / 60_000)) };
}

function isCrowded(counts: ReadonlyMap<string, number>, actor: string, most: number): boolean {
  return most > 0 && (counts.get(actor) ?? 0) >= most;
}

/** Counts one in, and out when what it returns is called, however often that is. */
function enter(counts: Map<string, number>, actor: string): () => void {
  let isIn = true;
  counts.set(actor, (counts.get(actor) ?? 0) + 1);
  return () => {
    if (!isIn) return;
    isIn = false;
    const rest = (counts.get(actor) ?? 1) - 1;
    if (rest === 0) counts.delete(actor);
    else counts.set(actor, rest);
  };
}
