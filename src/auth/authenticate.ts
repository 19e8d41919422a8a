// The one place that says who a request comes from.

import type { Config } from "../config.ts";
import { err, ok, type Result } from "../lib/result.ts";
import { type Failure, failure } from "../protocol/errors.ts";
import { createApiKeyAuthentication } from "./api-key.ts";
import { type Caller, toOwner } from "./caller.ts";

export type Authenticate = (request: Request) => Promise<Result<Caller, Failure>>;

const DEV_OWNER = /^[\x21-\x7e]{1,128}$/;

export function createAuthenticate(config: Config, db: D1Database): Authenticate {
  return config.authModes.includes("open") ? authenticateOpen : createApiKeyAuthentication(db);
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
