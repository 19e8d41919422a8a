// What both bindings of A2A 0.3 say otherwise than the core, beyond the form of entities.

import type { Config } from "../config.ts";
import { A2AError, type Failure, failure } from "../protocol/errors.ts";
import type { OperationName } from "../protocol/operations.ts";
import type * as core from "../protocol/requests.ts";
import type { Schema } from "../protocol/schema.ts";
import { DEFAULT_CONFIG_ID } from "../protocol/v0_3/push-config.ts";
import { readParams } from "./call.ts";
import type { CoreParams, Method, Reading } from "./dialect.ts";

/** What the core answers to a list of configs: each of them names its task. */
export type ConfigList = { configs?: core.CreateTaskPushNotificationConfigRequest[] };

export type Outcome = Pick<Reading, "write" | "explain">;

/** A method that is one operation of the core, whatever its params say. */
export function method<L>(
  operation: OperationName,
  schema: Schema<L>,
  toCore: (params: L) => CoreParams,
  outcome: Outcome = {},
): Method {
  const read = (raw: unknown, config: Config) => toCore(readParams(schema, raw, config));
  return { read: (raw, config) => ({ operation, params: read(raw, config), ...outcome }) };
}

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
