// The methods of A2A 0.3 in JSON-RPC (0.3 §7): what each asks of the core, and how its answer is written.

import { type OperationName, operations } from "../../protocol/operations.ts";
import type { Schema } from "../../protocol/schema.ts";
import { toLegacyAgentCard } from "../../protocol/v0_3/agent-card.ts";
import { toLegacyEvent } from "../../protocol/v0_3/events.ts";
import {
  LegacyTaskPushConfig,
  toCoreTaskPushConfig,
  toLegacyTaskPushConfig,
} from "../../protocol/v0_3/push-config.ts";
import * as requests from "../../protocol/v0_3/requests.ts";
import { toLegacyTask } from "../../protocol/v0_3/task.ts";
import { readParams } from "../call.ts";
import type { Dialect, Method, Reading } from "../dialect.ts";
import { asMissingCard, type ConfigList, defaultConfigOf, renameFields } from "../legacy.ts";

type Outcome = Pick<Reading, "write" | "explain">;

/** The method that is an operation, by its name in 0.3. */
function method<L>(
  operation: OperationName,
  schema: Schema<L>,
  toCore: (params: L) => Reading["params"],
  outcome: Outcome,
): [string, Method] {
  const read: Method["read"] = (raw, config) => ({
    operation,
    params: toCore(readParams(schema, raw, config)),
    ...outcome,
  });
  return [operations[operation].legacy, { read }];
}

const send: Outcome = {
  write: toLegacyEvent,
  explain: renameFields((field) => field.replace(".taskPushNotificationConfig", ".pushNotificationConfig")),
};
const setConfig: Outcome = {
  write: toLegacyTaskPushConfig,
  explain: renameFields((field) => `pushNotificationConfig.${field}`),
};

/** Without an id it is the default config that is asked for, or the first of those there are. */
const getConfig: Method = {
  read(raw, config) {
    const { id: taskId, pushNotificationConfigId: id } = readParams(
      requests.GetPushConfigParams,
      raw,
      config,
    );
    if (id !== undefined) {
      const operation = "GetTaskPushNotificationConfig";
      return { operation, params: { taskId, id }, write: toLegacyTaskPushConfig };
    }
    return {
      operation: "ListTaskPushNotificationConfigs",
      params: { taskId },
      write: (list: ConfigList) => toLegacyTaskPushConfig(defaultConfigOf(list, taskId)),
    };
  },
};

const idOnly = ({ id }: requests.TaskIdParams) => ({ id });

export const legacy: Dialect = {
  version: "0.3",
  extensionsHeader: "x-a2a-extensions",
  methods: new Map([
    method("SendMessage", requests.MessageSendParams, requests.toCoreSendRequest, send),
    method("SendStreamingMessage", requests.MessageSendParams, requests.toCoreSendRequest, send),
    method("GetTask", requests.TaskQueryParams, requests.toCoreGetRequest, { write: toLegacyTask }),
    method("ListTasks", requests.TaskListParams, requests.toCoreListRequest, {
      write: requests.toLegacyList,
    }),
    method("CancelTask", requests.TaskIdParams, (params) => params, { write: toLegacyTask }),
    inStream(method("SubscribeToTask", requests.TaskIdParams, idOnly, { write: toLegacyEvent })),
    method("CreateTaskPushNotificationConfig", LegacyTaskPushConfig, toCoreTaskPushConfig, setConfig),
    [operations.GetTaskPushNotificationConfig.legacy, getConfig],
    method("ListTaskPushNotificationConfigs", requests.TaskIdParams, ({ id }) => ({ taskId: id }), {
      write: ({ configs = [] }: ConfigList) => configs.map(toLegacyTaskPushConfig),
    }),
    method("DeleteTaskPushNotificationConfig", requests.DeletePushConfigParams, requests.toCoreDeleteConfig, {
      write: () => null,
    }),
    method("GetExtendedAgentCard", requests.NoParams, () => ({}), {
      write: toLegacyAgentCard,
      explain: asMissingCard,
    }),
  ]),
};

/** 0.3 answers the errors of this method as an event. */
function inStream([name, method]: [string, Method]): [string, Method] {
  return [name, { ...method, failsInStream: true }];
}
