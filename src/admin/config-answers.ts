// What is answered about endpoints and configs.

import * as z from "zod/mini";
import { count, maybe, maybeText, maybeTime, named, nextPageToken, status, text, time } from "./schemas.ts";

const state = z.enum(["active", "paused", "disabled"]);

const endpoint = {
  owner: text,
  origin: text,
  configs: z.strictObject({ active: count, paused: count, disabled: count }),
};

export const Endpoint = named("Endpoint", z.strictObject(endpoint));
export type Endpoint = z.infer<typeof Endpoint>;

const Target = named(
  "Target",
  z.strictObject({
    target: text,
    breaker: z.enum(["closed", "open", "half-open"]),
    holdUntil: maybeTime,
    holdReason: maybe(z.enum(["breaker_open", "probe_running", "retry_after", "rate_limited"])),
    tokensLeft: maybe(z.number()),
  }),
);

export const EndpointStatus = named(
  "EndpointStatus",
  z.strictObject({
    ...endpoint,
    pausedAt: maybeTime,
    validatedUntil: maybeTime,
    challenge: maybe(z.strictObject({ failedAt: time, error: text })),
    lastError: maybe(z.strictObject({ at: time, status, error: maybeText })),
    inFlight: count,
    queued: count,
    targets: z.array(Target),
  }),
);
export type EndpointStatus = z.infer<typeof EndpointStatus>;

export const EndpointList = named(
  "EndpointList",
  z.strictObject({ endpoints: z.array(Endpoint), nextPageToken }),
);

export const ChallengeOutcome = named(
  "ChallengeOutcome",
  z.strictObject({ passed: z.boolean(), validatedUntil: maybeTime, error: maybeText }),
);

const config = {
  home: text,
  task: text,
  config: text,
  owner: text,
  agent: text,
  origin: text,
  target: text,
  state,
  reason: maybeText,
  createdAt: time,
  updatedAt: time,
};

export const PushConfig = named("PushConfig", z.strictObject(config));
export type PushConfig = z.infer<typeof PushConfig>;

export const Health = named(
  "DeliveryHealth",
  z.strictObject({
    state,
    reason: maybeText,
    stateAt: maybeTime,
    pending: count,
    oldestPendingAt: maybeTime,
    nextAttemptAt: maybeTime,
    attempt: count,
    delivered: count,
    dead: count,
    failingSince: maybeTime,
    lastAttemptAt: maybeTime,
    lastStatus: status,
    lastError: maybeText,
  }),
);

export const PushConfigStatus = named("PushConfigStatus", z.strictObject({ ...config, health: Health }));
export type PushConfigStatus = z.infer<typeof PushConfigStatus>;

export const PushConfigList = named(
  "PushConfigList",
  z.strictObject({ configs: z.array(PushConfig), nextPageToken }),
);

export const RotatedSecret = named(
  "RotatedSecret",
  z.strictObject({ secret: text, previousValidUntil: maybeTime }),
);
export type RotatedSecret = z.infer<typeof RotatedSecret>;

export const Replay = named("Replay", z.strictObject({ notifications: count }));
