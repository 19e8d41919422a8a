// The methods of A2A 0.3 in JSON-RPC (0.3 §7): what each asks of the core, and how its answer is written.

import { type OperationName, operations } from "../../protocol/operations.ts";
import { toLegacyAgentCard } from "../../protocol/v0_3/agent-card.ts";
import { toLegacyEvent } from "../../protocol/v0_3/events.ts";
import {
  LegacyTaskPushConfig,
  toCoreTaskPushConfig,
  toLegacyTaskPushConfig,
} from "../../protocol/v0_3/push-config.ts";
import * as requests from "../../protocol/v0_3/requests.ts";
import { toLegacyTask } from "../../protocol/v0_3/task.ts";
import { readParams, VERSION } from "../call.ts";
import type { Dialect, Method } from "../dialect.ts";
import {
  asMissingCard,
  type ConfigList,
  defaultConfigOf,
  method,
  type Outcome,
  renameFields,
} from "../legacy.ts";

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

/**
 * Whether a client takes what is no event stream for a broken one (0.3 §3.3.1), as the SDKs of that time do, which named
 * no version. Those that name 0.3 know later versions too, and read a plain error.
 */
function readsNothingElse(headers: Headers): boolean {
  const accept = headers.get("accept")?.toLowerCase() ?? "";
  const isStream = accept.includes("text/event-stream") && !accept.includes("application/json");
  return isStream && !headers.get(VERSION);
}

const methods: Record<OperationName, Method> = {
  SendMessage: method("SendMessage", requests.MessageSendParams, requests.toCoreSendRequest, send),
  SendStreamingMessage: {
    ...method("SendStreamingMessage", requests.MessageSendParams, requests.toCoreSendRequest, send),
    failsInStream: readsNothingElse,
  },
  GetTask: method("GetTask", requests.TaskQueryParams, requests.toCoreGetRequest, { write: toLegacyTask }),
  ListTasks: method("ListTasks", requests.TaskListParams, requests.toCoreListRequest, {
    write: requests.toLegacyList,
  }),
  CancelTask: method("CancelTask", requests.TaskIdParams, (params) => params, { write: toLegacyTask }),
  SubscribeToTask: {
    ...method("SubscribeToTask", requests.TaskIdParams, ({ id }) => ({ id }), { write: toLegacyEvent }),
    failsInStream: () => true,
  },
  CreateTaskPushNotificationConfig: method(
    "CreateTaskPushNotificationConfig",
    LegacyTaskPushConfig,
    toCoreTaskPushConfig,
    setConfig,
  ),
  GetTaskPushNotificationConfig: getConfig,
  ListTaskPushNotificationConfigs: method(
    "ListTaskPushNotificationConfigs",
    requests.TaskIdParams,
    ({ id }) => ({ taskId: id }),
    { write: ({ configs = [] }: ConfigList) => configs.map(toLegacyTaskPushConfig) },
  ),
  DeleteTaskPushNotificationConfig: method(
    "DeleteTaskPushNotificationConfig",
    requests.DeletePushConfigParams,
    requests.toCoreDeleteConfig,
    { write: () => null },
  ),
  GetExtendedAgentCard: method("GetExtendedAgentCard", requests.NoParams, () => ({}), {
    write: toLegacyAgentCard,
    explain: asMissingCard,
  }),
};

export const legacy: Dialect = {
  version: "0.3",
  extensionsHeader: "x-a2a-extensions",
  methods: new Map(
    Object.entries(methods).map(([name, method]) => [operations[name as OperationName].legacy, method]),
  ),
};
