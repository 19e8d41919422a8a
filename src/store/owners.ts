// The table `owners`: everybody who has a home, a key or a session, or had one. Triggers keep it, and the store of keys.

import { type Found, type Page, readPage } from "./keyset.ts";

export type Owner = {
  owner: string;
  homes: number;
  /** ms */
  createdAt: number;
};

const KEYS = "key::";

/** The owner that the API keys of this name act for. */
export function ownerOfKeys(name: string): string {
  return KEYS + encodeURIComponent(name);
}

/**
 * The name of an owner who acts by API keys; undefined: it is of another kind, or spelt as no owner is. Homes are named
 * by the owner as it is written, so what only decodes to the same name has other tasks.
 */
export function subjectOfKeys(owner: string): string | undefined {
  if (!owner.startsWith(KEYS)) return undefined;
  try {
    const name = decodeURIComponent(owner.slice(KEYS.length));
    return ownerOfKeys(name) === owner ? name : undefined;
  } catch {
    return undefined;
  }
}

/** The statement that remembers that there is this owner. */
export function noteOwner(db: D1Database, owner: string, now: number): D1PreparedStatement {
  return db
    .prepare("INSERT INTO owners (owner, homes, created_at) VALUES (?, 0, ?) ON CONFLICT (owner) DO NOTHING")
    .bind(owner, now);
}

const COLUMNS = "owner, homes, created_at AS createdAt";

/** Owners by name; those whose name begins with `prefix`, if there is one. */
export function listOwners(
  db: D1Database,
  { prefix }: { prefix?: string | undefined },
  page: Page,
): Promise<Found<Owner>> {
  const within =
    prefix === undefined
      ? [{ column: "owner", test: "> ?", value: "" }]
      : [
          { column: "owner", test: ">= ?", value: prefix },
          // Above all that begins with it: names are ASCII.
          { column: "owner", test: "< ?", value: `${prefix}\u{10ffff}` },
        ];
  const walk = {
    ...{ table: "owners", index: undefined, order: ["owner"], descending: false, columns: COLUMNS },
    ...{ key: ["owner"], within, checks: [] },
  };
  return readPage<Owner>(db, walk, page, ({ owner }) => [owner]);
}

export async function findOwner(db: D1Database, owner: string): Promise<Owner | undefined> {
  const row = await db.prepare(`SELECT ${COLUMNS} FROM owners WHERE owner = ?`).bind(owner).first<Owner>();
  return row ?? undefined;
}

/** How many valid keys these names of keys have, and how many live sessions these owners, as far as there are any. */
export async function countOf(
  db: D1Database,
  { owners, subjects }: { owners: readonly string[]; subjects: readonly string[] },
  now: number,
): Promise<{ keys: ReadonlyMap<string, number>; sessions: ReadonlyMap<string, number> }> {
  const among = "IN (SELECT value FROM json_each(?1))";
  const [keys, sessions] = await db.batch<{ name: string; count: number }>([
    db
      .prepare(
        `SELECT owner AS name, count(*) AS count FROM api_keys
         WHERE owner ${among} AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?2) GROUP BY owner`,
      )
      .bind(JSON.stringify(subjects), now),
    db
      .prepare(
        `SELECT owner AS name, count(*) AS count FROM sessions
         WHERE owner ${among} AND expires_at > ?2 GROUP BY owner`,
      )
      .bind(JSON.stringify(owners), now),
  ]);
  const toMap = (rows: { name: string; count: number }[] = []) =>
    new Map(rows.map(({ name, count }) => [name, count]));
  return { keys: toMap(keys?.results), sessions: toMap(sessions?.results) };
}
