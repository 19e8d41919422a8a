// The parameters and results of the eleven operations (§3.1, §3.2). REST path segments and query
// parameters are fields of the same messages, so one schema serves every transport.

import type * as z from "zod/mini";
import { Message } from "./message.ts";
import { TaskPushNotificationConfig } from "./push-config.ts";
import { TaskWebhookConfig, WebhookConfig } from "./push-options.ts";
import { bool, id, int32, string, timestamp } from "./scalars.ts";
import { message, optional, repeated, required, requiredOrDefault } from "./schema.ts";
import { TaskState } from "./state.ts";
import { Struct } from "./struct.ts";
import { Task } from "./task.ts";

const historyLength = optional(int32(0));
const tenant = id;

export const SendMessageConfiguration = message("SendMessageConfiguration", {
  acceptedOutputModes: repeated(string),
  taskPushNotificationConfig: WebhookConfig,
  historyLength,
  returnImmediately: bool,
});
export type SendMessageConfiguration = z.infer<typeof SendMessageConfiguration>;

export const SendMessageRequest = message("SendMessageRequest", {
  tenant,
  message: required(Message),
  configuration: SendMessageConfiguration,
  metadata: Struct,
});
export type SendMessageRequest = z.infer<typeof SendMessageRequest>;

export const SendMessageResponse = message("SendMessageResponse", {}, { task: Task, message: Message });
export type SendMessageResponse = z.infer<typeof SendMessageResponse>;

export const GetTaskRequest = message("GetTaskRequest", { tenant, id: required(id), historyLength });
export type GetTaskRequest = z.infer<typeof GetTaskRequest>;

export const ListTasksRequest = message("ListTasksRequest", {
  tenant,
  contextId: id,
  status: TaskState,
  pageSize: optional(int32(1, 100)),
  pageToken: string,
  historyLength,
  statusTimestampAfter: timestamp,
  includeArtifacts: optional(bool),
});
export type ListTasksRequest = z.infer<typeof ListTasksRequest>;

// All four are always there: an empty list, the empty token of a last page and 0 are answers (§3.1.4).
export const ListTasksResponse = message("ListTasksResponse", {
  tasks: requiredOrDefault(repeated(Task)),
  nextPageToken: requiredOrDefault(string),
  pageSize: requiredOrDefault(int32(0)),
  totalSize: requiredOrDefault(int32(0)),
});
export type ListTasksResponse = z.infer<typeof ListTasksResponse>;

export const CancelTaskRequest = message("CancelTaskRequest", { tenant, id: required(id), metadata: Struct });
export type CancelTaskRequest = z.infer<typeof CancelTaskRequest>;

export const SubscribeToTaskRequest = message("SubscribeToTaskRequest", { tenant, id: required(id) });
export type SubscribeToTaskRequest = z.infer<typeof SubscribeToTaskRequest>;

/** The proto's CreateTaskPushNotificationConfig takes the config itself. */
export const CreateTaskPushNotificationConfigRequest = TaskWebhookConfig;
export type CreateTaskPushNotificationConfigRequest = z.infer<typeof CreateTaskPushNotificationConfigRequest>;

export const GetTaskPushNotificationConfigRequest = message("GetTaskPushNotificationConfigRequest", {
  tenant,
  taskId: required(id),
  id: required(id),
});
export type GetTaskPushNotificationConfigRequest = z.infer<typeof GetTaskPushNotificationConfigRequest>;

export const ListTaskPushNotificationConfigsRequest = message("ListTaskPushNotificationConfigsRequest", {
  tenant,
  taskId: required(id),
  // Without `optional` in the proto: 0 is the default, and means absent.
  pageSize: int32(0, 100),
  pageToken: string,
});
export type ListTaskPushNotificationConfigsRequest = z.infer<typeof ListTaskPushNotificationConfigsRequest>;

export const ListTaskPushNotificationConfigsResponse = message("ListTaskPushNotificationConfigsResponse", {
  configs: repeated(TaskPushNotificationConfig),
  nextPageToken: string,
});
export type ListTaskPushNotificationConfigsResponse = z.infer<typeof ListTaskPushNotificationConfigsResponse>;

export const DeleteTaskPushNotificationConfigRequest = message("DeleteTaskPushNotificationConfigRequest", {
  tenant,
  taskId: required(id),
  id: required(id),
});
export type DeleteTaskPushNotificationConfigRequest = z.infer<typeof DeleteTaskPushNotificationConfigRequest>;

export const GetExtendedAgentCardRequest = message("GetExtendedAgentCardRequest", { tenant });
export type GetExtendedAgentCardRequest = z.infer<typeof GetExtendedAgentCardRequest>;

/** google.protobuf.Empty. */
export const Empty = message("Empty", {});
export type Empty = z.infer<typeof Empty>;
