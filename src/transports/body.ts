// From a request to the text of its body, once for both bindings: media type, size, encoding.

import type { Config } from "../config.ts";
import { readLimited } from "../lib/read-limited.ts";
import { A2AError } from "../protocol/errors.ts";
import { toBodyFailure } from "../protocol/unreadable-body.ts";

const MEDIA_TYPES: ReadonlySet<string> = new Set(["application/json", "application/a2a+json"]);

/**
 * The text of a request's body, "" when there is none.
 *
 * A body without a media type is refused like one with a wrong type: a page of any site can make a browser send
 * one here without asking first (a CORS preflight happens only for types such as JSON), and on a server that
 * trusts its loopback callers that page would be one of them. A POST without body needs no type.
 */
export async function readBody(request: Request, config: Pick<Config, "maxBodyBytes">): Promise<string> {
  const type = request.headers.get("content-type") || undefined;
  if (type !== undefined && !isJson(type)) throw unsupported();
  const body = await readLimited(request, config.maxBodyBytes);
  if (!body.ok) throw A2AError.from(toBodyFailure(body.error));
  if (type === undefined && body.value !== "") throw unsupported();
  return body.value;
}

function isJson(type: string): boolean {
  if (MEDIA_TYPES.has(type)) return true;
  const [mediaType = ""] = type.split(";", 1);
  return MEDIA_TYPES.has(mediaType.trim().toLowerCase());
}

function unsupported(): A2AError {
  return new A2AError("CONTENT_TYPE_NOT_SUPPORTED", {
    message: "The Content-Type of a request must be application/json or application/a2a+json",
  });
}
