// The notifications of a home, put together from their parts and what the platform gives them.

import type { Config } from "../config.ts";
import {
  type DeadNotice,
  type Doorbell,
  type Endpoint,
  FOLLOWING_MS,
  STANDS_MS,
  toMessage,
  toWire,
} from "../delivery/exchange.ts";
import type { CallObject } from "../lib/stubs.ts";
import type { MetricsDelta } from "../telemetry/metrics.ts";
import { archiveIn } from "./archive.ts";
import { Notifications } from "./notifications.ts";
import { PushCommands } from "./push-commands.ts";
import { PushOperations } from "./push-operations.ts";
import { Shipping } from "./shipping.ts";
import type { Store } from "./store.ts";

/** Beyond the attempt itself, what a claim may spend on its way and in its endpoint's queue. */
const LEASE_SLACK_MS = 15_000;

export type DeliveryOptions = {
  store: Store;
  /** The Durable Object id of this home. */
  home: string;
  config: Config;
  db: D1Database;
  callEndpoint: CallObject<Endpoint>;
  doorbells: { send(doorbell: Doorbell): Promise<unknown> };
  deadLetters: { send(notice: DeadNotice): Promise<unknown> };
  metrics(): { add(delta: MetricsDelta): Promise<number> };
  now(): number;
  waitUntil(promise: Promise<unknown>): void;
};

export type Delivery = {
  notifications: Notifications;
  commands: PushCommands;
  operations: PushOperations;
  shipping: Shipping;
};

export function createDelivery(options: DeliveryOptions): Delivery {
  const { config, home, doorbells, deadLetters, metrics, callEndpoint } = options;
  const { store, now, waitUntil } = options;
  const shared = { store, home, now, waitUntil };
  const shipping = new Shipping({
    ...shared,
    archive: archiveIn(options.db, home),
    count: (delta) => metrics().add(delta),
    bury: async (notice) => void (await deadLetters.send(toMessage(notice))),
  });
  const notifications = new Notifications({
    ...shared,
    random: Math.random,
    leaseMs: config.webhookTimeoutMs + LEASE_SLACK_MS,
    retryMs: config.webhookRetryMs,
    offer: async (name, offered) => callEndpoint(name, (endpoint) => endpoint.ring(home, toWire(offered))),
    ring: async (doorbell) => void (await doorbells.send(toMessage(doorbell))),
    settled: () => shipping.soon(),
  });
  const commands = new PushCommands({
    ...shared,
    notifications,
    maxConfigs: config.webhookConfigsPerTask,
    allValidated: config.webhookChallenge === "required",
    unheardMs: STANDS_MS + config.webhookTimeoutMs + FOLLOWING_MS,
    forget: (name, lane) => callEndpoint(name, (endpoint) => endpoint.forget(home, lane)),
    changed: () => shipping.soon(),
    sleep: (ms) => scheduler.wait(ms),
  });
  const operations = new PushOperations({
    ...shared,
    notifications,
    commands,
    changed: () => shipping.soon(),
  });
  return { notifications, commands, operations, shipping };
}
