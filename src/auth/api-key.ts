// Authentication by API key: `Authorization: Bearer a2a_…` or `X-API-Key: a2a_…`.
//
// A key's lookup is remembered in the isolate for 30 s, hits and misses alike: a revoked key works for at
// most that long, and neither a busy caller nor a guessing one costs a query each time.

import { sha256 } from "../lib/bytes.ts";
import { err, ok, type Result } from "../lib/result.ts";
import { type Failure, failure } from "../protocol/errors.ts";
import { type ApiKey, findApiKey } from "../store/api-keys.ts";
import { type Caller, toOwner } from "./caller.ts";

const REMEMBER_MS = 30_000;
const REMEMBER_KEYS = 10_000;
/** The form of a key; anything else is refused without a lookup. */
const FORM = /^a2a_[A-Za-z0-9_-]{16,128}$/;

type Remembered = { key: ApiKey | undefined; at: number };

/** Creates the authentication by API keys of one database. */
export function createApiKeyAuthentication(db: D1Database, now: () => number = Date.now) {
  const remembered = new Map<string, Remembered>();

  async function find(hash: string): Promise<ApiKey | undefined> {
    const known = remembered.get(hash);
    if (known && now() - known.at < REMEMBER_MS) return known.key;
    const key = await findApiKey(db, hash);
    if (remembered.size >= REMEMBER_KEYS) remembered.clear();
    remembered.set(hash, { key, at: now() });
    return key;
  }

  return async (request: Request): Promise<Result<Caller, Failure>> => {
    const credential = readCredential(request.headers);
    if (credential === undefined) {
      return err(
        failure("UNAUTHENTICATED", { message: "An API key is required: Authorization: Bearer <key>." }),
      );
    }
    const key = FORM.test(credential) ? await find(await sha256(credential)) : undefined;
    const isExpired = key?.expiresAt != null && key.expiresAt <= now();
    if (!key || key.revokedAt !== null || isExpired) {
      return err(failure("UNAUTHENTICATED", { message: "This API key is not valid." }));
    }
    return ok({
      owner: toOwner("key", "", key.owner),
      actor: toOwner("key", key.owner, key.id),
      scopes: "all",
      adminScopes: new Set(),
    });
  };
}

function readCredential(headers: Headers): string | undefined {
  const bearer = /^Bearer +(\S+)$/i.exec(headers.get("authorization") ?? "")?.[1];
  return bearer ?? headers.get("x-api-key") ?? undefined;
}
