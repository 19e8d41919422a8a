// The methods of A2A 0.1 (April 2025), which existed in JSON-RPC alone: clients chose the ids of tasks, and a message
// named the task it made or continued.
//
// Three names are those of 0.3 as well. A call that names no version and a task whose id no server of 0.3 makes is one
// of 0.1: only its clients can have chosen it.

import { isOwnForm } from "../../operations/homes.ts";
import type { SendMessageResponse } from "../../protocol/requests.ts";
import { isInterrupted, isTerminal, type TaskState } from "../../protocol/state.ts";
import type { Task } from "../../protocol/task.ts";
import { createEventWriter, type EndsWith } from "../../protocol/v0_1/events.ts";
import {
  OldestTaskPushConfig,
  toCoreTaskPushConfig,
  toOldestTaskPushConfig,
} from "../../protocol/v0_1/push-config.ts";
import * as requests from "../../protocol/v0_1/requests.ts";
import { toOldestTask } from "../../protocol/v0_1/task.ts";
import { isObject } from "../../protocol/violations.ts";
import type { Dialect, Method } from "../dialect.ts";
import { method, renameFields } from "../legacy.ts";

/** The core's names of what stands in the params themselves. */
const explainSend = renameFields((field) =>
  field
    .replace(/^message\.taskId$/, "id")
    .replace(/^message\.contextId$/, "sessionId")
    .replace(/^configuration\.taskPushNotificationConfig/, "pushNotification")
    .replace(/^configuration\./, ""),
);
const explainConfig = renameFields((field) => `pushNotificationConfig.${field}`);

const writeTask = ({ history: _, ...task }: Task) => toOldestTask(task);
// A message that names its task is always answered with it.
const writeSent = ({ task }: SendMessageResponse) => task && toOldestTask(task);

/** The stream of a message ends where it is answered, or asked back; that of a subscriber with the task. */
const endsAnswer: EndsWith = (state: TaskState) => isTerminal(state) || isInterrupted(state);

function choosing(send: Method): Method {
  return { ...send, read: (raw, config) => ({ ...send.read(raw, config), choosesTask: true }) };
}

/** Its clients read nothing but events once they have asked for a stream. */
function streaming(ask: Method, endsWith: EndsWith): Method {
  return {
    ...ask,
    failsInStream: () => true,
    read: (raw, config) => ({ ...ask.read(raw, config), write: createEventWriter(endsWith) }),
  };
}

function sharedName(shared: Method): Method {
  const recognizes = (params: unknown) =>
    isObject(params) && typeof params.id === "string" && !isOwnForm(params.id);
  return { ...shared, recognizes };
}

const send = (operation: "SendMessage" | "SendStreamingMessage") =>
  choosing(
    method(operation, requests.TaskSendParams, requests.toCoreSendRequest, {
      write: writeSent,
      explain: explainSend,
    }),
  );
const subscribe = method("SubscribeToTask", requests.TaskQueryParams, ({ id }) => ({ id }));

export const oldest: Dialect = {
  version: "0.1",
  extensionsHeader: "x-a2a-extensions",
  hasPlainStreams: true,
  methods: new Map([
    ["tasks/send", send("SendMessage")],
    [
      "tasks/sendSubscribe",
      // 0.1 §7.2: of its clients, some look at the status alone, and some at the event alone. Those that subscribe to a
      // task may be of 0.3, and read the event.
      { ...streaming(send("SendStreamingMessage"), endsAnswer), failsByStatus: true },
    ],
    [
      "tasks/get",
      sharedName(
        method("GetTask", requests.TaskQueryParams, requests.toCoreGetRequest, { write: toOldestTask }),
      ),
    ],
    [
      "tasks/cancel",
      sharedName(method("CancelTask", requests.TaskIdParams, (params) => params, { write: writeTask })),
    ],
    ["tasks/resubscribe", sharedName(streaming(subscribe, isTerminal))],
    [
      "tasks/pushNotification/set",
      method("CreateTaskPushNotificationConfig", OldestTaskPushConfig, toCoreTaskPushConfig, {
        write: toOldestTaskPushConfig,
        explain: explainConfig,
      }),
    ],
    [
      "tasks/pushNotification/get",
      method("GetTaskPushNotificationConfig", requests.TaskIdParams, requests.toCoreGetConfig, {
        write: toOldestTaskPushConfig,
      }),
    ],
  ]),
};
