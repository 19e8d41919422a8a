// CreateTaskPushNotificationConfig (§3.1.7), GetTaskPushNotificationConfig (§3.1.8) and
// DeleteTaskPushNotificationConfig (§3.1.10), and what they share with the list and with SendMessage.

import type { DeliveryHealth } from "../delivery/exchange.ts";
import { prepareConfig } from "../delivery/prepare-config.ts";
import type { PushConfigView, StoredConfig } from "../delivery/stored-config.ts";
import { toJsonBytes } from "../lib/bytes.ts";
import { A2AError } from "../protocol/errors.ts";
import { WEBHOOKS_EXTENSION, type WebhookConfig } from "../protocol/push-options.ts";
import type {
  CreateTaskPushNotificationConfigRequest,
  DeleteTaskPushNotificationConfigRequest,
  GetTaskPushNotificationConfigRequest,
} from "../protocol/requests.ts";
import { callHome, shardOfTask } from "./homes.ts";
import type { Answer, Call, Deps } from "./index.ts";
import { orThrow } from "./or-throw.ts";

/** The id of an existing config replaces that one, and starts it anew. */
export async function createPushConfig(
  deps: Deps,
  call: Call<CreateTaskPushNotificationConfigRequest>,
): Promise<Answer> {
  requirePush(deps);
  const { caller, agent, params } = call;
  const { taskId } = params;
  const shard = shardOfTask(taskId, deps.config.homeShards);
  const config = await preparePush(deps, call, { config: params, taskId });
  const command = { agent: agent.name, taskId, config, sheddable: deps.config.loadShedding };
  const answer = orThrow(
    await callHome(deps, caller, shard, (home, by) => home.setPushConfig({ ...command, by })),
  );
  return { kind: "value", json: toJsonBytes(answer) };
}

export async function getPushConfig(
  deps: Deps,
  { caller, agent, params, extensions }: Call<GetTaskPushNotificationConfigRequest>,
): Promise<Answer> {
  requirePush(deps);
  const { taskId, id } = params;
  const shard = shardOfTask(taskId, deps.config.homeShards);
  const query = { agent: agent.name, taskId, id };
  const view = orThrow(
    await callHome(deps, caller, shard, (home, by) => home.getPushConfig({ ...query, by })),
  );
  return { kind: "value", json: toJsonBytes(toAnswer(view, extensions)) };
}

/** Deleting what is not there is no error, as long as the task is (§3.1.10). */
export async function deletePushConfig(
  deps: Deps,
  { caller, agent, params }: Call<DeleteTaskPushNotificationConfigRequest>,
): Promise<Answer> {
  requirePush(deps);
  const { taskId, id } = params;
  const shard = shardOfTask(taskId, deps.config.homeShards);
  const query = { agent: agent.name, taskId, id };
  orThrow(await callHome(deps, caller, shard, (home, by) => home.deletePushConfig({ ...query, by })));
  return { kind: "value", json: toJsonBytes({}) };
}

/** Refuses where this deployment serves no push notifications (§3.3.4). */
export function requirePush({ config }: Deps): void {
  if (!config.pushNotifications) throw new A2AError("PUSH_NOTIFICATION_NOT_SUPPORTED");
}

/** The config as its home will keep it, its origin having passed the challenge where that is required. */
export async function preparePush(
  deps: Deps,
  { caller, version, ownHosts }: Call,
  { config, taskId, field = "" }: { config: WebhookConfig; taskId: string; field?: string },
): Promise<StoredConfig> {
  const prepared = orThrow(
    await prepareConfig({
      config,
      taskId,
      owner: caller.owner,
      version,
      ownHosts,
      field,
      now: deps.now(),
      settings: deps.config,
      ring: deps.ring,
    }),
  );
  const isChallenged = deps.config.webhookChallenge === "required";
  if (isChallenged && !(await deps.challenge(prepared.endpoint, prepared.url))) {
    const violation = {
      field: field === "" ? "url" : `${field}.url`,
      description: "must belong to a receiver that echoes the challenge, which it did not",
    };
    throw new A2AError("INVALID_PARAMS", { violations: [violation] });
  }
  return prepared;
}

/** A config as its owner sees it; how its deliveries fare is told to clients that know our extension. */
export function toAnswer({ answer, health }: PushConfigView, extensions: readonly string[]): object {
  return extensions.includes(WEBHOOKS_EXTENSION) ? { ...answer, delivery: toDelivery(health) } : answer;
}

/** What there is none of is absent, and times are text, as everywhere in A2A. */
function toDelivery({
  stateAt,
  oldestPendingAt,
  nextAttemptAt,
  failingSince,
  lastAttemptAt,
  ...rest
}: DeliveryHealth) {
  const times = { stateAt, oldestPendingAt, nextAttemptAt, failingSince, lastAttemptAt };
  const texts = Object.entries(times).map(([name, at]) => [name, at && new Date(at).toISOString()] as const);
  const all = [...Object.entries(rest), ...texts];
  return Object.fromEntries(all.filter(([, value]) => value !== null));
}
