// What D1 and the metrics are told of a home's notifications: rows, in order, that are deleted when both have them.
//
// Attempts live here until D1 has them; from then on D1 has the only copy. A shipment may be made twice with the
// effect of one, because its rows are numbered and both receivers remember the newest number.

import type { AttemptRow } from "../store/attempts.ts";
import type { ConfigRow } from "../store/push-configs.ts";
import { metricKey } from "../telemetry/metrics.ts";

/** Rows of one shipment. */
const ROWS = 500;

export type OutboxItem =
  | { kind: "attempt"; attempt: Omit<AttemptRow, "home" | "n"> }
  /** A config is new or its state has changed. */
  | { kind: "config"; config: Omit<ConfigRow, "home"> }
  | { kind: "unconfig"; task: string; config: string }
  /** Counted by an endpoint. */
  | { kind: "counters"; counters: Record<string, number> };

/** Counts lanes whose pending notifications nobody wants any more; what comes behind their heads was never begun. */
export function droppedItems(lanes: number): OutboxItem[] {
  const key = metricKey("a2a_webhook_deliveries_total", { outcome: "dropped" });
  return lanes === 0 ? [] : [{ kind: "counters", counters: { [key]: lanes } }];
}

export type Shipment = {
  /** The number of the last row. */
  number: number;
  items: { n: number; item: OutboxItem }[];
};

export class Outbox {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  add(items: readonly OutboxItem[]): void {
    for (const item of items) {
      const { kind, ...body } = item;
      this.#sql.exec("INSERT INTO outbox (kind, body) VALUES (?, ?)", kind, JSON.stringify(body));
    }
  }

  /** The oldest rows; undefined: there are none. */
  next(): Shipment | undefined {
    const rows = this.#sql
      .exec<{ n: number; kind: string; body: string }>(
        "SELECT n, kind, body FROM outbox ORDER BY n LIMIT ?",
        ROWS,
      )
      .toArray();
    const number = rows.at(-1)?.n;
    if (number === undefined) return undefined;
    const items = rows.map(({ n, kind, body }) => ({ n, item: { kind, ...JSON.parse(body) } as OutboxItem }));
    return { number, items };
  }

  isEmpty(): boolean {
    return this.#sql.exec("SELECT 1 FROM outbox LIMIT 1").toArray().length === 0;
  }

  shipped(number: number): void {
    this.#sql.exec("DELETE FROM outbox WHERE n <= ?", number);
  }
}
