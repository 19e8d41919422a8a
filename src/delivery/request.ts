// One attempt as the request that is sent: the body as it was committed, and every header of docs/webhooks.md.
//
// What a config adds comes first and never in a name of ours, so a caller can add headers but not forge one.

import { hash } from "node:crypto";
import packageJson from "../../package.json";
import type { SigningKeys } from "../keys/signing-keys.ts";
import type { OutboundRequest } from "../outbound/fetch.ts";
import { normalHeaderName } from "../protocol/push-headers.ts";
import type { Claim } from "./exchange.ts";
import { currentSecrets, type PushSecrets } from "./push-secrets.ts";
import { signatureHeaders } from "./sign.ts";

export type Attempt = {
  claim: Claim;
  secrets: PushSecrets;
  signingKeys: SigningKeys;
  /** In ms; becomes `webhook-timestamp`. */
  now: number;
  /** The value of `Authorization`, from `authorize`. */
  authorization: string | undefined;
  /** Of the whole attempt. */
  timeoutMs: number;
  signal?: AbortSignal;
};

export const USER_AGENT = `a2a-edge/${packageJson.version}`;

/** Ours, by their normal names, whether or not this attempt has a value for them. */
const FAMILIES = /^(authorization$|a2a-|x-a2a-|webhook-|content-)/;

/** The request of one attempt. */
export function toRequest(attempt: Attempt): OutboundRequest {
  const { claim, secrets, signingKeys, now, authorization, timeoutMs, signal } = attempt;
  const signatures = signatureHeaders({
    id: claim.id,
    timestampSeconds: Math.floor(now / 1_000),
    body: claim.body,
    taskId: claim.task,
    secrets: currentSecrets(secrets, now),
    signingKeys,
  });
  const { token } = secrets;
  const { securityLevel } = claim.options;
  const ours: Record<string, string> = {
    "Content-Type": claim.contentType,
    "User-Agent": USER_AGENT,
    "A2A-Version": claim.version,
    ...(authorization !== undefined && { Authorization: authorization }),
    // The SDKs do not agree on the name.
    ...(token && { "X-A2A-Notification-Token": token, "A2A-Notification-Token": token }),
    ...signatures,
    "webhook-sequence": String(claim.sequence),
    "webhook-attempt": String(claim.attempt),
    traceparent: traceparent(claim.id),
    ...(securityLevel !== undefined && { "X-A2A-Security-Level": securityLevel }),
  };
  return {
    url: claim.url,
    method: "POST",
    headers: secrets.headers ? { ...customHeaders(secrets.headers, ours), ...ours } : ours,
    body: claim.body,
    timeoutMs,
    ...(signal && { signal }),
  };
}

/** Names differ in spelling: one that stands twice would be sent, or read, with both values. */
function customHeaders(
  headers: Record<string, string>,
  ours: Record<string, string>,
): Record<string, string> {
  const taken = new Set(Object.keys(ours).map(normalHeaderName));
  const isFree = (name: string) => !taken.has(name) && !FAMILIES.test(name);
  return Object.fromEntries(Object.entries(headers).filter(([name]) => isFree(normalHeaderName(name))));
}

/**
 * Trace Context of W3C: all attempts of a notification are one trace, each a span of its own. Flagged as sampled,
 * because every attempt is recorded.
 */
function traceparent(id: string): string {
  const span = crypto.randomUUID().replaceAll("-", "").slice(-16);
  return `00-${traceId(id)}-${span}-01`;
}

/** A notification's id is a UUID and a number, that of a batch a UUID: they need no digest to become 16 bytes. */
function traceId(id: string): string {
  const [, uuid, number] = /^([0-9a-f-]{36})(?:-(\d+))?$/.exec(id) ?? [];
  if (uuid === undefined) return hash("sha256", id).slice(0, 32);
  const digits = uuid.replaceAll("-", "");
  return number === undefined
    ? digits
    : digits.slice(0, 24) + Number(number).toString(16).padStart(8, "0").slice(-8);
}
