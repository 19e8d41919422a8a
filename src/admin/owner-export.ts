// All that there is of one owner, as JSON lines. It is written while it is read, page by page, so that no home is ever
// in memory as a whole; the last line says that it is complete and what it held.

import { listApiKeys } from "../store/api-keys.ts";
import { searchAttempts } from "../store/attempts.ts";
import { findDeadLetter, searchDeadLetters } from "../store/dead-letters.ts";
import type { Found, Page, Position } from "../store/keyset.ts";
import { findOwner, subjectOfKeys } from "../store/owners.ts";
import { searchSessions } from "../store/sessions.ts";
import type { ExportPlace } from "../tasks/export.ts";
import { toDeadLetter } from "./dead-letters.ts";
import { toDelivery } from "./deliveries.ts";
import { type AdminDeps, MAX_SHARDS, notFound } from "./deps.ts";
import { answerLines } from "./line-stream.ts";
import { type AnyRoute, route } from "./routes.ts";
import { text, toTime, toTimeOrNull } from "./schemas.ts";
import { toAnswer as toSession } from "./sessions.ts";

const ROWS = 100;

export const ownerExportRoutes: readonly AnyRoute[] = [
  route({
    verb: "GET",
    path: "/admin/v1/owners/{owner}:export",
    summary: "Export all that there is of an owner, as JSON lines",
    description:
      "Each line is an object with its `kind`: owner, apiKey, session, task (with history, artifacts and push " +
      "notification configs), memory, delivery, deadLetter, and at last `end` with the number of each. An export " +
      "without that line is not complete. Secrets are in none of them.",
    fields: {},
    answer: text,
    media: "application/x-ndjson",
    async handle(deps, { path: { owner = "" } }) {
      if (!(await findOwner(deps.db, owner))) throw notFound("owner");
      return answerLines(linesOf(deps, owner));
    },
  }),
];

async function* linesOf(deps: AdminDeps, owner: string): AsyncGenerator<string> {
  const { db, now } = deps;
  const counts: Record<string, number> = {};
  const line = (kind: string, json: string) => {
    counts[kind] = (counts[kind] ?? 0) + 1;
    return `${json}\n`;
  };
  const toLine = (kind: string, value: object) => line(kind, JSON.stringify({ kind, ...value }));

  yield `${JSON.stringify({ kind: "owner", owner, exportedAt: toTime(now()) })}\n`;
  const subject = subjectOfKeys(owner);
  if (subject !== undefined) {
    for await (const { id, label, roles, scopes, createdBy, ...key } of all((page) =>
      listApiKeys(db, { owner: subject }, page),
    )) {
      const times = { createdAt: toTime(key.createdAt), expiresAt: toTimeOrNull(key.expiresAt) };
      const more = { rotatedAt: toTimeOrNull(key.rotatedAt), revokedAt: toTimeOrNull(key.revokedAt) };
      yield toLine("apiKey", { id, label, roles, scopes, createdBy, ...times, ...more });
    }
  }
  for await (const session of all((page) => searchSessions(db, { owner }, page, now()))) {
    yield toLine("session", toSession(session));
  }
  for (let shard = 0; shard < MAX_SHARDS; shard++) {
    let place: ExportPlace | undefined;
    do {
      // A stub whose connection broke stays broken.
      const page = await deps.homeNamed(`${owner}/${shard}`).exportPage(place);
      for (const item of page.items) {
        const json = new TextDecoder().decode(item);
        yield line(json.startsWith('{"kind":"task"') ? "task" : "memory", json);
      }
      place = page.next;
    } while (place !== undefined);
  }
  for await (const attempt of all((page) => searchAttempts(db, { owner }, page))) {
    yield toLine("delivery", toDelivery(attempt));
  }
  for await (const { id } of all((page) => searchDeadLetters(db, { owner }, page))) {
    const letter = await findDeadLetter(db, id);
    if (letter) yield toLine("deadLetter", { ...toDeadLetter(letter), body: letter.body });
  }
  yield `${JSON.stringify({ kind: "end", counts })}\n`;
}

/** The rows of all pages. */
async function* all<T>(read: (page: Page) => Promise<Found<T>>): AsyncGenerator<T> {
  let after: Position | undefined;
  do {
    const { rows, next } = await read({ after, limit: ROWS });
    yield* rows;
    after = next;
  } while (after !== undefined);
}
