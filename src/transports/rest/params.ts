// The params of an HTTP+JSON call, put together from path, query and body as the JSON that the operation's schema
// reads (§11.5). Nothing is validated here except what only this binding can get wrong.

import { A2AError } from "../../protocol/errors.ts";
import { toProtoName } from "../../protocol/schema.ts";
import { isObject } from "../../protocol/violations.ts";

/**
 * The parameters that a query may hold, all of them scalars: nested objects need a body (§11.5). Others are
 * ignored like any unknown field.
 */
const queryFields = [
  "tenant",
  "id",
  "taskId",
  "contextId",
  "status",
  "pageSize",
  "pageToken",
  "historyLength",
  "statusTimestampAfter",
  "includeArtifacts",
] as const;

const fieldOf: ReadonlyMap<string, string> = new Map(
  queryFields.flatMap((field) => [
    [field, field],
    [toProtoName(field), field],
  ]),
);

/** ProtoJSON takes numbers as strings, but no booleans. */
const booleans: Readonly<Record<string, boolean>> = { true: true, false: false };

export function fromQuery(query: URLSearchParams): Record<string, unknown> {
  const params: Record<string, unknown> = {};
  for (const [name, value] of query) {
    const field = fieldOf.get(name);
    if (field === undefined) continue;
    if (Object.hasOwn(params, field)) throw invalid(field, "must be given once");
    params[field] = field === "includeArtifacts" && Object.hasOwn(booleans, value) ? booleans[value] : value;
  }
  return params;
}

/** A body is one JSON object; an absent one is an empty one. */
export function fromBody(json: unknown): Record<string, unknown> {
  if (isObject(json)) return json;
  throw new A2AError("INVALID_REQUEST", { message: "The request body must be one JSON object" });
}

/** Adds the path's variables. Saying something else elsewhere is refused: one of the two is a mistake. */
export function withVariables(
  params: Record<string, unknown>,
  variables: Readonly<Record<string, string>>,
): Record<string, unknown> {
  const merged = { ...params };
  for (const [field, value] of Object.entries(variables)) {
    for (const spelling of [field, toProtoName(field)]) {
      const said = Object.hasOwn(merged, spelling) ? merged[spelling] : undefined;
      if (said !== undefined && said !== null && said !== "" && said !== value) {
        throw invalid(field, "must be the one in the path, or absent");
      }
      delete merged[spelling];
    }
    merged[field] = value;
  }
  return merged;
}

function invalid(field: string, description: string): A2AError {
  return new A2AError("INVALID_PARAMS", { violations: [{ field, description }] });
}
