// The headers a push notification config may add to its notifications.

import { checked, headerText, secretText, TOKEN } from "./limited-text.ts";
import { map, type Schema } from "./schema.ts";
import { refuse } from "./violations.ts";

export const MAX_HEADERS = 20;
const MAX_HEADER_NAME = 128;
const MAX_HEADER_VALUE = 4_096;

/** The name as receivers may read it: CGI and what came of it (WSGI, Rack, PHP) know no case, and `_` for `-`. */
export function normalHeaderName(name: string): string {
  return name.toLowerCase().replaceAll("_", "-");
}

/**
 * Headers that are ours (those of a notification), the connection's, the body's, or that proxies believe. Whatever
 * else a request holds is set after these, so a name that is missing here cannot replace it either.
 */
const RESERVED_HEADERS = new RegExp(
  `^(?:${[
    "authorization",
    "a2a-.*",
    "x-a2a-.*",
    "webhook-.*",
    "traceparent",
    "tracestate",
    "user-agent",
    "host",
    "content-.*",
    "accept-encoding",
    "connection",
    "keep-alive",
    "proxy-.*",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
    "expect",
    "forwarded",
    "x-forwarded-.*",
    "x-real-ip",
    "true-client-ip",
    "cf-connecting-.*",
    "cf-worker",
    "cf-ray",
    "cdn-loop",
  ].join("|")})$`,
);

export const headers: Schema<Record<string, string>> = checked(
  map(secretText(headerText(MAX_HEADER_VALUE))),
  (payload) => {
    const names = Object.keys(payload.value);
    if (names.length > MAX_HEADERS) {
      refuse(payload, `must hold at most ${MAX_HEADERS} headers`);
      return;
    }
    const seen = new Set<string>();
    for (const name of names) {
      const lower = name.toLowerCase();
      if (!TOKEN.test(name)) refuse(payload, "must have the name of a header", name);
      else if (name.length > MAX_HEADER_NAME) {
        refuse(payload, `must have a name of at most ${MAX_HEADER_NAME} characters`, name);
      } else if (RESERVED_HEADERS.test(normalHeaderName(name))) {
        refuse(payload, "is not a header that a config may set", name);
      } else if (seen.has(lower)) refuse(payload, "must not be given twice, in whatever case", name);
      seen.add(lower);
    }
  },
);
