// Push notification configs of A2A 0.3. There the config of a task is `{ taskId, pushNotificationConfig }`, and its
// authentication lists schemes, of which a receiver gets one: the first. The members of our own extension
// (docs/extensions/webhooks.md) stand in the config as they do in 1.0.

import * as z from "zod/mini";
import { checked } from "../limited-text.ts";
import type { AuthenticationInfo } from "../push-config.ts";
import { pushOptions, type WebhookConfig } from "../push-options.ts";
import type { CreateTaskPushNotificationConfigRequest } from "../requests.ts";
import { id, string } from "../scalars.ts";
import { message, repeated, required } from "../schema.ts";

/** The id of a config that was given none: 0.3 has one config of a task unless ids say otherwise. */
export const DEFAULT_CONFIG_ID = "default";

export const LegacyAuthentication = checked(
  message("PushNotificationAuthenticationInfo", { schemes: repeated(string), credentials: string }),
  z.refine(
    ({ schemes, credentials }) => credentials === undefined || schemes !== undefined,
    "must name a scheme for its credentials",
  ),
);
export type LegacyAuthentication = z.infer<typeof LegacyAuthentication>;

export const LegacyPushConfig = message("PushNotificationConfig", {
  id,
  url: required(string),
  token: string,
  authentication: LegacyAuthentication,
  ...pushOptions,
});
export type LegacyPushConfig = z.infer<typeof LegacyPushConfig>;

export const LegacyTaskPushConfig = message("TaskPushNotificationConfig", {
  taskId: required(id),
  pushNotificationConfig: required(LegacyPushConfig),
});
export type LegacyTaskPushConfig = z.infer<typeof LegacyTaskPushConfig>;

export function toCorePushConfig({ authentication, ...rest }: LegacyPushConfig): WebhookConfig {
  const core = authentication && toCoreAuthentication(authentication);
  return { ...rest, id: rest.id ?? DEFAULT_CONFIG_ID, ...(core && { authentication: core }) };
}

export function toLegacyPushConfig({
  tenant: _tenant,
  taskId: _taskId,
  authentication,
  ...rest
}: WebhookConfig): LegacyPushConfig {
  return { ...rest, ...(authentication && { authentication: toLegacyAuthentication(authentication) }) };
}

export function toCoreTaskPushConfig(config: LegacyTaskPushConfig): CreateTaskPushNotificationConfigRequest {
  return { ...toCorePushConfig(config.pushNotificationConfig), taskId: config.taskId };
}

export function toLegacyTaskPushConfig(
  config: CreateTaskPushNotificationConfigRequest,
): LegacyTaskPushConfig {
  return { taskId: config.taskId, pushNotificationConfig: toLegacyPushConfig(config) };
}

/** Without a scheme there is nothing to send. */
function toCoreAuthentication({
  schemes,
  credentials,
}: LegacyAuthentication): AuthenticationInfo | undefined {
  const [scheme] = schemes ?? [];
  if (scheme === undefined) return undefined;
  return { scheme, ...(credentials !== undefined && { credentials }) };
}

function toLegacyAuthentication({ scheme, credentials }: AuthenticationInfo): LegacyAuthentication {
  return { schemes: [scheme], ...(credentials !== undefined && { credentials }) };
}
