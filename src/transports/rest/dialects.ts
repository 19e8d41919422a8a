// The dialects of the HTTP+JSON binding: how each writes errors, and what it calls its JSON.

import type { Failure } from "../../protocol/errors.ts";
import type { Version } from "../../protocol/version.ts";
import { current, type Dialect } from "../dialect.ts";
import { toErrorObject } from "../jsonrpc/errors.ts";
import { toErrorBody } from "./errors.ts";
import { legacy } from "./legacy-methods.ts";

export type RestDialect = Dialect & {
  toErrorBody(failure: Failure): object;
  /** The media type of answers, for a client that accepts what `accept` says. */
  mediaType(accept: string | null): string;
};

const A2A_JSON = "application/a2a+json";

/** application/a2a+json (§11.1), unless the client names application/json and not it. */
function mediaTypeFor(accept: string | null): string {
  if (accept === null) return A2A_JSON;
  const types = accept.toLowerCase();
  return types.includes("application/json") && !types.includes(A2A_JSON) ? "application/json" : A2A_JSON;
}

export const currentRest: RestDialect = { ...current, toErrorBody, mediaType: mediaTypeFor };

/** 0.3 has the error object of JSON-RPC for a body, beside the status of HTTP. */
const legacyRest: RestDialect = {
  ...legacy,
  toErrorBody: (failure) => toErrorObject(failure, legacy.version),
  mediaType: () => "application/json",
};

export function restDialect(version: Version): RestDialect {
  return version === "1.0" ? currentRest : legacyRest;
}

/** The dialect of a path below which nothing may be. */
export function restDialectAt(path: string): RestDialect {
  return /^(\/[^/]+)?\/v1(\/|$)/.test(path) ? legacyRest : currentRest;
}
