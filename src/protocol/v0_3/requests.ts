// The params of the methods of A2A 0.3 and what they ask of the core. 0.3 has no method that lists tasks; `tasks/list`
// takes the params of 1.0 with the states of 0.3.

import type * as z from "zod/mini";
import type * as core from "../requests.ts";
import { bool, id, int32, string, timestamp } from "../scalars.ts";
import { message, optional, repeated, required } from "../schema.ts";
import { Struct } from "../struct.ts";
import { LegacyMessage, toCoreMessage } from "./message.ts";
import { LegacyPushConfig, toCorePushConfig } from "./push-config.ts";
import { LegacyTaskState, toCoreState } from "./state.ts";
import { toLegacyTask } from "./task.ts";

const historyLength = optional(int32(0));

export const MessageSendConfiguration = message("MessageSendConfiguration", {
  acceptedOutputModes: repeated(string),
  blocking: optional(bool),
  historyLength,
  pushNotificationConfig: LegacyPushConfig,
});
export type MessageSendConfiguration = z.infer<typeof MessageSendConfiguration>;

export const MessageSendParams = message("MessageSendParams", {
  message: required(LegacyMessage),
  configuration: MessageSendConfiguration,
  // Where the clients of 2025 put it too; the one in the configuration counts where both are given.
  pushNotificationConfig: LegacyPushConfig,
  metadata: Struct,
});
export type MessageSendParams = z.infer<typeof MessageSendParams>;

/** Of tasks/cancel, tasks/resubscribe and tasks/pushNotificationConfig/list. */
export const TaskIdParams = message("TaskIdParams", { id: required(id), metadata: Struct });
export type TaskIdParams = z.infer<typeof TaskIdParams>;

export const TaskQueryParams = message("TaskQueryParams", {
  id: required(id),
  historyLength,
  metadata: Struct,
});
export type TaskQueryParams = z.infer<typeof TaskQueryParams>;

export const TaskListParams = message("TaskListParams", {
  contextId: id,
  status: LegacyTaskState,
  pageSize: optional(int32(1, 100)),
  pageToken: string,
  historyLength,
  statusTimestampAfter: timestamp,
  includeArtifacts: optional(bool),
});
export type TaskListParams = z.infer<typeof TaskListParams>;

export const GetPushConfigParams = message("GetTaskPushNotificationConfigParams", {
  id: required(id),
  pushNotificationConfigId: id,
  metadata: Struct,
});
export type GetPushConfigParams = z.infer<typeof GetPushConfigParams>;

export const DeletePushConfigParams = message("DeleteTaskPushNotificationConfigParams", {
  id: required(id),
  pushNotificationConfigId: required(id),
  metadata: Struct,
});
export type DeletePushConfigParams = z.infer<typeof DeletePushConfigParams>;

export const NoParams = message("NoParams", {});

/**
 * 0.3 says `blocking` where 1.0 says `returnImmediately`. A configuration that does not say it asks not to wait, and
 * no configuration asks to wait: so the official SDK reads it.
 */
export function toCoreSendRequest(params: MessageSendParams): core.SendMessageRequest {
  const { acceptedOutputModes, blocking, historyLength, pushNotificationConfig } = params.configuration ?? {};
  const push = pushNotificationConfig ?? params.pushNotificationConfig;
  const configuration = {
    ...(acceptedOutputModes && { acceptedOutputModes }),
    ...(push && { taskPushNotificationConfig: toCorePushConfig(push) }),
    ...(historyLength !== undefined && { historyLength }),
    ...(params.configuration && blocking !== true && { returnImmediately: true }),
  };
  return {
    message: toCoreMessage(params.message),
    ...((params.configuration ?? push) && { configuration }),
    ...(params.metadata && { metadata: params.metadata }),
  };
}

export function toCoreGetRequest({ metadata: _, ...params }: TaskQueryParams): core.GetTaskRequest {
  return params;
}

export function toCoreDeleteConfig({
  id,
  pushNotificationConfigId,
}: DeletePushConfigParams): core.DeleteTaskPushNotificationConfigRequest {
  return { taskId: id, id: pushNotificationConfigId };
}

export function toCoreListRequest({ status, ...rest }: TaskListParams): core.ListTasksRequest {
  return { ...rest, ...(status && { status: toCoreState(status) }) };
}

export function toLegacyList({ tasks, ...rest }: core.ListTasksResponse) {
  return { tasks: tasks.map(toLegacyTask), ...rest };
}
