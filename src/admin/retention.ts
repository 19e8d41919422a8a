// How long the history is kept (WEBHOOK_RETENTION_DAYS), how much there is of it, and its trimming, in chunks: one
// statement that deletes a million rows would hold up every shipment behind it.

import type { Config } from "../config.ts";
import { trimSums } from "../store/attempt-sums.ts";
import { trimAttempts } from "../store/attempts.ts";
import { trimDeadLetters } from "../store/dead-letters.ts";
import { trimRetryJobs } from "../store/retry-jobs.ts";
import { readStock } from "../store/stock.ts";
import type { WorkDeps } from "./deps.ts";
import { Retention, Trimmed } from "./history-answers.ts";
import { type AnyRoute, route } from "./routes.ts";
import { toTime, toTimeOrNull } from "./schemas.ts";

const DAY_MS = 86_400_000;
/** Rows of each table that one statement deletes. */
const ROWS = 5_000;
/** So many times in one call: 30,000 attempts a minute are those of 500 a second. */
const ROUNDS = 6;

export const retentionRoutes: readonly AnyRoute[] = [
  route({
    verb: "GET",
    path: "/admin/v1/retention",
    summary: "See how long the history is kept, and how much there is",
    description:
      "The time is the setting WEBHOOK_RETENTION_DAYS. Attempts are counted by the hour, so those that are " +
      "being trimmed may be missing or be too many; of dead letters at most 100,000 a state are counted.",
    fields: {},
    answer: Retention,
    async handle({ db, config, now }) {
      const { attempts, deadLetters } = await readStock(db);
      return {
        days: config.webhookRetentionMs / DAY_MS,
        keptSince: toTime(now() - config.webhookRetentionMs),
        attempts: {
          count: attempts.count,
          oldestAt: toTimeOrNull(attempts.oldestAt),
          newestAt: toTimeOrNull(attempts.newestAt),
        },
        deadLetters: { ...deadLetters, oldestAt: toTimeOrNull(deadLetters.oldestAt) },
      };
    },
  }),
  route({
    verb: "POST",
    path: "/admin/v1/retention:trim",
    summary: "Delete now what is older than it is kept",
    description: `At most ${ROWS * ROUNDS} rows of each kind; \`more\` says whether to call again. The cron does it every minute.`,
    fields: {},
    answer: Trimmed,
    handle: (deps) => trimHistory(deps),
  }),
];

/** Deletes what is older than it is kept, as far as it gets in `rounds`; called by the cron. */
export async function trimHistory(
  { db, config, now }: Pick<WorkDeps, "db" | "now"> & { config: Config },
  rounds = ROUNDS,
): Promise<Trimmed> {
  const before = now() - config.webhookRetentionMs;
  const total: Trimmed = { attempts: 0, sums: 0, deadLetters: 0, retryJobs: 0, more: true };
  for (let round = 0; round < rounds && total.more; round++) {
    const attempts = await trimAttempts(db, before, ROWS);
    const sums = await trimSums(db, before, ROWS);
    const deadLetters = await trimDeadLetters(db, before, ROWS);
    const retryJobs = await trimRetryJobs(db, before, ROWS);
    total.attempts += attempts;
    total.sums += sums;
    total.deadLetters += deadLetters;
    total.retryJobs += retryJobs;
    total.more = Math.max(attempts, sums, deadLetters, retryJobs) >= ROWS;
  }
  return total;
}
