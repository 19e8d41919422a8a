// The one place that says who a request comes from, and the one that knows why somebody is refused.

import type { Config } from "../config.ts";
import { err, ok, type Result } from "../lib/result.ts";
import { type Failure, failure } from "../protocol/errors.ts";
import { createApiKeyAuthentication } from "./api-key.ts";
import { type Caller, toOwner } from "./caller.ts";
import { readCredential } from "./credential.ts";
import { type CredentialKind, type Refusal, toFailure } from "./refusal.ts";
import type { CustomRoles } from "./roles.ts";

export type Authenticate = (request: Request) => Promise<Result<Caller, Failure>>;

/** Says whose credential one of its kind is. */
export type Authenticator = (text: string) => Promise<Result<Caller, Refusal>>;

export type AuthenticationDeps = {
  config: Pick<Config, "authModes">;
  db: D1Database;
  /** The scopes of roles that are not built in. */
  customRoles?: CustomRoles;
  /** Told of every refusal, before the caller is. Must not throw. */
  onRefusal?: (refusal: Refusal, request: Request) => void;
  now?: () => number;
};

const DEV_OWNER = /^[\x21-\x7e]{1,128}$/;

export function createAuthenticate(deps: AuthenticationDeps): Authenticate {
  const { config, db, customRoles = async () => undefined, onRefusal, now = Date.now } = deps;
  if (config.authModes.includes("open")) return authenticateOpen;
  const authenticators = new Map<CredentialKind, Authenticator>();
  if (config.authModes.includes("api-key")) {
    authenticators.set("api-key", createApiKeyAuthentication(db, customRoles, now));
  }
  return async (request) => {
    const caller = await authenticateBy(authenticators, request.headers);
    if (caller.ok) return caller;
    onRefusal?.(caller.error, request);
    return err(toFailure(caller.error, config.authModes));
  };
}

async function authenticateBy(
  authenticators: ReadonlyMap<CredentialKind, Authenticator>,
  headers: Headers,
): Promise<Result<Caller, Refusal>> {
  const credential = readCredential(headers);
  if (!credential.ok) return credential;
  const { kind, text } = credential.value;
  const authenticate = authenticators.get(kind);
  return authenticate === undefined ? err({ reason: "unsupported_kind", kind }) : authenticate(text);
}

/** Open mode, in development only: everybody is `anonymous`, or whom X-Dev-Owner names. */
async function authenticateOpen(request: Request): Promise<Result<Caller, Failure>> {
  const name = request.headers.get("x-dev-owner") ?? "anonymous";
  if (!DEV_OWNER.test(name)) {
    const description = "must be 1 to 128 visible ASCII characters";
    return err(failure("INVALID_PARAMS", { violations: [{ field: "X-Dev-Owner", description }] }));
  }
  const owner = toOwner("open", "", name);
  return ok({ owner, actor: owner, scopes: "all", adminScopes: new Set() });
}
