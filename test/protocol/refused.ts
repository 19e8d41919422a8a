// What the tables of refusals share: a request that is right but for one thing, and what was said about it.

import { expect } from "vitest";
import type { FieldViolation } from "../../src/protocol/errors.ts";
import { type Limits, parseParams } from "../../src/protocol/parse.ts";
import type { Schema } from "../../src/protocol/schema.ts";

/** The violations for which `value` is refused; it must be. */
export function violations(schema: Schema<unknown>, value: unknown, limits?: Limits): FieldViolation[] {
  const parsed = parseParams(schema, value, limits);
  if (parsed.ok) throw new Error(`accepted: ${JSON.stringify(parsed.value)}`);
  expect(parsed.error.reason).toBe("INVALID_PARAMS");
  return parsed.error.violations ?? [];
}

export function only(field: string, description: string): FieldViolation[] {
  return [{ field, description }];
}

/** A SendMessageRequest that is right but for `change` in its message. */
export function sending(change: object): { message: object } {
  return { message: { messageId: "m1", role: "ROLE_USER", parts: [{ text: "hi" }], ...change } };
}

export function sendingPart(part: unknown): { message: object } {
  return sending({ parts: [part] });
}
