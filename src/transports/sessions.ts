// The paths of sessions: a credential becomes a session, and sessions are listed, extended and revoked by it.
//
// Errors are thrown as A2AErrors, and answered in the form of the HTTP+JSON binding by the app. A token is in one
// answer only, the one that makes it.

import { addressOf } from "../auth/address.ts";
import type { Authenticate } from "../auth/authenticate.ts";
import { makerOf } from "../auth/caller.ts";
import type { OwnSession, Sessions } from "../auth/sessions.ts";
import type { Config } from "../config.ts";
import { Buckets } from "../lib/buckets.ts";
import { orThrow } from "../operations/or-throw.ts";
import { A2AError } from "../protocol/errors.ts";
import { parseJson } from "../protocol/json.ts";
import { readBody } from "./body.ts";
import { parseSessionRequest, type SessionRequest } from "./session-request.ts";

export type SessionPathsDeps = {
  config: Config;
  authenticate: Authenticate;
  sessions: Sessions;
  now(): number;
};

/** The verbs of a path that is there and does not have the request's. */
type OtherVerbs = { verbs: string[] };

export type SessionPaths = (request: Request) => Promise<Response | OtherVerbs>;

type All = SessionPathsDeps & {
  /** Of requests for or of a session, by the credential that is right or else by address: each costs a lookup. */
  askers: Buckets;
};

type Handler = (deps: All, request: Request, id: string) => Promise<Response>;

/** Behind one address may be a company, so it may ask so many times more often than a credential makes sessions. */
const PER_ASKER = 4;
const MAX_ASKERS = 10_000;
/** Larger than a token that is accepted, and what may be said beside it. */
const MAX_BYTES = 32_768;

/** A custom verb before the bare id. */
const paths: readonly { path: RegExp; verbs: Readonly<Record<string, Handler>> }[] = [
  { path: /^\/a2a\/auth$/, verbs: { POST: open, DELETE: leave } },
  { path: /^\/a2a\/auth\/sessions$/, verbs: { GET: list } },
  { path: /^\/a2a\/auth\/sessions\/([^/:]+):extend$/, verbs: { POST: extend } },
  { path: /^\/a2a\/auth\/sessions\/([^/:]+)$/, verbs: { DELETE: revoke } },
];

export function createSessionPaths(given: SessionPathsDeps): SessionPaths {
  const perMinute = given.config.sessionRatePerMinute * PER_ASKER;
  const deps = { ...given, askers: new Buckets({ perMinute, burst: perMinute }, MAX_ASKERS) };
  return async (request) => {
    // Some clients encode the colon of a custom verb.
    const pathname = new URL(request.url).pathname.replace(/%3a/gi, ":");
    for (const { path, verbs } of paths) {
      const match = path.exec(pathname);
      if (!match) continue;
      const verb = request.method === "HEAD" ? "GET" : request.method;
      const handler = Object.hasOwn(verbs, verb) ? verbs[verb] : undefined;
      return handler ? handler(deps, request, match[1] ?? "") : { verbs: Object.keys(verbs) };
    }
    throw new A2AError("NOT_FOUND");
  };
}

async function open(deps: All, request: Request): Promise<Response> {
  const { authenticate, sessions, config } = deps;
  const inHeader = request.headers.has("authorization") || request.headers.has("x-api-key");
  const found = inHeader ? await authenticate(request) : undefined;
  // Who has shown a right credential pays by it, so that nobody behind its address can keep it from having sessions.
  admit(deps, found?.ok ? makerOf(found.value).actor : addressOf(request));
  // A stranger with a wrong header costs no body.
  const early = found && orThrow(found);
  const wish = await readWish(request, config);
  if (early && wish.header) {
    const message = "The credential must stand in a header or in the body, not in both";
    throw new A2AError("INVALID_REQUEST", { message });
  }
  const caller = early ?? orThrow(await authenticate(presenting(request, wish.header)));
  const { token, ...session } = orThrow(await sessions.open(caller, wish));
  return toJson({ session: token, ...toAnswer(session) }, 201);
}

/** Lets one more request of this asker pass; RATE_LIMIT_EXCEEDED if they were too many. */
function admit({ askers, now }: All, asker: string): void {
  const at = now();
  const retryAt = askers.take(asker, at);
  if (retryAt === undefined) return;
  const message = "Too many requests for a session";
  const retryAfterSeconds = Math.max(1, Math.ceil((retryAt - at) / 1_000));
  throw new A2AError("RATE_LIMIT_EXCEEDED", { message, retryAfterSeconds });
}

async function leave({ authenticate, sessions }: All, request: Request): Promise<Response> {
  const caller = orThrow(await authenticate(request));
  if (caller.session === undefined) {
    const message = "This revokes the session that the request presents, and it presents none";
    throw new A2AError("INVALID_REQUEST", { message });
  }
  // It may have been revoked in this moment by another request, which is what was wanted.
  await sessions.revoke(caller, caller.session);
  return new Response(null, { status: 204, headers: noStore });
}

async function list({ authenticate, sessions }: All, request: Request): Promise<Response> {
  const caller = orThrow(await authenticate(request));
  const own = await sessions.list(caller);
  const marked = own.map((session) => ({ ...toAnswer(session), current: session.id === caller.session }));
  return toJson({ sessions: marked }, 200);
}

async function extend(deps: All, request: Request, id: string): Promise<Response> {
  const caller = orThrow(await deps.authenticate(request));
  // Each is an entry in the audit.
  admit(deps, makerOf(caller).actor);
  const wish = await readWish(request, deps.config);
  for (const [name, field] of [
    ["header", "token"],
    ["scopes", "scopes"],
  ] as const) {
    if (wish[name] !== undefined) {
      const violations = [{ field, description: "is not a field of this request" }];
      throw new A2AError("INVALID_PARAMS", { violations });
    }
  }
  return toJson(toAnswer(orThrow(await deps.sessions.extend(caller, id, wish.seconds))), 200);
}

async function revoke(deps: All, request: Request, id: string): Promise<Response> {
  const caller = orThrow(await deps.authenticate(request));
  orThrow(await deps.sessions.revoke(caller, id));
  return new Response(null, { status: 204, headers: noStore });
}

async function readWish(request: Request, config: Config): Promise<SessionRequest> {
  const maxBodyBytes = Math.min(MAX_BYTES, config.maxBodyBytes);
  const text = await readBody(request, { maxBodyBytes });
  if (text === "") return {};
  return parseSessionRequest(orThrow(parseJson(text, config.maxJsonDepth)), config.sessionMs / 1_000);
}

/** The request as one that carries the credential of its body in a header. */
function presenting({ url, headers }: Request, header: SessionRequest["header"]): Request {
  const all = new Headers(headers);
  if (header) all.set(...header);
  return new Request(url, { method: "POST", headers: all });
}

function toAnswer({ id, scopes, createdAt, expiresAt, endsAt }: OwnSession) {
  return {
    id,
    scopes,
    createdAt: new Date(createdAt).toISOString(),
    expiresAt: new Date(expiresAt).toISOString(),
    extendableUntil: new Date(endsAt).toISOString(),
  };
}

const noStore = { "cache-control": "no-store" };

function toJson(body: unknown, status: number): Response {
  return new Response(JSON.stringify(body), {
    status,
    headers: { "content-type": "application/json", ...noStore },
  });
}
