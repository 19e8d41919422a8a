// Where the history of a home's notifications goes: the tables of D1 that operators search.

import { saveAttempts } from "../store/attempts.ts";
import { type ConfigRow, deleteConfigs, saveConfigs } from "../store/push-configs.ts";
import type { Archive } from "./shipping.ts";

/** Rows of one transaction: D1 runs one after the other, so a longer one holds up whoever comes next. */
const TOGETHER = 100;

/** Writes shipments of this home to D1; one that was written before changes nothing. */
export function archiveIn(db: D1Database, home: string): Archive {
  return async ({ items }) => {
    const attempts = items.flatMap(({ n, item }) =>
      item.kind === "attempt" ? [{ ...item.attempt, home, n }] : [],
    );
    for (const some of inPieces(attempts)) await saveAttempts(db, some);
    // A config may have been set and deleted in one shipment: the last word on each counts.
    const saved = new Map<string, ConfigRow>();
    const deleted = new Map<string, { home: string; task: string; config: string }>();
    for (const { item } of items) {
      if (item.kind === "config") {
        const key = `${item.config.task}/${item.config.config}`;
        saved.set(key, { ...item.config, home });
        deleted.delete(key);
      } else if (item.kind === "unconfig") {
        const key = `${item.task}/${item.config}`;
        saved.delete(key);
        deleted.set(key, { home, task: item.task, config: item.config });
      }
    }
    for (const some of inPieces([...saved.values()])) await saveConfigs(db, some);
    for (const some of inPieces([...deleted.values()])) await deleteConfigs(db, some);
  };
}

function* inPieces<T>(rows: readonly T[]): Generator<T[]> {
  for (let i = 0; i < rows.length; i += TOGETHER) yield rows.slice(i, i + TOGETHER);
}
