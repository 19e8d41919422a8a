// Operators: whoever holds ADMIN_KEY. It opens /admin/v1 and /metrics and nothing else, and no caller's key opens those.

import { sha256 } from "../lib/bytes.ts";
import { A2AError } from "../protocol/errors.ts";

/** Answers whether a request comes from an operator; throws UNAUTHENTICATED if not. */
export type RequireOperator = (request: Request) => Promise<void>;

export function createRequireOperator(adminKey: string): RequireOperator {
  let expected: string | undefined;
  return async (request) => {
    const [scheme = "", key = "", ...more] = (request.headers.get("authorization") ?? "").split(" ");
    expected ??= await sha256(adminKey);
    // Of the hashes, so that the time it takes tells nothing about the key.
    const matches = (await sha256(key)) === expected;
    if (scheme.toLowerCase() === "bearer" && more.length === 0 && matches) return;
    throw new A2AError("UNAUTHENTICATED", { message: "The operator's key is required" });
  };
}
