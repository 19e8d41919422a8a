// The `Authorization` of a notification: exactly what was configured, a token that we sign, or one that we fetch.
// A config asks for one of the three at most; which, was decided when it was accepted.

import { type SigningKeys, signJwt } from "../keys/signing-keys.ts";
import { sha256 } from "../lib/bytes.ts";
import { ok, type Result } from "../lib/result.ts";
import type { Claim, ClaimOptions } from "./exchange.ts";
import type { OAuth2Client, OAuth2Failure } from "./oauth2.ts";
import type { PushSecrets } from "./push-secrets.ts";
import type { TokenCache } from "./token-cache.ts";

export type Authorization = {
  /** The header's value. */
  value: string;
  /** Where it is an OAuth2 token: what `TokenCache.rejected` wants to know when the receiver answers 401 or 403. */
  fetched?: { client: OAuth2Client; token: string };
};

export type AuthorizationContext = {
  /** `iss` of our tokens: PUBLIC_URL, or `a2a-edge` where there is none. */
  issuer: string;
  signingKeys: SigningKeys;
  tokens: TokenCache;
  /** In ms. */
  now: number;
};

/** A receiver takes a token of ours for so long at most. */
const JWT_LIFETIME_SECONDS = 300;

/** What to send as `Authorization`, if anything; made anew for every attempt. */
export async function authorize(
  claim: Pick<Claim, "options" | "url" | "task" | "body">,
  secrets: PushSecrets,
  context: AuthorizationContext,
): Promise<Result<Authorization | undefined, OAuth2Failure>> {
  const { scheme, jwt, oauth2 } = claim.options;
  if (oauth2) return bearer({ ...oauth2, clientSecret: secrets.oauth2ClientSecret ?? "" }, context.tokens);
  if (jwt) return ok({ value: `Bearer ${await notificationJwt(claim, jwt, context)}` });
  if (scheme === undefined) return ok(undefined);
  // RFC 9110 §11.4: a scheme may stand alone.
  return ok({ value: secrets.credentials ? `${scheme} ${secrets.credentials}` : scheme });
}

async function bearer(
  client: OAuth2Client,
  tokens: TokenCache,
): Promise<Result<Authorization, OAuth2Failure>> {
  const token = await tokens.token(client);
  return token.ok ? ok({ value: `Bearer ${token.value}`, fetched: { client, token: token.value } }) : token;
}

/**
 * A token for this attempt alone: a retry has another `jti`, so that a receiver may refuse one it has seen. The hash
 * of the body, under the name that A2A's samples gave it, keeps the token from serving for another notification.
 */
async function notificationJwt(
  { url, task, body }: Pick<Claim, "url" | "task" | "body">,
  { audience }: NonNullable<ClaimOptions["jwt"]>,
  { issuer, signingKeys, now }: AuthorizationContext,
): Promise<string> {
  const issuedAt = Math.floor(now / 1_000);
  return signJwt(signingKeys, {
    iss: issuer,
    aud: audience ?? new URL(url).origin,
    iat: issuedAt,
    exp: issuedAt + JWT_LIFETIME_SECONDS,
    jti: crypto.randomUUID(),
    taskId: task,
    request_body_sha256: await sha256(body),
  });
}
