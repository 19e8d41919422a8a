// From what a stranger sent to the params of an operation, or to the list of what is wrong with it.

import * as z from "zod/mini";
import { err, ok, type Result } from "../lib/result.ts";
import { type Failure, type FieldViolation, failure } from "./errors.ts";
import { isDeeperThan } from "./json.ts";
import type { Schema } from "./schema.ts";
import { fieldPath, isObject, MAX_VIOLATIONS, mustBe } from "./violations.ts";

export type Limits = {
  /** Most parts in the message that is sent. */
  maxParts: number;
  /** Deepest nesting of arrays and objects, the params themselves being level 1. */
  maxDepth: number;
};

export const DEFAULT_LIMITS: Limits = { maxParts: 1_000, maxDepth: 64 };

/** Absent params are empty ones; otherwise they are an object, by name (§9.1). */
export function parseParams<T>(
  schema: Schema<T>,
  value: unknown,
  limits: Limits = DEFAULT_LIMITS,
): Result<T, Failure> {
  const params = value ?? {};
  const hostile = refuseParams(params, limits);
  if (hostile !== undefined) return err(failure("INVALID_PARAMS", { violations: [hostile] }));
  const parsed = z.safeParse(schema, params);
  if (parsed.success) return ok(parsed.data);
  const violations = parsed.error.issues.slice(0, MAX_VIOLATIONS).map((issue) => ({
    field: fieldPath(issue.path),
    description: issue.message,
  }));
  return err(failure("INVALID_PARAMS", { violations }));
}

/** What is refused as a whole, before the cost of reading it. */
function refuseParams(params: unknown, limits: Limits): FieldViolation | undefined {
  if (!isObject(params)) return { field: "params", description: mustBe("an object", params) };
  if (Object.hasOwn(params, "")) return { field: "params", description: "must not have an empty name" };
  if (isDeeperThan(params, limits.maxDepth)) {
    return { field: "params", description: `must not be nested deeper than ${limits.maxDepth} levels` };
  }
  // Only a message that is sent carries parts in. In the proto of 0.3 it is also called a request, its parts content.
  for (const name of ["message", "request"]) {
    const message = params[name];
    for (const list of ["parts", "content"]) {
      const parts = isObject(message) ? message[list] : undefined;
      if (Array.isArray(parts) && parts.length > limits.maxParts) {
        return { field: `${name}.${list}`, description: `must hold at most ${limits.maxParts} parts` };
      }
    }
  }
  return undefined;
}
