// What a push notification config keeps secret. A home stores it sealed (keys/sealing.ts, with the context
// `<taskId>/<configId>`), so that a copy of its database opens no receiver; it is plain only while an attempt
// is prepared.

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

/** The secrets after `value` has become the current one at `now`; the one before goes on signing for `overlapMs`. */
export function rotateSecret(
  secrets: PushSecrets,
  { value, now, overlapMs }: { value: string; now: number; overlapMs: number },
): PushSecrets {
  const older = (secrets.secrets ?? [])
    .map((secret) => ({ value: secret.value, until: Math.min(secret.until ?? Infinity, now + overlapMs) }))
    .filter((secret) => secret.until > now && secret.value !== value);
  return { ...secrets, secrets: [{ value }, ...older] };
}

/** The context under which the secrets of a config are sealed. */
export function sealingContext(taskId: string, configId: string): string {
  return `${taskId}/${configId}`;
}
