// Authentication by API key.
//
// A key's lookup is remembered in the isolate for 30 s, hits and misses alike: a revoked key works for at most that
// long, and neither a busy caller nor a guessing one costs a query each time. Misses have a memory of their own, so
// that guesses push out other guesses and never the keys of those who work.

import { sha256 } from "../lib/bytes.ts";
import { err, ok, type Result } from "../lib/result.ts";
import { findApiKey, type PresentedKey } from "../store/api-keys.ts";
import { type Caller, toOwner } from "./caller.ts";
import type { Refusal } from "./refusal.ts";
import { type CustomRoles, grantsOf } from "./roles.ts";

const REMEMBER_MS = 30_000;
const REMEMBER_KEYS = 10_000;

type Known = { key: PresentedKey; caller: Caller };

/** Authenticates credentials that have the form of an API key. */
export function createApiKeyAuthentication(
  db: D1Database,
  customRoles: CustomRoles,
  now: () => number = Date.now,
) {
  const hits = createMemory<Known>(now);
  const misses = createMemory<true>(now);

  async function find(hash: string): Promise<Known | undefined> {
    const remembered = hits.get(hash);
    if (remembered !== undefined || misses.get(hash)) return remembered;
    const askedAt = now();
    const key = await findApiKey(db, hash);
    if (key === undefined) {
      misses.set(hash, true, askedAt);
      return undefined;
    }
    const known = { key, caller: { ...identityOf(key), ...(await grantsOf(key, customRoles)) } };
    hits.set(hash, known, askedAt);
    return known;
  }

  return async (text: string): Promise<Result<Caller, Refusal>> => {
    const known = await find(await sha256(text));
    if (known === undefined) return refuse("unknown_key", keyIdOf(text));
    const { id, revokedAt, secretUntil } = known.key;
    if (revokedAt !== null) return refuse("revoked", id);
    if (secretUntil !== null && secretUntil <= now()) return refuse("expired", id);
    return ok(known.caller);
  };
}

function identityOf({ id, owner }: PresentedKey): Pick<Caller, "owner" | "actor"> {
  return { owner: toOwner("key", "", owner), actor: toOwner("key", owner, id) };
}

function refuse(reason: Refusal["reason"], name: string | undefined): Result<Caller, Refusal> {
  return err({ reason, kind: "api-key", ...(name !== undefined && { name }) });
}

/** The part of a key that is not secret; keys from before there was one have none. */
function keyIdOf(text: string): string | undefined {
  return /^a2a_([0-9a-z-]{12,36})_[A-Za-z0-9_-]{43}$/.exec(text)?.[1];
}

/** What was found in the last 30 s, the oldest forgotten first when there is too much of it. */
function createMemory<T>(now: () => number) {
  const entries = new Map<string, { value: T; at: number }>();
  return {
    get(hash: string): T | undefined {
      const entry = entries.get(hash);
      return entry !== undefined && now() - entry.at < REMEMBER_MS ? entry.value : undefined;
    },
    set(hash: string, value: T, at: number): void {
      // Deleted first, since a Map keeps the place of a key that is set again.
      entries.delete(hash);
      const [oldest] = entries.keys();
      if (entries.size >= REMEMBER_KEYS && oldest !== undefined) entries.delete(oldest);
      entries.set(hash, { value, at });
    },
  };
}
