// What a stream of A2A 0.3 carries, and a notification: a bare object that its `kind` names, where 1.0 wraps it in a
// StreamResponse. Only a status says `final` there; 1.0 leaves it to the state.

import type * as z from "zod/mini";
import type { StreamResponse, TaskArtifactUpdateEvent, TaskStatusUpdateEvent } from "../events.ts";
import { bool, id } from "../scalars.ts";
import { message, required } from "../schema.ts";
import { Struct } from "../struct.ts";
import { LegacyArtifact, toCoreArtifact, toLegacyArtifact } from "./artifact.ts";
import { byKind } from "./kind.ts";
import { LegacyMessage, toCoreMessage, toLegacyMessage } from "./message.ts";
import { isFinal } from "./state.ts";
import {
  LegacyTask,
  LegacyTaskStatus,
  toCoreStatus,
  toCoreTask,
  toLegacyStatus,
  toLegacyTask,
} from "./task.ts";

const StatusUpdate = message("TaskStatusUpdateEvent", {
  taskId: required(id),
  contextId: required(id),
  status: required(LegacyTaskStatus),
  final: bool,
  metadata: Struct,
});

const ArtifactUpdate = message("TaskArtifactUpdateEvent", {
  taskId: required(id),
  contextId: required(id),
  artifact: required(LegacyArtifact),
  append: bool,
  lastChunk: bool,
  metadata: Struct,
});

export const LegacyEvent = byKind("Event", {
  task: LegacyTask,
  message: LegacyMessage,
  "status-update": StatusUpdate,
  "artifact-update": ArtifactUpdate,
});
export type LegacyEvent = z.infer<typeof LegacyEvent>;
export type LegacyStatusUpdate = LegacyEvent & { kind: "status-update" };
export type LegacyArtifactUpdate = LegacyEvent & { kind: "artifact-update" };

export function toCoreEvent(event: LegacyEvent): StreamResponse {
  switch (event.kind) {
    case "task":
      return { task: toCoreTask(event) };
    case "message":
      return { message: toCoreMessage(event) };
    case "status-update":
      return { statusUpdate: toCoreStatusUpdate(event) };
    case "artifact-update":
      return { artifactUpdate: toCoreArtifactUpdate(event) };
  }
}

export function toLegacyEvent(event: StreamResponse): LegacyEvent {
  if (event.statusUpdate) return toLegacyStatusUpdate(event.statusUpdate);
  if (event.artifactUpdate) return toLegacyArtifactUpdate(event.artifactUpdate);
  return event.task ? toLegacyTask(event.task) : toLegacyMessage(event.message);
}

function toCoreStatusUpdate({
  kind: _kind,
  final: _final,
  status,
  ...rest
}: LegacyStatusUpdate): TaskStatusUpdateEvent {
  return { ...rest, status: toCoreStatus(status) };
}

function toLegacyStatusUpdate({ status, ...rest }: TaskStatusUpdateEvent): LegacyStatusUpdate {
  return { kind: "status-update", ...rest, status: toLegacyStatus(status), final: isFinal(status.state) };
}

function toCoreArtifactUpdate({ kind: _, artifact, ...rest }: LegacyArtifactUpdate): TaskArtifactUpdateEvent {
  return { ...rest, artifact: toCoreArtifact(artifact) };
}

function toLegacyArtifactUpdate({ artifact, ...rest }: TaskArtifactUpdateEvent): LegacyArtifactUpdate {
  return { kind: "artifact-update", ...rest, artifact: toLegacyArtifact(artifact) };
}
