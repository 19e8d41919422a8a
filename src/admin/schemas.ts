// What the answers of the operators' API are made of: JSON Schema that TypeScript can read. The handlers are typed by
// it and the OpenAPI document holds it, so neither can say what the other does not; nothing is parsed with it.
//
// zod could do the same, and its way to JSON Schema is 20 KB. What there is not is null, and times are RFC 3339.

import type { ErrorClass, Outcome } from "../delivery/outcome.ts";

export type Json = Readonly<Record<string, unknown>>;

/** A schema of values of the type T, which exists for the compiler only. */
export type Described<T> = { json: Json; of?: T };

export type TypeOf<S> = S extends Described<infer T> ? T : never;

type Members = Readonly<Record<string, Described<unknown>>>;

const components: Record<string, Json> = {};

/** The schemas that have a name, by it. */
export function namedSchemas(): Readonly<Record<string, Json>> {
  return components;
}

/** The schema under a name of its own in the document. */
export function named<T>(name: string, { json }: Described<T>): Described<T> {
  components[name] = json;
  return { json: { $ref: `#/components/schemas/${name}` } };
}

/** All members are there, and no others. */
export function object<M extends Members>(members: M): Described<{ [K in keyof M]: TypeOf<M[K]> }> {
  const properties = Object.fromEntries(Object.entries(members).map(([name, { json }]) => [name, json]));
  return {
    json: { type: "object", properties, required: Object.keys(members), additionalProperties: false },
  };
}

/** These members are there, and perhaps others. */
export function open<M extends Members>(
  members: M,
): Described<{ [K in keyof M]: TypeOf<M[K]> } & Record<string, unknown>> {
  return { json: { ...object(members).json, additionalProperties: true } };
}

export function list<T>({ json }: Described<T>): Described<T[]> {
  return { json: { type: "array", items: json } };
}

export function oneOf<const N extends string>(names: readonly N[]): Described<N> {
  return { json: { type: "string", enum: names } };
}

export function maybe<T>({ json }: Described<T>): Described<T | null> {
  return { json: { anyOf: [json, { type: "null" }] } };
}

export const text: Described<string> = { json: { type: "string" } };
export const flag: Described<boolean> = { json: { type: "boolean" } };
export const number: Described<number> = { json: { type: "number" } };
export const count: Described<number> = { json: { type: "integer", minimum: 0 } };
export const time: Described<string> = { json: { type: "string", format: "date-time" } };
/** From 0 to 1. */
export const share: Described<number> = { json: { type: "number", minimum: 0, maximum: 1 } };
/** The fields of a request, as far as they were given. */
export const fieldValues: Described<Readonly<Record<string, string | number>>> = {
  json: { type: "object", additionalProperties: { type: ["string", "integer"] } },
};
export const maybeText = maybe(text);
export const maybeTime = maybe(time);
/** Of HTTP. */
export const status = maybe(count);
/** The token of the next page; empty: this was the last. */
export const nextPageToken = text;

export function toTime(ms: number): string {
  return new Date(ms).toISOString();
}

export function toTimeOrNull(ms: number | null): string | null {
  return ms === null ? null : toTime(ms);
}

const outcomes: Readonly<Record<Outcome, true>> = {
  delivered: true,
  retry: true,
  rejected: true,
  unauthorized: true,
  gone: true,
  blocked: true,
};
const errorClasses: Readonly<Record<ErrorClass, true>> = {
  blocked_destination: true,
  dns_failure: true,
  tls_error: true,
  timeout: true,
  network_error: true,
  oauth2_failed: true,
  secrets_unreadable: true,
};
export const OUTCOMES = Object.keys(outcomes) as Outcome[];
export const ERROR_CLASSES = Object.keys(errorClasses) as ErrorClass[];

/** A document that describes itself. */
export const OpenApi = open({ openapi: text });

/** As the HTTP+JSON binding answers errors (§11.6). */
export const ErrorAnswer = named(
  "Error",
  object({
    error: object({ code: count, status: text, message: text, details: list(open({ "@type": text })) }),
  }),
);
