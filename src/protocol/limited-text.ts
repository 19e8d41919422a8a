// Scalars with limits of their own, for what leaves in a header or is a secret. What is said about a value that is
// refused never quotes it.

import * as z from "zod/mini";
import { string } from "./scalars.ts";
import { named, type Schema } from "./schema.ts";
import { refuse } from "./violations.ts";

/** Stands in answers where a secret was configured. Sent back, it would silently become the secret. */
export const REDACTED = "[redacted]";
export const IS_REDACTED = `must not be ${REDACTED}, which only answers hold in place of a secret`;

/** What a header's value may be: it arrives as it was configured, byte for byte. */
export const HEADER_TEXT = /^(?:[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?)?$/;
export const IS_NO_HEADER_TEXT = "must be printable ASCII without spaces at its ends";
/** `token` of RFC 9110 §5.6.2: names of headers and of authentication schemes. */
export const TOKEN = /^[!#$%&'*+.^_`|~\dA-Za-z-]+$/;

type Checks<T> = Parameters<Schema<T>["check"]>;

/** The schema with more checks; those end its being a Schema, which this repairs. */
export function checked<T>(schema: Schema<T>, ...checks: Checks<NoInfer<T>>): Schema<T> {
  const { proto, cardinality, element, zero } = schema;
  return named(schema.check(...checks), proto, {
    cardinality,
    ...(element && { element }),
    ...(zero && { zero }),
  });
}

export function text(maxLength: number): Schema<string> {
  // Not z.maxLength: it also speaks up about an array.
  return checked(
    string,
    z.refine((value) => value.length <= maxLength, `must be at most ${maxLength} characters long`),
  );
}

export function headerText(maxLength: number): Schema<string> {
  return checked(text(maxLength), z.regex(HEADER_TEXT, IS_NO_HEADER_TEXT));
}

export function secretText(schema: Schema<string>): Schema<string> {
  return checked(
    schema,
    z.refine((value) => value !== REDACTED, IS_REDACTED),
  );
}

export function oneOf<const N extends string>(names: readonly N[]): Schema<N> {
  const schema = z.transform((input: unknown, context): N => {
    if (!names.includes(input as N)) refuse(context, `must be one of ${names.join(", ")}`);
    return input as N;
  });
  return named(schema, "string");
}
