// google.protobuf.Struct and Value: JSON as it is. Both are handed on by reference and never copied key by
// key, so a key such as `__proto__` stays an own property of what JSON.parse made and pollutes nothing.

import * as z from "zod/mini";
import { named, type Schema } from "./schema.ts";
import { isObject, mustBe, refuse } from "./violations.ts";

/** Not recursive: the RPC types of Workers descend into every type they carry, and would find no end. */
export type JsonValue = string | number | boolean | null | object;
export type JsonObject = { [key: string]: JsonValue };

/** Ends the walk of a cyclic or absurd value made by an agent; requests meet the depth limit long before. */
const MAX_DEPTH = 1_000;

export const Value: Schema<JsonValue> = named(
  z.transform((input: unknown, context): JsonValue => {
    refuseUnlessJson(input, context);
    return input as JsonValue;
  }),
  "Value",
  { nullable: true },
);

export const Struct: Schema<JsonObject> = named(
  z.transform((input: unknown, context): JsonObject => {
    if (isObject(input)) refuseUnlessJson(input, context);
    else refuse(context, mustBe("an object", input));
    return input as JsonObject;
  }),
  "Struct",
);

function refuseUnlessJson(value: unknown, context: z.core.ParsePayload): void {
  const flaw = findFlaw(value, 0);
  if (flaw !== undefined) refuse(context, flaw.description, ...flaw.path);
}

type Flaw = { description: string; path: PropertyKey[] };

/** The first thing in `value` that JSON cannot say, or a lone surrogate, in a key too. */
function findFlaw(value: unknown, depth: number): Flaw | undefined {
  switch (typeof value) {
    case "boolean":
      return undefined;
    case "string":
      return value.isWellFormed() ? undefined : flaw("must not contain a lone surrogate");
    case "number":
      return Number.isFinite(value) ? undefined : flaw("must be a finite number");
    case "object":
      if (value === null) return undefined;
      if (depth >= MAX_DEPTH) return flaw(`must not be nested deeper than ${MAX_DEPTH} levels`);
      return Array.isArray(value) ? flawInArray(value, depth) : flawInObject(value, depth);
    default:
      return flaw(mustBe("a JSON value", value));
  }
}

function flawInArray(array: unknown[], depth: number): Flaw | undefined {
  for (let i = 0; i < array.length; i++) {
    const found = findFlaw(array[i], depth + 1);
    if (found !== undefined) return below(i, found);
  }
  return undefined;
}

function flawInObject(object: object, depth: number): Flaw | undefined {
  for (const [key, value] of Object.entries(object)) {
    if (!key.isWellFormed()) return below(key, flaw("must not contain a lone surrogate in its name"));
    // An agent's `{ city: undefined }` is written without the city.
    const found = value === undefined ? undefined : findFlaw(value, depth + 1);
    if (found !== undefined) return below(key, found);
  }
  return undefined;
}

function flaw(description: string): Flaw {
  return { description, path: [] };
}

/** The path is built only on the way out: sound values pay nothing for it. */
function below(key: PropertyKey, { description, path }: Flaw): Flaw {
  return { description, path: [key, ...path] };
}
