// The audit for operators: searched, exported, verified and trimmed. docs/audit.md has the format of entries.

import { ADMIN_CHAIN } from "../audit/admin-chain.ts";
import { type AuditEvent, NOTHING, toLine } from "../audit/entry.ts";
import { type Break, endsAt, follows, type Reached } from "../audit/verify.ts";
import type { Config } from "../config.ts";
import { fromBase64Url, toBase64Url } from "../lib/bytes.ts";
import type { Result } from "../lib/result.ts";
import {
  type AuditFilter,
  type AuditRow,
  findAnchor,
  readChain,
  searchAudit,
  trimAudit,
} from "../store/audit.ts";
import { isHome } from "../store/homes.ts";
import type { Position } from "../store/keyset.ts";
import { AuditLine, AuditList, ChainReport } from "./audit-answers.ts";
import { type AdminDeps, notFound, type WorkDeps } from "./deps.ts";
import { invalid, text, time } from "./fields.ts";
import { answerLines } from "./line-stream.ts";
import { pageFields, readPage } from "./pages.ts";
import { type AnyRoute, route } from "./routes.ts";
import { toTime } from "./schemas.ts";

/** Rows of one query of an export, and of a verification. */
const ROWS = 500;
/** Queries of one export: an invocation has a thousand. */
const EXPORT_QUERIES = 400;
/** Entries that one request verifies, in queries. */
const VERIFY_QUERIES = 20;
const TRIM_ROWS = 5_000;
const TRIM_ROUNDS = 6;

const filterFields = {
  from: time("At this time or later."),
  to: time("Before this time."),
  owner: text("About what belongs to this owner."),
  actor: text("Done by this actor."),
  kind: text("Of this kind."),
  task: text("About this task."),
};

export const auditRoutes: readonly AnyRoute[] = [
  route({
    verb: "GET",
    path: "/admin/v1/audit",
    summary: "Search the audit, newest first",
    description:
      "Homes ship their entries after ten seconds, and keep them while the database is down. Those of sessions come " +
      "about a minute later.",
    fields: { ...filterFields, ...pageFields },
    answer: AuditList,
    async handle({ db }, { values }) {
      const { rows, nextPageToken } = await readPage(
        { list: "audit", place: ["number", "string", "number"], values },
        (filter, page) => searchAudit(db, filter, page),
      );
      return { entries: rows.map(toAnswer), nextPageToken };
    },
  }),
  route({
    verb: "GET",
    path: "/admin/v1/audit:export",
    summary: "Export the audit as JSON lines, oldest first",
    description:
      "Each line is an entry with the bytes that were hashed. To go on after an answer that ended, ask again with " +
      "`after`, until no line comes.",
    fields: {
      ...filterFields,
      after: text("The place of the last line that is known: its `at`, `chain` and `n`, separated by `/`."),
    },
    answer: AuditLine,
    media: "application/x-ndjson",
    handle: async ({ db }, { values: { after, ...filter } }) =>
      answerLines(exportLines(db, filter, after === undefined ? undefined : toPlace(after))),
  }),
  route({
    verb: "GET",
    path: "/admin/v1/audit/chains/{chain}:verify",
    summary: "Verify a chain: that nothing in it was changed, left out, put in or cut off",
    description:
      `The chain of a home has the home's id, that of administration is \`${ADMIN_CHAIN}\`. One request follows ` +
      `${ROWS * VERIFY_QUERIES} entries; with \`nextPageToken\` the next one goes on. The whole of it is good if no ` +
      "answer has a break and the last has no token: then the chain ends where its object says.",
    fields: { pageToken: text("`nextPageToken` of the answer before.") },
    answer: ChainReport,
    handle: (deps, { path, values }) => verify(deps, path.chain ?? "", values.pageToken),
  }),
];

function toAnswer({ chain, n, at, body, hash }: AuditRow) {
  const {
    kind,
    owner = null,
    actor = null,
    agent = null,
    task = null,
    config = null,
    detail = {},
  } = JSON.parse(body) as AuditEvent;
  return { chain, n, at: toTime(at), kind, owner, actor, agent, task, config, detail, hash };
}

function toPlace(after: string): Position {
  const [, at, chain = "", n] = /^(\d{1,15})\/([^/]+)\/(\d{1,15})$/.exec(after) ?? [];
  if (at === undefined) throw invalid("after", "must be `at`, `chain` and `n` of a line, separated by `/`");
  return [Number(at), chain, Number(n)];
}

async function* exportLines(
  db: D1Database,
  filter: AuditFilter,
  from: Position | undefined,
): AsyncGenerator<string> {
  let after = from;
  for (let query = 0; query < EXPORT_QUERIES; query++) {
    const { rows, next } = await searchAudit(db, filter, { after, limit: ROWS, oldestFirst: true });
    if (rows.length > 0) yield rows.map((row) => `${toLine(row)}\n`).join("");
    if (next === undefined) return;
    after = next;
  }
}

async function verify(deps: AdminDeps, chain: string, token: string | undefined): Promise<ChainReport> {
  const { db, config, now } = deps;
  if (chain !== ADMIN_CHAIN && !(await isHome(db, chain))) throw notFound("chain");
  const tailOf = (n: number) =>
    chain === ADMIN_CHAIN ? deps.audit.auditTail(n) : deps.homeAt(chain).auditTail(n);
  const anchor = (await findAnchor(db, chain)) ?? NOTHING;
  const begin = token === undefined ? anchor : readToken(token);
  let followed: Result<Reached, Break> = { ok: true, value: begin };
  let reached: Reached = begin;
  // When the last of those that were trimmed was made: the entry after it says so, else it is the newest there is.
  let trimmedAt: number | undefined;
  const follow = (rows: readonly AuditRow[]): boolean => {
    trimmedAt ??= rows[0]?.since;
    followed = follows(reached, rows);
    if (followed.ok) reached = followed.value;
    return followed.ok;
  };
  let isEnd = false;
  for (let query = 0; query < VERIFY_QUERIES && !isEnd; query++) {
    const rows = await readChain(db, chain, reached.n, ROWS);
    if (!follow(rows)) break;
    isEnd = rows.length < ROWS;
  }
  if (followed.ok && isEnd) {
    // What D1 has not got yet; it may get it in between.
    let tail = await tailOf(reached.n);
    if ((tail.entries[0]?.n ?? 0) > reached.n + 1 && follow(await readChain(db, chain, reached.n, ROWS))) {
      tail = await tailOf(reached.n);
    }
    if (followed.ok && follow(tail.entries)) followed = endsAt(reached, tail.head);
    trimmedAt ??= tail.head.at;
  }
  // Only what is old enough may have been trimmed.
  const isTrimmed = token === undefined && anchor.n > 0;
  const isEarly = isTrimmed && (trimmedAt ?? 0) >= now() - config.auditRetentionMs;
  const broken = followed.ok ? null : followed.error;
  return {
    chain,
    ok: broken === null && !isEarly,
    from: begin.n + 1,
    to: reached.n,
    break: broken ?? (isEarly ? { n: anchor.n + 1, reason: "trimmed_early" } : null),
    nextPageToken: broken || isEnd ? "" : toBase64Url(JSON.stringify([reached.n, reached.hash])),
  };
}

function readToken(token: string): Reached {
  try {
    const [n, hash] = JSON.parse(fromBase64Url(token) ?? "") as unknown[];
    if (Number.isSafeInteger(n) && typeof hash === "string") return { n: n as number, hash };
  } catch {
    // Said below.
  }
  throw invalid("pageToken", "was not made for this list");
}

/** Deletes what is older than it is kept, as far as it gets; called by the cron. */
export async function trimAuditHistory({
  db,
  config,
  now,
}: Pick<WorkDeps, "db" | "now"> & { config: Config }): Promise<void> {
  for (let round = 0; round < TRIM_ROUNDS; round++) {
    const trimmed = await trimAudit(db, now() - config.auditRetentionMs, TRIM_ROWS);
    if (trimmed < TRIM_ROWS) return;
  }
}
