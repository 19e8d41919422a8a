// The operations, by name: what every transport calls once it knows the caller, the agent and the params.

import type { Agent } from "../agents/agent.ts";
import { requireScope } from "../auth/authorize.ts";
import type { Caller } from "../auth/caller.ts";
import type { Config } from "../config.ts";
import type { KeyRing } from "../keys/ring.ts";
import type { JsonBytes } from "../lib/bytes.ts";
import { A2AError } from "../protocol/errors.ts";
import { type OperationName, operations } from "../protocol/operations.ts";
import type * as requests from "../protocol/requests.ts";
import type { Version } from "../protocol/version.ts";
import type { HomeObject } from "../tasks/home.ts";
import { cancelTask } from "./cancel-task.ts";
import { getExtendedAgentCard } from "./card.ts";
import type { SignCard } from "./card-signatures.ts";
import { getTask } from "./get-task.ts";
import { listPushConfigs } from "./list-push-configs.ts";
import { listTasks } from "./list-tasks.ts";
import { createPushConfig, deletePushConfig, getPushConfig } from "./push-configs.ts";
import { sendMessage, sendStreamingMessage } from "./send-message.ts";
import { subscribeToTask } from "./subscribe-to-task.ts";

export type Deps = {
  config: Config;
  homes: DurableObjectNamespace<HomeObject>;
  /** Encrypts what callers keep secret in push notification configs. */
  ring: KeyRing;
  /** Whether the receiver at `url` echoes a challenge; `endpoint` is the name of its EndpointObject. */
  challenge(endpoint: string, url: string): Promise<boolean>;
  signCard: SignCard;
  now(): number;
};

export type Call<P = unknown> = {
  caller: Caller;
  /** Already resolved from the tenant or the path. */
  agent: Agent;
  /** The dialect of the client, in which its notifications will leave. */
  version: Version;
  /** Already parsed by the operation's schema. */
  params: P;
  /** Where the client reached this server, without trailing slash. */
  baseUrl: string;
  /** The host names this server is known to answer at. */
  ownHosts: readonly string[];
  /** The A2A extensions activated for this call. */
  extensions: readonly string[];
  idempotencyKey?: string;
  lastEventId?: string;
  /**
   * Of a message that is sent: it names its task, whether that exists or not, and its context counts only if it does
   * not. So it is before A2A 0.2, where clients chose the ids of tasks.
   */
  choosesTask?: boolean;
};

export type Answer =
  /** The operation's result message, as JSON. */
  | { kind: "value"; json: JsonBytes }
  /** Lines `<seq> <StreamResponse JSON>\n`; the seq of a Message without a task is `-`. */
  | {
      kind: "stream";
      lines: ReadableStream<Uint8Array>;
      /** To be called when nothing more is read. */
      release(): void;
    };

type Execute<P> = (deps: Deps, call: Call<P>) => Promise<Answer>;

const executors = {
  SendMessage: sendMessage,
  SendStreamingMessage: sendStreamingMessage,
  GetTask: getTask,
  ListTasks: listTasks,
  CancelTask: cancelTask,
  SubscribeToTask: subscribeToTask,
  CreateTaskPushNotificationConfig: createPushConfig,
  GetTaskPushNotificationConfig: getPushConfig,
  ListTaskPushNotificationConfigs: listPushConfigs,
  DeleteTaskPushNotificationConfig: deletePushConfig,
  GetExtendedAgentCard: getExtendedAgentCard,
} satisfies {
  SendMessage: Execute<requests.SendMessageRequest>;
  SendStreamingMessage: Execute<requests.SendMessageRequest>;
  GetTask: Execute<requests.GetTaskRequest>;
  ListTasks: Execute<requests.ListTasksRequest>;
  CancelTask: Execute<requests.CancelTaskRequest>;
  SubscribeToTask: Execute<requests.SubscribeToTaskRequest>;
  CreateTaskPushNotificationConfig: Execute<requests.CreateTaskPushNotificationConfigRequest>;
  GetTaskPushNotificationConfig: Execute<requests.GetTaskPushNotificationConfigRequest>;
  ListTaskPushNotificationConfigs: Execute<requests.ListTaskPushNotificationConfigsRequest>;
  DeleteTaskPushNotificationConfig: Execute<requests.DeleteTaskPushNotificationConfigRequest>;
  GetExtendedAgentCard: Execute<unknown>;
};

/** Executes an operation for a caller that may. Throws an A2AError for what the caller got wrong. */
export function execute(deps: Deps, name: OperationName, call: Call): Promise<Answer> {
  const { scope, streaming } = operations[name];
  requireScope(call.caller, scope);
  if (streaming && !deps.config.streaming) {
    throw new A2AError("UNSUPPORTED_OPERATION", { message: "This server does not stream." });
  }
  // The params were parsed by the schema that stands beside this executor's name in the table.
  return (executors[name] as Execute<unknown>)(deps, call);
}
