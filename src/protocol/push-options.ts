// What a push notification config may hold beyond A2A's own members: the extension of docs/extensions/webhooks.md.
//
// They are members of the config itself, so that a client needs no more than its JSON. `fields` of the extended
// schemas stays A2A's alone: it is what is compared with a2a.proto. Unknown members are ignored as everywhere,
// malformed ones refused, and what is said about a secret never quotes it.

import * as z from "zod/mini";
import { checked, headerText, oneOf, REDACTED, secretText, text } from "./limited-text.ts";
import { type AuthenticationInfo, TaskPushNotificationConfig } from "./push-config.ts";
import { headers } from "./push-headers.ts";
import { id, int32 } from "./scalars.ts";
import { type FieldSpecs, message, named, repeated, required, type Schema } from "./schema.ts";
import { isObject, mustBe, refuse } from "./violations.ts";

export const WEBHOOKS_EXTENSION = "https://a2a-edge.dev/extensions/webhooks/v1";

export const MAX_BATCH_EVENTS = 50;
export const MAX_BATCH_WAIT_MS = 2_000;
export const MAX_RETRIES = 20;
export const MAX_RETRY_SECONDS = 7 * 86_400;
const MAX_PER_MINUTE = 1_000_000;
const MAX_BURST = 100_000;

export const EVENT_NAMES = [
  "completed",
  "failed",
  "canceled",
  "rejected",
  "statusChanged",
  "artifactAdded",
  "inputRequired",
  "authRequired",
] as const;
export type EventName = (typeof EVENT_NAMES)[number];

/** `true` or an object that says more; `false` is absent. */
function switchOr<T extends object>(schema: Schema<T>): Schema<boolean | T> {
  const either = z.transform((input: unknown, context): boolean | T => {
    if (typeof input === "boolean") return input;
    if (!isObject(input)) refuse(context, mustBe("true or an object", input));
    else {
      const parsed = z.safeParse(schema, input);
      if (parsed.success) return parsed.data;
      for (const issue of parsed.error.issues) refuse(context, issue.message, ...issue.path);
    }
    return false;
  });
  return named(either, schema.proto, { zero: () => false });
}

const WHSEC = "whsec_";

/** Standard Webhooks: what follows the prefix are the key's bytes in base64. Any other secret is its own bytes. */
function isWhsec(secret: string): boolean {
  const encoded = secret.slice(WHSEC.length);
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(encoded)) return false;
  try {
    const key = atob(encoded);
    // Decoders disagree about missing padding and stray bits, and with them signatures would.
    return key.length >= 24 && key.length <= 64 && btoa(key) === encoded;
  } catch {
    return false;
  }
}

/** A secret that signs; also what rotation takes. */
export const WebhookSecret: Schema<string> = checked(
  secretText(text(512)),
  z.refine((value) => value.length >= 16, "must be at least 16 characters long"),
  z.refine(
    (value) => !value.startsWith(WHSEC) || isWhsec(value),
    `must be ${WHSEC} and the padded base64 of 24 to 64 bytes, or not begin with ${WHSEC}`,
  ),
);

// No zero: an empty list could mean all events or none, so it means nothing.
const events: Schema<EventName[]> = named(
  repeated(oneOf(EVENT_NAMES)).check(
    z.refine((names) => names.length > 0, "must hold at least one element"),
    z.refine((names) => new Set(names).size === names.length, "must not name an event twice"),
  ),
  "string",
  { cardinality: "repeated" },
);

export const WebhookOAuth2 = message("WebhookOAuth2", {
  tokenUrl: required(text(2_048)),
  clientId: required(text(512)),
  clientSecret: required(secretText(text(4_096))),
  // RFC 6749 §3.3.
  scope: checked(
    text(1_024),
    z.regex(
      /^(?:[\x21\x23-\x5b\x5d-\x7e]+(?: [\x21\x23-\x5b\x5d-\x7e]+)*)?$/,
      "must be scopes separated by single spaces",
    ),
  ),
  audience: text(1_024),
  method: oneOf(["client_secret_basic", "client_secret_post"]),
});
export type WebhookOAuth2 = z.infer<typeof WebhookOAuth2>;

export const WebhookJwt = message("WebhookJwt", { audience: text(1_024) });
export type WebhookJwt = z.infer<typeof WebhookJwt>;

export const WebhookBatch = message("WebhookBatch", {
  maxEvents: int32(1, MAX_BATCH_EVENTS),
  maxWaitMs: int32(1, MAX_BATCH_WAIT_MS),
});
export type WebhookBatch = z.infer<typeof WebhookBatch>;

export const WebhookRetry = message("WebhookRetry", {
  delaysSeconds: required(
    checked(
      repeated(int32(1, MAX_RETRY_SECONDS)),
      z.refine((delays) => delays.length <= MAX_RETRIES, `must hold at most ${MAX_RETRIES} elements`),
      z.refine(
        (delays) => delays.reduce((sum, delay) => sum + delay, 0) <= MAX_RETRY_SECONDS,
        `must sum up to at most ${MAX_RETRY_SECONDS} seconds (7 days)`,
      ),
    ),
  ),
});
export type WebhookRetry = z.infer<typeof WebhookRetry>;

export const WebhookRateLimit = message("WebhookRateLimit", {
  perMinute: required(int32(1, MAX_PER_MINUTE)),
  burst: int32(1, MAX_BURST),
});
export type WebhookRateLimit = z.infer<typeof WebhookRateLimit>;

export const pushOptions = {
  secret: WebhookSecret,
  events,
  headers,
  oauth2: WebhookOAuth2,
  jwt: switchOr(WebhookJwt),
  batch: switchOr(WebhookBatch),
  retry: WebhookRetry,
  rateLimit: WebhookRateLimit,
  securityLevel: headerText(64),
} as const satisfies FieldSpecs;

function withPushOptions<F extends FieldSpecs>(fields: F) {
  return Object.assign(message("TaskPushNotificationConfig", { ...fields, ...pushOptions }), { fields });
}

/** A config with our members. Inside SendMessage its task is the message's. */
export const WebhookConfig = withPushOptions(TaskPushNotificationConfig.fields);
export type WebhookConfig = z.infer<typeof WebhookConfig>;

/** The same where the task must be named: the proto's method_signature, and the REST path. */
export const TaskWebhookConfig = withPushOptions({
  ...TaskPushNotificationConfig.fields,
  taskId: required(id),
});

/** The config as answers show it. */
export function redact<C extends WebhookConfig>(config: C): C {
  const { token, authentication, secret, headers, oauth2 } = config;
  return {
    ...config,
    ...(token !== undefined && { token: REDACTED }),
    ...(authentication && { authentication: redactCredentials(authentication) }),
    ...(secret !== undefined && { secret: REDACTED }),
    ...(headers && { headers: Object.fromEntries(Object.keys(headers).map((name) => [name, REDACTED])) }),
    ...(oauth2 && { oauth2: { ...oauth2, clientSecret: REDACTED } }),
  };
}

function redactCredentials({ scheme, credentials }: AuthenticationInfo): AuthenticationInfo {
  return { scheme, ...(credentials !== undefined && { credentials: REDACTED }) };
}
