// What a request may say, in its query or its body: each field with the schema that reads it and what the OpenAPI
// document tells of it. Everything else is refused: a filter with a typing error must not become no filter.

import * as z from "zod/mini";
import { A2AError, type FieldViolation } from "../protocol/errors.ts";
import { oneOf, text as textOf } from "../protocol/limited-text.ts";
import { int32, timestamp } from "../protocol/scalars.ts";
import { MAX_VIOLATIONS } from "../protocol/violations.ts";

export type Field<T = unknown, R extends boolean = boolean> = {
  schema: z.ZodMiniType<T>;
  /** JSON Schema. */
  json: Readonly<Record<string, unknown>>;
  description: string;
  required: R;
};

export type Fields = Readonly<Record<string, Field>>;

type ValueOf<F> = F extends Field<infer T> ? T : never;
type RequiredOf<F extends Fields> = { [K in keyof F]: F[K]["required"] extends true ? K : never }[keyof F];

/** What has been read of the fields; those that are not required may be absent. */
export type ValuesOf<F extends Fields> = { [K in RequiredOf<F>]: ValueOf<F[K]> } & {
  [K in Exclude<keyof F, RequiredOf<F>>]?: ValueOf<F[K]> | undefined;
};

/** Above all that a list can show: an owner is an issuer of 512 and a name of 255 characters, each up to 9 long. */
const MAX_TEXT = 8_192;

export function text(description: string, maxLength = MAX_TEXT): Field<string, false> {
  const schema = textOf(maxLength).check(z.minLength(1, "must not be empty"));
  return { schema, json: { type: "string", minLength: 1, maxLength }, description, required: false };
}

export function integer(
  description: string,
  limits: { min: number; max: number; default?: number },
): Field<number, false> {
  const { min: minimum, max: maximum, ...rest } = limits;
  const json = { type: "integer", minimum, maximum, ...rest };
  return { schema: int32(minimum, maximum), json, description, required: false };
}

/** In requests RFC 3339 with any offset, in values ms. */
export function time(description: string): Field<number, false> {
  const schema = z.pipe(
    timestamp,
    z.transform((value) => Date.parse(value)),
  );
  return { schema, json: { type: "string", format: "date-time" }, description, required: false };
}

export function choice<const N extends string>(description: string, names: readonly N[]): Field<N, false> {
  return { schema: oneOf(names), json: { type: "string", enum: names }, description, required: false };
}

/** In a body only: an array of different names, of which `isName` says whether each is one. */
export function names(
  description: string,
  { max, isName, otherwise }: { max: number; isName(name: string): boolean; otherwise: string },
): Field<string[], false> {
  const schema = z
    .array(z.string().check(z.refine(isName, otherwise)), `must be an array of at most ${max} names`)
    .check(
      z.refine(
        (list) => list.length <= max && new Set(list).size === list.length,
        `must be at most ${max} different names`,
      ),
    );
  const json = { type: "array", items: { type: "string" }, maxItems: max, uniqueItems: true };
  return { schema, json, description, required: false };
}

export function required<T>(field: Field<T>): Field<T, true> {
  return { ...field, required: true };
}

/** Reads the fields from names and values in whatever order; throws INVALID_PARAMS with all that is wrong. */
export function readFields<F extends Fields>(
  fields: F,
  input: Iterable<readonly [name: string, value: unknown]>,
): ValuesOf<F> {
  const values: Record<string, unknown> = {};
  const violations: FieldViolation[] = [];
  for (const [name, value] of input) {
    if (violations.length >= MAX_VIOLATIONS) break;
    const description = readField(fields, values, name, value);
    if (description !== undefined) violations.push({ field: name.slice(0, 64), description });
  }
  for (const [name, field] of Object.entries(fields)) {
    if (!field.required || Object.hasOwn(values, name)) continue;
    if (!violations.some((violation) => violation.field === name)) {
      violations.push({ field: name, description: "is required" });
    }
  }
  if (violations.length > 0) throw new A2AError("INVALID_PARAMS", { violations });
  return values as ValuesOf<F>;
}

/** What is wrong with a value; undefined if it was taken. */
function readField(
  fields: Fields,
  values: Record<string, unknown>,
  name: string,
  value: unknown,
): string | undefined {
  const field = Object.hasOwn(fields, name) ? fields[name] : undefined;
  if (field === undefined) return "is not a field of this request";
  if (Object.hasOwn(values, name)) return "must be given once";
  const parsed = z.safeParse(field.schema, value);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const place = issue?.path.map((step) => ` at [${String(step)}]`).join("") ?? "";
    return `${issue?.message ?? "is malformed"}${place}`;
  }
  values[name] = parsed.data;
  return undefined;
}

export function invalid(field: string, description: string): A2AError {
  return new A2AError("INVALID_PARAMS", { violations: [{ field, description }] });
}
