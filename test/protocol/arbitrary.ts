// Random wire objects, made from the schemas themselves: every field of every message appears, with values
// in the form we send. Seeded, so that a failure can be repeated.

import type { EnumSchema } from "../../src/protocol/scalars.ts";
import type { FieldSpecs, MessageSchema, OneofSpecs, Schema } from "../../src/protocol/schema.ts";

export type Random = () => number;

/** mulberry32: a number in [0, 1) from a 32-bit state. */
export function seeded(seed: number): Random {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const alphabet = [..."abcXYZ019 _-./:\"\\{}[]<>&'äß漢字😀\u00e9e\u0301\u200d"];

export function pick<T>(random: Random, items: readonly T[]): T {
  return items[Math.floor(random() * items.length)] as T;
}

function times<T>(random: Random, max: number, make: () => T): T[] {
  return Array.from({ length: 1 + Math.floor(random() * max) }, make);
}

function text(random: Random): string {
  return times(random, 12, () => pick(random, alphabet)).join("");
}

function json(random: Random, depth = 0): unknown {
  const kind = Math.floor(random() * (depth < 3 ? 7 : 5));
  switch (kind) {
    case 0:
      return text(random);
    case 1:
      return Math.round(random() * 1e6) / 100;
    case 2:
      return random() < 0.5;
    case 3:
      // SDK 1.3.0 reads a null `data` as no data; deeper down null is null for everybody.
      return depth === 0 ? "" : null;
    case 4:
      return 0;
    case 5:
      return times(random, 3, () => json(random, depth + 1));
    default:
      return struct(random, depth + 1);
  }
}

function struct(random: Random, depth = 0): Record<string, unknown> {
  const keys = times(random, 3, () =>
    pick(random, ["snake_case", "camelCase", "", "constructor", text(random)]),
  );
  return Object.fromEntries(keys.map((key) => [key, json(random, depth + 1)]));
}

function single(random: Random, schema: Schema<unknown>): unknown {
  switch (schema.proto) {
    case "string":
      return text(random);
    case "int32":
      return 1 + Math.floor(random() * 100);
    case "bool":
      return true;
    case "bytes":
      return btoa(String.fromCharCode(...times(random, 20, () => Math.floor(random() * 256))));
    case "Timestamp":
      return new Date(Math.floor(random() * 4e12)).toISOString();
    case "Struct":
      return struct(random);
    case "Value":
      return json(random);
    default:
      if ("numbers" in schema) return pick(random, Object.keys((schema as EnumSchema<string>).numbers));
      return arbitrary(random, schema as MessageSchema<FieldSpecs, OneofSpecs>);
  }
}

function value(random: Random, schema: Schema<unknown>): unknown {
  const element: Schema<unknown> = schema.element ?? schema;
  if (schema.cardinality === "repeated") return times(random, 3, () => single(random, element));
  if (schema.cardinality === "map") {
    return Object.fromEntries(times(random, 3, () => [text(random), single(random, element)]));
  }
  return single(random, schema);
}

/** One random object of the message `schema`, in the form that is sent. */
export function arbitrary(
  random: Random,
  schema: MessageSchema<FieldSpecs, OneofSpecs>,
): Record<string, unknown> {
  const output: Record<string, unknown> = {};
  const members = Object.entries(schema.oneof);
  if (members.length > 0) {
    const [name, member] = pick(random, members);
    output[name] = value(random, member);
  }
  for (const [name, spec] of Object.entries(schema.fields)) {
    const field = "presence" in spec ? spec : { schema: spec, presence: "implicit" };
    if (field.presence.startsWith("required") || random() < 0.5) output[name] = value(random, field.schema);
  }
  return output;
}
