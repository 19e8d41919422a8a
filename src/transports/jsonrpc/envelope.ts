// The JSON-RPC 2.0 request object (§9.3), read by hand: it has four members, and what is wrong with them has to
// be said under the caller's own id wherever that id can be read.

import { err, ok, type Result } from "../../lib/result.ts";
import { type Failure, failure } from "../../protocol/errors.ts";
import { isObject } from "../../protocol/violations.ts";

export type Id = string | number | null;

export type Envelope = {
  /** Echoed exactly. null also for a request without id, which is answered all the same: A2A has no notifications. */
  id: Id;
  request: Result<{ method: string; params: Record<string, unknown> }, Failure>;
};

export function parseEnvelope(value: unknown): Envelope {
  if (Array.isArray(value)) return refuse(null, "Batches are not supported: send one request object");
  if (!isObject(value)) return refuse(null, "A request must be one JSON object");

  const { id = null, jsonrpc, method, params = {} } = value;
  if (!isId(id)) return refuse(null, "id must be a string, an integer of at most 53 bits, or null");
  if (jsonrpc !== "2.0") return refuse(id, 'jsonrpc must be "2.0"');
  if (typeof method !== "string") return refuse(id, "method must be a string");
  if (!method.isWellFormed()) return refuse(id, "method holds half of a surrogate pair");

  if (!isObject(params)) return refuseParams(id, "must be an object with a member for each parameter");
  if (Object.hasOwn(params, "")) return refuseParams(id, "must not have a member with an empty name");
  return { id, request: ok({ method, params }) };
}

/**
 * An integer beyond 2^53 has lost digits on the way in, and a lone surrogate cannot be written as UTF-8: neither
 * could be echoed as it was sent.
 */
function isId(id: unknown): id is Id {
  if (typeof id === "string") return id.isWellFormed();
  return id === null || Number.isSafeInteger(id);
}

function refuse(id: Id, message: string): Envelope {
  return { id, request: err(failure("INVALID_REQUEST", { message })) };
}

function refuseParams(id: Id, description: string): Envelope {
  return { id, request: err(failure("INVALID_PARAMS", { violations: [{ field: "params", description }] })) };
}
