// CancelTask (§3.1.5).

import type { CancelTaskRequest } from "../protocol/requests.ts";
import { callHome, shardOfTask } from "./homes.ts";
import type { Answer, Call, Deps } from "./index.ts";
import { orThrow } from "./or-throw.ts";

export async function cancelTask(
  deps: Deps,
  { caller, agent, params }: Call<CancelTaskRequest>,
): Promise<Answer> {
  const shard = shardOfTask(params.id, deps.config.homeShards);
  const query = { agent: agent.name, id: params.id };
  return {
    kind: "value",
    json: orThrow(
      await callHome(deps, caller, shard, (home, by, repeated) => home.cancel({ ...query, by, repeated })),
    ),
  };
}
