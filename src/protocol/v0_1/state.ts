// States by their names in A2A 0.1, which are those of 0.3 but for two: a rejected task has failed, and one that waits for
// authentication waits for input, which is what it takes the next message for.

import type { TaskState } from "../state.ts";
import { type LegacyTaskState, toLegacyState } from "../v0_3/state.ts";

export type OldestTaskState = Exclude<LegacyTaskState, "rejected" | "auth-required">;

export function toOldestState(state: TaskState): OldestTaskState {
  const legacy = toLegacyState(state);
  if (legacy === "rejected") return "failed";
  return legacy === "auth-required" ? "input-required" : legacy;
}
