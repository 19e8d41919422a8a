// Where the history of a home's notifications goes: the tables of D1 that operators search.

import { saveAttempts } from "../store/attempts.ts";
import { endRetries } from "../store/dead-letters.ts";
import { inPieces } from "../store/pieces.ts";
import { type ConfigRow, deleteConfigs, saveConfigs } from "../store/push-configs.ts";
import type { Archive } from "./shipping.ts";

/** Writes shipments of this home to D1; one that was written before changes nothing. */
export function archiveIn(db: D1Database, home: string): Archive {
  return async ({ items }) => {
    const attempts = items.flatMap(({ n, item }) =>
      item.kind === "attempt" ? [{ ...item.attempt, home, n }] : [],
    );
    await inPieces(attempts, (some) => saveAttempts(db, some));
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
    await inPieces([...saved.values()], (some) => saveConfigs(db, some));
    await inPieces([...deleted.values()], (some) => deleteConfigs(db, some));
    const unretried = items.flatMap(({ item }) => (item.kind === "unretried" ? item.notifications : []));
    await endRetries(db, unretried, Date.now());
  };
}
