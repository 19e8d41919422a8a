// What a caller may do.

import { A2AError } from "../protocol/errors.ts";
import type { Scope } from "../protocol/operations.ts";
import type { Caller } from "./caller.ts";
import type { AdminScope } from "./roles.ts";

/** PERMISSION_DENIED, naming the scope, for a caller that lacks it. */
export function requireScope({ scopes }: Caller, scope: Scope): void {
  if (scopes !== "all" && !scopes.has(scope)) {
    throw denied(scope);
  }
}

/** PERMISSION_DENIED, naming the scope, for a caller who is no operator with it. */
export function requireAdminScope({ adminScopes }: Pick<Caller, "adminScopes">, scope: AdminScope): void {
  if (!adminScopes.has(scope)) throw denied(scope);
}

function denied(scope: string): A2AError {
  return new A2AError("PERMISSION_DENIED", {
    message: `The scope ${scope} is required`,
    metadata: { scope },
  });
}
