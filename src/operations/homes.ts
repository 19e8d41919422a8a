// Which home a call goes to, by arithmetic on ids: `<shard>-<uuid v7>` names its shard, and whatever a
// client chose lives in shard 0. Also the one place that calls homes, so that what RPC can do to a call is
// dealt with once.

import type { Caller } from "../auth/caller.ts";
import { uuidv7 } from "../lib/ids.ts";
import { isOverloaded, isRetryable } from "../lib/outage.ts";
import { A2AError } from "../protocol/errors.ts";
import type { By, Home, Subscription } from "../tasks/commands.ts";
import type { Answer, Deps } from "./index.ts";

const OWN_ID = /^(0|[1-9]\d{0,3})-[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

export function mintId(shard: number, now: number): string {
  return `${shard}-${uuidv7(now)}`;
}

/** Whether an id has the form of those that the server makes: a client can name it, and never choose it. */
export function isOwnForm(id: string): boolean {
  return OWN_ID.test(id);
}

/** The shard of an id; undefined if it is of our form but names a shard that does not exist. */
export function shardOf(id: string, shards: number): number | undefined {
  const own = OWN_ID.exec(id);
  if (!own) return 0;
  const shard = Number(own[1]);
  return shard < shards ? shard : undefined;
}

/** The shard of a task that must exist. */
export function shardOfTask(id: string, shards: number): number {
  const shard = shardOf(id, shards);
  if (shard === undefined) throw new A2AError("TASK_NOT_FOUND", { metadata: { taskId: id } });
  return shard;
}

export function randomShard(shards: number): number {
  return shards === 1 ? 0 : Math.floor(Math.random() * shards);
}

/** FNV-1a of the key: the shard that every request with this Idempotency-Key meets in. */
export function shardOfKey(key: string, shards: number): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193);
  return (hash >>> 0) % shards;
}

/**
 * Calls a home of the caller's owner, `by` the caller. A call whose answer was lost is made once more, which every
 * call must be fit for; an overloaded home makes it UNAVAILABLE.
 */
export async function callHome<T>(
  deps: Deps,
  { owner, actor }: Caller,
  shard: number,
  call: (home: Home, by: By, repeated: boolean) => Promise<T>,
): Promise<T> {
  const id = deps.homes.idFromName(`${owner}/${shard}`);
  const by: By = { owner, actor };
  // A stub's own type describes what RPC could do with a result; ours are plain data and streams.
  const stub = () => deps.homes.get(id) as unknown as Home;
  try {
    return await call(stub(), by, false);
  } catch (error) {
    if (isOverloaded(error)) throw unavailable();
    if (!isRetryable(error)) throw error;
  }
  try {
    // A stub whose connection broke stays broken.
    return await call(stub(), by, true);
  } catch (error) {
    if (isOverloaded(error) || isRetryable(error)) throw unavailable();
    throw error;
  }
}

export function toStream({ lines, lease }: Subscription): Answer {
  return { kind: "stream", lines, release: () => lease[Symbol.dispose]() };
}

/** A stream that begins when the home has it; whoever leaves before is gone for the home, too, as soon as it knows. */
export function toLateStream(subscription: Promise<Subscription>): Answer {
  let reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  const begin = async () => {
    reader ??= (await subscription).lines.getReader();
    return reader;
  };
  const lines = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = await (await begin()).read();
        if (done) controller.close();
        else controller.enqueue(value);
      },
      cancel: async (reason) => (await begin()).cancel(reason),
    },
    { highWaterMark: 0 },
  );
  const release = () => void subscription.then(({ lease }) => lease[Symbol.dispose]()).catch(() => {});
  return { kind: "stream", lines, release };
}

function unavailable(): A2AError {
  return new A2AError("UNAVAILABLE", {
    message: "This owner's tasks are busy; try again.",
    retryAfterSeconds: 2,
  });
}
