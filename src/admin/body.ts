// The body of an operator's request: one small JSON object, or nothing.

import type { Config } from "../config.ts";
import { readLimited } from "../lib/read-limited.ts";
import { orThrow } from "../operations/or-throw.ts";
import { A2AError } from "../protocol/errors.ts";
import { parseJson } from "../protocol/json.ts";
import { toBodyFailure } from "../protocol/unreadable-body.ts";
import { isObject } from "../protocol/violations.ts";

const MAX_BYTES = 65_536;

/** The members of the object in a request's body; none if there is no body. */
export async function readJsonBody(request: Request, config: Config): Promise<[string, unknown][]> {
  const body = await readLimited(request, Math.min(MAX_BYTES, config.maxBodyBytes));
  if (!body.ok) throw A2AError.from(toBodyFailure(body.error));
  if (body.value === "") return [];
  const [type = ""] = (request.headers.get("content-type") ?? "").split(";", 1);
  // What a page of any site could make a browser send is refused, though it would not have the key.
  if (type.trim().toLowerCase() !== "application/json") {
    const message = "The Content-Type of a request must be application/json";
    throw new A2AError("CONTENT_TYPE_NOT_SUPPORTED", { message });
  }
  const json = orThrow(parseJson(body.value, config.maxJsonDepth));
  if (!isObject(json)) {
    throw new A2AError("INVALID_REQUEST", { message: "The request body must be one JSON object" });
  }
  return Object.entries(json);
}
