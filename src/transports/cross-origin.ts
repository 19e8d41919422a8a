// Pages of other sites: what a browser may do for them here, and what it may not.
//
// What is public is readable from everywhere. Everything else is for origins that CORS_ORIGINS lists and for our own;
// a request that a browser makes for any other page is refused before anything is done for it, because without CORS
// a browser only hides the answer. The operators' paths are for no page of another site, listed or not.

import type { Config } from "../config.ts";
import { type Failure, failure } from "../protocol/errors.ts";
import { createServesHost } from "./served-hosts.ts";

export type CrossOrigin = {
  /** Why a request is not served, because of the page or the name it came by; undefined: it is. */
  refusal(request: Request, path: string): Failure | undefined;
  /** Adds to an answer what browsers go by. */
  mark(request: Request, path: string, headers: Headers): void;
};

/** What A2A clients send beyond the headers that every page may (Fetch, CORS-safelisted). */
const REQUEST_HEADERS = [
  "accept",
  "authorization",
  "content-type",
  "a2a-version",
  "a2a-extensions",
  "x-a2a-extensions",
  "x-api-key",
  "x-dev-owner",
  "idempotency-key",
  "last-event-id",
  "x-request-id",
  "traceparent",
  "tracestate",
].join(", ");

/** What a page may read of an answer beyond its body. */
const EXPOSED_HEADERS = [
  "a2a-version",
  "a2a-extensions",
  "x-a2a-extensions",
  "etag",
  "retry-after",
  "www-authenticate",
  "x-request-id",
].join(", ");

/** Browsers keep the answer to a preflight for two hours at most. What is refused meanwhile is refused all the same. */
const MAX_AGE_SECONDS = 7_200;

const HSTS = "max-age=31536000";
const NOTHING = "default-src 'none'; frame-ancestors 'none'";

export function createCrossOrigin(config: Config): CrossOrigin {
  const { corsOrigins, publicUrl } = config;
  const listed = new Set(corsOrigins);
  const isAny = listed.has("*");
  const servesHost = createServesHost(config);

  const isOwn = (origin: string, url: string) =>
    origin === new URL(url).origin || (origin === publicUrl && origin !== "");
  /** The value of Access-Control-Allow-Origin for what is not public; undefined: there is none. */
  const allowed = (origin: string | null, path: string) => {
    if (origin === null || isOperators(path)) return undefined;
    if (isAny) return "*";
    return listed.has(origin) ? origin : undefined;
  };

  return {
    refusal({ method, url, headers }, path) {
      if (method === "OPTIONS" || isPublic(method, path)) return undefined;
      if (!servesHost(url)) {
        const message =
          "This server lets in everybody who reaches it (AUTH_MODE=open), and so answers at no name that a page " +
          "of the web could have chosen: name this one in PUBLIC_URL or ALLOWED_HOSTS.";
        return failure("PERMISSION_DENIED", { message, metadata: { host: new URL(url).host } });
      }
      const origin = headers.get("origin");
      if (origin === null) {
        // Images, frames, links: requests without an Origin, of which browsers say where they come from.
        const site = headers.get("sec-fetch-site");
        if (site === null || site === "none" || site === "same-origin") return undefined;
        return failure("PERMISSION_DENIED", { message: "This is not served to pages of other sites." });
      }
      if (allowed(origin, path) !== undefined || isOwn(origin, url)) return undefined;
      const message = "This is not served to pages of this origin (CORS_ORIGINS).";
      return failure("PERMISSION_DENIED", { message, metadata: { origin: origin.slice(0, 256) } });
    },

    mark({ method, url, headers: asked }, path, headers) {
      headers.set("referrer-policy", "no-referrer");
      if (url.startsWith("https:")) headers.set("strict-transport-security", HSTS);
      // A page of ours says itself what it needs.
      if (!headers.has("content-security-policy")) headers.set("content-security-policy", NOTHING);

      const preflighted = method === "OPTIONS" ? asked.get("access-control-request-method") : null;
      const isOfPublic = isPublic(preflighted ?? method, path);
      headers.set("cross-origin-resource-policy", isOfPublic ? "cross-origin" : "same-origin");
      if (listed.size > 0 && !isOfPublic) headers.append("vary", "Origin");
      const origin = isOfPublic ? "*" : allowed(asked.get("origin"), path);
      if (origin === undefined) return;
      headers.set("access-control-allow-origin", origin);
      if (preflighted === null) {
        headers.set("access-control-expose-headers", EXPOSED_HEADERS);
        return;
      }
      // The verbs of the path are those that it answers OPTIONS with anyhow.
      headers.set("access-control-allow-methods", headers.get("allow") ?? "");
      headers.set("access-control-allow-headers", REQUEST_HEADERS);
      headers.set("access-control-max-age", String(MAX_AGE_SECONDS));
    },
  };
}

/** What is the same for everybody: the index, health, and well-known resources, such as cards and keys. */
function isPublic(method: string, path: string): boolean {
  if (method !== "GET" && method !== "HEAD") return false;
  return path === "/" || path === "/health" || path === "/ready" || WELL_KNOWN.test(path);
}

/** Of the server or of an agent; a task may be named `.well-known`, too. */
const WELL_KNOWN = /^\/(?:\.well-known\/[^/]+|[^/]+\/\.well-known\/[\w-]+\.json)$/;

function isOperators(path: string): boolean {
  return /^\/(?:metrics|admin)(?:\/|$)/.test(path);
}
