// The requests of A2A 0.3 in the form of its proto, as HTTP+JSON sends them, and what they are in JSON-RPC.

import type * as z from "zod/mini";
import { bool, id, int32, string, timestamp } from "../scalars.ts";
import { message, optional, repeated, required } from "../schema.ts";
import { Struct } from "../struct.ts";
import { fromProtoMessage, fromProtoState, ProtoMessage, ProtoTaskState } from "./proto-entities.ts";
import { LegacyPushConfig, type LegacyTaskPushConfig } from "./push-config.ts";
import type { MessageSendParams, TaskListParams } from "./requests.ts";

const SendMessageConfiguration = message("SendMessageConfiguration", {
  acceptedOutputModes: repeated(string),
  pushNotification: LegacyPushConfig,
  historyLength: optional(int32(0)),
  blocking: bool,
});

const others = { configuration: SendMessageConfiguration, metadata: Struct };

/** The message stands under its name in JSON, or under that of the proto. */
export const ProtoSendRequest = message("SendMessageRequest", { message: required(ProtoMessage), ...others });
export const ProtoSendRequestByProtoName = message("SendMessageRequest", {
  request: required(ProtoMessage),
  ...others,
});

export type ProtoSend = z.infer<typeof ProtoSendRequest> | z.infer<typeof ProtoSendRequestByProtoName>;

export function fromProtoSend(send: ProtoSend): MessageSendParams {
  const { configuration, metadata } = send;
  const { pushNotification, ...rest } = configuration ?? {};
  return {
    message: fromProtoMessage("message" in send ? send.message : send.request),
    ...(configuration && {
      configuration: { ...rest, ...(pushNotification && { pushNotificationConfig: pushNotification }) },
    }),
    ...(metadata && { metadata }),
  };
}

const TaskPushConfig = message("TaskPushNotificationConfig", {
  name: string,
  pushNotificationConfig: required(LegacyPushConfig),
});

/** The body is the config of a task, or the request that holds it; the task is the path's. */
export const ProtoSetConfig = message("TaskPushNotificationConfig", {
  taskId: required(id),
  name: string,
  pushNotificationConfig: required(LegacyPushConfig),
});
export const ProtoSetConfigRequest = message("CreateTaskPushNotificationConfigRequest", {
  taskId: required(id),
  parent: string,
  configId: id,
  config: required(TaskPushConfig),
});

export type ProtoSet = z.infer<typeof ProtoSetConfig> | z.infer<typeof ProtoSetConfigRequest>;

/** What names the task once more, by field. */
export function namesIn(set: ProtoSet): Record<string, string | undefined> {
  return "config" in set ? { parent: set.parent, "config.name": set.config.name } : { name: set.name };
}

export function fromProtoSet(set: ProtoSet): LegacyTaskPushConfig {
  const { taskId } = set;
  if (!("config" in set)) return { taskId, pushNotificationConfig: set.pushNotificationConfig };
  const { configId, config } = set;
  const id = config.pushNotificationConfig.id ?? configId;
  return {
    taskId,
    pushNotificationConfig: { ...config.pushNotificationConfig, ...(id !== undefined && { id }) },
  };
}

export function toProtoPushConfig({ taskId, pushNotificationConfig }: LegacyTaskPushConfig): object {
  const { id = "" } = pushNotificationConfig;
  return { name: `tasks/${taskId}/pushNotificationConfigs/${id}`, pushNotificationConfig };
}

/** 0.3 has no list of tasks: this one is that of 1.0 with the states of 0.3. */
export const ProtoListRequest = message("ListTasksRequest", {
  contextId: id,
  status: ProtoTaskState,
  pageSize: optional(int32(1, 100)),
  pageToken: string,
  historyLength: optional(int32(0)),
  statusTimestampAfter: timestamp,
  includeArtifacts: optional(bool),
});

export function fromProtoList({ status, ...rest }: z.infer<typeof ProtoListRequest>): TaskListParams {
  return { ...rest, ...(status && { status: fromProtoState(status) }) };
}
