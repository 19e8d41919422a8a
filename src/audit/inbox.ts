// Takes into the chain of administration what was told in the database.
//
// Whoever can write to the database can also tell what never was. So only what is told that way is taken from there,
// and of each only what belongs to it.

import { clearInbox, type InboxKind, type InboxRow, inboxKinds, readInbox } from "../store/audit-inbox.ts";
import { log } from "../telemetry/log.ts";
import type { AuditEvent } from "./entry.ts";

/** Rows of one transaction. */
const ROWS = 500;
/** Longer than any that is told: an object cannot store what D1 can. */
const MAX_BODY = 16_384;

export type CollectDeps = {
  db: D1Database;
  /** Writes those of the rows, in one transaction, that were not written before. */
  append(rows: { id: string; event: AuditEvent }[]): void;
  /** The rows of the last append will not come again. */
  forget(): void;
};

/**
 * Takes over what there is; whether there may be more. Cut off anywhere it may be repeated: what was written and is still
 * in the database is known again by its id.
 */
export async function collectInbox({ db, append, forget }: CollectDeps): Promise<boolean> {
  const rows = await readInbox(db, ROWS);
  if (rows.length === 0) return false;
  append(rows.flatMap(readRow));
  await clearInbox(db, rows);
  forget();
  return rows.length === ROWS;
}

function readRow({ id, body }: InboxRow): { id: string; event: AuditEvent }[] {
  const event = toEvent(body);
  if (event) return [{ id, event }];
  log("error", "what the database tells the audit is no event, and is dropped", { id });
  return [];
}

function toEvent(body: string): AuditEvent | undefined {
  if (body.length > MAX_BODY) return undefined;
  try {
    const { kind, owner, actor, detail } = JSON.parse(body) as Record<string, unknown>;
    if (!isKind(kind) || typeof owner !== "string" || typeof actor !== "string") return undefined;
    const { session, key, at } = detail as Record<string, unknown>;
    const named = typeof session === "string" ? { session } : typeof key === "string" ? { key } : undefined;
    if (named === undefined || typeof at !== "number") return undefined;
    return { kind, owner, actor, detail: { ...named, at } };
  } catch {
    return undefined;
  }
}

function isKind(kind: unknown): kind is InboxKind {
  return (inboxKinds as readonly unknown[]).includes(kind);
}
