// ListTaskPushNotificationConfigs (§3.1.9). A task has few configs, so a home answers with all of them and the
// pages are cut here. A page token is the id of the last config, and a fingerprint of the list it belongs to.

import type { PushConfigView } from "../delivery/stored-config.ts";
import { toJsonBytes } from "../lib/bytes.ts";
import type { ListTaskPushNotificationConfigsRequest } from "../protocol/requests.ts";
import { callHome, shardOfTask } from "./homes.ts";
import type { Answer, Call, Deps } from "./index.ts";
import { orThrow } from "./or-throw.ts";
import { fingerprintOf, parsePageToken, toPageToken } from "./page-token.ts";
import { requirePush, toAnswer } from "./push-configs.ts";

export async function listPushConfigs(
  deps: Deps,
  { caller, agent, params, extensions }: Call<ListTaskPushNotificationConfigsRequest>,
): Promise<Answer> {
  requirePush(deps);
  const { taskId, pageToken } = params;
  const shard = shardOfTask(taskId, deps.config.homeShards);
  const fingerprint = await fingerprintOf([caller.owner, agent.name, taskId]);
  const after = pageToken === undefined ? undefined : parsePageToken(pageToken, fingerprint, toId);
  const query = { agent: agent.name, taskId };
  const views = orThrow(
    await callHome(deps, caller, shard, (home, by) => home.listPushConfigs({ ...query, by })),
  );

  const rest = views.toSorted(byId).filter(({ answer }) => after === undefined || answer.id > after);
  // All at once unless pages are asked for (§3.1.9: MUST return all, MAY paginate).
  const page = rest.slice(0, params.pageSize ?? rest.length);
  const last = page.at(-1);
  const isMore = page.length < rest.length;
  return {
    kind: "value",
    json: toJsonBytes({
      configs: page.map((view) => toAnswer(view, extensions)),
      nextPageToken: last && isMore ? toPageToken([last.answer.id], fingerprint) : "",
    }),
  };
}

/** By UTF-16 units, like the comparison with a token. */
function byId(a: PushConfigView, b: PushConfigView): number {
  return a.answer.id < b.answer.id ? -1 : 1;
}

function toId(position: unknown[]): string | undefined {
  const [id] = position;
  return position.length === 1 && typeof id === "string" ? id : undefined;
}
