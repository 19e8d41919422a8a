// What a push notification config keeps secret. A home stores it sealed (keys/sealing.ts, with the context
// `<taskId>/<configId>`), so that a copy of its database opens no receiver; it is plain only while an attempt
// is prepared.

import { err, ok, type Result } from "../lib/result.ts";

export type PushSecrets = {
  /** Sent as X-A2A-Notification-Token. */
  token?: string;
  /** What follows the scheme in `Authorization`. */
  credentials?: string;
  /** Shared secrets for signatures: the current one first, then older ones, which sign too until their time (ms). */
  secrets?: { value: string; until?: number }[];
  /** Values of custom headers by name. */
  headers?: Record<string, string>;
  oauth2ClientSecret?: string;
};

/** The shared secrets that sign at `now` (ms), the current one first. */
export function currentSecrets(secrets: PushSecrets, now: number): string[] {
  return (secrets.secrets ?? [])
    .filter(({ until }) => until === undefined || now < until)
    .map(({ value }) => value);
}

/** Beside the current one. With it, fewer than the 16 `v1` signatures that `a2a-edge/verify` looks at. */
export const MAX_OLDER_SECRETS = 10;

/**
 * The secrets after `value` has become the current one at `now`; the one before goes on signing for `overlapMs`. Refused
 * while too many do: to end one before its time would shut out a receiver that was told to have until then.
 */
export function rotateSecret(
  secrets: PushSecrets,
  { value, now, overlapMs }: { value: string; now: number; overlapMs: number },
): Result<PushSecrets, { possibleAt: number }> {
  // The current one has no end yet.
  const before = (secrets.secrets ?? []).map(({ value, until = Infinity }) => ({ value, until }));
  const others = before.filter((secret) => secret.until > now && secret.value !== value);
  const older = others
    .map((secret) => ({ ...secret, until: Math.min(secret.until, now + overlapMs) }))
    .filter(({ until }) => until > now);
  const excess = older.length - MAX_OLDER_SECRETS;
  if (excess > 0) {
    const ends = others.map(({ until }) => until).sort((a, b) => a - b);
    return err({ possibleAt: ends[excess - 1] ?? now });
  }
  return ok({ ...secrets, secrets: [{ value }, ...older] });
}

/** The context under which the secrets of a config are sealed. */
export function sealingContext(taskId: string, configId: string): string {
  return `${taskId}/${configId}`;
}
