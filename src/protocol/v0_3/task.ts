// Tasks of A2A 0.3 and their status.

import type * as z from "zod/mini";
import { oneOf } from "../limited-text.ts";
import { id, timestamp } from "../scalars.ts";
import { message, repeated, required } from "../schema.ts";
import { Struct } from "../struct.ts";
import type { Task, TaskStatus } from "../task.ts";
import { LegacyArtifact, toCoreArtifact, toLegacyArtifact } from "./artifact.ts";
import { LegacyMessage, toCoreMessage, toLegacyMessage } from "./message.ts";
import { LegacyTaskState, toCoreState, toLegacyState } from "./state.ts";

export const LegacyTaskStatus = message("TaskStatus", {
  state: required(LegacyTaskState),
  message: LegacyMessage,
  timestamp,
});
export type LegacyTaskStatus = z.infer<typeof LegacyTaskStatus>;

export const LegacyTask = message("Task", {
  kind: oneOf(["task"]),
  id: required(id),
  contextId: id,
  status: required(LegacyTaskStatus),
  artifacts: repeated(LegacyArtifact),
  history: repeated(LegacyMessage),
  metadata: Struct,
});
export type LegacyTask = z.infer<typeof LegacyTask>;

export function toCoreStatus({ state, message, ...rest }: LegacyTaskStatus): TaskStatus {
  return { ...rest, state: toCoreState(state), ...(message && { message: toCoreMessage(message) }) };
}

export function toLegacyStatus({ state, message, ...rest }: TaskStatus): LegacyTaskStatus {
  return { ...rest, state: toLegacyState(state), ...(message && { message: toLegacyMessage(message) }) };
}

export function toCoreTask({ kind: _, status, artifacts, history, ...rest }: LegacyTask): Task {
  return {
    ...rest,
    status: toCoreStatus(status),
    ...(artifacts && { artifacts: artifacts.map(toCoreArtifact) }),
    ...(history && { history: history.map(toCoreMessage) }),
  };
}

export function toLegacyTask({ status, artifacts, history, ...rest }: Task): LegacyTask & { kind: "task" } {
  return {
    kind: "task",
    ...rest,
    status: toLegacyStatus(status),
    ...(artifacts && { artifacts: artifacts.map(toLegacyArtifact) }),
    ...(history && { history: history.map(toLegacyMessage) }),
  };
}
