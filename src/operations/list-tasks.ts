// ListTasks (§3.1.4): newest status first. A list asks every shard for a page and merges them; its cursor is
// the place of the last task in that order, and a fingerprint of the filters it was made with.

import { compareUtf8, joinJson } from "../lib/bytes.ts";
import type { ListTasksRequest } from "../protocol/requests.ts";
import type { ListAnswer, ListedTask, ListQuery } from "../tasks/commands.ts";
import type { Position } from "../tasks/records.ts";
import { callHome, shardOf } from "./homes.ts";
import type { Answer, Call, Deps } from "./index.ts";
import { orThrow } from "./or-throw.ts";
import { fingerprintOf, parsePageToken, toPageToken } from "./page-token.ts";

const DEFAULT_PAGE_SIZE = 50;

export async function listTasks(
  deps: Deps,
  { caller, agent, params }: Call<ListTasksRequest>,
): Promise<Answer> {
  const { contextId, status, pageSize = DEFAULT_PAGE_SIZE, statusTimestampAfter } = params;
  const artifacts = params.includeArtifacts ?? false;
  const fingerprint = await fingerprintOf([
    caller.owner,
    agent.name,
    contextId,
    status,
    statusTimestampAfter,
  ]);
  const query: Omit<ListQuery, "by"> = {
    agent: agent.name,
    contextId,
    state: status,
    since: statusTimestampAfter === undefined ? undefined : Date.parse(statusTimestampAfter),
    after:
      params.pageToken === undefined ? undefined : parsePageToken(params.pageToken, fingerprint, toPosition),
    limit: pageSize,
    historyLength: params.historyLength,
    artifacts,
  };
  const answers = await Promise.all(
    shardsOf(contextId, deps.config.homeShards).map(async (shard) =>
      orThrow(await callHome(deps, caller, shard, (home, by) => home.list({ ...query, by }))),
    ),
  );
  const { tasks, more } = merge(answers, pageSize);
  const last = tasks.at(-1);
  const end = {
    nextPageToken: last && more ? toPageToken([last.statusAt, last.id], fingerprint) : "",
    pageSize,
    totalSize: answers.reduce((sum, answer) => sum + answer.total, 0),
  };
  const pieces = tasks.map((task) => task.json);
  return { kind: "value", json: joinJson('{"tasks":[', pieces, `],${JSON.stringify(end).slice(1)}`) };
}

/** The newest tasks of all shards, as far as each of them has answered. */
function merge(answers: readonly ListAnswer[], pageSize: number): { tasks: ListedTask[]; more: boolean } {
  const all = answers.flatMap((answer) => answer.tasks).sort(newestFirst);
  // What a shard has not told yet comes after the last task it told.
  const ends = answers.flatMap(({ tasks, more }) => (more ? tasks.slice(-1) : []));
  const known = all.filter((task) => ends.every((end) => newestFirst(task, end) <= 0));
  const tasks = known.slice(0, pageSize);
  return { tasks, more: tasks.length < all.length || ends.length > 0 };
}

function shardsOf(contextId: string | undefined, shards: number): number[] {
  if (contextId === undefined) return Array.from({ length: shards }, (_, shard) => shard);
  const shard = shardOf(contextId, shards);
  return shard === undefined ? [] : [shard];
}

/** In the order of the homes, which is SQLite's: a cursor goes by it. */
function newestFirst(a: Position, b: Position): number {
  return a.statusAt === b.statusAt ? compareUtf8(b.id, a.id) : b.statusAt - a.statusAt;
}

function toPosition(position: unknown[]): Position | undefined {
  const [statusAt, id] = position;
  if (position.length !== 2 || !Number.isSafeInteger(statusAt) || typeof id !== "string") return undefined;
  return { statusAt: statusAt as number, id };
}
