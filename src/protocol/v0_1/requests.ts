// The params of the methods of A2A 0.1 (its schema of April 2025) and what they ask of the core. What they say of a
// task's history is how much of it: without that, none.

import type * as z from "zod/mini";
import type * as core from "../requests.ts";
import { id, int32, string } from "../scalars.ts";
import { message, optional, repeated, required } from "../schema.ts";
import { Struct } from "../struct.ts";
import { DEFAULT_CONFIG_ID, LegacyPushConfig } from "../v0_3/push-config.ts";
import type { TaskIdParams, TaskQueryParams } from "../v0_3/requests.ts";
import { SentMessage, toCoreMessage } from "./message.ts";
import { toCoreConfig } from "./push-config.ts";

export { TaskIdParams, TaskQueryParams } from "../v0_3/requests.ts";

export const TaskSendParams = message("TaskSendParams", {
  id: required(id),
  sessionId: id,
  message: required(SentMessage),
  // Not in the schema, but sent by the clients of the time.
  acceptedOutputModes: repeated(string),
  pushNotification: LegacyPushConfig,
  historyLength: optional(int32(0)),
  metadata: Struct,
});
export type TaskSendParams = z.infer<typeof TaskSendParams>;

export function toCoreSendRequest(params: TaskSendParams): core.SendMessageRequest {
  const { acceptedOutputModes, pushNotification, sessionId, metadata } = params;
  return {
    message: {
      ...toCoreMessage(params.message),
      taskId: params.id,
      ...(sessionId !== undefined && { contextId: sessionId }),
    },
    configuration: {
      ...(acceptedOutputModes && { acceptedOutputModes }),
      ...(pushNotification && { taskPushNotificationConfig: toCoreConfig(pushNotification) }),
      historyLength: params.historyLength ?? 0,
    },
    ...(metadata && { metadata }),
  };
}

export function toCoreGetRequest({ id, historyLength = 0 }: TaskQueryParams): core.GetTaskRequest {
  return { id, historyLength };
}

export function toCoreGetConfig({ id }: TaskIdParams): core.GetTaskPushNotificationConfigRequest {
  return { taskId: id, id: DEFAULT_CONFIG_ID };
}
