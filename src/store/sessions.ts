// The table `sessions`. A session is looked up by the hash of its token, so the database cannot tell anybody a token.
//
// A revoked one is a row that expired at 0: every question about sessions already asks whether they have expired, an
// extension cannot race a revocation, and a clock that is put back revives nothing. Rows outlive their session by a
// minute, because the rate at which one caller makes them is counted in them.
//
// What callers do with their sessions is told to the audit in the transaction that does it.

import { err, ok, type Result } from "../lib/result.ts";
import { type InboxKind, tell } from "./audit-inbox.ts";
import { equal, type Found, type Page, readPage } from "./keyset.ts";

/** Times in ms. */
export type Session = {
  id: string;
  owner: string;
  /** Of the credential it was made from. */
  actor: string;
  /** The id of the API key it was made from; null: none. */
  key: string | null;
  /** JSON: what the session's rights are looked up by. */
  basis: string;
  /** JSON: the most it may do. */
  scopes: string;
  createdAt: number;
  /** 0: revoked. */
  expiresAt: number;
  /** No extension goes beyond. */
  endsAt: number;
};

/** Whose sessions: those made from one credential. */
export type Maker = { owner: string; actor: string };

/** Who changes one of its sessions; `actor` is the credential or one of them. */
export type By = { maker: Maker; actor: string };

const COLUMNS =
  "id, owner, actor, api_key AS key, basis, scopes, created_at AS createdAt, expires_at AS expiresAt, ends_at AS endsAt";

export const RATE_WINDOW_MS = 60_000;

export type SessionLimits = {
  /** Live sessions of one owner. */
  perOwner: number;
  /** New ones from one credential. */
  perMinute: number;
};

/** Too many new ones, or too many live ones that are not the caller's to revoke; ms at which that changes. */
export type SessionRefusal = { reason: "rate" | "full"; retryAt: number };

/**
 * Stores a session. When its owner has as many as may live, the oldest that was made from the same credential is
 * revoked for it: that is the one its client has most likely forgotten, and to refuse would lock a client out that
 * opens one at every start. Those of another credential are never revoked for it.
 */
export async function openSession(
  db: D1Database,
  session: Session & { hash: string },
  { perOwner, perMinute }: SessionLimits,
): Promise<Result<void, SessionRefusal>> {
  const { id, hash, owner, actor, key, basis, scopes, createdAt: now, expiresAt, endsAt } = session;
  const since = now - RATE_WINDOW_MS;
  const live = "(SELECT count(*) FROM sessions WHERE owner = ?1 AND expires_at > ?3)";
  const made = "(SELECT count(*) FROM sessions WHERE owner = ?1 AND actor = ?2 AND created_at > ?4)";
  const bounds = [owner, actor, now, since, perMinute, perOwner];
  const inTheWay = `${made} < ?5 AND id IN (
    SELECT id FROM sessions WHERE owner = ?1 AND actor = ?2 AND expires_at > ?3
    ORDER BY id LIMIT max(0, ${live} + 1 - ?6))`;
  const told = (kind: InboxKind, where: string, values: (string | number)[]) =>
    tell(db, { kind, actor, now, of: `sessions WHERE ${where}`, values });
  const [rate, full, , , inserted] = await db.batch<{ count: number; firstAt: number | null }>([
    db
      .prepare(
        `SELECT count(*) AS count, min(created_at) AS firstAt FROM sessions
         WHERE owner = ? AND actor = ? AND created_at > ?`,
      )
      .bind(owner, actor, since),
    db
      .prepare("SELECT min(expires_at) AS firstAt FROM sessions WHERE owner = ? AND expires_at > ?")
      .bind(owner, now),
    told("session.replaced", inTheWay, bounds),
    db.prepare(`UPDATE sessions SET expires_at = 0 WHERE ${inTheWay}`).bind(...bounds),
    db
      .prepare(
        `INSERT INTO sessions (id, hash, owner, actor, api_key, basis, scopes, created_at, expires_at, ends_at)
         SELECT ?7, ?8, ?1, ?2, ?9, ?10, ?11, ?3, ?12, ?13 WHERE ${made} < ?5 AND ${live} < ?6`,
      )
      .bind(...bounds, ...[id, hash, key, basis, scopes, expiresAt, endsAt]),
    told("session.opened", "id = ?1", [id]),
  ]);
  if (inserted?.meta.changes !== 0) return ok(undefined);
  const { count = 0, firstAt } = rate?.results[0] ?? {};
  if (count >= perMinute) return err({ reason: "rate", retryAt: (firstAt ?? now) + RATE_WINDOW_MS });
  return err({ reason: "full", retryAt: full?.results[0]?.firstAt ?? now });
}

/** The session whose token has this SHA-256 hash (64 hexadecimal digits), valid or not. */
export async function findSession(db: D1Database, hash: string): Promise<Session | undefined> {
  const row = await db.prepare(`SELECT ${COLUMNS} FROM sessions WHERE hash = ?`).bind(hash).first<Session>();
  return row ?? undefined;
}

/** The live sessions of one credential, the newest first; an owner has no more than fit into one answer. */
export async function listSessions(db: D1Database, { owner, actor }: Maker, now: number): Promise<Session[]> {
  const { results } = await db
    .prepare(
      `SELECT ${COLUMNS} FROM sessions WHERE owner = ? AND actor = ? AND expires_at > ? ORDER BY id DESC`,
    )
    .bind(owner, actor, now)
    .all<Session>();
  return results;
}

const LIVE = "id = ?1 AND owner = ?2 AND actor = ?3 AND expires_at > ?4";

/** Lets a live session last until `until` if that is later than it lasts, and no later than it may. */
export async function extendSession(
  db: D1Database,
  id: string,
  { by: { maker, actor }, now, until }: { by: By; now: number; until: number },
): Promise<Session | undefined> {
  const values = [id, maker.owner, maker.actor, now];
  const [, extended] = await db.batch<Session>([
    tell(db, { kind: "session.extended", actor, now, of: `sessions WHERE ${LIVE}`, values }),
    db
      .prepare(
        `UPDATE sessions SET expires_at = max(expires_at, min(?5, ends_at)) WHERE ${LIVE} RETURNING ${COLUMNS}`,
      )
      .bind(...values, until),
  ]);
  return extended?.results[0];
}

/** Revokes a live session of whoever does it; whether there was one. */
export async function revokeOwnSession(
  db: D1Database,
  id: string,
  { by: { maker, actor }, now }: { by: By; now: number },
): Promise<boolean> {
  const values = [id, maker.owner, maker.actor, now];
  const [, revoked] = await db.batch([
    tell(db, { kind: "session.revoked", actor, now, of: `sessions WHERE ${LIVE}`, values }),
    db.prepare(`UPDATE sessions SET expires_at = 0 WHERE ${LIVE}`).bind(...values),
  ]);
  return revoked?.meta.changes === 1;
}

/** Revokes a live session of anybody, as operators do, whom the audit knows by their request. */
export async function revokeSession(db: D1Database, id: string, now: number): Promise<boolean> {
  const { meta } = await db
    .prepare("UPDATE sessions SET expires_at = 0 WHERE id = ? AND expires_at > ?")
    .bind(id, now)
    .run();
  return meta.changes === 1;
}

/** Of an owner, of an API key, or of both. */
export type SessionFilter = { owner?: string | undefined; key?: string | undefined };

/** Revokes all live sessions of an owner or of an API key; how many there were. */
export async function revokeSessions(
  db: D1Database,
  of: { owner: string } | { key: string },
  now: number,
): Promise<number> {
  const [test, value] = "owner" in of ? ["owner = ?", of.owner] : ["api_key = ?", of.key];
  const { meta } = await db
    .prepare(`UPDATE sessions SET expires_at = 0 WHERE ${test} AND expires_at > ?`)
    .bind(value, now)
    .run();
  return meta.changes;
}

/** Live sessions, the newest first. */
export function searchSessions(
  db: D1Database,
  { owner, key }: SessionFilter,
  page: Page,
  now: number,
): Promise<Found<Session>> {
  const [index, within] =
    owner !== undefined
      ? ["sessions_by_owner", equal("owner", owner)]
      : key !== undefined
        ? ["sessions_by_key", equal("api_key", key)]
        : [undefined, [{ column: "id", test: "> ?", value: "" }]];
  const checks = [
    { column: "expires_at", test: "> ?", value: now },
    ...(owner === undefined ? [] : equal("api_key", key)),
  ];
  const walk = { table: "sessions", order: ["id"], descending: true, columns: COLUMNS, key: ["id"] };
  return readPage<Session>(db, { ...walk, index, within, checks }, page, ({ id }) => [id]);
}

/** Deletes at most `limit` sessions that are over; how many there were. */
export async function trimSessions(db: D1Database, now: number, limit: number): Promise<number> {
  const { meta } = await db
    .prepare(
      `DELETE FROM sessions WHERE id IN (
         SELECT id FROM sessions INDEXED BY sessions_by_expiry WHERE expires_at <= ?1 AND created_at <= ?2 LIMIT ?3)`,
    )
    .bind(now, now - RATE_WINDOW_MS, limit)
    .run();
  return meta.changes;
}
