// From a config as a caller sent it to one as a home keeps it. Everything is decided here, once: what it may, where
// it goes, what it shares a batch with. Its secrets leave this file sealed, or redacted, or not at all.

import type { Config } from "../config.ts";
import type { KeyRing } from "../keys/ring.ts";
import { seal } from "../keys/sealing.ts";
import { sha256 } from "../lib/bytes.ts";
import { uuidv7 } from "../lib/ids.ts";
import { err, ok, type Result } from "../lib/result.ts";
import { type Failure, failure } from "../protocol/errors.ts";
import { MAX_BATCH_EVENTS, redact, type WebhookConfig } from "../protocol/push-options.ts";
import type { Version } from "../protocol/version.ts";
import { checkConfig } from "./config-rules.ts";
import { type ClaimOptions, endpointName } from "./exchange.ts";
import { defaultEvents } from "./payload.ts";
import { type PushSecrets, sealingContext } from "./push-secrets.ts";
import type { StoredConfig } from "./stored-config.ts";

/** How long a batch waits for more events, unless its config says otherwise. */
export const DEFAULT_BATCH_WAIT_MS = 1_000;

export type PrepareSettings = Pick<
  Config,
  | "allowPrivateWebhooks"
  | "webhookPorts"
  | "webhookRatePerMinute"
  | "webhookBurst"
  | "webhookGlobalPerMinute"
  | "webhookChallenge"
  | "webhookTokenOrigins"
  | "encryptionKeys"
>;

export type Preparation = {
  config: WebhookConfig;
  /** The task it belongs to, whatever `config` says. */
  taskId: string;
  owner: string;
  /** The dialect of who sets it, in which its notifications will leave. */
  version: Version;
  /** Names this server answers at: no webhook may lead back to it. */
  ownHosts: readonly string[];
  /** Path of the config in the params; empty: it is the params. */
  field?: string;
  now: number;
  settings: PrepareSettings;
  ring: KeyRing;
};

/**
 * INVALID_PARAMS with every wrong field, RATE_LIMIT_EXCEEDED if it asks for more than this deployment grants.
 * Without an id it gets one; the id of another config replaces that one.
 */
export async function prepareConfig({
  config,
  taskId,
  owner,
  version,
  ownHosts,
  field = "",
  now,
  settings,
  ring,
}: Preparation): Promise<Result<StoredConfig, Failure>> {
  const checked = checkConfig(config, {
    allowPrivate: settings.allowPrivateWebhooks,
    ports: settings.webhookPorts,
    ownHosts,
    tokenOrigins: settings.webhookChallenge === "required" ? settings.webhookTokenOrigins : undefined,
  });
  const path = (name: string) => (field === "" ? name : `${field}.${name}`);
  if (!checked.ok) {
    const violations = checked.error.map((violation) => ({ ...violation, field: path(violation.field) }));
    return err(failure("INVALID_PARAMS", { violations }));
  }
  const excess = findExcess(config, settings);
  if (excess) {
    const violation = { field: path(excess.field), description: excess.description };
    return err(failure("RATE_LIMIT_EXCEEDED", { violations: [violation] }));
  }
  const url = checked.value;
  const id = config.id ?? uuidv7(now);
  const secrets = toSecrets(config);
  const options = toOptions(config);
  return ok({
    id,
    lane: uuidv7(now),
    endpoint: endpointName(owner, url.origin),
    target: `${url.origin}${url.pathname}`,
    url: url.href,
    version,
    events: config.events ?? defaultEvents(version),
    batch: await toBatch(config, [url.href, version, options, secrets], settings),
    retryMs: config.retry ? [0, ...config.retry.delaysSeconds.map((seconds) => seconds * 1_000)] : null,
    sealed: secrets && (await seal(ring, JSON.stringify(secrets), sealingContext(taskId, id))),
    options,
    answer: { ...redact(config), id, taskId },
  });
}

type Rates = Pick<PrepareSettings, "webhookRatePerMinute" | "webhookBurst" | "webhookGlobalPerMinute">;

/** The highest rate that a config may ask for: what is sent to one URL is part of all. Infinity: there is no limit. */
export function highestRate(settings: Rates): { perMinute: number; burst: number } {
  const limits = [settings.webhookRatePerMinute, settings.webhookGlobalPerMinute];
  return {
    perMinute: Math.min(...limits.filter((limit) => limit > 0)),
    burst: settings.webhookRatePerMinute > 0 ? settings.webhookBurst : Infinity,
  };
}

/** The first member that asks for more than the deployment's limits. */
function findExcess({ rateLimit }: WebhookConfig, settings: PrepareSettings) {
  if (!rateLimit) return undefined;
  const { perMinute, burst } = highestRate(settings);
  if (rateLimit.perMinute > perMinute) {
    return { field: "rateLimit.perMinute", description: `must be at most ${perMinute} here` };
  }
  if ((rateLimit.burst ?? 0) > burst) {
    return { field: "rateLimit.burst", description: `must be at most ${burst} here` };
  }
  return undefined;
}

/** What is kept secret; null: nothing. */
function toSecrets({ token, authentication, secret, headers, oauth2 }: WebhookConfig): PushSecrets | null {
  const credentials = authentication?.credentials;
  const secrets: PushSecrets = {
    ...(token !== undefined && { token }),
    ...(credentials !== undefined && { credentials }),
    ...(secret !== undefined && { secrets: [{ value: secret }] }),
    ...(headers && { headers }),
    ...(oauth2 && { oauth2ClientSecret: oauth2.clientSecret }),
  };
  return Object.keys(secrets).length === 0 ? null : secrets;
}

function toOptions({ authentication, jwt, oauth2, rateLimit, securityLevel }: WebhookConfig): ClaimOptions {
  return {
    ...(authentication && { scheme: authentication.scheme }),
    ...(jwt && { jwt: jwt === true ? {} : jwt }),
    ...(oauth2 && { oauth2: toOAuth2(oauth2) }),
    ...(rateLimit && { rateLimit }),
    ...(securityLevel !== undefined && { securityLevel }),
  };
}

function toOAuth2({ clientSecret: _, ...rest }: NonNullable<WebhookConfig["oauth2"]>) {
  return { ...rest, method: rest.method ?? "client_secret_basic" };
}

/**
 * Configs may share a batch when a receiver could not tell whose notification it was sent for: everything that
 * shows in a request, and how it is retried, is equal.
 */
async function toBatch(
  { batch, retry }: WebhookConfig,
  shown: unknown[],
  { encryptionKeys }: PrepareSettings,
): Promise<StoredConfig["batch"]> {
  if (!batch) return null;
  const { maxEvents = MAX_BATCH_EVENTS, maxWaitMs = DEFAULT_BATCH_WAIT_MS } = batch === true ? {} : batch;
  // The ring's text makes the digest useless for guessing a weak secret from a copy of the home's database.
  const key = await sha256(JSON.stringify([encryptionKeys, maxEvents, maxWaitMs, retry, shown], byName));
  return { key, maxEvents, maxWaitMs };
}

/** Members in the order of their names, so that the order in which a client wrote them makes no difference. */
function byName(_: string, value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}
