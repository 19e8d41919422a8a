// How the deliveries of one config fare, for its owner and for operators.

import type { DeliveryHealth } from "../delivery/exchange.ts";
import type { Journal } from "./journal.ts";
import type { Lane } from "./lanes.ts";
import type { PushConfig } from "./push-configs.ts";
import { upcoming } from "./upcoming.ts";

/** Pending notifications are counted up to here; more are as bad. */
const MAX_COUNT = 10_000;

/** `lanes`: those of the config, with what is being sent again for it. */
export function healthOf(journal: Journal, config: PushConfig, lanes: readonly Lane[]): DeliveryHealth {
  const main = lanes.find((lane) => lane.list === null);
  if (!main) return never;
  const waiting = lanes.filter((lane) => lane.pending);
  const next = waiting.reduce<Lane | undefined>(
    (first, lane) => (isSooner(lane, first) ? lane : first),
    undefined,
  );
  const latest = lanes.reduce((last, lane) => ((lane.lastAt ?? 0) > (last.lastAt ?? 0) ? lane : last), main);
  const heads = waiting.map((lane) => journal.writtenAt(lane.task, lane.head));
  return {
    state: main.state,
    reason: main.reason,
    stateAt: main.stateAt,
    pending: countPending(journal, config, waiting),
    oldestPendingAt: heads.length > 0 ? Math.min(...heads) : null,
    nextAttemptAt: next?.due ?? null,
    attempt: next?.attempt ?? 0,
    delivered: main.delivered,
    dead: main.dead,
    failingSince: main.failingSince,
    lastAttemptAt: latest.lastAt,
    lastStatus: latest.lastStatus,
    lastError: latest.lastError,
  };
}

/** Whether a lane is tried before another. Those that stand still are tried in no order: the older event is first. */
function isSooner(lane: Lane, other: Lane | undefined): boolean {
  if (!other) return true;
  const [due, otherDue] = [lane.due ?? Number.POSITIVE_INFINITY, other.due ?? Number.POSITIVE_INFINITY];
  return due === otherDue ? lane.head < other.head : due < otherDue;
}

function countPending(journal: Journal, config: PushConfig, waiting: readonly Lane[]): number {
  let pending = 0;
  for (const lane of waiting) {
    for (const _ of upcoming(journal, lane, config.events, lane.head - 1, lane.sequence)) {
      pending++;
      if (pending === MAX_COUNT) return pending;
    }
  }
  return pending;
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
