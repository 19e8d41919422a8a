// What a stream of A2A 0.1 carries: statuses, the last of which is `final`, and artifacts. It begins with no task, so
// the one that ours begins with becomes its status.

import type { StreamResponse } from "../events.ts";
import { isTerminal, type TaskState } from "../state.ts";
import type { JsonObject } from "../struct.ts";
import { type OldestArtifact, type OldestTaskStatus, toOldestArtifact, toOldestStatus } from "./task.ts";

export type OldestStatusUpdate = {
  id: string;
  status: OldestTaskStatus;
  final: boolean;
  metadata?: JsonObject;
};
export type OldestArtifactUpdate = { id: string; artifact: OldestArtifact; metadata?: JsonObject };
export type OldestEvent = OldestStatusUpdate | OldestArtifactUpdate;

/** Whether a stream ends with a status in this state. */
export type EndsWith = (state: TaskState) => boolean;

/**
 * Writes the events of one stream, in order: it remembers which place each artifact was given. In the rare stream
 * that goes on over a turn which ran again, the task may have them in another order.
 */
export function createEventWriter(endsWith: EndsWith): (event: StreamResponse) => OldestEvent {
  const places = new Map<string, number>();
  const placeOf = (artifactId: string): number => {
    const place = places.get(artifactId) ?? places.size;
    places.set(artifactId, place);
    return place;
  };
  return ({ task, statusUpdate, artifactUpdate }) => {
    if (task) {
      for (const { artifactId } of task.artifacts ?? []) placeOf(artifactId);
      const { id, status } = task;
      return { id, status: toOldestStatus(status), final: isTerminal(status.state) };
    }
    if (statusUpdate) {
      const { taskId: id, status, metadata } = statusUpdate;
      const final = endsWith(status.state);
      return { id, status: toOldestStatus(status), final, ...(metadata && { metadata }) };
    }
    // A message that names its task is answered with that, never with a message.
    if (!artifactUpdate) throw new Error("an answer without a task cannot be said in A2A 0.1");
    const { taskId: id, artifact, append, lastChunk, metadata } = artifactUpdate;
    const chunk = {
      ...toOldestArtifact(artifact, placeOf(artifact.artifactId)),
      ...(append && { append }),
      ...(lastChunk && { lastChunk }),
    };
    return { id, artifact: chunk, ...(metadata && { metadata }) };
  };
}
