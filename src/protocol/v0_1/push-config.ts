// The push notification config of a task in A2A 0.1: one, without an id. It is the default config of 0.3.

import type * as z from "zod/mini";
import type { WebhookConfig } from "../push-options.ts";
import type { CreateTaskPushNotificationConfigRequest } from "../requests.ts";
import { id } from "../scalars.ts";
import { message, required } from "../schema.ts";
import {
  DEFAULT_CONFIG_ID,
  LegacyPushConfig,
  toCorePushConfig,
  toLegacyPushConfig,
} from "../v0_3/push-config.ts";

export const OldestTaskPushConfig = message("TaskPushNotificationConfig", {
  id: required(id),
  pushNotificationConfig: required(LegacyPushConfig),
});
export type OldestTaskPushConfig = z.infer<typeof OldestTaskPushConfig>;

/** An id in it is none that this version knows. */
export function toCoreConfig(config: LegacyPushConfig): WebhookConfig {
  return toCorePushConfig({ ...config, id: DEFAULT_CONFIG_ID });
}

export function toCoreTaskPushConfig({
  id,
  pushNotificationConfig,
}: OldestTaskPushConfig): CreateTaskPushNotificationConfigRequest {
  return { ...toCoreConfig(pushNotificationConfig), taskId: id };
}

export function toOldestTaskPushConfig(
  config: CreateTaskPushNotificationConfigRequest,
): OldestTaskPushConfig {
  const { id: _, ...pushNotificationConfig } = toLegacyPushConfig(config);
  return { id: config.taskId, pushNotificationConfig };
}
