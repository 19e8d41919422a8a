// How an A2A message of the proto becomes a zod schema that reads ProtoJSON.
//
// z.object cannot say what ProtoJSON says (two spellings of a name, null is absent, defaults are absent,
// oneof), so a message is one zod transform that visits its fields once: one pass an object, no eval, and
// the output is made of known names only. A message keeps its fields, so that a test can compare it with
// a2a.proto. https://protobuf.dev/programming-guides/json/

import * as z from "zod/mini";
import { adopt, isObject, MAX_VIOLATIONS, mustBe, refuse } from "./violations.ts";

/** A zod schema that knows what it is called in the proto. */
export type Schema<T> = z.ZodMiniType<T, unknown> & Traits;

type Traits = {
  /** `string`, `int32`, `bool`, `bytes`, `Timestamp`, `Struct`, `Value`, or the name of an enum or message. */
  readonly proto: string;
  readonly cardinality: "single" | "repeated" | "map";
  /** Of a repeated field or a map: what it holds. */
  readonly element?: Schema<unknown>;
  /** Makes the default that means absent in a plain field; messages, and what only a oneof holds, have none. */
  readonly zero?: () => unknown;
  /** Of an enum: the spellings of its zero, which mean absent. */
  readonly unspecified?: readonly unknown[];
  /** `google.protobuf.Value`: JSON null is a value, not an absence. */
  readonly nullable?: boolean;
};

type Presence = "implicit" | "optional" | "required" | "required or default";

/** A field that is more than a plain `string name = 1;`. */
export type Field<T, P extends Presence> = { readonly schema: Schema<T>; readonly presence: P };

type FieldSpec = Schema<unknown> | Field<unknown, Presence>;
export type FieldSpecs = Readonly<Record<string, FieldSpec>>;
export type OneofSpecs = Readonly<Record<string, Schema<unknown>>>;

type ValueOf<F> = F extends Field<infer T, Presence> ? T : F extends Schema<infer T> ? T : never;
type RequiredNames<F> = {
  [K in keyof F]: F[K] extends Field<unknown, "required" | "required or default"> ? K : never;
}[keyof F];
type Flat<T> = { [K in keyof T]: T[K] };
type FieldValues<F> = Flat<
  { [K in RequiredNames<F>]: ValueOf<F[K]> } & { [K in Exclude<keyof F, RequiredNames<F>>]?: ValueOf<F[K]> }
>;
/** Exactly one of the members: the others may be read (as undefined), so that `if (part.text)` narrows. */
type OneofValues<O> = {
  [K in keyof O]: Flat<{ [P in K]: ValueOf<O[P]> } & { [P in Exclude<keyof O, K>]?: never }>;
}[keyof O];
export type MessageValue<F, O> = [keyof O] extends [never]
  ? FieldValues<F>
  : Flat<FieldValues<F> & OneofValues<O>>;

export type MessageSchema<F extends FieldSpecs, O extends OneofSpecs> = Schema<MessageValue<F, O>> & {
  readonly fields: F;
  readonly oneof: O;
};

/** Marks a field REQUIRED: present, and neither an empty string nor an empty list (§5.7). */
export function required<T>(schema: Schema<T>): Field<T, "required"> {
  return { schema, presence: "required" };
}

/** Marks a field REQUIRED whose default is a legal value, such as the empty token of a last page. */
export function requiredOrDefault<T>(schema: Schema<T>): Field<T, "required or default"> {
  return { schema, presence: "required or default" };
}

/** The proto's `optional`: an explicit default is kept apart from an absent field. */
export function optional<T>(schema: Schema<T>): Field<T, "optional"> {
  return { schema, presence: "optional" };
}

/** Names a schema after its proto type. */
export function named<T>(
  schema: z.ZodMiniType<T, unknown>,
  proto: string,
  traits: Partial<Traits> = {},
): Schema<T> {
  return Object.assign(schema, { cardinality: "single" as const, ...traits, proto });
}

/** `repeated T`: stops at MAX_VIOLATIONS wrong elements. */
export function repeated<T>(element: Schema<T>): Schema<T[]> {
  const list = z.transform((input: unknown, context): T[] => {
    const output: T[] = [];
    if (!Array.isArray(input)) {
      refuse(context, mustBe("an array", input));
      return output;
    }
    for (let i = 0; i < input.length && context.issues.length < MAX_VIOLATIONS; i++) {
      const parsed = z.safeParse(element, input[i]);
      if (parsed.success) output.push(parsed.data);
      else adopt(context, i, parsed.error);
    }
    return output;
  });
  return named(list, element.proto, { cardinality: "repeated", element, zero: () => [] });
}

/** `map<string, T>`. */
export function map<T>(element: Schema<T>): Schema<Record<string, T>> {
  const record = z.transform((input: unknown, context): Record<string, T> => {
    const entries: [string, T][] = [];
    if (!isObject(input)) {
      refuse(context, mustBe("an object", input));
      return {};
    }
    for (const [key, value] of Object.entries(input)) {
      if (context.issues.length >= MAX_VIOLATIONS) break;
      const parsed = z.safeParse(element, value);
      if (!key.isWellFormed()) refuse(context, "must not contain a lone surrogate in its name", key);
      else if (parsed.success) entries.push([key, parsed.data]);
      else adopt(context, key, parsed.error);
    }
    // Defines own properties, so that a key `__proto__` is a key like any other.
    return Object.fromEntries(entries);
  });
  return named(record, element.proto, { cardinality: "map", element, zero: () => ({}) });
}

type FieldReader = {
  name: string;
  /** The proto's spelling, when it is not the same. */
  protoName: string | undefined;
  schema: Schema<unknown>;
  presence: Presence;
};

/** A message of the proto; `oneof` holds the members of its one oneof, which JSON shows flat. */
export function message<F extends FieldSpecs, O extends OneofSpecs = Record<never, never>>(
  proto: string,
  fields: F,
  oneof: O = {} as O,
): MessageSchema<F, O> {
  const readers = Object.entries(fields).map(([name, spec]) =>
    "presence" in spec ? reader(name, spec.schema, spec.presence) : reader(name, spec, "implicit"),
  );
  const members = Object.entries(oneof).map(([name, schema]) => reader(name, schema, "optional"));
  const schema = z.transform((input: unknown, context): MessageValue<F, O> => {
    const output: Record<string, unknown> = {};
    if (isObject(input)) {
      if (members.length > 0) readOneof(input, members, output, context);
      for (const field of readers) {
        if (context.issues.length >= MAX_VIOLATIONS) break;
        readField(input, field, output, context);
      }
    } else refuse(context, mustBe("an object", input));
    return output as MessageValue<F, O>;
  });
  return Object.assign(named(schema, proto), { fields, oneof });
}

function reader(name: string, schema: Schema<unknown>, presence: Presence): FieldReader {
  const protoName = toProtoName(name);
  return { name, protoName: protoName === name ? undefined : protoName, schema, presence };
}

/** `oauth2MetadataUrl` to `oauth2_metadata_url`. */
export function toProtoName(jsonName: string): string {
  return jsonName.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** The value as sent, undefined if it is absent; camelCase wins over the proto's spelling. */
function rawValue(input: Record<string, unknown>, { name, protoName, schema }: FieldReader): unknown {
  const value = input[name];
  if (value !== undefined && (value !== null || schema.nullable)) return value;
  return protoName === undefined ? undefined : (input[protoName] ?? undefined);
}

function readField(
  input: Record<string, unknown>,
  field: FieldReader,
  output: Record<string, unknown>,
  context: z.core.ParsePayload,
): void {
  const { name, schema, presence } = field;
  const value = rawValue(input, field);
  const isRequired = presence === "required";
  if (value === undefined || (!isRequired && schema.unspecified?.includes(value))) {
    if (isRequired) refuse(context, "is required", name);
    else if (presence === "required or default") output[name] = schema.zero?.();
    return;
  }
  const parsed = z.safeParse(schema, value);
  if (!parsed.success) adopt(context, name, parsed.error);
  else if (isRequired && isDefault(parsed.data, schema)) refuse(context, emptyText(schema), name);
  else if (presence !== "implicit" || !isDefault(parsed.data, schema)) output[name] = parsed.data;
}

function readOneof(
  input: Record<string, unknown>,
  members: FieldReader[],
  output: Record<string, unknown>,
  context: z.core.ParsePayload,
): void {
  const present = members.filter((member) => rawValue(input, member) !== undefined);
  const [only] = present;
  if (only !== undefined && present.length === 1) readField(input, only, output, context);
  else {
    const found = present.length === 0 ? "none" : namesOf(present);
    refuse(context, `must hold exactly one of ${namesOf(members)}; it holds ${found}`);
  }
}

function namesOf(readers: FieldReader[]): string {
  return readers.map(({ name }) => name).join(", ");
}

function isDefault(value: unknown, schema: Schema<unknown>): boolean {
  if (schema.zero === undefined) return false;
  if (schema.cardinality === "repeated") return (value as unknown[]).length === 0;
  if (schema.cardinality === "map") return Object.keys(value as object).length === 0;
  return value === schema.zero();
}

function emptyText(schema: Schema<unknown>): string {
  return schema.cardinality === "single" ? "must not be empty" : "must hold at least one element";
}
