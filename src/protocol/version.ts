// Version and extension negotiation (§3.6, §3.2.6).

import { err, ok, type Result } from "../lib/result.ts";
import { type Failure, failure } from "./errors.ts";

/** The versions there are dialects of, newest first. */
export const VERSIONS = ["1.0", "0.3", "0.1"] as const;
export type Version = (typeof VERSIONS)[number];

/** The forms a card is served in. */
export const CARD_VERSIONS = ["1.0", "0.3"] as const;
export type CardVersion = (typeof CARD_VERSIONS)[number];

/** The versions that are served, newest first: the one place that decides it. */
export function servedVersions({ offVersions }: { offVersions: readonly string[] }): readonly Version[] {
  return offVersions.length === 0 ? VERSIONS : VERSIONS.filter((version) => !offVersions.includes(version));
}

const MAX_SHOWN_VERSION = 32;

/**
 * The version a call names; undefined where it names none, and an empty one is none. The A2A-Version header wins over
 * the query parameter; patch numbers do not count. One that is not `served` is refused (§3.6.2).
 */
export function requestedVersion<V extends Version>(
  header: string | undefined,
  query: string | undefined,
  served: readonly V[],
): Result<V | undefined, Failure> {
  const requested = header?.trim() || query?.trim();
  if (!requested) return ok(undefined);
  const named = /^(\d+\.\d+)(?:\.\d+)?$/.exec(requested)?.[1];
  const version = served.find((one) => one === named);
  return version === undefined ? err(versionNotSupported(requested, served)) : ok(version);
}

export function versionNotSupported(requested: string, served: readonly Version[]): Failure {
  return failure("VERSION_NOT_SUPPORTED", {
    metadata: {
      requestedVersion: requested.slice(0, MAX_SHOWN_VERSION),
      supportedVersions: served.join(", "),
    },
  });
}

/** The URIs in an A2A-Extensions header, in order, each once. */
export function parseExtensions(header: string | undefined): string[] {
  const uris = (header ?? "").split(",").map((uri) => uri.trim());
  return [...new Set(uris)].filter((uri) => uri !== "");
}
