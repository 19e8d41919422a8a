// How the deliveries of one config fare, for its owner and for operators.

import type { DeliveryHealth } from "../delivery/exchange.ts";
import type { Journal } from "./journal.ts";
import type { Lane } from "./lanes.ts";
import type { PushConfig } from "./push-configs.ts";
import { upcoming } from "./upcoming.ts";

/** Pending notifications are counted up to here; more are as bad. */
const MAX_COUNT = 10_000;

export function healthOf(journal: Journal, config: PushConfig, lane: Lane | undefined): DeliveryHealth {
  if (!lane) return never;
  let pending = 0;
  if (lane.pending) {
    for (const _ of upcoming(journal, lane, config.events, lane.head - 1, lane.sequence)) {
      pending++;
      if (pending === MAX_COUNT) break;
    }
  }
  return {
    state: lane.state,
    reason: lane.reason,
    stateAt: lane.stateAt,
    pending,
    oldestPendingAt: lane.pending ? journal.writtenAt(lane.task, lane.head) : null,
    nextAttemptAt: lane.due,
    attempt: lane.attempt,
    delivered: lane.delivered,
    dead: lane.dead,
    failingSince: lane.failingSince,
    lastAttemptAt: lane.lastAt,
    lastStatus: lane.lastStatus,
    lastError: lane.lastError,
  };
}

const never: DeliveryHealth = {
  state: "active",
  reason: null,
  stateAt: null,
  pending: 0,
  oldestPendingAt: null,
  nextAttemptAt: null,
  attempt: 0,
  delivered: 0,
  dead: 0,
  failingSince: null,
  lastAttemptAt: null,
  lastStatus: null,
  lastError: null,
};
