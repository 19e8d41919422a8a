// The erasure of what a home holds of its owner, some of it with each call, so that none is long and one that was cut
// off is gone on with by the next: what is left says where.
//
// What stays is the audit, which names tasks and no content, and the numbers of what was shipped: D1 and the metrics
// know by them what they have. A home that is empty stops its clock and is forgotten by D1 until its owner returns.

import { isTerminal } from "../protocol/state.ts";
import type { Clock } from "./clock.ts";
import type { By } from "./commands.ts";
import type { Jobs } from "./jobs.ts";
import type { TaskRecord } from "./machine.ts";
import type { PushCommands } from "./push-commands.ts";
import type { Shipping } from "./shipping.ts";
import type { Store } from "./store.ts";
import type { Turns } from "./turns.ts";

/** `name`: the home's own, `owner/shard`; `by`: the operator. */
export type Erasure = { name: string; by: By };

/** What one call has erased. `more`: there is something left; `isStuck`: it cannot be erased now. */
export type Erased = { tasks: number; configs: number; memories: number; more: boolean; isStuck: boolean };

export const NOTHING_ERASED: Erased = { tasks: 0, configs: 0, memories: 0, more: false, isStuck: false };

/** Of one call. A task may be several MB, a memory one. */
const TASKS = 50;
const MEMORIES = 200;
const ENDPOINTS = 20;

export type EraseParts = {
  store: Store;
  turns: Turns;
  jobs: Pick<Jobs, "drive">;
  clock: Pick<Clock, "unregister">;
  commands: Pick<PushCommands, "delete">;
  shipping: Pick<Shipping, "drain">;
  /** Has an endpoint forget its tokens and what it remembers of its URLs. */
  eraseEndpoint(name: string): Promise<void>;
};

/** Erases some of what a home holds; one that does not exist stays so. */
export async function eraseSome(parts: EraseParts, { name, by }: Erasure): Promise<Erased> {
  const { store, turns, clock, shipping } = parts;
  // Turns of which nothing is stored yet would make a task later.
  for (const { taskId } of turns.all()) if (!store.get(taskId)) turns.cancel(taskId, by);
  if (!store.exists) return NOTHING_ERASED;
  const found = store.records.after("", TASKS);
  if (found.length > 0) {
    const ended = await Promise.all(found.map(({ id }) => endTask(parts, id, by)));
    // Who follows them hears of the end before there is nothing to be read.
    await store.commits.durable();
    await scheduler.wait(0);
    const tasks = deleteEnded(parts, found);
    const configs = ended.reduce((sum, count) => sum + count, 0);
    return { ...NOTHING_ERASED, tasks, configs, more: true, isStuck: tasks + configs === 0 };
  }
  const { memories, more } = store.deleteMemories(MEMORIES);
  const erased = { ...NOTHING_ERASED, memories };
  if (more) return { ...erased, more };
  const endpoints = store.configs.endpoints(ENDPOINTS);
  await Promise.all(endpoints.map(parts.eraseEndpoint));
  if (endpoints.length > 0) {
    store.write(() => {
      for (const endpoint of endpoints) store.configs.forgetEndpoint(endpoint);
    });
    return { ...erased, more: true };
  }
  if (!(await shipping.drain())) return { ...erased, more: true, isStuck: true };
  if (!store.leaveEmpty(name)) return { ...erased, more: true };
  await clock.unregister(name);
  return { ...erased, more: store.isInUse };
}

/** Brings a task to its end without anybody being notified: its configs go first. How many it had. */
async function endTask({ store, turns, jobs, commands }: EraseParts, id: string, by: By): Promise<number> {
  const configs = store.configs.list(id);
  if (configs.length > 0) {
    store.write(() => {
      // Of configs from before they were noted when they were set.
      for (const { endpoint } of store.lanes.forTask(id)) store.configs.noteEndpoint(endpoint);
    });
    await Promise.all(configs.map((config) => commands.delete(id, config.id, by)));
  }
  const record = store.get(id);
  if (record && !isTerminal(record.state)) turns.cancel(id, by);
  // The row stays until the instance of its turn is no more.
  if (store.due.has("job", id)) await jobs.drive(id);
  return configs.length;
}

/** Deletes those of the tasks that have come to their end; the others are looked at again. How many they were. */
function deleteEnded({ store, turns }: EraseParts, tasks: readonly TaskRecord[]): number {
  return store.write(() => {
    const ended = tasks.flatMap(({ id }) => {
      const record = store.get(id);
      const isBusy = !record || !isTerminal(record.state) || turns.get(id) || store.due.has("job", id);
      return isBusy || store.configs.list(id).length > 0 ? [] : [record];
    });
    for (const record of ended) {
      store.delete(record);
      store.dead.deleteTask(record.id);
    }
    return ended.length;
  });
}
