// Tasks of A2A 0.1, their status and artifacts. The context is the session; artifacts have a place where later ones
// have an id.

import type { Artifact } from "../artifact.ts";
import type { JsonObject } from "../struct.ts";
import type { Task, TaskStatus } from "../task.ts";
import { type OldestMessage, toOldestMessage } from "./message.ts";
import { type OldestPart, toOldestPart } from "./part.ts";
import { type OldestTaskState, toOldestState } from "./state.ts";

export type OldestTaskStatus = { state: OldestTaskState; message?: OldestMessage; timestamp?: string };

export type OldestArtifact = {
  name?: string;
  description?: string;
  parts: OldestPart[];
  /** Its place among the artifacts of the task. */
  index: number;
  append?: boolean;
  lastChunk?: boolean;
  metadata?: JsonObject;
};

export type OldestTask = {
  id: string;
  sessionId?: string;
  status: OldestTaskStatus;
  artifacts?: OldestArtifact[];
  history?: OldestMessage[];
  metadata?: JsonObject;
};

export function toOldestStatus({ state, message, ...rest }: TaskStatus): OldestTaskStatus {
  return { state: toOldestState(state), ...(message && { message: toOldestMessage(message) }), ...rest };
}

export function toOldestArtifact(
  { artifactId: _artifactId, extensions: _extensions, parts, ...rest }: Artifact,
  index: number,
): OldestArtifact {
  return { ...rest, parts: parts.map(toOldestPart), index };
}

export function toOldestTask({ id, contextId, status, artifacts, history, metadata }: Task): OldestTask {
  return {
    id,
    ...(contextId !== undefined && { sessionId: contextId }),
    status: toOldestStatus(status),
    ...(artifacts && { artifacts: artifacts.map(toOldestArtifact) }),
    ...(history && { history: history.map(toOldestMessage) }),
    ...(metadata && { metadata }),
  };
}
