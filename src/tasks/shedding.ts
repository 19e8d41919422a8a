// Load shedding: while old work is behind, new work is refused, so that what was accepted is done.
//
// New work is a message that makes a task, and a push notification config. Follow-ups, cancellations, reads and the
// notifications themselves go on: they bring old work to its end. Two things may be behind, and each refuses only what
// makes it worse: the home (messages and configs), and the notifications to an endpoint (configs for it, and messages
// that bring one). An endpoint that is slow or dead is no reason to refuse what goes to another.

import type { Config } from "../config.ts";
import { type Failure, failure } from "../protocol/errors.ts";

export type Cause = "home" | "notifications";

/** How things stand. */
export type Signals = {
  /** Calls that wait for a commit to end. */
  waiting: number;
  /** How long the newest commit took; undefined: there was none lately. */
  commitMs: number | undefined;
  /** Of an endpoint: how long the oldest notification is overdue that nobody has asked to wait. */
  overdueMs: number;
  /** Of an endpoint: configs with a notification that waits. */
  backlog: number;
};

export type Limits = Pick<Config, "shedWaiting" | "shedCommitMs" | "shedOverdueMs" | "shedBacklog">;

/** Since when new work is refused (ms); undefined: it is not. */
export type Shed = number | undefined;

/** It is not ended earlier, so that who comes back after Retry-After finds it decided anew. */
const LEAST_MS = 5_000;
const RETRY_SECONDS = 5;

/** How much of what it may be one of the values is, the largest counts; 1: all of it. A limit of 0 is none. */
function loadOf(...values: [value: number, limit: number][]): number {
  return Math.max(...values.map(([value, limit]) => (limit === 0 ? 0 : value / limit)));
}

/**
 * Begins at the limit and ends at half of it: between the two it stays as it was, or a home at its limit would refuse
 * every other call.
 */
export function judge(shed: Shed, load: number, now: number): Shed {
  if (shed === undefined) return load >= 1 ? now : undefined;
  return load <= 0.5 && Math.abs(now - shed) >= LEAST_MS ? undefined : shed;
}

export type SheddingOptions = {
  limits: Limits;
  now(): number;
  /** Asked only when new work comes. */
  home(): Pick<Signals, "waiting" | "commitMs">;
  /** Asked of each endpoint at most once a second. */
  notifications(endpoint: string): Pick<Signals, "overdueMs" | "backlog">;
  /** New work begins to be refused. */
  began(cause: Cause): void;
  refused(cause: Cause): void;
};

const LOOK_MS = 1_000;

/** How one of the two stands; `lookedAt`: when that was judged (ms). */
type Standing = { shed: Shed; lookedAt: number };

/** Endpoints that are remembered; beyond this number all are judged anew. */
const ENDPOINTS = 1_000;

export class Shedding {
  readonly #options: SheddingOptions;
  readonly #home = unknown();
  readonly #endpoints = new Map<string, Standing>();

  constructor(options: SheddingOptions) {
    this.#options = options;
  }

  /** Why new work is refused, if it is; `endpoint`: the one that its notifications go to, if it brings any. */
  refusal(endpoint: string | undefined): Failure | undefined {
    const { limits, now, home, notifications } = this.#options;
    const at = now();
    const { waiting, commitMs = 0 } = home();
    const load = loadOf([waiting, limits.shedWaiting], [commitMs, limits.shedCommitMs]);
    this.#judge("home", this.#home, load, at);
    if (this.#home.shed !== undefined) return this.#refuse("home");
    if (endpoint === undefined || (limits.shedOverdueMs === 0 && limits.shedBacklog === 0)) return undefined;
    const standing = this.#standingOf(endpoint);
    if (Math.abs(at - standing.lookedAt) >= LOOK_MS) {
      const { overdueMs, backlog } = notifications(endpoint);
      const load = loadOf([overdueMs, limits.shedOverdueMs], [backlog, limits.shedBacklog]);
      this.#judge("notifications", standing, load, at);
    }
    return standing.shed === undefined ? undefined : this.#refuse("notifications");
  }

  #standingOf(endpoint: string): Standing {
    const known = this.#endpoints.get(endpoint);
    if (known) return known;
    if (this.#endpoints.size >= ENDPOINTS) this.#endpoints.clear();
    const standing = unknown();
    this.#endpoints.set(endpoint, standing);
    return standing;
  }

  #judge(cause: Cause, standing: Standing, load: number, at: number): void {
    const before = standing.shed;
    standing.shed = judge(before, load, at);
    standing.lookedAt = at;
    if (before === undefined && standing.shed !== undefined) this.#options.began(cause);
  }

  #refuse(cause: Cause): Failure {
    this.#options.refused(cause);
    return failure("UNAVAILABLE", {
      message:
        cause === "home"
          ? "This owner's tasks are behind, so no new work is taken; what runs goes on"
          : "Notifications to this endpoint are behind, so no new ones are taken; what waits goes on",
      metadata: { behind: cause },
      retryAfterSeconds: RETRY_SECONDS,
    });
  }
}

function unknown(): Standing {
  return { shed: undefined, lookedAt: Number.NEGATIVE_INFINITY };
}
