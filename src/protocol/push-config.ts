// Where a task's push notifications go (§4.3). Whether the URL may be called is decided by who calls it.

import type * as z from "zod/mini";
import { id, string } from "./scalars.ts";
import { message, required } from "./schema.ts";

export const AuthenticationInfo = message("AuthenticationInfo", {
  scheme: required(string),
  credentials: string,
});
export type AuthenticationInfo = z.infer<typeof AuthenticationInfo>;

export const TaskPushNotificationConfig = message("TaskPushNotificationConfig", {
  tenant: id,
  id,
  taskId: id,
  url: required(string),
  token: string,
  authentication: AuthenticationInfo,
});
export type TaskPushNotificationConfig = z.infer<typeof TaskPushNotificationConfig>;
