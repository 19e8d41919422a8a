// The extensions that an agent's card declares (§4.6): those a deployment requires, and our own (docs/extensions). Their
// params tell a client without trying what it may ask for and will be asked.

import type { Agent } from "../agents/agent.ts";
import type { Config } from "../config.ts";
import { highestRate } from "../delivery/prepare-config.ts";
import type { AgentExtension } from "../protocol/agent-card.ts";
import { APPROVAL_SCOPE, APPROVALS_EXTENSION } from "../protocol/approvals.ts";
import { MAX_HEADERS } from "../protocol/push-headers.ts";
import {
  EVENT_NAMES,
  MAX_BATCH_EVENTS,
  MAX_BATCH_WAIT_MS,
  MAX_RETRIES,
  MAX_RETRY_SECONDS,
  WEBHOOKS_EXTENSION,
} from "../protocol/push-options.ts";

export function cardExtensions(agent: Agent, config: Config, baseUrl: string): AgentExtension[] {
  const served = [
    ...(config.pushNotifications ? [webhooks(config, baseUrl)] : []),
    ...(agent.approvals.length > 0 ? [approvals(agent)] : []),
  ];
  // A default is left out, as ProtoJSON does: the card is signed as it is served.
  const ours = served.map((extension) => ({
    ...extension,
    ...(config.requiredExtensions.some((uri) => uri === extension.uri) && { required: true }),
  }));
  const others = config.requiredExtensions.filter((uri) => !ours.some((extension) => extension.uri === uri));
  return [...others.map((uri) => ({ uri, required: true })), ...ours];
}

function approvals({ approvals: tools }: Agent): AgentExtension {
  return {
    uri: APPROVALS_EXTENSION,
    description: "Tools are used when somebody who may has approved of it.",
    params: { tools: [...tools], scope: APPROVAL_SCOPE },
  };
}

function webhooks(config: Config, baseUrl: string): AgentExtension {
  const { webhookRetryMs } = config;
  const { perMinute, burst } = highestRate(config);
  // The first attempt waits for nothing.
  const delaysSeconds = webhookRetryMs.slice(1).map((ms) => ms / 1_000);
  return {
    uri: WEBHOOKS_EXTENSION,
    description: "Signed push notifications that are retried, filtered and batched as their config says.",
    params: {
      events: [...EVENT_NAMES],
      signatures: ["v1", "v1a"],
      jwksUrl: `${baseUrl}/.well-known/jwks.json`,
      authorization: ["authentication", "jwt", "oauth2"],
      batch: { maxEvents: MAX_BATCH_EVENTS, maxWaitMs: MAX_BATCH_WAIT_MS },
      retry: {
        ...(delaysSeconds.length > 0 && { delaysSeconds }),
        maxDelays: MAX_RETRIES,
        maxSeconds: MAX_RETRY_SECONDS,
      },
      ...(perMinute < Infinity && { rateLimit: { perMinute, ...(burst < Infinity && { burst }) } }),
      configsPerTask: config.webhookConfigsPerTask,
      headers: MAX_HEADERS,
      timeoutSeconds: config.webhookTimeoutMs / 1_000,
      challenge: config.webhookChallenge,
    },
  };
}
