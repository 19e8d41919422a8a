// What the answers of the operators' API are made of. The handlers are typed by the schemas and the OpenAPI document
// is made of them; nothing is parsed with them. What there is not is null, and times are RFC 3339.

import * as z from "zod/mini";
import type { ErrorClass, Outcome } from "../delivery/outcome.ts";

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

/** The schemas that have a name in the OpenAPI document. */
export const schemas = z.registry<{ id: string }>();

export function named<T extends z.ZodMiniType>(id: string, schema: T): T {
  schemas.add(schema, { id });
  return schema;
}

export const text = z.string();
export const count = z.int().check(z.nonnegative());
export const time = z.iso.datetime();
export const maybe = z.nullable;
export const maybeText = maybe(text);
export const maybeTime = maybe(time);
export const status = maybe(z.int());
/** The token of the next page; empty: this was the last. */
export const nextPageToken = text;

export function toTime(ms: number): string {
  return new Date(ms).toISOString();
}

export function toTimeOrNull(ms: number | null): string | null {
  return ms === null ? null : toTime(ms);
}

/** A document that describes itself. */
export const OpenApi = z.looseObject({ openapi: text });

// Errors, as the HTTP+JSON binding answers them (§11.6).

export const ErrorAnswer = named(
  "Error",
  z.strictObject({
    error: z.strictObject({
      code: z.int(),
      status: text,
      message: text,
      details: z.array(z.looseObject({ "@type": text })),
    }),
  }),
);
