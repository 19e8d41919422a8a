// Access tokens by OAuth2 client credentials (RFC 6749 §4.4), for receivers that want one in `Authorization`: what
// is sent to a token server, and what is made of its answer.
//
// What goes wrong here is the token server's failure, `oauth2_failed`, and never counts against the endpoint.

import { encodeBase64 } from "../lib/base64.ts";
import { err, ok, type Result } from "../lib/result.ts";
import type { Outbound, OutboundError } from "../outbound/fetch.ts";
import type { ClaimOptions } from "./exchange.ts";

export type OAuth2Client = NonNullable<ClaimOptions["oauth2"]> & { clientSecret: string };

export type OAuth2Failure = {
  error: "oauth2_failed";
  /** For the log and the history: says what happened without a secret, a token or an address. */
  detail: string;
  /** Why there was no answer, if there was none. */
  cause?: OutboundError["error"];
};

export type AccessToken = { value: string; expiresInMs: number };

export type FetchToken = (client: OAuth2Client) => Promise<Result<AccessToken, OAuth2Failure>>;

const TIMEOUT_MS = 10_000;
/** When the answer does not say; RFC 6749 §5.1 leaves it to documentation that we cannot read. */
const PRESET_LIFETIME_MS = 300_000;
const MAX_LIFETIME_MS = 86_400_000;
/** A token of ours stands in a header. RFC 6750 §2.1 allows less, real servers more. */
const TOKEN = /^[\x21-\x7e]{1,12000}$/;
/** RFC 6749 §5.2. */
const ERROR_CODE = /^[\x20\x21\x23-\x5b\x5d-\x7e]{1,64}$/;

/** Asks token servers. Tokens may be long: `outbound` should keep all it reads of an answer. */
export function createFetchToken(outbound: Outbound): FetchToken {
  return async (client) => {
    const sent = await outbound.send({ method: "POST", timeoutMs: TIMEOUT_MS, ...tokenRequest(client) });
    if (!sent.ok) {
      const { error } = sent.error;
      return err({ ...failed(`the token server could not be reached: ${error}`), cause: error });
    }
    const { status, text } = sent.value;
    const answer = parseObject(text);
    if (status !== 200) {
      const code = answer?.error;
      const said = typeof code === "string" && ERROR_CODE.test(code) ? ` and "${code}"` : "";
      return err(failed(`the token server answered ${status}${said}`));
    }
    return answer === undefined ? err(failed("the token server answered no JSON object")) : readToken(answer);
  };
}

/** The request for a token (RFC 6749 §4.4.2), with the client's credentials as its method wants them (§2.3.1). */
export function tokenRequest(client: OAuth2Client): {
  url: string;
  headers: Record<string, string>;
  body: string;
} {
  const { tokenUrl, clientId, clientSecret, scope, audience, method } = client;
  const form = new URLSearchParams({ grant_type: "client_credentials" });
  if (scope !== undefined) form.set("scope", scope);
  if (audience !== undefined) form.set("audience", audience);
  const headers: Record<string, string> = {
    "Content-Type": "application/x-www-form-urlencoded",
    Accept: "application/json",
  };
  if (method === "client_secret_basic") {
    const pair = `${formEncode(clientId)}:${formEncode(clientSecret)}`;
    headers.Authorization = `Basic ${encodeBase64(encoder.encode(pair))}`;
  } else {
    form.set("client_id", clientId);
    form.set("client_secret", clientSecret);
  }
  return { url: tokenUrl, headers, body: form.toString() };
}

const encoder = new TextEncoder();

/** application/x-www-form-urlencoded, also for what then goes into Basic: an id may hold a colon. */
function formEncode(text: string): string {
  return new URLSearchParams([["", text]]).toString().slice(1);
}

function readToken(answer: Record<string, unknown>): Result<AccessToken, OAuth2Failure> {
  const { access_token: value, token_type: type, expires_in: expiresIn } = answer;
  if (typeof value !== "string" || !TOKEN.test(value)) {
    return err(failed("the token server answered without a usable access_token"));
  }
  if (type !== undefined && String(type).toLowerCase() !== "bearer") {
    return err(failed("the token server answered a token that is no bearer token"));
  }
  // Some servers send the number as a text.
  const seconds = expiresIn == null ? Number.NaN : Number(expiresIn);
  const lifetimeMs = Number.isFinite(seconds) ? Math.max(0, seconds * 1_000) : PRESET_LIFETIME_MS;
  return ok({ value, expiresInMs: Math.min(lifetimeMs, MAX_LIFETIME_MS) });
}

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

function failed(detail: string): OAuth2Failure {
  return { error: "oauth2_failed", detail };
}
