// What the operators' API answers with. The handlers are typed by these schemas and the OpenAPI document is made of
// them; nothing is parsed with them here. Whatever may be absent is null, and times are RFC 3339.

import * as z from "zod/mini";

/** The schemas that have a name in the OpenAPI document. */
export const schemas = z.registry<{ id: string }>();

function named<T extends z.ZodMiniType>(id: string, schema: T): T {
  schemas.add(schema, { id });
  return schema;
}

const text = z.string();
const count = z.int().check(z.nonnegative());
const at = z.iso.datetime();
const maybe = z.nullable;

function list<T extends z.ZodMiniType>(id: string, name: string, schema: T) {
  const members = { [name]: z.array(schema), nextPageToken: text } as const;
  return named(id, z.strictObject(members as { [x: string]: z.ZodMiniArray<T> } & { nextPageToken: typeof text }));
}

export const State = named("State", z.enum(["active", "paused", "disabled"]));

const endpoint = { owner: text, origin: text, configs: z.strictObject({ active: count, paused: count, disabled: count }) };

export const Endpoint = named("Endpoint", z.strictObject(endpoint));

export const EndpointStatus = named(
  "EndpointStatus",
  z.strictObject({
    ...endpoint,
    pausedAt: maybe(at),
    validatedUntil: maybe(at),
    challenge: maybe(z.strictObject({ failedAt: at, error: text })),
    lastError: maybe(z.strictObject({ at, status: maybe(z.int()), error: maybe(text) })),
    inFlight: count,
    queued: count,
    targets: z.array(
      z.strictObject({
        target: text,
        breaker: z.enum(["closed", "open", "half-open"]),
        holdUntil: maybe(at),
        holdReason: maybe(z.enum(["breaker_open", "probe_running", "retry_after", "rate_limited"])),
        tokensLeft: maybe(z.number()),
      }),
    ),
  }),
);
