// SendMessage (§3.1.1) and SendStreamingMessage (§3.1.2).

import { requireScope } from "../auth/authorize.ts";
import type { StoredConfig } from "../delivery/stored-config.ts";
import { sha256 } from "../lib/bytes.ts";
import { A2AError } from "../protocol/errors.ts";
import { operations } from "../protocol/operations.ts";
import type { WebhookConfig } from "../protocol/push-options.ts";
import type { SendMessageRequest } from "../protocol/requests.ts";
import type { SendCommand } from "../tasks/commands.ts";
import { callHome, mintId, randomShard, shardOf, shardOfKey, shardOfTask, toStream } from "./homes.ts";
import type { Answer, Call, Deps } from "./index.ts";
import { orThrow } from "./or-throw.ts";
import { preparePush, requirePush } from "./push-configs.ts";

type SendCall = Call<SendMessageRequest>;

export async function sendMessage(deps: Deps, call: SendCall): Promise<Answer> {
  const { command, shard } = await prepare(deps, call);
  const answer = await callHome(deps, call.caller, shard, (home, by, repeated) =>
    home.send({ ...command, by, repeated }),
  );
  return { kind: "value", json: orThrow(answer) };
}

export async function sendStreamingMessage(deps: Deps, call: SendCall): Promise<Answer> {
  const { command, shard } = await prepare(deps, call);
  const lines = await callHome(deps, call.caller, shard, (home, by, repeated) =>
    home.stream({ ...command, by, repeated }),
  );
  return toStream(orThrow(lines));
}

async function prepare(
  deps: Deps,
  call: SendCall,
): Promise<{ command: Omit<SendCommand, "by" | "repeated">; shard: number }> {
  const { agent, params, idempotencyKey } = call;
  const { message, configuration } = params;
  if (message.role !== "ROLE_USER") {
    throw new A2AError("INVALID_PARAMS", {
      violations: [{ field: "message.role", description: "must be ROLE_USER: a client speaks as the user" }],
    });
  }
  checkMediaTypes(call);
  const webhook = configuration?.taskPushNotificationConfig;
  if (webhook) {
    requireScope(call.caller, operations.CreateTaskPushNotificationConfig.scope);
    requirePush(deps);
  }
  const shard = pickShard(deps, call);
  const now = deps.now();
  const newTaskId = mintId(shard, now);
  return {
    shard,
    command: {
      agent: agent.name,
      message,
      newTaskId,
      newContextId: message.contextId ?? mintId(shard, now),
      returnImmediately: configuration?.returnImmediately ?? false,
      historyLength: configuration?.historyLength,
      ...(webhook && { push: await prepareInline(deps, call, webhook, message.taskId ?? newTaskId) }),
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

/** A follow-up goes where its task is, else where its context is; what is new goes anywhere. */
function pickShard({ config }: Deps, { params, idempotencyKey }: SendCall): number {
  const { taskId, contextId } = params.message;
  if (taskId !== undefined) return shardOfTask(taskId, config.homeShards);
  if (contextId !== undefined) {
    const shard = shardOf(contextId, config.homeShards);
    if (shard !== undefined) return shard;
    const description = "is of this server's form but was not made by it";
    throw new A2AError("INVALID_PARAMS", { violations: [{ field: "message.contextId", description }] });
  }
  if (idempotencyKey !== undefined) return shardOfKey(idempotencyKey, config.homeShards);
  return randomShard(config.homeShards);
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
