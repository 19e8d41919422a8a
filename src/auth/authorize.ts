// What a caller may do.

import { A2AError } from "../protocol/errors.ts";
import type { Scope } from "../protocol/operations.ts";
import type { Caller } from "./caller.ts";

/** PERMISSION_DENIED, naming the scope, for a caller that lacks it. */
export function requireScope({ scopes }: Caller, scope: Scope): void {
  if (scopes !== "all" && !scopes.has(scope)) {
    throw new A2AError("PERMISSION_DENIED", { metadata: { scope } });
  }
}
