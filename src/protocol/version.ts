// Version and extension negotiation (§3.6, §3.2.6).

import { err, ok, type Result } from "../lib/result.ts";
import { type Failure, failure } from "./errors.ts";

export const SUPPORTED_VERSIONS = ["1.0"] as const;

const MAX_SHOWN_VERSION = 32;

/**
 * The version a call is answered in. The A2A-Version header wins over the query parameter; patch numbers do
 * not count. Empty means 0.3 (§3.6.2), unless the call exists in 1.0 only (`is10Call`: its method name or
 * REST path): no 0.3 client can have meant it, and many 1.0 clients forget the header.
 */
export function negotiateVersion(
  header: string | undefined,
  query: string | undefined,
  is10Call: boolean,
): Result<"1.0", Failure> {
  const requested = header?.trim() || query?.trim() || (is10Call ? "1.0" : "0.3");
  const version = /^(\d+\.\d+)(?:\.\d+)?$/.exec(requested)?.[1];
  if (version === "1.0") return ok(version);
  return err(
    failure("VERSION_NOT_SUPPORTED", {
      metadata: {
        requestedVersion: requested.slice(0, MAX_SHOWN_VERSION),
        supportedVersions: SUPPORTED_VERSIONS.join(", "),
      },
    }),
  );
}

/** The URIs in an A2A-Extensions header, in order, each once. */
export function parseExtensions(header: string | undefined): string[] {
  const uris = (header ?? "").split(",").map((uri) => uri.trim());
  return [...new Set(uris)].filter((uri) => uri !== "");
}
