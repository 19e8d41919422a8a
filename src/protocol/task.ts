// A task and its status (§4.1.1, §4.1.2).

import type * as z from "zod/mini";
import { Artifact } from "./artifact.ts";
import { Message } from "./message.ts";
import { id, timestamp } from "./scalars.ts";
import { message, repeated, required } from "./schema.ts";
import { TaskState } from "./state.ts";
import { Struct } from "./struct.ts";

export const TaskStatus = message("TaskStatus", {
  state: required(TaskState),
  message: Message,
  timestamp,
});
export type TaskStatus = z.infer<typeof TaskStatus>;

export const Task = message("Task", {
  id: required(id),
  contextId: id,
  status: required(TaskStatus),
  artifacts: repeated(Artifact),
  history: repeated(Message),
  metadata: Struct,
});
export type Task = z.infer<typeof Task>;
