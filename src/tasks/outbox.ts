// What D1 and the metrics are told of a home's notifications: items, in order, that are deleted when both have them.
//
// Attempts live here until D1 has them; from then on D1 has the only copy. A shipment may be made twice with the
// effect of one, because its items are numbered and both receivers remember the newest number.
//
// All items of a transaction share a row: a home that settles a dozen attempts at once writes as many rows as for one.

import type { AttemptRow } from "../store/attempts.ts";
import type { ConfigRow } from "../store/push-configs.ts";
import { metricKey } from "../telemetry/metrics.ts";
import { notificationId } from "./claims.ts";
import type { Lane } from "./lanes.ts";

/** A shipment takes no further row once it has so many items. */
const ITEMS = 500;

/** Items of one row; a longer transaction writes several. A row may have 2 MB, and an attempt up to 32 KB as JSON. */
const ITEMS_OF_ROW = 25;

export type OutboxItem =
  | { kind: "attempt"; attempt: Omit<AttemptRow, "home" | "n"> }
  /** A config is new or its state has changed. */
  | { kind: "config"; config: Omit<ConfigRow, "home"> }
  | { kind: "unconfig"; task: string; config: string }
  /** Notifications that were to be sent again, and will not be; not all of them need have been dead letters. */
  | { kind: "unretried"; notifications: string[] }
  /** Counted here, or by an endpoint that runs the code of before. */
  | { kind: "counters"; counters: Record<string, number> };

/** Ids of one item: a row holds its items whatever they are. */
const IDS_OF_ITEM = 500;

/**
 * Of lanes whose pending notifications nobody wants any more: counts those lanes (what comes behind their heads was
 * never begun), and says what will not be sent again.
 */
export function droppedItems(lanes: readonly Lane[]): OutboxItem[] {
  const pending = lanes.filter((lane) => lane.pending);
  if (pending.length === 0) return [];
  const key = metricKey("a2a_webhook_deliveries_total", { outcome: "dropped" });
  const items: OutboxItem[] = [{ kind: "counters", counters: { [key]: pending.length } }];
  const ids = pending.flatMap((lane) => {
    const left = lane.list?.filter(([seq]) => seq >= lane.head) ?? [];
    return left.map(([seq]) => notificationId(lane, seq));
  });
  for (let start = 0; start < ids.length; start += IDS_OF_ITEM) {
    items.push({ kind: "unretried", notifications: ids.slice(start, start + IDS_OF_ITEM) });
  }
  return items;
}

export type Shipment = {
  /** The number of the last item. */
  number: number;
  items: { n: number; item: OutboxItem }[];
};

/** `n`: of its last item. */
type Row = { n: number; kind: string; body: string };

export class Outbox {
  readonly #sql: SqlStorage;
  /** Of the transaction that is being written. */
  #gathered: OutboxItem[] = [];
  /** Of the newest item; undefined: to be read. */
  #number: number | undefined;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  /** Adds items; they are written with the end of the transaction. */
  add(items: readonly OutboxItem[]): void {
    this.#gathered.push(...items);
  }

  /** Writes what has been gathered. */
  flush(): void {
    if (this.#gathered.length === 0) return;
    const items = this.#gathered;
    this.#gathered = [];
    for (let start = 0; start < items.length; start += ITEMS_OF_ROW) {
      const some = items.slice(start, start + ITEMS_OF_ROW);
      this.#number = (this.#number ?? this.#newest()) + some.length;
      this.#sql.exec("INSERT INTO outbox VALUES (?, 'items', ?)", this.#number, JSON.stringify(some));
    }
  }

  /** Numbers are not used again when their rows are gone. */
  #newest(): number {
    const query = "SELECT seq FROM sqlite_sequence WHERE name = 'outbox'";
    return this.#sql.exec<{ seq: number }>(query).toArray()[0]?.seq ?? 0;
  }

  /** Forgets what was not written: after a transaction that was rolled back. */
  forget(): void {
    this.#gathered = [];
    this.#number = undefined;
  }

  /** The oldest items; undefined: there are none. */
  next(): Shipment | undefined {
    this.flush();
    const query = "SELECT n, kind, body FROM outbox ORDER BY n";
    const items: Shipment["items"] = [];
    for (const row of this.#sql.exec<Row>(query)) {
      items.push(...toItems(row));
      if (items.length >= ITEMS) break;
    }
    const number = items.at(-1)?.n;
    return number === undefined ? undefined : { number, items };
  }

  isEmpty(): boolean {
    this.flush();
    return this.#sql.exec("SELECT 1 FROM outbox LIMIT 1").toArray().length === 0;
  }

  shipped(number: number): void {
    this.#sql.exec("DELETE FROM outbox WHERE n <= ?", number);
  }
}

function toItems({ n, kind, body }: Row): Shipment["items"] {
  const parsed = JSON.parse(body);
  // Older rows hold one item without its kind.
  if (kind !== "items") return [{ n, item: { kind, ...parsed } as OutboxItem }];
  const items = parsed as OutboxItem[];
  return items.map((item, i) => ({ n: n - items.length + 1 + i, item }));
}
