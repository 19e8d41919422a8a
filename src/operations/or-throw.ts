// From a home's Result to what transports catch.

import type { Result } from "../lib/result.ts";
import { A2AError, type Failure } from "../protocol/errors.ts";

/** The value of a Result, or its failure thrown as an A2AError. */
export function orThrow<T>(result: Result<T, Failure>): T {
  if (!result.ok) throw A2AError.from(result.error);
  return result.value;
}
