// SendMessage (§3.1.1) and SendStreamingMessage (§3.1.2).

import { hasScope, requireScope } from "../auth/authorize.ts";
import type { StoredConfig } from "../delivery/stored-config.ts";
import { sha256 } from "../lib/bytes.ts";
import { orLate } from "../lib/or-late.ts";
import { APPROVAL_SCOPE } from "../protocol/approvals.ts";
import { A2AError } from "../protocol/errors.ts";
import type { Message } from "../protocol/message.ts";
import { operations } from "../protocol/operations.ts";
import type { WebhookConfig } from "../protocol/push-options.ts";
import type { SendMessageRequest } from "../protocol/requests.ts";
import { dotSegmentFlaw } from "../protocol/scalars.ts";
import type { SendCommand } from "../tasks/commands.ts";
import {
  callHome,
  isOwnForm,
  mintId,
  randomShard,
  shardOf,
  shardOfKey,
  shardOfTask,
  toLateStream,
  toStream,
} from "./homes.ts";
import type { Answer, Call, Deps } from "./index.ts";
import { orThrow } from "./or-throw.ts";
import { preparePush, requirePush } from "./push-configs.ts";

type SendCall = Call<SendMessageRequest>;

/**
 * An agent that has not acted by then is thinking. Its client is told that it is connected, and an error that comes
 * nevertheless is an event of the stream.
 */
const PATIENCE_MS = 2_000;

/** Ids of an agent's messages begin with the task's, and must fit where a client names them. */
const MAX_CHOSEN_ID_LENGTH = 256;

export async function sendMessage(deps: Deps, call: SendCall): Promise<Answer> {
  const { command, shard } = await prepare(deps, call);
  const answer = await callHome(deps, call.caller, shard, (home, by, repeated) =>
    home.send({ ...command, by, repeated }),
  );
  return { kind: "value", json: orThrow(answer) };
}

export async function sendStreamingMessage(deps: Deps, call: SendCall): Promise<Answer> {
  const { command, shard } = await prepare(deps, call);
  const subscription = callHome(deps, call.caller, shard, (home, by, repeated) =>
    home.stream({ ...command, by, repeated }),
  ).then(orThrow);
  const early = await orLate(subscription, PATIENCE_MS);
  return early ? toStream(early) : toLateStream(subscription);
}

async function prepare(
  deps: Deps,
  call: SendCall,
): Promise<{ command: Omit<SendCommand, "by" | "repeated">; shard: number }> {
  const { agent, params, idempotencyKey } = call;
  const { configuration } = params;
  if (params.message.role !== "ROLE_USER") {
    throw new A2AError("INVALID_PARAMS", {
      violations: [
        {
          field: "message.role",
          description: "must be that of the user: a client does not speak as the agent",
        },
      ],
    });
  }
  checkMediaTypes(call);
  const webhook = configuration?.taskPushNotificationConfig;
  if (webhook) {
    requireScope(call.caller, operations.CreateTaskPushNotificationConfig.scope);
    requirePush(deps);
  }
  const { shard, message, chosenTaskId, contextId } = address(deps, call);
  const now = deps.now();
  const newTaskId = mintId(shard, now);
  const taskId = message.taskId ?? chosenTaskId ?? newTaskId;
  return {
    shard,
    command: {
      mayApprove: hasScope(call.caller, APPROVAL_SCOPE),
      agent: agent.name,
      message: message.messageId === "" ? { ...message, messageId: newTaskId } : message,
      ...(call.version !== "1.0" && { version: call.version }),
      newTaskId,
      ...(chosenTaskId !== undefined && { chosenTaskId }),
      newContextId: contextId ?? mintId(shard, now),
      returnImmediately: configuration?.returnImmediately ?? false,
      sheddable: deps.config.loadShedding,
      historyLength: configuration?.historyLength,
      ...(webhook && { push: await prepareInline(deps, call, webhook, taskId) }),
      ...(idempotencyKey !== undefined && {
        idempotency: { key: idempotencyKey, fingerprint: await sha256(JSON.stringify(params)) },
      }),
    },
  };
}

/** A webhook in a message is one of the message's task; the task and tenant it names itself mean nothing (§3.2.2). */
function prepareInline(
  deps: Deps,
  call: SendCall,
  { tenant: _, ...config }: WebhookConfig,
  taskId: string,
): Promise<StoredConfig> {
  return preparePush(deps, call, { config, taskId, field: "configuration.taskPushNotificationConfig" });
}

/** Where a message goes, and what it says there about its task. */
type Address = {
  shard: number;
  message: Message;
  /** The task that the client has named, whether it exists or not. */
  chosenTaskId?: string;
  /** The context of a new task. */
  contextId?: string | undefined;
};

/** A follow-up goes where its task is, else where its context is; what is new goes anywhere. */
function address({ config }: Deps, { params, idempotencyKey, choosesTask }: SendCall): Address {
  const { message } = params;
  const { taskId, contextId } = message;
  const { homeShards } = config;
  if (choosesTask && taskId !== undefined) return addressChosen(message, taskId, homeShards);
  if (taskId !== undefined) return { shard: shardOfTask(taskId, homeShards), message, contextId };
  if (contextId !== undefined) {
    const shard = shardOf(contextId, homeShards);
    if (shard === undefined)
      throw refusal("message.contextId", "is of this server's form but was not made by it");
    return { shard, message, contextId };
  }
  const shard =
    idempotencyKey === undefined ? randomShard(homeShards) : shardOfKey(idempotencyKey, homeShards);
  return { shard, message };
}

/** An id of our own form names a task that exists, or none. Any other may be chosen, and lives in shard 0. */
function addressChosen(message: Message, taskId: string, homeShards: number): Address {
  // Many clients name a new context with each message; that of a task that exists is known.
  const { taskId: _, contextId, ...rest } = message;
  if (isOwnForm(taskId)) return { shard: shardOfTask(taskId, homeShards), message: { ...rest, taskId } };
  if (taskId.length > MAX_CHOSEN_ID_LENGTH) {
    throw refusal("message.taskId", `must be at most ${MAX_CHOSEN_ID_LENGTH} characters long`);
  }
  const flaw = dotSegmentFlaw(taskId);
  if (flaw !== undefined) throw refusal("message.taskId", flaw);
  if (contextId !== undefined && shardOf(contextId, homeShards) !== 0) {
    throw refusal(
      "message.contextId",
      "belongs to tasks whose ids the server chose: this one cannot join them",
    );
  }
  return { shard: 0, message: rest, chosenTaskId: taskId, contextId };
}

function refusal(field: string, description: string): A2AError {
  return new A2AError("INVALID_PARAMS", { violations: [{ field, description }] });
}

/** §3.3.2: a media type that the agent's card does not list. A part without one is not judged. */
function checkMediaTypes({ agent, params }: SendCall): void {
  params.message.parts.forEach((part, index) => {
    if (part.mediaType === undefined || accepts(agent.inputModes, part.mediaType)) return;
    throw new A2AError("CONTENT_TYPE_NOT_SUPPORTED", {
      message: `This agent takes ${agent.inputModes.join(", ")}.`,
      metadata: { field: `message.parts[${index}].mediaType`, mediaType: part.mediaType },
    });
  });
}

function accepts(modes: readonly string[], mediaType: string): boolean {
  const type = mediaType.split(";", 1)[0]?.trim().toLowerCase() ?? "";
  return modes.some((mode) => {
    if (mode === "*/*" || mode === type) return true;
    return mode.endsWith("/*") && type.startsWith(mode.slice(0, -1));
  });
}
