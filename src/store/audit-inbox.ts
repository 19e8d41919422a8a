// The table `audit_inbox`: what was done in this database, told in the transaction that did it, so that neither is there
// without the other. It waits here until the chain of administration has it (audit/audit-object).

import type { Value } from "./keyset.ts";

/** Where each is told of things that have an `id`, which stands in the event's detail by the name before the dot. */
export const inboxKinds = [
  "session.opened",
  "session.extended",
  "session.revoked",
  /** It had to go for a new one. */
  "session.replaced",
  "key.created",
  "key.rotated",
  "key.revoked",
] as const;

export type InboxKind = (typeof inboxKinds)[number];

export type InboxRow = { at: number; id: string; body: string };

export type Telling = {
  kind: InboxKind;
  actor: string;
  /** Whose it is. Default: the `owner` of the row. */
  owner?: string;
  /** ms */
  now: number;
  /** Of which rows: SQL that follows FROM, with places that are numbered (?1), for `values`. */
  of: string;
  values: readonly (Value | null)[];
};

/** The statement that tells of each row it finds; for the batch with what is done to them. */
export function tell(db: D1Database, { kind, actor, owner, now, of, values }: Telling): D1PreparedStatement {
  const [subject = ""] = kind.split(".", 1);
  const place = (n: number) => `?${values.length + n}`;
  // A bound number is a float, and would be written as one.
  const at = `CAST(${place(5)} AS INTEGER)`;
  return db
    .prepare(
      `INSERT INTO audit_inbox (at, id, body)
       SELECT ${at}, lower(hex(randomblob(16))), json_object(
         'kind', ${place(1)}, 'owner', coalesce(${place(2)}, owner), 'actor', ${place(3)},
         'detail', json_object(${place(4)}, id, 'at', ${at}))
       FROM ${of}`,
    )
    .bind(...values, kind, owner ?? null, actor, subject, now);
}

/** The oldest rows. */
export async function readInbox(db: D1Database, limit: number): Promise<InboxRow[]> {
  const { results } = await db
    .prepare("SELECT at, id, body FROM audit_inbox ORDER BY at, id LIMIT ?")
    .bind(limit)
    .all<InboxRow>();
  return results;
}

export async function clearInbox(db: D1Database, rows: readonly InboxRow[]): Promise<void> {
  const keys = JSON.stringify(rows.map(({ at, id }) => ({ at, id })));
  await db
    .prepare(
      `DELETE FROM audit_inbox
       WHERE (at, id) IN (SELECT value ->> 'at', value ->> 'id' FROM json_each(?))`,
    )
    .bind(keys)
    .run();
}
