// The states of a task and the moves between them (§4.1.3). Terminal states are final: a caller who wants
// more starts a new task. Interrupted ones wait for the caller.

import type * as z from "zod/mini";
import { enumeration } from "./scalars.ts";

export const TaskState = enumeration("TaskState", "TASK_STATE_UNSPECIFIED", {
  TASK_STATE_SUBMITTED: 1,
  TASK_STATE_WORKING: 2,
  TASK_STATE_COMPLETED: 3,
  TASK_STATE_FAILED: 4,
  TASK_STATE_CANCELED: 5,
  TASK_STATE_INPUT_REQUIRED: 6,
  TASK_STATE_REJECTED: 7,
  TASK_STATE_AUTH_REQUIRED: 8,
});
export type TaskState = z.infer<typeof TaskState>;

const ended: readonly TaskState[] = [
  "TASK_STATE_COMPLETED",
  "TASK_STATE_FAILED",
  "TASK_STATE_CANCELED",
  "TASK_STATE_REJECTED",
];
const waiting: readonly TaskState[] = ["TASK_STATE_INPUT_REQUIRED", "TASK_STATE_AUTH_REQUIRED"];
const afterStart: readonly TaskState[] = ["TASK_STATE_WORKING", ...waiting, ...ended];

// Each state may repeat itself with a new message, except SUBMITTED, which is the birth of the task.
const next: Record<TaskState, readonly TaskState[]> = {
  TASK_STATE_SUBMITTED: afterStart,
  TASK_STATE_WORKING: afterStart,
  TASK_STATE_INPUT_REQUIRED: afterStart,
  TASK_STATE_AUTH_REQUIRED: afterStart,
  TASK_STATE_COMPLETED: [],
  TASK_STATE_FAILED: [],
  TASK_STATE_CANCELED: [],
  TASK_STATE_REJECTED: [],
};

/** Completed, failed, canceled or rejected. */
export function isTerminal(state: TaskState): boolean {
  return ended.includes(state);
}

/** Waiting for the caller's input or authentication. */
export function isInterrupted(state: TaskState): boolean {
  return waiting.includes(state);
}

export function canTransition(from: TaskState, to: TaskState): boolean {
  return next[from].includes(to);
}
