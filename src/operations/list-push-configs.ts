// ListTaskPushNotificationConfigs (§3.1.9). A task has few configs, so a home answers with all of them and the
// pages are cut here. A page token is the id of the last config, and a fingerprint of the list it belongs to.

import type { PushConfigView } from "../delivery/stored-config.ts";
import { fromBase64Url, sha256, toBase64Url, toJsonBytes } from "../lib/bytes.ts";
import { A2AError } from "../protocol/errors.ts";
import type { ListTaskPushNotificationConfigsRequest } from "../protocol/requests.ts";
import { callHome, shardOfTask } from "./homes.ts";
import type { Answer, Call, Deps } from "./index.ts";
import { orThrow } from "./or-throw.ts";
import { requirePush, toAnswer } from "./push-configs.ts";

export async function listPushConfigs(
  deps: Deps,
  { caller, agent, params, extensions }: Call<ListTaskPushNotificationConfigsRequest>,
): Promise<Answer> {
  requirePush(deps);
  const { taskId, pageToken } = params;
  const shard = shardOfTask(taskId, deps.config.homeShards);
  const list = await sha256(JSON.stringify([caller.owner, agent.name, taskId]));
  const fingerprint = list.slice(0, 16);
  const after = pageToken === undefined ? undefined : parseToken(pageToken, fingerprint);
  const query = { agent: agent.name, taskId };
  const views = orThrow(await callHome(deps, caller.owner, shard, (home) => home.listPushConfigs(query)));

  const rest = views.toSorted(byId).filter(({ answer }) => after === undefined || answer.id > after);
  // All at once unless pages are asked for (§3.1.9: MUST return all, MAY paginate).
  const page = rest.slice(0, params.pageSize ?? rest.length);
  const last = page.at(-1);
  const isMore = page.length < rest.length;
  return {
    kind: "value",
    json: toJsonBytes({
      configs: page.map((view) => toAnswer(view, extensions)),
      nextPageToken: last && isMore ? toBase64Url(JSON.stringify([last.answer.id, fingerprint])) : "",
    }),
  };
}

/** By UTF-16 units, like the comparison with a token. */
function byId(a: PushConfigView, b: PushConfigView): number {
  return a.answer.id < b.answer.id ? -1 : 1;
}

function parseToken(token: string, fingerprint: string): string {
  const position = readToken(token);
  if (!position) throw badToken("was not made by this server");
  if (position.fingerprint !== fingerprint) throw badToken("was made for another list");
  return position.id;
}

function readToken(token: string): { id: string; fingerprint: string } | undefined {
  try {
    const parsed: unknown = JSON.parse(fromBase64Url(token) ?? "");
    if (!Array.isArray(parsed) || parsed.length !== 2) return undefined;
    const [id, fingerprint] = parsed as unknown[];
    return typeof id === "string" && typeof fingerprint === "string" ? { id, fingerprint } : undefined;
  } catch {
    return undefined;
  }
}

function badToken(description: string): A2AError {
  return new A2AError("INVALID_PARAMS", { violations: [{ field: "pageToken", description }] });
}
