// The table `api_keys`: who may call, as whom, with which roles and scopes, and until when.
//
// A key is `a2a_<id>_<secret>`: the id stands in lists and logs, the secret is 32 random bytes that only its holder
// has. What is stored is the SHA-256 of the whole text. Passwords want a slow, salted hash because they can be
// guessed; 256 random bits cannot, so a fast hash keeps them just as safe, and is what a lookup by index needs.

import { encodeBase64Url } from "../lib/base64.ts";
import { sha256 } from "../lib/bytes.ts";
import { err, ok, type Result } from "../lib/result.ts";
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

export type NewKey = Pick<ApiKey, "owner" | "roles" | "scopes" | "createdBy"> & {
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
  // Before the key: an owner without keys does no harm.
  await noteOwner(db, ownerOfKeys(key.owner), now);
  const row = await db
    .prepare(
      `INSERT INTO api_keys (id, hash, owner, label, roles, scopes, created_at, created_by, expires_at)
       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) RETURNING ${COLUMNS}`,
    )
    .bind(
      ...[id, hash, key.owner, key.label ?? "", toNames(key.roles), toNames(key.scopes)],
      ...[now, key.createdBy, key.expiresAt ?? null],
    )
    .first<Row>();
  if (row === null) throw new Error("an API key was inserted and is not there");
  return { key: toKey(row), text };
}

/**
 * Gives a key another secret. The one it had stays valid for `overlapMs`, so that its holders can change over one by
 * one; the one before that ends at once, so that a key has two secrets at most.
 */
export async function rotateApiKey(
  db: D1Database,
  { id, owner, overlapMs }: KeyRef & { overlapMs: number },
  now: number,
): Promise<Result<IssuedKey, RotationProblem>> {
  const { text, hash } = await newText(id);
  const row = await db
    .prepare(
      `UPDATE api_keys SET previous_hash = hash, previous_until = ?3 + ?4, hash = ?5, rotated_at = ?3
       WHERE ${REF} AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?3) RETURNING ${COLUMNS}`,
    )
    .bind(id, owner ?? null, now, overlapMs, hash)
    .first<Row>();
  if (row !== null) return ok({ key: toKey(row), text });
  const key = await getApiKey(db, { id, owner });
  if (key === undefined) return err({ reason: "not_found" });
  return err({ reason: key.revokedAt === null ? "expired" : "revoked" });
}

/** Revokes a key with all its secrets; one that is revoked stays so since then. Undefined: there is no such key. */
export async function revokeApiKey(
  db: D1Database,
  { id, owner }: KeyRef,
  now: number,
): Promise<ApiKey | undefined> {
  const row = await db
    .prepare(`UPDATE api_keys SET revoked_at = coalesce(revoked_at, ?3) WHERE ${REF} RETURNING ${COLUMNS}`)
    .bind(id, owner ?? null, now)
    .first<Row>();
  return row ? toKey(row) : undefined;
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
