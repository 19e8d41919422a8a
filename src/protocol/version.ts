// Version and extension negotiation (§3.6, §3.2.6).

import { err, ok, type Result } from "../lib/result.ts";
import { type Failure, failure } from "./errors.ts";

export const SUPPORTED_VERSIONS = ["1.0"] as const;

/** The forms a card is served in. */
export const CARD_VERSIONS = ["1.0", "0.3"] as const;
export type CardVersion = (typeof CARD_VERSIONS)[number];

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
  return chooseVersion(requested, SUPPORTED_VERSIONS);
}

/** The form of card that is asked for; `preset` where no version is named. */
export function negotiateCardVersion(
  header: string | undefined,
  query: string | undefined,
  preset: CardVersion,
): Result<CardVersion, Failure> {
  return chooseVersion(header?.trim() || query?.trim() || preset, CARD_VERSIONS);
}

function chooseVersion<V extends string>(requested: string, versions: readonly V[]): Result<V, Failure> {
  const version = /^(\d+\.\d+)(?:\.\d+)?$/.exec(requested)?.[1];
  const served = versions.find((one) => one === version);
  if (served !== undefined) return ok(served);
  return err(
    failure("VERSION_NOT_SUPPORTED", {
      metadata: {
        requestedVersion: requested.slice(0, MAX_SHOWN_VERSION),
        supportedVersions: versions.join(", "),
      },
    }),
  );
}

/** The URIs in an A2A-Extensions header, in order, each once. */
export function parseExtensions(header: string | undefined): string[] {
  const uris = (header ?? "").split(",").map((uri) => uri.trim());
  return [...new Set(uris)].filter((uri) => uri !== "");
}
