// Sessions of all owners: who has any, and revoking them.

import { revokeSession, revokeSessions, type Session, searchSessions } from "../store/sessions.ts";
import { notFound } from "./deps.ts";
import { invalid, text } from "./fields.ts";
import { RevokedSessions, type SessionAnswer, SessionList } from "./identity-answers.ts";
import { pageFields, readPage } from "./pages.ts";
import { type AnyRoute, route } from "./routes.ts";
import { toTime } from "./schemas.ts";

const AT_WORK = "They may work for 30 seconds yet where they have been used.";

export const sessionRoutes: readonly AnyRoute[] = [
  route({
    verb: "GET",
    path: "/admin/v1/sessions",
    scope: "admin:keys",
    summary: "List live sessions, newest first",
    fields: {
      owner: text("Of this owner."),
      apiKey: text("Made from the API key with this id."),
      ...pageFields,
    },
    answer: SessionList,
    async handle({ db, now }, { values }) {
      const { rows, nextPageToken } = await readPage(
        { list: "sessions", place: ["string"], values },
        ({ owner, apiKey }, page) => searchSessions(db, { owner, key: apiKey }, page, now()),
      );
      return { sessions: rows.map(toAnswer), nextPageToken };
    },
  }),
  route({
    verb: "POST",
    path: "/admin/v1/sessions/{id}:revoke",
    scope: "admin:keys",
    summary: "Revoke a session",
    description: AT_WORK,
    fields: {},
    answer: RevokedSessions,
    async handle({ db, now, forgetSessions }, { path: { id = "" } }) {
      if (!(await revokeSession(db, id, now()))) throw notFound("live session");
      forgetSessions((session) => session.id === id);
      return { revoked: 1 };
    },
  }),
  route({
    verb: "POST",
    path: "/admin/v1/sessions:revoke",
    scope: "admin:keys",
    summary: "Revoke all sessions of an owner, or all that were made from an API key",
    description: AT_WORK,
    fields: { owner: text("Of this owner."), apiKey: text("Made from the API key with this id.") },
    answer: RevokedSessions,
    async handle({ db, now, forgetSessions }, { values: { owner, apiKey: key } }) {
      if ((owner === undefined) === (key === undefined)) {
        throw invalid("owner", "or `apiKey` must be given, and not both");
      }
      const of = owner === undefined ? { key: key ?? "" } : { owner };
      const revoked = await revokeSessions(db, of, now());
      forgetSessions((session) => session.owner === owner || session.key === key);
      return { revoked };
    },
  }),
];

export function toAnswer({ id, owner, actor, scopes, createdAt, expiresAt, endsAt }: Session): SessionAnswer {
  return {
    ...{ id, owner, actor, scopes: JSON.parse(scopes) as string[] },
    ...{ createdAt: toTime(createdAt), expiresAt: toTime(expiresAt), extendableUntil: toTime(endsAt) },
  };
}
