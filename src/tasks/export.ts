// What a home holds of its owner, page by page, for a copy that the owner may keep: every task with its history,
// artifacts and push notification configs (as their owner is shown them, without secrets), then what agents remember.

import { type JsonBytes, toJsonBytes } from "../lib/bytes.ts";
import type { PushCommands } from "./push-commands.ts";
import type { Store } from "./store.ts";

/** The last thing that was exported: a task by its id, or a memory. */
export type ExportPlace = { task: string } | { agent: string; contextId: string };

export type ExportPage = {
  /** JSON objects, each with its `kind`. */
  items: JsonBytes[];
  /** Where the next page begins; undefined: this was the last. */
  next: ExportPlace | undefined;
};

const TASKS = 50;
/** Each may have a megabyte. */
const MEMORIES = 10;
/** What the items of one page may hold; an RPC value holds at most 32 MiB, and one task half of it. */
const PAGE_BYTES = 12_000_000;

/** One page, after `place`; undefined: from the beginning. */
export function exportPage(
  store: Store,
  commands: Pick<PushCommands, "list">,
  place: ExportPlace | undefined,
): ExportPage {
  if (!store.exists) return { items: [], next: undefined };
  if (place !== undefined && !("task" in place)) return memories(store, place);
  const items: JsonBytes[] = [];
  let bytes = 0;
  const records = store.records.after(place?.task ?? "", TASKS);
  for (const record of records) {
    bytes += record.bytes;
    if (items.length > 0 && bytes > PAGE_BYTES) break;
    const task = store.journal.toTask(record, { historyLength: undefined, artifacts: true });
    const pushConfigs = commands.list(record.id);
    items.push(toJsonBytes({ kind: "task", agent: record.agent, task, pushConfigs }));
  }
  const last = records[items.length - 1];
  // Memories come when there are no more tasks.
  return last ? { items, next: { task: last.id } } : memories(store, { agent: "", contextId: "" });
}

function memories(store: Store, { agent, contextId }: { agent: string; contextId: string }): ExportPage {
  const found = store.memories.after(agent, contextId, MEMORIES);
  const last = found.at(-1);
  return {
    items: found.map((memory) => toJsonBytes({ kind: "memory", ...memory })),
    next: last && found.length === MEMORIES ? { agent: last.agent, contextId: last.contextId } : undefined,
  };
}
