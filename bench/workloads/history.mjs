// The operators' search through the history of attempts, with few rows in D1 and with very many.
//
// Attempts are written into the database file before the server starts: sending a million notifications would take
// longer than everything else. They are what homes ship: some owners, many endpoints, one in ten failed.

import { readdirSync } from "node:fs";
import path from "node:path";
import SQLite from "better-sqlite3";
import { withLocalDatabases } from "../../scripts/migrations.ts";
import { readProject } from "../../scripts/project.ts";
import { createClient, measure, percentiles } from "../client.mjs";
import { createState, startContenders, stopServers } from "../servers.mjs";
import { WEBHOOK_VARS } from "../webhooks.mjs";

const ADMIN_KEY = "bench-admin-key-0123456789abcdef0123456789abcdef";
const PAGE = 20;
const DAYS = 30;
const DAY_MS = 86_400_000;
const OWNERS = 10;
const ENDPOINTS = 50;

export async function history(plan, report) {
  const now = Date.now();
  const [few, many] = plan.historySizes;
  const states = {};
  for (const size of plan.historySizes) {
    report.progress(`filling the history with ${size.toLocaleString("en")} attempts`);
    states[size] = createState(`history-${size}`);
    await fill(states[size], size, now);
  }
  const env = { ...WEBHOOK_VARS, ADMIN_KEY };
  const running = await startContenders({
    few: { server: "ours", env, state: states[few] },
    many: { server: "ours", env, state: states[many] },
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
