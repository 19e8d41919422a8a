// What a stream carries (§4.2, §3.2.3): a StreamResponse is exactly one of task, message, statusUpdate and
// artifactUpdate. It is also the body of a push notification.

import type * as z from "zod/mini";
import { Artifact } from "./artifact.ts";
import { Message } from "./message.ts";
import { bool, id } from "./scalars.ts";
import { message, required } from "./schema.ts";
import { Struct } from "./struct.ts";
import { Task, TaskStatus } from "./task.ts";

export const TaskStatusUpdateEvent = message("TaskStatusUpdateEvent", {
  taskId: required(id),
  contextId: required(id),
  status: required(TaskStatus),
  metadata: Struct,
});
export type TaskStatusUpdateEvent = z.infer<typeof TaskStatusUpdateEvent>;

export const TaskArtifactUpdateEvent = message("TaskArtifactUpdateEvent", {
  taskId: required(id),
  contextId: required(id),
  artifact: required(Artifact),
  append: bool,
  lastChunk: bool,
  metadata: Struct,
});
export type TaskArtifactUpdateEvent = z.infer<typeof TaskArtifactUpdateEvent>;

export const StreamResponse = message(
  "StreamResponse",
  {},
  {
    task: Task,
    message: Message,
    statusUpdate: TaskStatusUpdateEvent,
    artifactUpdate: TaskArtifactUpdateEvent,
  },
);
export type StreamResponse = z.infer<typeof StreamResponse>;
