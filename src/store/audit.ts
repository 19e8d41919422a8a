// The table `audit`: the entries of all chains, as their objects have shipped them.

import { toJsonChunks } from "./json-chunks.ts";

/** An entry of a chain: see audit/entry. */
export type AuditRow = { chain: string; n: number; at: number; since: number; body: string; hash: string };

/** Saves entries. One that is there already stays as it is, so a shipment may be made twice. */
export async function saveAudit(db: D1Database, rows: readonly AuditRow[]): Promise<void> {
  const insert = `INSERT OR IGNORE INTO audit (chain, n, at, since, body, hash)
    SELECT value ->> 'chain', value ->> 'n', value ->> 'at', value ->> 'since', value ->> 'body', value ->> 'hash'
    FROM json_each(?1)`;
  await db.batch(toJsonChunks(rows).map((chunk) => db.prepare(insert).bind(chunk)));
}
