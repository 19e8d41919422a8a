// What the operators' API answers about who gets in: keys, roles, owners, sessions. No answer holds a secret but the
// ones that make it.

import {
  count,
  flag,
  list,
  maybeTime,
  named,
  nextPageToken,
  object,
  type TypeOf,
  text,
  time,
} from "./schemas.ts";

const key = {
  id: text,
  owner: text,
  name: text,
  label: text,
  roles: list(text),
  scopes: list(text),
  createdAt: time,
  createdBy: text,
  rotatedAt: maybeTime,
  /** Until when the secret before the last rotation is valid. */
  previousSecretUntil: maybeTime,
  expiresAt: maybeTime,
  revokedAt: maybeTime,
};

export const ApiKeyAnswer = named("ApiKey", object(key));
export type ApiKeyAnswer = TypeOf<typeof ApiKeyAnswer>;

export const ApiKeyList = named("ApiKeyList", object({ apiKeys: list(ApiKeyAnswer), nextPageToken }));

/** The only answers that hold a key's secret. */
export const IssuedApiKey = named("IssuedApiKey", object({ ...key, secret: text }));
export type IssuedApiKey = TypeOf<typeof IssuedApiKey>;

export const RoleAnswer = named(
  "Role",
  object({ name: text, builtIn: flag, scopes: list(text), createdAt: maybeTime, updatedAt: maybeTime }),
);
export type RoleAnswer = TypeOf<typeof RoleAnswer>;

export const RoleList = named("RoleList", object({ roles: list(RoleAnswer) }));

export const OwnerAnswer = named(
  "Owner",
  object({ owner: text, createdAt: time, homes: count, apiKeys: count, sessions: count }),
);
export type OwnerAnswer = TypeOf<typeof OwnerAnswer>;

export const OwnerList = named("OwnerList", object({ owners: list(OwnerAnswer), nextPageToken }));

/** What one call has erased. */
export const ErasedOwner = named(
  "ErasedOwner",
  object({
    ...{ apiKeys: count, sessions: count, tasks: count, pushConfigs: count, memories: count },
    ...{ deliveries: count, deadLetters: count, more: flag, retryAfterSeconds: count },
  }),
);
export type ErasedOwner = TypeOf<typeof ErasedOwner>;

export const SessionAnswer = named(
  "Session",
  object({
    ...{ id: text, owner: text, actor: text, scopes: list(text) },
    ...{ createdAt: time, expiresAt: time, extendableUntil: time },
  }),
);
export type SessionAnswer = TypeOf<typeof SessionAnswer>;

export const SessionList = named("SessionList", object({ sessions: list(SessionAnswer), nextPageToken }));

export const RevokedSessions = named("RevokedSessions", object({ revoked: count }));
