// What a caller may do.

import { A2AError, type Failure, failure } from "../protocol/errors.ts";
import type { Scope } from "../protocol/operations.ts";
import type { Caller } from "./caller.ts";
import type { AdminScope } from "./roles.ts";

/** PERMISSION_DENIED, naming the scope, for a caller that lacks it. */
export function requireScope(caller: Caller, scope: Scope): void {
  if (!hasScope(caller, scope)) throw A2AError.from(denied(scope));
}

export function hasScope({ scopes }: Pick<Caller, "scopes">, scope: Scope): boolean {
  return scopes === "all" || scopes.has(scope);
}

/** PERMISSION_DENIED, naming the scope, for a caller who is no operator with it. */
export function requireAdminScope({ adminScopes }: Pick<Caller, "adminScopes">, scope: AdminScope): void {
  if (!adminScopes.has(scope)) throw A2AError.from(denied(scope));
}

/** The refusal of a caller that lacks a scope. */
export function denied(scope: Scope | AdminScope): Failure {
  return failure("PERMISSION_DENIED", {
    message: `The scope ${scope} is required`,
    metadata: { scope },
  });
}
