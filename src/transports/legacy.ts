// What both bindings of A2A 0.3 say otherwise than the core, beyond the form of entities.

import { A2AError, type Failure, failure } from "../protocol/errors.ts";
import type * as core from "../protocol/requests.ts";
import { DEFAULT_CONFIG_ID } from "../protocol/v0_3/push-config.ts";

/** What the core answers to a list of configs: each of them names its task. */
export type ConfigList = { configs?: core.CreateTaskPushNotificationConfigRequest[] };

/** Refusals of the core with its fields by their names in 0.3. */
export function renameFields(rename: (field: string) => string): (refusal: Failure) => Failure {
  return (refusal) => {
    const { message: _, violations, ...rest } = refusal;
    if (violations === undefined) return refusal;
    // The message begins with the first field, so it is made anew.
    return failure(refusal.reason, {
      ...rest,
      violations: violations.map((violation) => ({
        ...violation,
        field: rename(violation.field).replace(/\.authentication\.scheme$/, ".authentication.schemes"),
      })),
    });
  };
}

/** The config that is meant where none is named: the default one, else the first. */
export function defaultConfigOf(
  { configs = [] }: ConfigList,
  taskId: string,
): core.CreateTaskPushNotificationConfigRequest {
  const config = configs.find(({ id }) => id === DEFAULT_CONFIG_ID) ?? configs[0];
  if (config) return config;
  const message = "Push notification config not found";
  throw new A2AError("TASK_NOT_FOUND", { message, metadata: { taskId, configId: DEFAULT_CONFIG_ID } });
}

/** 0.3 has an error for an agent without an extended card, where 1.0 says that the operation is not supported. */
export function asMissingCard(refusal: Failure): Failure {
  return refusal.reason === "UNSUPPORTED_OPERATION"
    ? { ...refusal, reason: "EXTENDED_AGENT_CARD_NOT_CONFIGURED" }
    : refusal;
}
