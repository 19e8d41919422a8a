// Load shedding: while old work is behind, new work is refused, so that what was accepted is done.
//
// New work is a message that makes a task, and a push notification config. Follow-ups, cancellations, reads and the
// notifications themselves go on: they bring old work to its end. Two things may be behind, and each refuses only what
// makes it worse: the home (messages and configs), and its notifications (configs, and messages that bring one).

import type { Config } from "../config.ts";
import { type Failure, failure } from "../protocol/errors.ts";

export type Cause = "home" | "notifications";

/** How things stand. */
export type Signals = {
  /** Calls that wait for a commit to end. */
  waiting: number;
  /** How long the newest commit took; undefined: there was none lately. */
  commitMs: number | undefined;
  /** How long the oldest notification is overdue that nobody has asked to wait. */
  overdueMs: number;
  /** Configs with a notification that waits. */
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
  /** Asked at most once a second. */
  notifications(): Pick<Signals, "overdueMs" | "backlog">;
  /** New work begins to be refused. */
  began(cause: Cause): void;
  refused(cause: Cause): void;
};

const LOOK_MS = 1_000;

export class Shedding {
  readonly #options: SheddingOptions;
  readonly #shed: Record<Cause, Shed> = { home: undefined, notifications: undefined };
  #lookedAt = Number.NEGATIVE_INFINITY;

  constructor(options: SheddingOptions) {
    this.#options = options;
  }

  /** Why new work is refused, if it is; `notifies`: it brings notifications. */
  refusal(notifies: boolean): Failure | undefined {
    const { limits, now, home, notifications } = this.#options;
    const at = now();
    const { waiting, commitMs = 0 } = home();
    this.#judge("home", loadOf([waiting, limits.shedWaiting], [commitMs, limits.shedCommitMs]), at);
    if (this.#shed.home !== undefined) return this.#refuse("home");
    if (!notifies || (limits.shedOverdueMs === 0 && limits.shedBacklog === 0)) return undefined;
    if (Math.abs(at - this.#lookedAt) >= LOOK_MS) {
      this.#lookedAt = at;
      const { overdueMs, backlog } = notifications();
      const load = loadOf([overdueMs, limits.shedOverdueMs], [backlog, limits.shedBacklog]);
      this.#judge("notifications", load, at);
    }
    return this.#shed.notifications === undefined ? undefined : this.#refuse("notifications");
  }

  #judge(cause: Cause, load: number, at: number): void {
    const before = this.#shed[cause];
    this.#shed[cause] = judge(before, load, at);
    if (before === undefined && this.#shed[cause] !== undefined) this.#options.began(cause);
  }

  #refuse(cause: Cause): Failure {
    this.#options.refused(cause);
    return failure("UNAVAILABLE", {
      message:
        cause === "home"
          ? "This owner's tasks are behind, so no new work is taken; what runs goes on"
          : "This owner's notifications are behind, so no new ones are taken; what waits goes on",
      metadata: { behind: cause },
      retryAfterSeconds: RETRY_SECONDS,
    });
  }
}
