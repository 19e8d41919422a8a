// The table `audit`: the entries of all chains, as their objects have shipped them.

import { toJsonChunks } from "./json-chunks.ts";
import {
  between,
  type Condition,
  equal,
  type Found,
  type Page,
  type Position,
  readPage,
  type Walk,
} from "./keyset.ts";

/** An entry of a chain: see audit/entry. */
export type AuditRow = { chain: string; n: number; at: number; since: number; body: string; hash: string };

export type AuditFilter = {
  owner?: string | undefined;
  actor?: string | undefined;
  kind?: string | undefined;
  task?: string | undefined;
  /** From (inclusive) and to (exclusive), in ms. */
  from?: number | undefined;
  to?: number | undefined;
};

const COLUMNS = "chain, n, at, since, body, hash";

/** Saves entries. One that is there already stays as it is, so a shipment may be made twice. */
export async function saveAudit(db: D1Database, rows: readonly AuditRow[]): Promise<void> {
  const insert = `INSERT OR IGNORE INTO audit (${COLUMNS})
    SELECT value ->> 'chain', value ->> 'n', value ->> 'at', value ->> 'since', value ->> 'body', value ->> 'hash'
    FROM json_each(?1)`;
  await db.batch(toJsonChunks(rows).map((chunk) => db.prepare(insert).bind(chunk)));
}

/** Entries by time, the newest first or the oldest. */
export function searchAudit(
  db: D1Database,
  filter: AuditFilter,
  page: Page & { oldestFirst?: boolean },
): Promise<Found<AuditRow>> {
  const place = ({ at, chain, n }: AuditRow): Position => [at, chain, n];
  return readPage<AuditRow>(db, auditWalk(filter, page.oldestFirst ?? false), page, place);
}

/** What the index of kinds leaves out: messages are most of the audit. */
const frequent = ["task.created", "task.continued"];
const rare: Condition[] = frequent.map((kind) => ({ column: "kind", test: `<> '${kind}'` }));

/** How entries are found: exported for the tests, which ask the database about it. */
export function auditWalk(filter: AuditFilter, oldestFirst: boolean): Walk {
  const { owner, actor, kind, task, from, to } = filter;
  const kinds = equal("kind", kind);
  const all = [...equal("task", task), ...equal("actor", actor), ...equal("owner", owner), ...kinds];
  const narrow = all.find(({ column }) => column !== "kind" || !frequent.includes(kind ?? ""));
  return {
    table: "audit",
    index: `audit_by_${narrow?.column ?? "time"}`,
    order: ["at", "chain", "n"],
    descending: !oldestFirst,
    columns: COLUMNS,
    key: ["chain", "n"],
    within: [
      ...(narrow ? [narrow] : []),
      ...(narrow?.column === "kind" ? rare : []),
      ...between("at", from, to),
    ],
    checks: all.filter((condition) => condition !== narrow),
  };
}

/** Entries of one chain after number `n`, in order. */
export async function readChain(
  db: D1Database,
  chain: string,
  n: number,
  limit: number,
): Promise<AuditRow[]> {
  const { results } = await db
    .prepare(`SELECT ${COLUMNS} FROM audit WHERE chain = ? AND n > ? ORDER BY n LIMIT ?`)
    .bind(chain, n, limit)
    .all<AuditRow>();
  return results;
}

/** The last entry of a chain that was trimmed: what the first one follows that is kept. */
export async function findAnchor(
  db: D1Database,
  chain: string,
): Promise<Pick<AuditRow, "n" | "hash"> | undefined> {
  const row = await db
    .prepare("SELECT n, hash FROM audit_anchors WHERE chain = ?")
    .bind(chain)
    .first<Pick<AuditRow, "n" | "hash">>();
  return row ?? undefined;
}

/** Deletes at most `limit` entries from before `before` (ms), of every chain the oldest; how many there were. */
export async function trimAudit(db: D1Database, before: number, limit: number): Promise<number> {
  const oldest = `FROM audit INDEXED BY audit_by_time WHERE at < ?1 ORDER BY at, chain, n LIMIT ?2`;
  const [, deleted] = await db.batch([
    // With one max(), the other columns are those of its row.
    db
      .prepare(
        `INSERT INTO audit_anchors (chain, n, hash)
         SELECT chain, max(n), hash FROM (SELECT chain, n, hash ${oldest}) WHERE true GROUP BY chain
         ON CONFLICT (chain) DO UPDATE SET n = excluded.n, hash = excluded.hash`,
      )
      .bind(before, limit),
    db.prepare(`DELETE FROM audit WHERE (chain, n) IN (SELECT chain, n ${oldest})`).bind(before, limit),
  ]);
  return deleted?.meta.changes ?? 0;
}
