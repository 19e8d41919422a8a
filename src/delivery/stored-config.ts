// A push notification config as a home keeps it: everything that was decided when it was configured, so that a
// delivery neither validates nor derives anything. Its secrets are in `sealed` and nowhere else.

import type { EventName, WebhookConfig } from "../protocol/push-options.ts";
import type { Version } from "../protocol/version.ts";
import type { ClaimOptions, DeliveryHealth } from "./exchange.ts";

export type StoredConfig = {
  id: string;
  /** Names this generation of the config, and so the lane of its notifications: a UUID v7. */
  lane: string;
  /** Name of the EndpointObject that sends them. */
  endpoint: string;
  /** The URL without query and fragment: what breaker, bucket and pauses go by. */
  target: string;
  url: string;
  /** Dialect of the payloads. */
  version: Version;
  /** Which events are wanted; null: all. */
  events: EventName[] | null;
  /** Configs with the same key may share a batch; null: each event is sent alone. */
  batch: { key: string; maxEvents: number; maxWaitMs: number } | null;
  /** The delay before each attempt, the first 0; null: as the deployment does. */
  retryMs: number[] | null;
  /** Its PushSecrets, encrypted with the context `<taskId>/<id>`; null: it has none. */
  sealed: string | null;
  options: ClaimOptions;
  /** What operations answer: secrets redacted, `id` and `taskId` filled in. */
  answer: PushConfigAnswer;
};

/** A config as its owner gets to see it. */
export type PushConfigAnswer = WebhookConfig & { id: string; taskId: string };

export type PushConfigView = { answer: PushConfigAnswer; health: DeliveryHealth };
