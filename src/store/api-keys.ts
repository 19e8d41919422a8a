// The table `api_keys`: who may call, as whom, with which roles and scopes, and until when.
//
// A key is `a2a_<id>_<secret>`: the id stands in lists and logs, the secret is 32 random bytes that only its holder
// has. What is stored is the SHA-256 of the whole text. Passwords want a slow, salted hash because they can be
// guessed; 256 random bits cannot, so a fast hash keeps them just as safe, and is what a lookup by index needs.

import { encodeBase64Url } from "../lib/base64.ts";
import { sha256 } from "../lib/bytes.ts";
import { err, ok, type Result } from "../lib/result.ts";
import { type InboxKind, tell } from "./audit-inbox.ts";
import { equal, type Found, type Page, readPage, type Walk } from "./keyset.ts";
import { noteOwner, ownerOfKeys } from "./owners.ts";

/** Times in ms. */
export type ApiKey = {
  /** Not secret: part of the key's text. */
  id: string;
  /** The subject of the owner that the key acts for. */
  owner: string;
  label: string;
  roles: readonly string[];
  scopes: readonly string[];
  createdAt: number;
  /** An actor, or `cli`; empty: it is not known. */
  createdBy: string;
  /** Null: never. */
  rotatedAt: number | null;
  /** Until when the secret before the last rotation is valid; null: there is none. */
  previousUntil: number | null;
  /** Null: it does not expire. */
  expiresAt: number | null;
  /** Null: it is not revoked. */
  revokedAt: number | null;
};

/** A key as it was presented: `secretUntil` is when this secret of it ends, by rotation or with the key; null: never. */
export type PresentedKey = ApiKey & { secretUntil: number | null };

/** A key with its text, which is told once and stored nowhere. */
export type IssuedKey = { key: ApiKey; text: string };

/** Which key: with `owner`, only if it is of that owner. */
export type KeyRef = { id: string; owner?: string | undefined };

/** Who changes a key, if the audit is to be told with it. Of operators' requests it knows already. */
export type Told = { toldBy?: string | undefined };

export type NewKey = Told &
  Pick<ApiKey, "owner" | "roles" | "scopes" | "createdBy"> & {
    label?: string | undefined;
    expiresAt?: number | null | undefined;
  };

export type RotationProblem = { reason: "not_found" | "revoked" | "expired" };

type Row = Omit<ApiKey, "roles" | "scopes"> & { roles: string; scopes: string };

const COLUMNS =
  "id, owner, label, roles, scopes, created_at AS createdAt, created_by AS createdBy, rotated_at AS rotatedAt, previous_until AS previousUntil, expires_at AS expiresAt, revoked_at AS revokedAt";
const REF = "id = ?1 AND (?2 IS NULL OR owner = ?2)";

/** The key with a secret of this SHA-256 hash (64 hexadecimal digits), valid or not. */
export async function findApiKey(db: D1Database, hash: string): Promise<PresentedKey | undefined> {
  const row = await db
    .prepare(
      `SELECT ${COLUMNS}, CASE WHEN hash = ?1 THEN expires_at
         ELSE min(previous_until, coalesce(expires_at, previous_until)) END AS secretUntil
       FROM api_keys WHERE hash = ?1 OR previous_hash = ?1`,
    )
    .bind(hash)
    .first<Row & { secretUntil: number | null }>();
  return row ? { ...toKey(row), secretUntil: row.secretUntil } : undefined;
}

export async function getApiKey(db: D1Database, { id, owner }: KeyRef): Promise<ApiKey | undefined> {
  const row = await db
    .prepare(`SELECT ${COLUMNS} FROM api_keys WHERE ${REF}`)
    .bind(id, owner ?? null)
    .first<Row>();
  return row ? toKey(row) : undefined;
}

/** Keys, the newest first, those of one owner or all. */
export async function listApiKeys(
  db: D1Database,
  filter: { owner?: string | undefined },
  page: Page,
): Promise<Found<ApiKey>> {
  const { rows, next } = await readPage<Row>(db, apiKeysWalk(filter), page, (row) => [row.createdAt, row.id]);
  return { rows: rows.map(toKey), next };
}

/** How keys are found: exported for the tests, which ask the database about it. */
export function apiKeysWalk({ owner }: { owner?: string | undefined }): Walk {
  return {
    table: "api_keys",
    index: owner === undefined ? "api_keys_by_created" : "api_keys_by_owner",
    order: ["created_at", "id"],
    descending: true,
    columns: COLUMNS,
    key: ["id"],
    within: [...equal("owner", owner), { column: "created_at", test: ">= ?", value: 0 }],
    checks: [],
  };
}

/** Makes a key. Names of roles and scopes are stored as they are; unknown ones allow nothing. */
export async function createApiKey(db: D1Database, key: NewKey, now: number): Promise<IssuedKey> {
  const id = newId();
  const { text, hash } = await newText(id);
  const owner = ownerOfKeys(key.owner);
  const { toldBy: actor } = key;
  const [inserted] = await db.batch<Row>([
    db
      .prepare(
        `INSERT INTO api_keys (id, hash, owner, label, roles, scopes, created_at, created_by, expires_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) RETURNING ${COLUMNS}`,
      )
      .bind(
        ...[id, hash, key.owner, key.label ?? "", toNames(key.roles), toNames(key.scopes)],
        ...[now, key.createdBy, key.expiresAt ?? null],
      ),
    noteOwner(db, owner, now),
    ...(actor === undefined
      ? []
      : [tell(db, { kind: "key.created", actor, owner, now, of: "api_keys WHERE id = ?1", values: [id] })]),
  ]);
  const row = inserted?.results[0];
  if (row === undefined) throw new Error("an API key was inserted and is not there");
  return { key: toKey(row), text };
}

/**
 * Gives a key another secret. The one it had stays valid for `overlapMs`, so that its holders can change over one by
 * one; the one before that ends at once, so that a key has two secrets at most.
 */
export async function rotateApiKey(
  db: D1Database,
  { overlapMs, ...ref }: KeyRef & Told & { overlapMs: number },
  now: number,
): Promise<Result<IssuedKey, RotationProblem>> {
  const { id, owner } = ref;
  const { text, hash } = await newText(id);
  const where = `${REF} AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?3)`;
  const update = db
    .prepare(
      `UPDATE api_keys SET previous_hash = hash, previous_until = ?3 + ?4, hash = ?5, rotated_at = ?3
       WHERE ${where} RETURNING ${COLUMNS}`,
    )
    .bind(id, owner ?? null, now, overlapMs, hash);
  const row = await change(db, update, { ...ref, kind: "key.rotated", where, now });
  if (row !== undefined) return ok({ key: toKey(row), text });
  const key = await getApiKey(db, { id, owner });
  if (key === undefined) return err({ reason: "not_found" });
  return err({ reason: key.revokedAt === null ? "expired" : "revoked" });
}

/** Revokes a key with all its secrets; one that is revoked stays so since then. Undefined: there is no such key. */
export async function revokeApiKey(
  db: D1Database,
  ref: KeyRef & Told,
  now: number,
): Promise<ApiKey | undefined> {
  const update = db
    .prepare(`UPDATE api_keys SET revoked_at = coalesce(revoked_at, ?3) WHERE ${REF} RETURNING ${COLUMNS}`)
    .bind(ref.id, ref.owner ?? null, now);
  const where = `${REF} AND revoked_at IS NULL`;
  const row = await change(db, update, { ...ref, kind: "key.revoked", where, now });
  return row && toKey(row);
}

/** Runs an update of one key, and tells the audit of it if it is to be told and finds the key. */
async function change(
  db: D1Database,
  update: D1PreparedStatement,
  { id, owner, toldBy, kind, where, now }: KeyRef & Told & { kind: InboxKind; where: string; now: number },
): Promise<Row | undefined> {
  const key = toldBy === undefined ? undefined : await getApiKey(db, { id, owner });
  const told =
    toldBy === undefined || key === undefined
      ? []
      : [
          tell(db, {
            ...{ kind, actor: toldBy, owner: ownerOfKeys(key.owner), now },
            ...{ of: `api_keys WHERE ${where}`, values: [id, owner ?? null, now] },
          }),
        ];
  const results = await db.batch<Row>([...told, update]);
  return results.at(-1)?.results[0];
}

/** 32 letters that are not taken for each other, so that 5 bits are one. */
const LETTERS = "0123456789abcdefghjkmnpqrstvwxyz";

/** 60 random bits: names what it is part of, and protects nothing. */
function newId(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => LETTERS[byte % 32]).join("");
}

async function newText(id: string): Promise<{ text: string; hash: string }> {
  const text = `a2a_${id}_${encodeBase64Url(crypto.getRandomValues(new Uint8Array(32)))}`;
  return { text, hash: await sha256(text) };
}

function toKey({ roles, scopes, ...row }: Row): ApiKey {
  const { secretUntil: _, ...key } = row as typeof row & { secretUntil?: unknown };
  return { ...key, roles: fromNames(roles), scopes: fromNames(scopes) };
}

function toNames(names: readonly string[]): string {
  return names.join(" ");
}

function fromNames(names: string): string[] {
  return names === "" ? [] : names.split(" ");
}
