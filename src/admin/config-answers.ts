// What is answered about endpoints and configs.

import {
  count,
  flag,
  list,
  maybe,
  maybeText,
  maybeTime,
  named,
  nextPageToken,
  number,
  object,
  oneOf,
  status,
  type TypeOf,
  text,
  time,
} from "./schemas.ts";

const state = oneOf(["active", "paused", "disabled"]);

const endpoint = {
  owner: text,
  origin: text,
  configs: object({ active: count, paused: count, disabled: count }),
};

export const Endpoint = named("Endpoint", object(endpoint));
export type Endpoint = TypeOf<typeof Endpoint>;

const Target = named(
  "Target",
  object({
    target: text,
    breaker: oneOf(["closed", "open", "half-open"]),
    holdUntil: maybeTime,
    holdReason: maybe(oneOf(["breaker_open", "probe_running", "retry_after", "rate_limited"])),
    tokensLeft: maybe(number),
  }),
);

export const EndpointStatus = named(
  "EndpointStatus",
  object({
    ...endpoint,
    pausedAt: maybeTime,
    validatedUntil: maybeTime,
    challenge: maybe(object({ failedAt: time, error: text })),
    lastError: maybe(object({ at: time, status, error: maybeText })),
    inFlight: count,
    queued: count,
    targets: list(Target),
  }),
);
export type EndpointStatus = TypeOf<typeof EndpointStatus>;

export const EndpointList = named("EndpointList", object({ endpoints: list(Endpoint), nextPageToken }));

export const ChallengeOutcome = named(
  "ChallengeOutcome",
  object({ passed: flag, validatedUntil: maybeTime, error: maybeText }),
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

export const PushConfig = named("PushConfig", object(config));
export type PushConfig = TypeOf<typeof PushConfig>;

export const Health = named(
  "DeliveryHealth",
  object({
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

export const PushConfigStatus = named("PushConfigStatus", object({ ...config, health: Health }));
export type PushConfigStatus = TypeOf<typeof PushConfigStatus>;

export const PushConfigList = named("PushConfigList", object({ configs: list(PushConfig), nextPageToken }));

export const RotatedSecret = named("RotatedSecret", object({ secret: text, previousValidUntil: maybeTime }));
export type RotatedSecret = TypeOf<typeof RotatedSecret>;

export const Replay = named("Replay", object({ notifications: count }));
