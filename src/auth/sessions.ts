// Sessions: a credential, for a short time, in a form that clients can use which cannot set headers (EventSource and
// WebSocket in browsers).
//
// A session acts as its credential and holds nothing of its own: its rights are the credential's, looked up anew, as
// far as the session was given them. So it ends when that is revoked or expires, and loses a right with it. Tokens
// are made here and nowhere else: a client can present one, never choose one.

import { encodeBase64Url } from "../lib/base64.ts";
import { sha256 } from "../lib/bytes.ts";
import { uuidv7 } from "../lib/ids.ts";
import { createMemory } from "../lib/memory.ts";
import { err, ok, type Result } from "../lib/result.ts";
import { type Failure, failure } from "../protocol/errors.ts";
import {
  type By,
  extendSession,
  findSession,
  listSessions,
  openSession,
  revokeOwnSession,
  type Session,
  type SessionLimits,
} from "../store/sessions.ts";
import { type Authenticated, type Basis, type Caller, makerOf, sessionActor } from "./caller.ts";
import type { Refusal } from "./refusal.ts";
import { type AdminScope, everyScope, isScopeName, toGrants } from "./roles.ts";

const REMEMBER_MS = 30_000;
const REMEMBER_SESSIONS = 10_000;
const TOKEN_BYTES = 32;
const FORM = /^a2as_[A-Za-z0-9_-]{43}$/;

/** What a credential allows now. */
export type Rights = {
  scopes: Caller["scopes"];
  adminScopes: ReadonlySet<AdminScope>;
  /** ms; null: it does not end by itself. */
  expiresAt: number | null;
};

export type SessionSettings = SessionLimits & {
  /** How long a session lasts, unless it is extended. */
  lifetimeMs: number;
  /** How long after it was made it ends at the latest. */
  maxAgeMs: number;
};

export type SessionDeps = {
  db: D1Database;
  settings: SessionSettings;
  /** What a credential allows now; undefined: it is not valid any more, or not accepted here. */
  rightsOf(basis: Basis): Promise<Rights | undefined>;
  now(): number;
};

/** A session as its maker sees it; times in ms. */
export type OwnSession = {
  id: string;
  scopes: string[];
  createdAt: number;
  expiresAt: number;
  /** No extension goes beyond. */
  endsAt: number;
};

export type SessionWish = {
  /** At most the lifetime of sessions, which is the default. */
  seconds?: number | undefined;
  /** Names of scopes. Default: all that the credential has, except those of operators. */
  scopes?: readonly string[] | undefined;
};

export type Sessions = {
  /** The caller whom a token makes. */
  authenticate(token: string): Promise<Result<Authenticated, Refusal>>;
  /** Makes a session; `token` is shown this once. */
  open(caller: Authenticated, wish: SessionWish): Promise<Result<OwnSession & { token: string }, Failure>>;
  /** Those made from the caller's credential that are live, the newest first. */
  list(caller: Authenticated): Promise<OwnSession[]>;
  /** Lets one of those last for so many seconds from now, as far as it may. */
  extend(caller: Authenticated, id: string, seconds?: number): Promise<Result<OwnSession, Failure>>;
  /** Revokes one of those. */
  revoke(caller: Authenticated, id: string): Promise<Result<void, Failure>>;
  /** Forgets here what operators have revoked. */
  forget(fits: (session: Session) => boolean): void;
};

export function createSessions({ db, settings, rightsOf, now }: SessionDeps): Sessions {
  const memory = createMemory({
    load: (hash: string) => findSession(db, hash),
    keepMs: REMEMBER_MS,
    maxKeys: REMEMBER_SESSIONS,
    now,
  });
  const forget: Sessions["forget"] = (fits) =>
    memory.forget((session) => session !== undefined && fits(session));

  /** By the hash of its token; what has expired is looked at again, for it may have been extended elsewhere. */
  async function find(hash: string): Promise<Session | undefined> {
    const known = await memory.get(hash);
    return known === undefined || known.expiresAt > now() ? known : memory.get(hash, known.expiresAt);
  }

  async function authenticate(token: string): Promise<Result<Authenticated, Refusal>> {
    const session = FORM.test(token) ? await find(await sha256(token)) : undefined;
    if (session === undefined) return err({ reason: "unknown_session", kind: "session" });
    const refuse = (reason: Refusal["reason"]) => err({ reason, kind: "session" as const, name: session.id });
    if (session.expiresAt === 0) return refuse("revoked");
    if (session.expiresAt <= now()) return refuse("expired");
    const basis = JSON.parse(session.basis) as Basis;
    const rights = await rightsOf(basis);
    const isOver = rights === undefined || (rights.expiresAt !== null && rights.expiresAt <= now());
    if (isOver) return refuse("credential_ended");
    const given = toGrants(JSON.parse(session.scopes) as string[]);
    return ok({
      owner: session.owner,
      actor: sessionActor(session.actor, session.id),
      scopes: rights.scopes === "all" ? given.scopes : given.scopes.intersection(rights.scopes),
      adminScopes: given.adminScopes.intersection(rights.adminScopes),
      basis: { ...basis, expiresAt: rights.expiresAt },
      session: session.id,
    });
  }

  async function open(
    caller: Authenticated,
    { seconds, scopes }: SessionWish,
  ): Promise<Result<OwnSession & { token: string }, Failure>> {
    if (caller.session !== undefined) {
      const message = "A session cannot make sessions: present the credential that it was made from";
      return err(failure("PERMISSION_DENIED", { message }));
    }
    const granted = scopesOf(caller, scopes);
    if (!granted.ok) return granted;
    const at = now();
    const end = caller.basis.expiresAt ?? Number.MAX_SAFE_INTEGER;
    if (end <= at) {
      // Clocks differ, so a token may be taken some seconds after its end; nothing is made of it any more.
      return err(failure("UNAUTHENTICATED", { message: "The credential has ended" }));
    }
    const lifetimeMs = seconds === undefined ? settings.lifetimeMs : seconds * 1_000;
    const token = `a2as_${encodeBase64Url(crypto.getRandomValues(new Uint8Array(TOKEN_BYTES)))}`;
    const endsAt = Math.min(at + settings.maxAgeMs, end);
    const session = {
      id: uuidv7(at),
      owner: caller.owner,
      actor: caller.actor,
      key: caller.basis.kind === "key" ? caller.basis.id : null,
      basis: JSON.stringify(caller.basis),
      scopes: JSON.stringify(granted.value),
      createdAt: at,
      expiresAt: Math.min(at + lifetimeMs, endsAt),
      endsAt,
    };
    const opened = await openSession(db, { ...session, hash: await sha256(token) }, settings);
    if (opened.ok) {
      // One of them may have had to go for it.
      forget(({ owner, actor }) => owner === session.owner && actor === session.actor);
      return ok({ ...toOwn(session), token });
    }
    const { reason, retryAt } = opened.error;
    const message =
      reason === "rate"
        ? `A credential may make ${settings.perMinute} sessions a minute`
        : `An owner may have ${settings.perOwner} sessions at once`;
    const retryAfterSeconds = Math.max(1, Math.ceil((retryAt - at) / 1_000));
    return err(failure("RATE_LIMIT_EXCEEDED", { message, retryAfterSeconds }));
  }

  async function extend(
    caller: Authenticated,
    id: string,
    seconds?: number,
  ): Promise<Result<OwnSession, Failure>> {
    const at = now();
    const lifetimeMs = seconds === undefined ? settings.lifetimeMs : seconds * 1_000;
    const until = Math.min(at + lifetimeMs, caller.basis.expiresAt ?? Number.MAX_SAFE_INTEGER);
    const session = await extendSession(db, id, { by: byOf(caller), now: at, until });
    if (session === undefined) return missing();
    forget((known) => known.id === id);
    return ok(toOwn(session));
  }

  async function revoke(caller: Authenticated, id: string): Promise<Result<void, Failure>> {
    const isRevoked = await revokeOwnSession(db, id, { by: byOf(caller), now: now() });
    forget((known) => known.id === id);
    return isRevoked ? ok(undefined) : missing();
  }

  return {
    authenticate,
    open,
    extend,
    revoke,
    forget,
    list: async (caller) => (await listSessions(db, makerOf(caller), now())).map(toOwn),
  };
}

function byOf(caller: Caller): By {
  return { maker: makerOf(caller), actor: caller.actor };
}

/** The scopes of a new session, by name; PERMISSION_DENIED names the first that its maker has not. */
function scopesOf(caller: Caller, wished: readonly string[] | undefined): Result<string[], Failure> {
  const own = caller.scopes === "all" ? everyScope : caller.scopes;
  if (wished === undefined) return ok([...own]);
  if (wished.length === 0) return err(invalid("scopes", "must name at least one"));
  const unknown = wished.findIndex((name) => !isScopeName(name));
  if (unknown !== -1) return err(invalid(`scopes[${unknown}]`, "is no scope of this server"));
  const { scopes, adminScopes } = toGrants(wished);
  // What is made with a session would outlast it.
  const has = new Set<string>([...own, ...caller.adminScopes].filter((name) => name !== "admin:keys"));
  const names = [...scopes, ...adminScopes];
  const denied = names.find((name) => !has.has(name));
  if (denied === undefined) return ok(names);
  const message =
    denied === "admin:keys"
      ? "A session cannot have admin:keys, which makes credentials"
      : `A session cannot have ${denied}, which its credential has not`;
  return err(failure("PERMISSION_DENIED", { message, metadata: { scope: denied } }));
}

function invalid(field: string, description: string): Failure {
  return failure("INVALID_PARAMS", { violations: [{ field, description }] });
}

/** Foreign sessions, ended ones and those that never were look alike. */
function missing(): Result<never, Failure> {
  return err(failure("NOT_FOUND", { message: "There is no such session." }));
}

function toOwn({ id, scopes, createdAt, expiresAt, endsAt }: Session): OwnSession {
  return { id, scopes: JSON.parse(scopes) as string[], createdAt, expiresAt, endsAt };
}
