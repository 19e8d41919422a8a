// SubscribeToTask (§3.1.6).

import type { SubscribeToTaskRequest } from "../protocol/requests.ts";
import { callHome, shardOfTask, toStream } from "./homes.ts";
import type { Answer, Call, Deps } from "./index.ts";
import { orThrow } from "./or-throw.ts";

export async function subscribeToTask(deps: Deps, call: Call<SubscribeToTaskRequest>): Promise<Answer> {
  const { caller, agent, params, lastEventId } = call;
  const shard = shardOfTask(params.id, deps.config.homeShards);
  const query = {
    agent: agent.name,
    id: params.id,
    ...(lastEventId !== undefined && { lastEventId: Number(lastEventId) }),
  };
  return toStream(
    orThrow(await callHome(deps, caller, shard, (home, by) => home.subscribe({ ...query, by }))),
  );
}
