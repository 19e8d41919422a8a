// GetTask (§3.1.3).

import type { GetTaskRequest } from "../protocol/requests.ts";
import { callHome, shardOfTask } from "./homes.ts";
import type { Answer, Call, Deps } from "./index.ts";
import { orThrow } from "./or-throw.ts";

export async function getTask(deps: Deps, { caller, agent, params }: Call<GetTaskRequest>): Promise<Answer> {
  const { id, historyLength } = params;
  const shard = shardOfTask(id, deps.config.homeShards);
  const query = { agent: agent.name, id, historyLength };
  return {
    kind: "value",
    json: orThrow(await callHome(deps, caller, shard, (home, by) => home.get({ ...query, by }))),
  };
}
