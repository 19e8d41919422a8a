// What becomes of a lane when an attempt has ended: on to the next notification, again later, or given up.
//
// Called inside the home's transaction. Everything that follows from an attempt is written in it: the lane, the
// attempt for the history, and the dead letter if the notification died.

import type { Settlement } from "../delivery/exchange.ts";
import { type Plan, planNext } from "../delivery/schedule.ts";
import { metricKey } from "../telemetry/metrics.ts";
import { type Claims, type Member, notificationId } from "./claims.ts";
import type { DeadLetters } from "./dead-letters.ts";
import type { Journal } from "./journal.ts";
import type { Lane, LaneState, Lanes, Notification } from "./lanes.ts";
import type { Outbox, OutboxItem } from "./outbox.ts";
import type { PushConfig, PushConfigs } from "./push-configs.ts";
import { upcoming } from "./upcoming.ts";

/** A config that has met nothing but failures for so long, and so often, is disabled. */
const DISABLE_AFTER_MS = 5 * 86_400_000;
const DISABLE_AFTER_ATTEMPTS = 10;
/** What was over sooner than this, days before the next attempt, was another outage. */
const OUTAGE_MS = 43_200_000;

export type SettlingOptions = {
  lanes: Lanes;
  configs: PushConfigs;
  journal: Journal;
  claims: Claims;
  outbox: Outbox;
  dead: DeadLetters;
  /** The deployment's schedule: the delay before each attempt, in ms. */
  retryMs: readonly number[];
  /** From 0 up to 1. */
  random(): number;
};

export class Settling {
  readonly #options: SettlingOptions;

  constructor(options: SettlingOptions) {
    this.#options = options;
  }

  /**
   * Applies what an endpoint, which was last resumed at `resumedAt` (ms), says of an attempt; false if it speaks of what
   * is past.
   */
  settle(settlement: Settlement, now: number, resumedAt = 0): boolean {
    const { lanes, configs, claims } = this.#options;
    if (settlement.outcome === "released") return false;
    const present = claims.members(settlement.key).filter((member) => isPresent(member, settlement));
    const [first] = present;
    if (!first) return false;
    // What was sent together is tried again together, or given up.
    const plan = this.#plan(present, first, settlement, now, resumedAt);
    const { batch } = first.lane;
    for (const member of present) {
      const { lane } = member;
      const config = configs.get(lane.task, lane.config);
      if (lane.failingSince !== null) lane.failingSince = Math.max(lane.failingSince, resumedAt);
      if (config) this.#settleMember(member, config, settlement, plan, now);
    }
    if (batch !== null && plan?.next !== "retry") lanes.deleteBatch(batch);
    return true;
  }

  /** What comes after a failure; undefined: there was none, or nothing comes after it. */
  #plan(
    present: readonly Member[],
    { lane }: Member,
    { outcome, status, error, retryAfterMs }: Settlement,
    now: number,
    resumedAt: number,
  ): Plan | undefined {
    if (outcome === "delivered" || outcome === "gone" || outcome === "released") return undefined;
    const { configs, retryMs, random } = this.#options;
    // A batch has the time of its youngest notification: those that are older are tried longer, none is tried too briefly.
    const committed = present.flatMap((member) =>
      member.notifications.map(([seq]) => this.#committedAt(member.lane, seq)),
    );
    return planNext({
      outcome,
      attempt: lane.attempt + 1,
      now,
      committedAt: Math.max(...committed),
      clockFrom: Math.max(resumedAt, ...present.map((member) => member.lane.clockFrom)),
      retryMs: configs.get(lane.task, lane.config)?.retryMs ?? retryMs,
      retryAfterMs,
      random: random(),
      status,
      error,
    });
  }

  /** Moves a lane to the first notification after journal row `after`; a lane that sends again ends with its list. */
  advance(lane: Lane, config: PushConfig | undefined, after: number, now: number): void {
    const { lanes, journal } = this.#options;
    lane.attempt = 0;
    lane.batch = null;
    const { value: next } = upcoming(journal, lane, config?.events ?? null, after, lane.sequence).next();
    if (!next && lane.list) {
      this.#end(lane, config);
      return;
    }
    lane.pending = next !== undefined;
    lane.head = next ? next[0] : after;
    lane.due = next && lane.state === "active" ? now : null;
    lanes.save(lane);
  }

  /** Deletes a lane that has sent its list; of its attempts the newest stays known. */
  #end(lane: Lane, config: PushConfig | undefined): void {
    const { lanes } = this.#options;
    lanes.delete(lane.task, lane.lane);
    const main = config && lanes.get(lane.task, config.lane);
    if (!main || (lane.lastAt ?? 0) <= (main.lastAt ?? 0)) return;
    const { lastAt, lastStatus, lastError } = lane;
    lanes.save({ ...main, lastAt, lastStatus, lastError });
  }

  /**
   * Stops a config and all that is under way for it, or lets it go on with what has gathered meanwhile; false if that
   * is its state already.
   */
  setState(task: string, config: PushConfig, state: LaneState, reason: string | null, now: number): boolean {
    const { lanes, outbox } = this.#options;
    let changed = false;
    for (const lane of lanes.forTask(task)) {
      if (lane.config !== config.id || lane.state === state) continue;
      changed = true;
      const resumed = state === "active";
      lanes.save({
        ...lane,
        state,
        reason,
        stateAt: now,
        due: resumed && lane.pending ? now : null,
        batch: null,
        // The clock of what waits stood still; it is given its whole time again.
        ...(resumed && { attempt: 0, clockFrom: now, failures: 0, failingSince: null }),
      });
      if (lane.list === null) outbox.add([toConfigItem(config, lane, state, reason, now)]);
    }
    return changed;
  }

  #settleMember(
    { lane, notifications }: Member,
    config: PushConfig,
    settlement: Settlement,
    plan: Plan | undefined,
    now: number,
  ): void {
    const { lanes, outbox } = this.#options;
    const { outcome, startedAt, status, error } = settlement;
    const last = notifications.at(-1);
    if (last === undefined) return;
    outbox.add(notifications.map((notification) => this.#attempt(lane, config, notification, settlement)));
    const before = lane.lastAt;
    lane.lastAt = startedAt;
    lane.lastStatus = status ?? null;
    lane.lastError = error ?? null;
    if (outcome === "delivered") {
      lane.delivered += notifications.length;
      lane.failures = 0;
      lane.failingSince = null;
      this.#leave(lane, config, last, now);
      return;
    }
    lane.attempt += 1;
    const since = lane.failingSince ?? startedAt;
    const isLong = now - since >= DISABLE_AFTER_MS;
    const isAnother = isLong && (before ?? since) - since < OUTAGE_MS;
    lane.failures = isAnother ? 1 : lane.failures + 1;
    lane.failingSince = isAnother ? startedAt : since;
    const isHopeless = isLong && lane.failures >= DISABLE_AFTER_ATTEMPTS;
    if (outcome === "gone") {
      lanes.save(lane);
      this.#disable(lane, config, "gone", "The receiver answered 410 Gone.", now);
    } else if (isHopeless) {
      lanes.save(lane);
      const days = DISABLE_AFTER_MS / 86_400_000;
      this.#disable(lane, config, "failing", `Nothing but failures for ${days} days.`, now);
    } else if (plan?.next === "dead") {
      for (const notification of notifications)
        this.#bury(lane, config, notification, plan.reason, settlement, now);
      lane.dead += notifications.length;
      const key = metricKey("a2a_webhook_deliveries_total", { outcome: "dead" });
      outbox.add([{ kind: "counters", counters: { [key]: notifications.length } }]);
      this.#leave(lane, config, last, now);
    } else if (plan) {
      // One that was paused meanwhile waits until it goes on.
      lane.due = lane.state === "active" ? plan.at : null;
      lanes.save(lane);
    }
  }

  #disable(lane: Lane, config: PushConfig, why: "gone" | "failing", reason: string, now: number): void {
    this.setState(lane.task, config, "disabled", reason, now);
    const key = metricKey("a2a_webhook_configs_disabled_total", { reason: why });
    this.#options.outbox.add([{ kind: "counters", counters: { [key]: 1 } }]);
  }

  /** The notifications up to this one have come to an end. */
  #leave(lane: Lane, config: PushConfig, [seq, sequence]: Notification, now: number): void {
    if (lane.list === null) lane.sequence = sequence;
    this.advance(lane, config, seq, now);
  }

  #committedAt(lane: Lane, seq: number): number {
    return this.#options.journal.writtenAt(lane.task, seq);
  }

  #attempt(
    lane: Lane,
    config: PushConfig,
    [seq, sequence]: Notification,
    settlement: Settlement,
  ): OutboxItem {
    const { outcome, status, error, durationMs, startedAt, response } = settlement;
    return {
      kind: "attempt",
      attempt: {
        ...placeOf(lane, config),
        notification: notificationId(lane, seq),
        sequence,
        attempt: lane.attempt + 1,
        outcome,
        status: status ?? null,
        error: error ?? null,
        durationMs,
        committedAt: this.#committedAt(lane, seq),
        // What followed in a claim became due, for the home, only when it heard that it had been sent.
        plannedAt: Math.min(lane.due ?? startedAt, startedAt),
        startedAt,
        response: response ?? null,
      },
    };
  }

  #bury(
    lane: Lane,
    config: PushConfig,
    [seq, sequence]: Notification,
    reason: string,
    { status, error }: Settlement,
    now: number,
  ): void {
    this.#options.dead.add({
      ...placeOf(lane, config),
      version: config.version,
      id: notificationId(lane, seq),
      lane: lane.lane,
      seq,
      sequence,
      reason,
      error: error ?? null,
      status: status ?? null,
      attempts: lane.attempt,
      committedAt: this.#committedAt(lane, seq),
      diedAt: now,
    });
  }
}

/** Whether the settlement is of this claim as it stands. What was delivered is, whatever attempt it was. */
function isPresent({ lane, notifications }: Member, { key, id, attempt, outcome }: Settlement): boolean {
  const head = notifications[0]?.[0];
  if (!lane.pending || head !== lane.head) return false;
  if (!key.startsWith("batch/") && id !== notificationId(lane, lane.head)) return false;
  return outcome === "delivered" || attempt === lane.attempt + 1;
}

/** What of a lane's place D1 is told. */
export function placeOf(lane: Lane, config: PushConfig) {
  const bar = lane.endpoint.lastIndexOf("|");
  return {
    owner: lane.endpoint.slice(0, bar),
    origin: lane.endpoint.slice(bar + 1),
    agent: config.agent,
    task: lane.task,
    config: lane.config,
    target: lane.target,
  };
}

/** The row of D1's index of configs. */
export function toConfigItem(
  config: PushConfig,
  lane: Lane,
  state: LaneState,
  reason: string | null,
  now: number,
): OutboxItem {
  return {
    kind: "config",
    config: { ...placeOf(lane, config), state, reason, createdAt: config.createdAt, updatedAt: now },
  };
}
