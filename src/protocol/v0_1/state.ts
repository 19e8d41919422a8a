// States by their names in A2A 0.1, which has two fewer: a rejected task has failed, and one that waits for
// authentication waits for input, which is what it takes the next message for. `unknown` is never said.

import type { TaskState } from "../state.ts";

const states = {
  TASK_STATE_SUBMITTED: "submitted",
  TASK_STATE_WORKING: "working",
  TASK_STATE_COMPLETED: "completed",
  TASK_STATE_FAILED: "failed",
  TASK_STATE_CANCELED: "canceled",
  TASK_STATE_INPUT_REQUIRED: "input-required",
  TASK_STATE_REJECTED: "failed",
  TASK_STATE_AUTH_REQUIRED: "input-required",
} as const satisfies Record<TaskState, string>;

export type OldestTaskState = (typeof states)[TaskState];

export function toOldestState(state: TaskState): OldestTaskState {
  return states[state];
}
