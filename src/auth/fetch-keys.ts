// Where an issuer's keys come from: its JWK set, at a configured URL or at the one that its metadata names.
//
// All of it is fetched through the outbound guard, so redirects are not followed, and in production nothing private is
// reached and nothing is plain http, also where it is the metadata that leads there.

import type { Config } from "../config.ts";
import type { Issuer } from "../issuers.ts";
import { err, ok, type Result } from "../lib/result.ts";
import { createOutbound, type Outbound } from "../outbound/fetch.ts";
import { createResolver } from "../outbound/resolve.ts";
import { log } from "../telemetry/log.ts";
import type { FetchKeys } from "./issuer-keys.ts";
import { parseKeySet } from "./key-set.ts";

export type KeysConfig = Pick<Config, "allowPrivateWebhooks" | "dohUrl">;

/** Of each of the requests that it takes. */
const TIMEOUT_MS = 5_000;
/** Sets with a chain of certificates for each key have some ten kilobytes. */
const MAX_BYTES = 262_144;
const METADATA_MS = 3_600_000;

export function createFetchKeys(issuer: Issuer, config: KeysConfig, now: () => number): FetchKeys {
  let metadata: { jwksUrl: string; at: number } | undefined;

  async function findUrl(outbound: Outbound): Promise<Result<string, string>> {
    if (issuer.jwksUrl !== undefined) return ok(issuer.jwksUrl);
    if (metadata !== undefined && Math.abs(now() - metadata.at) < METADATA_MS) return ok(metadata.jwksUrl);
    const found = await discover(outbound, issuer.issuer);
    if (found.ok) metadata = { jwksUrl: found.value, at: now() };
    return found;
  }

  async function fetchKeys(): ReturnType<FetchKeys> {
    const outbound = outboundFor(issuer, config, now);
    const url = await findUrl(outbound);
    if (!url.ok) return url;
    const answer = await get(outbound, url.value);
    const keys = answer.ok ? parseKeySet(answer.value) : answer;
    if (keys.ok) return keys;
    // They may have moved.
    metadata = undefined;
    return err(`the key set: ${keys.error}`);
  }

  return async () => {
    const fetched = await fetchKeys();
    if (!fetched.ok) {
      log("warn", "the keys of an issuer could not be fetched", {
        issuer: issuer.issuer,
        problem: fetched.error,
      });
    }
    return fetched;
  };
}

/** One for each fetch: what the resolver shares among its callers, it may share within one request only. */
function outboundFor({ issuer, jwksUrl }: Issuer, config: KeysConfig, now: () => number): Outbound {
  const ports = [issuer, jwksUrl ?? issuer].map((url) => Number(URL.parse(url)?.port || 443));
  return createOutbound({
    policy: { allowPrivate: config.allowPrivateWebhooks, ports: [443, ...ports], ownHosts: [] },
    resolve: createResolver({ dohUrl: config.dohUrl, now }),
    now,
    keepBytes: MAX_BYTES,
    maxBytes: MAX_BYTES,
  });
}

/** The jwks_uri of OpenID Connect Discovery 1.0 §4 or, where there is none, of RFC 8414 §3. */
async function discover(outbound: Outbound, issuer: string): Promise<Result<string, string>> {
  const { origin, pathname } = new URL(issuer);
  const path = pathname.replace(/\/$/, "");
  let problem = "";
  for (const url of [
    `${origin}${path}/.well-known/openid-configuration`,
    `${origin}/.well-known/oauth-authorization-server${path}`,
  ]) {
    const answer = await get(outbound, url);
    const found = answer.ok ? readMetadata(answer.value, issuer) : answer;
    if (found.ok) return found;
    problem ||= found.error;
  }
  return err(`the metadata: ${problem}`);
}

/** Metadata that names another issuer is another's (OpenID Connect Discovery 1.0 §4.3, RFC 8414 §3.3). */
function readMetadata(text: string, issuer: string): Result<string, string> {
  try {
    const { issuer: named, jwks_uri: url } = JSON.parse(text) as Record<string, unknown>;
    if (named !== issuer) return err("it names another issuer");
    return typeof url === "string" ? ok(url) : err("it has no jwks_uri");
  } catch {
    return err("it is no JSON object");
  }
}

async function get(outbound: Outbound, url: string): Promise<Result<string, string>> {
  const headers = { accept: "application/json" };
  const sent = await outbound.send({ url, method: "GET", headers, timeoutMs: TIMEOUT_MS });
  if (!sent.ok) return err(sent.error.error);
  const { status, text } = sent.value;
  return status === 200 ? ok(text) : err(`the answer is ${status}`);
}
