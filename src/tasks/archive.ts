// Where the history of a home's notifications goes: the tables of D1 that operators search.

import { saveAttempts } from "../store/attempts.ts";
import { type ConfigRow, deleteConfigs, saveConfigs } from "../store/push-configs.ts";
import type { Archive } from "./shipping.ts";

/** Attempts of one transaction: D1 runs one after the other, so a longer one holds up whoever comes next. */
const TOGETHER = 100;

/** Writes shipments of this home to D1; one that was written before changes nothing. */
export function archiveIn(db: D1Database, home: string): Archive {
  return async ({ items }) => {
    const attempts = items.flatMap(({ n, item }) =>
      item.kind === "attempt" ? [{ ...item.attempt, home, n }] : [],
    );
    for (let i = 0; i < attempts.length; i += TOGETHER) {
      await saveAttempts(db, attempts.slice(i, i + TOGETHER));
    }
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
    if (saved.size > 0) await saveConfigs(db, [...saved.values()]);
    if (deleted.size > 0) await deleteConfigs(db, [...deleted.values()]);
  };
}
