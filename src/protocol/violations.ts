// What is wrong with a value, collected while a schema reads it. The text says in plain words what was
// expected and what came; it never quotes the value, which may be a secret or a megabyte.

import type * as z from "zod/mini";

/** Collecting stops here: a hostile array must not cost a violation an element. */
export const MAX_VIOLATIONS = 20;

/** Records a violation at `path`, seen from the schema that is reading. */
export function refuse(context: z.core.ParsePayload, message: string, ...path: PropertyKey[]): void {
  context.issues.push({ code: "custom", message, path, input: undefined });
}

/** Records the violations of an inner schema below `key`. */
export function adopt(context: z.core.ParsePayload, key: PropertyKey, error: z.core.$ZodError): void {
  for (const issue of error.issues) refuse(context, issue.message, key, ...issue.path);
}

/** "must be a string, not an array". */
export function mustBe(expected: string, input: unknown): string {
  return `must be ${expected}, not ${kindOf(input)}`;
}

function kindOf(input: unknown): string {
  if (input === null || input === undefined) return String(input);
  if (Array.isArray(input)) return "an array";
  return typeof input === "object" ? "an object" : `a ${typeof input}`;
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

const MAX_SHOWN_KEY = 64;

/** `message.parts[0].text`; a key that is no identifier (inside a Struct) is quoted and shortened. */
export function fieldPath(path: readonly PropertyKey[]): string {
  let field = "";
  for (const step of path) {
    const key = String(step);
    if (typeof step === "number") field += `[${key}]`;
    else if (!/^[A-Za-z_]\w{0,63}$/.test(key)) field += `[${JSON.stringify(key.slice(0, MAX_SHOWN_KEY))}]`;
    else field += field === "" ? key : `.${key}`;
  }
  return field;
}
