// States and roles by their names in A2A 0.3. Its state `unknown` is what the proto's zero is: nothing, so it is
// neither read nor written.

import { oneOf } from "../limited-text.ts";
import type { Role } from "../message.ts";
import { isTerminal, type TaskState } from "../state.ts";

const states = {
  TASK_STATE_SUBMITTED: "submitted",
  TASK_STATE_WORKING: "working",
  TASK_STATE_COMPLETED: "completed",
  TASK_STATE_FAILED: "failed",
  TASK_STATE_CANCELED: "canceled",
  TASK_STATE_INPUT_REQUIRED: "input-required",
  TASK_STATE_REJECTED: "rejected",
  TASK_STATE_AUTH_REQUIRED: "auth-required",
} as const satisfies Record<TaskState, string>;

export type LegacyTaskState = (typeof states)[TaskState];
export const LegacyTaskState = oneOf(Object.values(states));

const coreStates = new Map(Object.entries(states).map(([core, legacy]) => [legacy, core as TaskState]));

export function toLegacyState(state: TaskState): LegacyTaskState {
  return states[state];
}

export function toCoreState(state: LegacyTaskState): TaskState {
  return coreStates.get(state) as TaskState;
}

/**
 * Whether a status in this state is the last of its stream, which 0.3 says in `final`. Input-required counts, since
 * the stream of a message ends there; auth-required does not, since the task goes on by itself.
 */
export function isFinal(state: TaskState): boolean {
  return isTerminal(state) || state === "TASK_STATE_INPUT_REQUIRED";
}

export type LegacyRole = "user" | "agent";
export const LegacyRole = oneOf(["user", "agent"]);

export function toLegacyRole(role: Role): LegacyRole {
  return role === "ROLE_USER" ? "user" : "agent";
}

export function toCoreRole(role: LegacyRole): Role {
  return role === "user" ? "ROLE_USER" : "ROLE_AGENT";
}
