// Authentication by API key.
//
// A key's lookup is remembered in the isolate for 30 s, hits and misses alike: a revoked key works for at most that
// long, and neither a busy caller nor a guessing one costs a query each time. Misses have a memory of their own, so
// that guesses push out other guesses and never the keys of those who work.

import { sha256 } from "../lib/bytes.ts";
import { createMemory } from "../lib/memory.ts";
import { err, ok, type Result } from "../lib/result.ts";
import { findApiKey, type PresentedKey } from "../store/api-keys.ts";
import { type Authenticated, toOwner } from "./caller.ts";
import type { Refusal } from "./refusal.ts";
import { type CustomRoles, grantsOf } from "./roles.ts";

const REMEMBER_MS = 30_000;
const REMEMBER_KEYS = 10_000;

export type ApiKeyAuthentication = {
  /** Whose key a text is that has the form of one. */
  authenticate(text: string): Promise<Result<Authenticated, Refusal>>;
  /** Whose key it is whose text has this SHA-256: sessions that were made from it know no more of it. */
  byHash(hash: string): Promise<Result<Authenticated, Refusal>>;
};

export function createApiKeyAuthentication(
  db: D1Database,
  customRoles: CustomRoles,
  now: () => number = Date.now,
): ApiKeyAuthentication {
  const memory = createMemory({
    async load(hash: string) {
      const key = await findApiKey(db, hash);
      if (key === undefined) return undefined;
      return { key, caller: { ...identityOf(key, hash), ...(await grantsOf(key, customRoles)) } };
    },
    keepMs: REMEMBER_MS,
    maxKeys: REMEMBER_KEYS,
    now,
  });

  async function byHash(hash: string, name?: string): Promise<Result<Authenticated, Refusal>> {
    const known = await memory.get(hash);
    if (known === undefined) return refuse("unknown_key", name);
    const { id, revokedAt, secretUntil } = known.key;
    if (revokedAt !== null) return refuse("revoked", id);
    if (secretUntil !== null && secretUntil <= now()) return refuse("expired", id);
    return ok(known.caller);
  }

  return {
    authenticate: async (text) => byHash(await sha256(text), keyIdOf(text)),
    byHash: (hash) => byHash(hash),
  };
}

function identityOf(
  { id, owner, secretUntil }: PresentedKey,
  hash: string,
): Pick<Authenticated, "owner" | "actor" | "basis"> {
  return {
    owner: toOwner("key", "", owner),
    actor: toOwner("key", owner, id),
    basis: { kind: "key", id, hash, expiresAt: secretUntil },
  };
}

function refuse(reason: Refusal["reason"], name: string | undefined): Result<never, Refusal> {
  return err({ reason, kind: "api-key", ...(name !== undefined && { name }) });
}

/** The part of a key that is not secret; keys from before there was one have none. */
function keyIdOf(text: string): string | undefined {
  return /^a2a_([0-9a-z-]{12,36})_[A-Za-z0-9_-]{43}$/.exec(text)?.[1];
}
