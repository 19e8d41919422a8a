// API keys: who may call, as whom, with which rights, and until when. A key's secret is in the answer that makes it.

import type { Operator } from "../auth/operator.ts";
import { builtInRoles } from "../auth/roles.ts";
import { A2AError } from "../protocol/errors.ts";
import {
  type ApiKey,
  createApiKey,
  getApiKey,
  type IssuedKey,
  listApiKeys,
  revokeApiKey,
  rotateApiKey,
} from "../store/api-keys.ts";
import { ownerOfKeys, subjectOfKeys } from "../store/owners.ts";
import { findRole } from "../store/roles.ts";
import { revokeSessions } from "../store/sessions.ts";
import { type AdminDeps, notFound } from "./deps.ts";
import { integer, invalid, names, required, text, time } from "./fields.ts";
import { ApiKeyAnswer, ApiKeyList, IssuedApiKey } from "./identity-answers.ts";
import { pageFields, readPage } from "./pages.ts";
import { requireNoMore, scopeNames, scopesOfRoles } from "./roles.ts";
import { type AnyRoute, route } from "./routes.ts";
import { toTime, toTimeOrNull } from "./schemas.ts";

const ONE = "/admin/v1/api-keys/{id}";
const MAX_ROLES_OF_KEY = 16;
const DAY_SECONDS = 86_400;

export const apiKeyRoutes: readonly AnyRoute[] = [
  route({
    verb: "GET",
    path: "/admin/v1/api-keys",
    scope: "admin:keys",
    summary: "List API keys, newest first",
    fields: { owner: text("Of this owner."), ...pageFields },
    answer: ApiKeyList,
    async handle({ db }, { values }) {
      const { rows, nextPageToken } = await readPage(
        { list: "api-keys", place: ["number", "string"], values },
        async ({ owner }, page) => {
          const subject = owner === undefined ? undefined : subjectOfKeys(owner);
          // Owners of other kinds have no keys.
          if (owner !== undefined && subject === undefined) return { rows: [], next: undefined };
          return listApiKeys(db, { owner: subject }, page);
        },
      );
      return { apiKeys: rows.map(toAnswer), nextPageToken };
    },
  }),
  route({
    verb: "POST",
    path: "/admin/v1/api-keys",
    scope: "admin:keys",
    summary: "Make an API key",
    description:
      "This answer is the only one that shows its secret. A key cannot be given a scope of operators that its maker " +
      "has not.",
    fields: {
      name: required(text("Whose key it is, such as `alice`: the owner is then `key::alice`.", 128)),
      roles: names("Roles. Default, if there are no scopes either: `user`.", {
        max: MAX_ROLES_OF_KEY,
        isName: (name) => name.length <= 64,
        otherwise: "is no role of this server",
      }),
      scopes: scopeNames,
      label: text("What it is for.", 128),
      expiresAt: time("When it ends. Default: never."),
    },
    status: 201,
    answer: IssuedApiKey,
    async handle(deps, { values, operator }) {
      const { name, label, scopes = [], roles = scopes.length === 0 ? ["user"] : [], expiresAt } = values;
      if (expiresAt !== undefined && expiresAt <= deps.now())
        throw invalid("expiresAt", "must be in the future");
      requireNoMore(operator, [...scopes, ...(await scopesOfRoles(deps, roles))]);
      const key = { owner: name, roles, scopes, label, createdBy: operator.actor, expiresAt };
      return toIssued(await createApiKey(deps.db, key, deps.now()));
    },
  }),
  route({
    verb: "GET",
    path: ONE,
    scope: "admin:keys",
    summary: "See an API key",
    fields: {},
    answer: ApiKeyAnswer,
    handle: async ({ db }, { path }) => toAnswer(found(await getApiKey(db, { id: path.id ?? "" }))),
  }),
  route({
    verb: "POST",
    path: `${ONE}:rotate`,
    scope: "admin:keys",
    summary: "Give an API key a new secret",
    description:
      "The one before stays valid until the overlap is over; one from an earlier rotation ends at once. This answer " +
      "is the only one that shows the new one. A key with scopes of operators is rotated by who has them.",
    fields: {
      overlapSeconds: integer("How long the secret before stays valid.", {
        ...{ min: 0, max: 30 * DAY_SECONDS, default: DAY_SECONDS },
      }),
    },
    answer: IssuedApiKey,
    async handle(deps, { path: { id = "" }, values: { overlapSeconds = DAY_SECONDS }, operator }) {
      await requireOver(deps, operator, found(await getApiKey(deps.db, { id })));
      const rotated = await rotateApiKey(deps.db, { id, overlapMs: overlapSeconds * 1_000 }, deps.now());
      if (rotated.ok) return toIssued(rotated.value);
      const { reason } = rotated.error;
      if (reason === "not_found") throw notFound("API key");
      throw new A2AError("UNSUPPORTED_OPERATION", {
        message: `This is not possible: the key is ${reason}.`,
        metadata: { state: reason },
      });
    },
  }),
  route({
    verb: "POST",
    path: `${ONE}:revoke`,
    scope: "admin:keys",
    summary: "Revoke an API key with all its secrets and sessions",
    description: "It may work for 30 seconds yet where it has been used.",
    fields: {},
    answer: ApiKeyAnswer,
    async handle({ db, now }, { path: { id = "" } }) {
      const key = found(await revokeApiKey(db, { id }, now()));
      await revokeSessions(db, { key: id }, now());
      return toAnswer(key);
    },
  }),
];

function found(key: ApiKey | undefined): ApiKey {
  if (!key) throw notFound("API key");
  return key;
}

/** Whoever rotates a key has it from then on. */
async function requireOver({ db }: AdminDeps, operator: Operator, { roles, scopes }: ApiKey): Promise<void> {
  const ofRoles = roles.map(
    async (name) => builtInRoles.get(name) ?? (await findRole(db, name))?.scopes ?? [],
  );
  requireNoMore(operator, [...scopes, ...(await Promise.all(ofRoles)).flat()]);
}

function toAnswer(key: ApiKey): ApiKeyAnswer {
  const { id, owner: name, label, createdBy } = key;
  return {
    ...{ id, owner: ownerOfKeys(name), name, label, roles: [...key.roles], scopes: [...key.scopes] },
    ...{ createdAt: toTime(key.createdAt), createdBy, rotatedAt: toTimeOrNull(key.rotatedAt) },
    previousSecretUntil: toTimeOrNull(key.previousUntil),
    expiresAt: toTimeOrNull(key.expiresAt),
    revokedAt: toTimeOrNull(key.revokedAt),
  };
}

function toIssued({ key, text }: IssuedKey): IssuedApiKey {
  return { ...toAnswer(key), secret: text };
}
