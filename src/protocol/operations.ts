// The one table of the eleven operations (§5.3, §9.4, §11.3). Every transport is a loop over it.

import { AgentCard } from "./agent-card.ts";
import { StreamResponse } from "./events.ts";
import { TaskPushNotificationConfig } from "./push-config.ts";
import * as requests from "./requests.ts";
import type { Schema } from "./schema.ts";
import { Task } from "./task.ts";

export type Scope = "task:read" | "task:write" | "push:read" | "push:write" | "card:read" | "tool:approve";

/** `{name}` in a path is the field `name` of the params; each path is also served under `/{tenant}`. */
export type RestBinding = { readonly verb: "GET" | "POST" | "DELETE"; readonly path: string };

export type Operation = {
  readonly params: Schema<unknown>;
  /** Of a streaming operation: one event of the stream. */
  readonly result: Schema<unknown>;
  readonly streaming: boolean;
  readonly rest: readonly RestBinding[];
  /** The JSON-RPC name in A2A 0.3. */
  readonly legacy: string;
  /** What a caller must be allowed. */
  readonly scope: Scope;
};

const configs = "/tasks/{taskId}/pushNotificationConfigs";

export const operations = {
  SendMessage: {
    params: requests.SendMessageRequest,
    result: requests.SendMessageResponse,
    streaming: false,
    rest: [{ verb: "POST", path: "/message:send" }],
    legacy: "message/send",
    scope: "task:write",
  },
  SendStreamingMessage: {
    params: requests.SendMessageRequest,
    result: StreamResponse,
    streaming: true,
    rest: [{ verb: "POST", path: "/message:stream" }],
    legacy: "message/stream",
    scope: "task:write",
  },
  GetTask: {
    params: requests.GetTaskRequest,
    result: Task,
    streaming: false,
    rest: [{ verb: "GET", path: "/tasks/{id}" }],
    legacy: "tasks/get",
    scope: "task:read",
  },
  ListTasks: {
    params: requests.ListTasksRequest,
    result: requests.ListTasksResponse,
    streaming: false,
    rest: [{ verb: "GET", path: "/tasks" }],
    legacy: "tasks/list",
    scope: "task:read",
  },
  CancelTask: {
    params: requests.CancelTaskRequest,
    result: Task,
    streaming: false,
    rest: [{ verb: "POST", path: "/tasks/{id}:cancel" }],
    legacy: "tasks/cancel",
    scope: "task:write",
  },
  SubscribeToTask: {
    params: requests.SubscribeToTaskRequest,
    result: StreamResponse,
    streaming: true,
    // The proto says GET, the prose of §11.3.2 POST, and clients follow either.
    rest: [
      { verb: "GET", path: "/tasks/{id}:subscribe" },
      { verb: "POST", path: "/tasks/{id}:subscribe" },
    ],
    legacy: "tasks/resubscribe",
    scope: "task:read",
  },
  CreateTaskPushNotificationConfig: {
    params: requests.CreateTaskPushNotificationConfigRequest,
    result: TaskPushNotificationConfig,
    streaming: false,
    rest: [{ verb: "POST", path: configs }],
    legacy: "tasks/pushNotificationConfig/set",
    scope: "push:write",
  },
  GetTaskPushNotificationConfig: {
    params: requests.GetTaskPushNotificationConfigRequest,
    result: TaskPushNotificationConfig,
    streaming: false,
    rest: [{ verb: "GET", path: `${configs}/{id}` }],
    legacy: "tasks/pushNotificationConfig/get",
    scope: "push:read",
  },
  ListTaskPushNotificationConfigs: {
    params: requests.ListTaskPushNotificationConfigsRequest,
    result: requests.ListTaskPushNotificationConfigsResponse,
    streaming: false,
    rest: [{ verb: "GET", path: configs }],
    legacy: "tasks/pushNotificationConfig/list",
    scope: "push:read",
  },
  DeleteTaskPushNotificationConfig: {
    params: requests.DeleteTaskPushNotificationConfigRequest,
    result: requests.Empty,
    streaming: false,
    rest: [{ verb: "DELETE", path: `${configs}/{id}` }],
    legacy: "tasks/pushNotificationConfig/delete",
    scope: "push:write",
  },
  GetExtendedAgentCard: {
    params: requests.GetExtendedAgentCardRequest,
    result: AgentCard,
    streaming: false,
    rest: [{ verb: "GET", path: "/extendedAgentCard" }],
    legacy: "agent/getAuthenticatedExtendedCard",
    scope: "card:read",
  },
} as const satisfies Record<string, Operation>;

export type OperationName = keyof typeof operations;

/** Whether `name` is a JSON-RPC method of A2A 1.0; `constructor` is not. */
export function isOperationName(name: string): name is OperationName {
  return Object.hasOwn(operations, name);
}
