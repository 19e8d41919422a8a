// Operators: whoever holds ADMIN_KEY, and every caller whose credential has scopes of operators.
//
// ADMIN_KEY opens everything that is an operator's and nothing that is a caller's. It is for the first key and for
// emergencies: what is done with it is done by nobody in particular.

import { sha256 } from "../lib/bytes.ts";
import { A2AError } from "../protocol/errors.ts";
import type { Authenticate } from "./authenticate.ts";
import { requireAdminScope } from "./authorize.ts";
import type { Caller } from "./caller.ts";
import { type AdminScope, adminScopeDescriptions } from "./roles.ts";
import type { Strangers } from "./strangers.ts";

export type Operator = {
  /** As the audit names them. */
  actor: string;
  adminScopes: ReadonlySet<AdminScope>;
};

/** The operator a request comes from; throws UNAUTHENTICATED, or PERMISSION_DENIED naming the scope that is missing. */
export type RequireOperator = (request: Request, scope: AdminScope) => Promise<Operator>;

const holder: Operator = {
  actor: "operator::admin-key",
  adminScopes: new Set(Object.keys(adminScopeDescriptions) as AdminScope[]),
};

export type RequireOperatorDeps = {
  adminKey: string;
  authenticate: Authenticate;
  /** Slows down those who guess. Default: nobody is. */
  strangers?: Strangers;
  /** Told of a caller that lacks the scope, before the caller is. Must not throw. */
  onDenied?: (caller: Caller, scope: AdminScope) => void;
};

export function createRequireOperator(deps: RequireOperatorDeps): RequireOperator {
  const { adminKey, authenticate, strangers, onDenied } = deps;
  let expected: string | undefined;
  return async (request, scope) => {
    // This key is guessed at like any other, so it waits like any other.
    const held = strangers?.refusal(request);
    if (held) throw A2AError.from(held);
    const [scheme = "", key = "", ...more] = (request.headers.get("authorization") ?? "").split(" ");
    expected ??= await sha256(adminKey);
    // Of the hashes, so that the time it takes tells nothing about the key.
    const matches = (await sha256(key)) === expected;
    if (scheme.toLowerCase() === "bearer" && more.length === 0 && matches) {
      strangers?.admitted(request);
      return holder;
    }
    const caller = await authenticate(request);
    // In open mode an owner's name may be wrong, which is nothing to an operator.
    if (!caller.ok && caller.error.reason !== "INVALID_PARAMS") throw A2AError.from(caller.error);
    // In open mode everybody is somebody, and nobody has shown to be an operator.
    if (!caller.ok || caller.value.basis.kind === "open") {
      const waits = strangers?.refused(request, "unknown_key");
      if (waits) throw A2AError.from(waits);
      throw new A2AError("UNAUTHENTICATED", { message: "An operator's credential is required" });
    }
    if (!caller.value.adminScopes.has(scope)) onDenied?.(caller.value, scope);
    requireAdminScope(caller.value, scope);
    return caller.value;
  };
}
