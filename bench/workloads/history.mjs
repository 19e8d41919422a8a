// The operators' search through the history of attempts, with few rows in D1 and with very many.
//
// Attempts are written into the database file before the server starts: sending a million notifications would take
// longer than everything else. They are what homes ship: some owners, many endpoints, one in ten failed.

import { cpSync, readdirSync } from "node:fs";
import path from "node:path";
import SQLite from "better-sqlite3";
import { withLocalDatabases } from "../../scripts/migrations.ts";
import { readProject } from "../../scripts/project.ts";
import { createClient, measure, percentiles } from "../client.mjs";
import { createState, startContenders, stopServers } from "../servers.mjs";
import { WEBHOOK_VARS } from "../webhooks.mjs";

const ADMIN_KEY = "bench-admin-key-0123456789abcdef0123456789abcdef";
/** Both histories have so many rows of every kind: a longer answer would take longer, whatever was searched. */
const PAGE = 10;
/** Within what is kept: older attempts would be deleted while they are searched. */
const DAYS = 29;
const DAY_MS = 86_400_000;
const OWNERS = 10;
const ENDPOINTS = 50;

export async function history(plan, report) {
  const now = Date.now();
  const [few, many] = plan.historySizes;
  const state = { few: createState("history-few"), many: createState("history-many") };
  await withLocalDatabases(readProject(), state.few);
  cpSync(state.few, state.many, { recursive: true });
  report.progress(`filling the history with ${many.toLocaleString("en")} attempts`);
  fill(state.few, few, now);
  fill(state.many, many, now);
  const env = { ...WEBHOOK_VARS, ADMIN_KEY };
  const running = await startContenders({
    few: { server: "ours", env, state: state.few },
    many: { server: "ours", env, state: state.many },
  });
  try {
    report.progress("searching the history");
    const searches = createSearches(now, few);
    const times = { few: new Map(), many: new Map() };
    for (let round = 0; round < plan.rounds + 1; round++) {
      for (const [name, query] of Object.entries(searches)) {
        for (const side of ["few", "many"]) {
          const taken = await search(running[side], query, plan.historySearches, report);
          // The first round is the warm-up.
          if (round > 0) times[side].set(name, [...(times[side].get(name) ?? []), ...taken]);
        }
      }
    }
    addRows(report, plan.historySizes, times);
  } finally {
    await stopServers(running);
  }
}

/** What operators ask, and how many rows the answer must have. */
function createSearches(now, few) {
  const from = new Date(now - 2 * DAY_MS).toISOString();
  const owner = ownerOf(0);
  return {
    everything: { rows: PAGE },
    "one owner": { owner, rows: PAGE },
    "one endpoint": { origin: originOf(0), rows: PAGE },
    "one task": { task: taskOf(few / 4), rows: 2 },
    failures: { outcome: "failed", rows: PAGE },
    "one status": { status: 503, rows: PAGE },
    "one error": { error: "timeout", rows: PAGE },
    "two days": { from, rows: PAGE },
    "an owner's failures": { owner, outcome: "failed", rows: PAGE },
    "an endpoint's time-outs": { origin: originOf(0), error: "timeout", rows: 1 },
  };
}

/** Milliseconds of each of `count` searches. */
async function search({ origin }, { rows, ...query }, count, report) {
  const client = createClient(origin, 1);
  const path = `/admin/v1/deliveries?${new URLSearchParams({ ...query, pageSize: PAGE })}`;
  const headers = { authorization: `Bearer ${ADMIN_KEY}` };
  const times = [];
  const call = async () => {
    const startedAt = performance.now();
    let text = "";
    await client.get(path, headers, (chunk) => {
      text += chunk;
    });
    times.push(performance.now() - startedAt);
    const found = JSON.parse(text).deliveries.length;
    if (found < rows) throw new Error(`${path}: ${found} of ${rows} rows`);
  };
  const { failed, errors } = await measure({ connections: 1, count, call });
  report.countFailures("ours", failed, errors);
  client.close();
  return times;
}

function addRows(report, [few, many], times) {
  const p95 = (side) => percentiles([...times[side].values()].flat()).p95;
  const ratios = [...times.few].map(([name, taken]) => ({
    name,
    ratio: percentiles(times.many.get(name)).p95 / percentiles(taken).p95,
  }));
  const worst = ratios.reduce((a, b) => (b.ratio > a.ratio ? b : a));
  const of = (size) => `Search of ${size.toLocaleString("en")} delivery attempts`;
  report.add({ name: of(few), unit: "p95 ms", values: { ours: p95("few") } });
  report.add({ name: of(many), unit: "p95 ms", values: { ours: p95("many") } });
  report.add({
    name: "Search, time with many ÷ time with few",
    unit: "p95 ratio",
    values: { ours: p95("many") / p95("few") },
    targets: [{ text: "≤ 2", holds: ({ ours }) => ours <= 2 }],
  });
  report.add({
    name: `… of the slowest kind: ${worst.name}`,
    unit: "p95 ratio",
    values: { ours: worst.ratio },
  });
}

/** Writes `size` attempts of the last DAYS days into the database of a server that does not run. */
function fill(state, size, now) {
  const database = openDatabase(state);
  database.pragma("synchronous = OFF");
  const indexes = database
    .prepare(
      "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND tbl_name = 'attempts' AND sql IS NOT NULL",
    )
    .all();
  const insert = database.prepare(
    `INSERT INTO attempts (home, n, owner, agent, task, config, origin, target, notification, sequence, attempt,
       outcome, status, error, duration_ms, committed_at, planned_at, started_at, response)
     VALUES (@home, @n, @owner, @agent, @task, @config, @origin, @target, @notification, @sequence, @attempt,
       @outcome, @status, @error, @durationMs, @committedAt, @plannedAt, @startedAt, @response)`,
  );
  // Made anew afterwards, from sorted rows, they take a third of the time and are the same.
  for (const { name } of indexes) database.exec(`DROP INDEX ${name}`);
  database.transaction(() => {
    for (let n = 0; n < size; n++) insert.run(createAttempt(n, size, now));
  })();
  for (const { sql } of indexes) database.exec(sql);
  database.close();
}

function openDatabase(state) {
  const files = readdirSync(state, { recursive: true }).filter((name) => name.endsWith(".sqlite"));
  for (const file of files) {
    const database = new SQLite(path.join(state, file));
    if (database.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'attempts'").get()) return database;
    database.close();
  }
  throw new Error(`no database with attempts in ${state}`);
}

const FAILURES = [
  { outcome: "retry", status: 503, error: null },
  { outcome: "retry", status: null, error: "timeout" },
  { outcome: "rejected", status: 404, error: null },
  { outcome: "retry", status: null, error: "network_error" },
  { outcome: "retry", status: 500, error: null },
];

/** The nth of `size`, evenly over the days. Of every ten one fails; half of all belong to the first owner. */
function createAttempt(n, size, now) {
  const startedAt = Math.round(now - (DAYS * DAY_MS * (size - n)) / size);
  // Both notifications of a task are of the same owner and go the same way.
  const task = Math.floor(n / 2);
  const owner = mix(task) % 2 === 0 ? 0 : 1 + (mix(task + 1) % (OWNERS - 1));
  const origin = originOf(owner + OWNERS * (mix(task + 2) % (ENDPOINTS / OWNERS)));
  const failure = mix(n + 3) % 10 === 0 ? FAILURES[mix(n + 4) % FAILURES.length] : undefined;
  return {
    home: `home-${owner}`.padEnd(64, "0"),
    n,
    owner: ownerOf(owner),
    agent: "echo",
    task: taskOf(task),
    config: `push-${task}`,
    origin,
    target: `${origin}/hooks/a2a`,
    notification: `msg_${taskOf(task)}-${n % 2}`,
    sequence: 1 + (n % 2),
    attempt: failure ? 1 + (n % 3) : 1,
    ...(failure ?? { outcome: "delivered", status: 200, error: null }),
    durationMs: 20 + (n % 180),
    committedAt: startedAt - 8,
    plannedAt: startedAt - 3,
    startedAt,
    response: failure?.status ? `{"error":"${"the receiver says what went wrong ".repeat(4)}"}` : null,
  };
}

/** A number that looks random and is always the same. */
function mix(n) {
  return (Math.imul(n ^ (n >>> 7), 2654435761) >>> 8) & 0xffff;
}

function ownerOf(n) {
  return `key:bench:owner-${n}`;
}

function originOf(n) {
  return `https://hooks-${n}.example.com`;
}

function taskOf(n) {
  return `0-01990000-0000-7000-8000-${String(n).padStart(12, "0")}`;
}
