// A row of the table `lanes`, and the lane that it is.

import type { Lane, LaneState, Notification } from "./lanes.ts";

export type LaneRow = {
  task: string;
  lane: string;
  config: string;
  endpoint: string;
  target: string;
  ids: string;
  start: number;
  list: string | null;
  sequence: number;
  head: number;
  attempt: number;
  due: number | null;
  pending: number;
  clock_from: number;
  state: string;
  reason: string | null;
  state_at: number;
  delivered: number;
  dead: number;
  failures: number;
  failing_since: number | null;
  last_at: number | null;
  last_status: number | null;
  last_error: string | null;
  batch: string | null;
};

/** The columns that change in a lane's life, in the order of the table. */
export function changing(lane: Lane) {
  return [
    lane.sequence,
    lane.head,
    lane.attempt,
    lane.due,
    lane.pending ? 1 : 0,
    lane.clockFrom,
    lane.state,
    lane.reason,
    lane.stateAt,
    lane.delivered,
    lane.dead,
    lane.failures,
    lane.failingSince,
    lane.lastAt,
    lane.lastStatus,
    lane.lastError,
    lane.batch,
  ];
}

export function toLane(row: LaneRow): Lane {
  return {
    task: row.task,
    lane: row.lane,
    config: row.config,
    endpoint: row.endpoint,
    target: row.target,
    ids: row.ids,
    start: row.start,
    list: row.list === null ? null : (JSON.parse(row.list) as Notification[]),
    sequence: row.sequence,
    head: row.head,
    pending: row.pending === 1,
    attempt: row.attempt,
    due: row.due,
    clockFrom: row.clock_from,
    state: row.state as LaneState,
    reason: row.reason,
    stateAt: row.state_at,
    delivered: row.delivered,
    dead: row.dead,
    failures: row.failures,
    failingSince: row.failing_since,
    lastAt: row.last_at,
    lastStatus: row.last_status,
    lastError: row.last_error,
    batch: row.batch,
  };
}
