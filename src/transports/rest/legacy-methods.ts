// The operations of A2A 0.3 in HTTP+JSON (0.3 §3.2.3), below /v1: bodies and answers have the form of its proto.

import { A2AError } from "../../protocol/errors.ts";
import type { StreamResponse } from "../../protocol/events.ts";
import type { OperationName } from "../../protocol/operations.ts";
import * as core from "../../protocol/requests.ts";
import type { Task } from "../../protocol/task.ts";
import { toLegacyProtoAgentCard } from "../../protocol/v0_3/agent-card.ts";
import { toLegacyEvent } from "../../protocol/v0_3/events.ts";
import { toProtoEvent, toProtoTask } from "../../protocol/v0_3/proto-entities.ts";
import * as proto from "../../protocol/v0_3/proto-requests.ts";
import { toCoreTaskPushConfig, toLegacyTaskPushConfig } from "../../protocol/v0_3/push-config.ts";
import * as requests from "../../protocol/v0_3/requests.ts";
import { toLegacyTask } from "../../protocol/v0_3/task.ts";
import { readParams } from "../call.ts";
import type { CoreParams, Dialect, Method } from "../dialect.ts";
import { asMissingCard, type ConfigList, method, type Outcome, renameFields } from "../legacy.ts";

const writeTask = (task: Task) => toProtoTask(toLegacyTask(task));
const writeConfig = (config: core.CreateTaskPushNotificationConfigRequest) =>
  proto.toProtoPushConfig(toLegacyTaskPushConfig(config));

const writeEvent = (event: StreamResponse) => toProtoEvent(toLegacyEvent(event));

const send: Outcome = {
  write: writeEvent,
  explain: renameFields((field) => field.replace(".taskPushNotificationConfig", ".pushNotification")),
};

/** The message of a send stands under either of its names. */
function sending(operation: "SendMessage" | "SendStreamingMessage"): Method {
  const byName = method(operation, proto.ProtoSendRequest, toCoreSend, send);
  const byProtoName = method(operation, proto.ProtoSendRequestByProtoName, toCoreSend, send);
  return {
    read: (raw, config) =>
      (has(raw, "message") || !has(raw, "request") ? byName : byProtoName).read(raw, config),
  };
}

function toCoreSend(request: proto.ProtoSend): CoreParams {
  return requests.toCoreSendRequest(proto.fromProtoSend(request));
}

/** The body of a config is the config, or the request that holds it. */
const setConfig: Method = {
  read(raw, config) {
    const inRequest = has(raw, "config");
    const set = inRequest
      ? readParams(proto.ProtoSetConfigRequest, raw, config)
      : readParams(proto.ProtoSetConfig, raw, config);
    for (const [field, name] of Object.entries(proto.namesIn(set))) requireNameOf(set.taskId, field, name);
    const path = inRequest ? "config.pushNotificationConfig" : "pushNotificationConfig";
    return {
      operation: "CreateTaskPushNotificationConfig",
      params: toCoreTaskPushConfig(proto.fromProtoSet(set)),
      write: writeConfig,
      explain: renameFields((field) => `${path}.${field}`),
    };
  },
};

/** `tasks/{id}`, or what is below it: of another task than the path's, one of the two is a mistake. */
function requireNameOf(taskId: string, field: string, name: string | undefined): void {
  if (name === undefined || `${name}/`.startsWith(`tasks/${taskId}/`)) return;
  const description = "must be a name of the task in the path, or absent";
  throw new A2AError("INVALID_PARAMS", { violations: [{ field, description }] });
}

function has(raw: unknown, member: string): boolean {
  return Object.hasOwn(raw as object, member);
}

const same = <P extends CoreParams>(params: P): P => params;

const methods: Record<OperationName, Method> = {
  SendMessage: sending("SendMessage"),
  SendStreamingMessage: sending("SendStreamingMessage"),
  GetTask: method("GetTask", core.GetTaskRequest, same, { write: writeTask }),
  ListTasks: method("ListTasks", proto.ProtoListRequest, toCoreList, {
    write: ({ tasks, ...rest }: core.ListTasksResponse) => ({ tasks: tasks.map(writeTask), ...rest }),
  }),
  CancelTask: method("CancelTask", core.CancelTaskRequest, same, { write: writeTask }),
  SubscribeToTask: method("SubscribeToTask", core.SubscribeToTaskRequest, same, { write: writeEvent }),
  CreateTaskPushNotificationConfig: setConfig,
  GetTaskPushNotificationConfig: method(
    "GetTaskPushNotificationConfig",
    core.GetTaskPushNotificationConfigRequest,
    same,
    { write: writeConfig },
  ),
  ListTaskPushNotificationConfigs: method(
    "ListTaskPushNotificationConfigs",
    core.ListTaskPushNotificationConfigsRequest,
    same,
    { write: ({ configs = [], ...rest }: ConfigList) => ({ configs: configs.map(writeConfig), ...rest }) },
  ),
  DeleteTaskPushNotificationConfig: method(
    "DeleteTaskPushNotificationConfig",
    core.DeleteTaskPushNotificationConfigRequest,
    same,
  ),
  GetExtendedAgentCard: method("GetExtendedAgentCard", requests.NoParams, () => ({}), {
    write: toLegacyProtoAgentCard,
    explain: asMissingCard,
  }),
};

function toCoreList(list: Parameters<typeof proto.fromProtoList>[0]): CoreParams {
  return requests.toCoreListRequest(proto.fromProtoList(list));
}

export const legacy: Dialect = {
  version: "0.3",
  extensionsHeader: "x-a2a-extensions",
  methods: new Map(Object.entries(methods)),
};
