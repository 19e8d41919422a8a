// The one place that says who a request comes from, and the one that knows why somebody is refused.

import type { Config } from "../config.ts";
import { err, ok, type Result } from "../lib/result.ts";
import { type Failure, failure } from "../protocol/errors.ts";
import { log } from "../telemetry/log.ts";
import { createApiKeyAuthentication } from "./api-key.ts";
import { type Authenticated, type Basis, toOwner } from "./caller.ts";
import { type Credential, QUERY, readCredential, sessionsInQuery } from "./credential.ts";
import { createCustomRoles } from "./custom-roles.ts";
import { createJwtAuthentication } from "./jwt.ts";
import { type CredentialKind, isUndecided, type Refusal, toFailure } from "./refusal.ts";
import type { CustomRoles } from "./roles.ts";
import { createSessions, type Rights, type Sessions } from "./sessions.ts";
import type { Strangers } from "./strangers.ts";

/**
 * Who a request comes from. `isAgain`: it was let in before, and goes on as a stream. What strangers do at its address
 * must not decide whether it may, in neither direction: so it is looked up without waiting, and is no guess.
 */
export type Authenticate = (request: Request, isAgain?: boolean) => Promise<Result<Authenticated, Failure>>;

/** Says whose credential one of its kind is. */
export type Authenticator = (text: string) => Promise<Result<Authenticated, Refusal>>;

export type AuthenticationDeps = {
  config: Pick<
    Config,
    | "authModes"
    | "jwtIssuers"
    | "allowPrivateWebhooks"
    | "dohUrl"
    | "sessionMs"
    | "sessionMaxMs"
    | "sessionsPerOwner"
    | "sessionRatePerMinute"
  >;
  db: D1Database;
  /** The scopes of roles that are not built in. Default: those in the database. */
  customRoles?: CustomRoles;
  /** Told of every refusal, before the caller is. Must not throw. */
  onRefusal?: (refusal: Refusal, request: Request) => void;
  /** Slows down those who guess. Default: nobody is. */
  strangers?: Strangers;
  now?: () => number;
};

export type Authentication = { authenticate: Authenticate; sessions: Sessions };

const DEV_OWNER = /^[\x21-\x7e]{1,128}$/;

export function createAuthentication(deps: AuthenticationDeps): Authentication {
  const { config, db, onRefusal, now = Date.now } = deps;
  const { customRoles = createCustomRoles(db, now) } = deps;
  const isOpen = config.authModes.includes("open");
  const authenticators = new Map<CredentialKind, Authenticator>();
  const keys = createApiKeyAuthentication(db, customRoles, now);
  const takesKeys = config.authModes.includes("api-key");
  if (takesKeys) authenticators.set("api-key", keys.authenticate);
  const issuers = config.authModes.includes("jwt") ? config.jwtIssuers : [];
  const tokens = createJwtAuthentication({ issuers, config, customRoles, now });
  if (issuers.length > 0) authenticators.set("jwt", tokens.authenticate);

  /** Of a session's credential; one of a kind that is not taken here has none. */
  async function rightsOf(basis: Basis): Promise<Rights | undefined> {
    switch (basis.kind) {
      case "open":
        return isOpen ? { scopes: "all", adminScopes: new Set(), expiresAt: null } : undefined;
      case "key": {
        const caller = takesKeys ? await keys.byHash(basis.hash) : undefined;
        return caller?.ok ? { ...caller.value, expiresAt: caller.value.basis.expiresAt } : undefined;
      }
      case "jwt": {
        const grants = await tokens.grantsOf(basis);
        return grants && { ...grants, expiresAt: basis.expiresAt };
      }
    }
  }

  const sessions = createSessions({
    db,
    settings: {
      lifetimeMs: config.sessionMs,
      maxAgeMs: config.sessionMaxMs,
      perOwner: config.sessionsPerOwner,
      perMinute: config.sessionRatePerMinute,
    },
    rightsOf,
    now,
  });
  authenticators.set("session", sessions.authenticate);

  async function authenticate(request: Request, isAgain = false): Promise<Result<Authenticated, Failure>> {
    const strangers = isAgain ? undefined : deps.strangers;
    const inQuery = readQuery(request);
    if (!inQuery.ok) {
      // What stands beside it may be a guess, also at the operators' key, and this must not be a way round the wait.
      onRefusal?.({ reason: "malformed", kind: "session" }, request);
      return err(strangers?.refused(request, "malformed") ?? inQuery.error);
    }
    const credential: Result<Credential, Refusal> =
      inQuery.value === undefined
        ? readCredential(request.headers)
        : ok({ kind: "session", text: inQuery.value });
    if (isOpen && !(credential.ok && credential.value.kind === "session")) return authenticateOpen(request);
    const held = strangers?.refusal(request);
    if (held) return err(held);
    const caller = credential.ok ? await authenticateBy(authenticators, credential.value) : credential;
    if (caller.ok) {
      strangers?.admitted(request);
      return caller;
    }
    onRefusal?.(caller.error, request);
    // A credential that could not be checked is no guess.
    const { reason } = caller.error;
    const waits = isUndecided(reason) ? undefined : strangers?.refused(request, reason);
    return err(waits ?? toFailure(caller.error, config.authModes));
  }

  return { authenticate, sessions };
}

async function authenticateBy(
  authenticators: ReadonlyMap<CredentialKind, Authenticator>,
  { kind, text }: Credential,
): Promise<Result<Authenticated, Refusal>> {
  const authenticate = authenticators.get(kind);
  if (authenticate === undefined) return err({ reason: "unsupported_kind", kind });
  try {
    return await authenticate(text);
  } catch (error) {
    log("error", "a credential could not be looked up", { kind, error });
    return err({ reason: "lookup_failed", kind });
  }
}

/**
 * The session in a request's query, which is where clients put it that cannot set headers. They only ever GET; in the
 * URL of anything else a token would be by mistake, and where URLs go it would go too.
 */
function readQuery({ method, url, headers }: Request): Result<string | undefined, Failure> {
  const [token, ...more] = sessionsInQuery(url);
  if (token === undefined) return ok(undefined);
  const refuse = (message: string) => err(failure("INVALID_REQUEST", { message }));
  if (method !== "GET" && method !== "HEAD") {
    return refuse(
      `The query parameter ${QUERY} is for GET requests only: send Authorization: Bearer <session> instead`,
    );
  }
  if (more.length > 0) return refuse(`The query parameter ${QUERY} must be given once`);
  if (headers.has("authorization") || headers.has("x-api-key")) {
    return refuse(`The query parameter ${QUERY} must not stand beside a credential in a header`);
  }
  return ok(token);
}

/** Open mode, in development only: everybody is `anonymous`, or whom X-Dev-Owner names. */
async function authenticateOpen(request: Request): Promise<Result<Authenticated, Failure>> {
  const name = request.headers.get("x-dev-owner") ?? "anonymous";
  if (!DEV_OWNER.test(name)) {
    const description = "must be 1 to 128 visible ASCII characters";
    return err(failure("INVALID_PARAMS", { violations: [{ field: "X-Dev-Owner", description }] }));
  }
  const owner = toOwner("open", "", name);
  const basis: Basis = { kind: "open", expiresAt: null };
  return ok({ owner, actor: owner, scopes: "all", adminScopes: new Set(), basis });
}
