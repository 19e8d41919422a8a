// What a push notification config must fulfil beyond its form: URLs that may be called, members that fit together,
// and A2A's own members, which the proto leaves open, must fit into the headers they leave in.
//
// All that is wrong is said at once, field by field. No name is resolved here: it may lead elsewhere by the time
// of an attempt, so that is checked then.

import { err, ok, type Result } from "../lib/result.ts";
import { checkUrl, type UrlPolicy } from "../outbound/guard.ts";
import type { FieldViolation } from "../protocol/errors.ts";
import { HEADER_TEXT, IS_NO_HEADER_TEXT, IS_REDACTED, REDACTED, TOKEN } from "../protocol/limited-text.ts";
import type { WebhookConfig } from "../protocol/push-options.ts";
import { dotSegmentFlaw } from "../protocol/scalars.ts";

const MAX_TOKEN = 4_096;
const MAX_SCHEME = 64;
const MAX_CREDENTIALS = 8_192;

export type ConfigPolicy = UrlPolicy & {
  /** Origins of token servers besides the receiver's own; undefined: any. */
  tokenOrigins: readonly string[] | undefined;
};

/** The URL that notifications go to, or everything that is wrong with the config. */
export function checkConfig(config: WebhookConfig, policy: ConfigPolicy): Result<URL, FieldViolation[]> {
  const violations: FieldViolation[] = [];
  const refuse = (field: string, description: string | undefined): void => {
    if (description !== undefined) violations.push({ field, description });
  };
  const { id, token, authentication, oauth2, jwt } = config;
  if (id !== undefined) refuse("id", dotSegmentFlaw(id));
  const url = checkUrl(config.url, policy);
  if (!url.ok) refuse("url", url.error.description);
  if (token !== undefined) refuse("token", findFlaw(token, MAX_TOKEN));
  if (authentication) {
    const { scheme, credentials } = authentication;
    const isScheme = scheme.length <= MAX_SCHEME && TOKEN.test(scheme);
    if (!isScheme)
      refuse("authentication.scheme", "must be the name of an authentication scheme, such as Bearer");
    if (credentials !== undefined)
      refuse("authentication.credentials", findFlaw(credentials, MAX_CREDENTIALS));
  }
  if (oauth2) {
    const tokenUrl = checkUrl(oauth2.tokenUrl, policy);
    if (!tokenUrl.ok) refuse("oauth2.tokenUrl", tokenUrl.error.description);
    else if (url.ok && !isKnown(tokenUrl.value, url.value, policy)) {
      refuse("oauth2.tokenUrl", "must be of the same origin as url, or of one that this server lists");
    }
  }
  // Each of them makes the one Authorization header.
  if (oauth2 && authentication) refuse("oauth2", "must not be given together with authentication");
  if (jwt && authentication) refuse("jwt", "must not be given together with authentication");
  if (jwt && oauth2) refuse("jwt", "must not be given together with oauth2");
  return url.ok && violations.length === 0 ? ok(url.value) : err(violations);
}

/** A receiver answers for itself; nobody has asked a token server whether it wants requests. */
function isKnown(tokenUrl: URL, url: URL, { tokenOrigins }: ConfigPolicy): boolean {
  return tokenOrigins === undefined || [url.origin, ...tokenOrigins].includes(tokenUrl.origin);
}

/** What is wrong with a text that leaves in a header and is a secret. */
function findFlaw(value: string, maxLength: number): string | undefined {
  if (value === REDACTED) return IS_REDACTED;
  if (value.length > maxLength) return `must be at most ${maxLength} characters long`;
  return HEADER_TEXT.test(value) ? undefined : IS_NO_HEADER_TEXT;
}
