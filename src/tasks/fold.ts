// The task as the fold of its journal's rows. It is never stored: a task of ten thousand chunks would otherwise be
// rewritten ten thousand times.

import type { Artifact } from "../protocol/artifact.ts";
import type { TaskArtifactUpdateEvent, TaskStatusUpdateEvent } from "../protocol/events.ts";
import type { Message } from "../protocol/message.ts";
import type { Task } from "../protocol/task.ts";
import type { Entry, TaskRecord } from "./machine.ts";

export type View = {
  /** Newest messages to return; undefined: all; 0: no `history` member. */
  historyLength?: number | undefined;
  artifacts: boolean;
};

/** Folds journal rows into the task. */
export function toTask(record: TaskRecord, entries: readonly Entry[], view: View): Task {
  let status: Task["status"] = { state: record.state, timestamp: new Date(record.statusAt).toISOString() };
  const history: Message[] = [];
  for (const entry of splitReplaced(entries).standing) {
    if (entry.kind === "message") history.push(JSON.parse(entry.body));
    if (entry.kind !== "status") continue;
    const said = statusOf(entry);
    if (said.message) history.push(said.message);
    if (entry.seq === record.statusSeq) status = said;
  }
  const task: Task = { id: record.id, contextId: record.contextId, status };
  if (view.artifacts) {
    const artifacts = toArtifacts(entries);
    if (artifacts.length > 0) task.artifacts = artifacts;
  }
  const { historyLength } = view;
  const kept =
    historyLength === undefined ? history : historyLength === 0 ? [] : history.slice(-historyLength);
  if (kept.length > 0) task.history = kept;
  return task;
}

/** The status that a row says. */
export function statusOf({ body }: Entry): Task["status"] {
  return (JSON.parse(body) as { statusUpdate: TaskStatusUpdateEvent }).statusUpdate.status;
}

/** The artifacts that the rows make, in the order of their first appearance. */
export function toArtifacts(entries: readonly Entry[]): Artifact[] {
  const artifacts = new Map<string, Artifact>();
  for (const entry of splitReplaced(entries).standing) {
    if (entry.kind !== "artifact") continue;
    const { artifactUpdate } = JSON.parse(entry.body) as { artifactUpdate: TaskArtifactUpdateEvent };
    const { artifact, append } = artifactUpdate;
    const known = artifacts.get(artifact.artifactId);
    if (append && known) known.parts.push(...artifact.parts);
    else artifacts.set(artifact.artifactId, artifact);
  }
  return [...artifacts.values()];
}

/** Tells the rows that count from those that a later run of their turn has replaced, with the row that says so. */
export function splitReplaced(entries: readonly Entry[]): {
  standing: readonly Entry[];
  replaced: readonly { entry: Entry; by: number }[];
} {
  const restarts = entries
    .filter((entry) => entry.kind === "restart")
    .map((entry) => ({ from: (JSON.parse(entry.body) as { from: number }).from, by: entry.seq }));
  if (restarts.length === 0) return { standing: entries, replaced: [] };
  const standing: Entry[] = [];
  const replaced: { entry: Entry; by: number }[] = [];
  for (const entry of entries) {
    const restart = restarts.findLast(({ from, by }) => entry.seq >= from && entry.seq < by);
    // A message from the client is no emission of a run.
    if (restart && entry.kind !== "message") replaced.push({ entry, by: restart.by });
    else standing.push(entry);
  }
  return { standing, replaced };
}
