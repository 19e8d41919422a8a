// What happened in a time, from the sums of hours that are kept beside the attempts: what it costs depends on how
// many hours and endpoints there were, not on how many attempts.

import {
  type Activity,
  DURATION_BOUNDS_MS,
  type KindSum,
  readMostActive,
  readSums,
} from "../store/attempt-sums.ts";
import type { AdminDeps } from "./deps.ts";
import { integer, invalid, time } from "./fields.ts";
import { Analytics, type Durations } from "./history-answers.ts";
import { type AnyRoute, route } from "./routes.ts";
import { toTime } from "./schemas.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const MAX_DAYS = 7;
const TOP = 10;
/** Kinds of failures in one answer, the most frequent ones. */
const FAILURES = 50;

export const analyticsRoutes: readonly AnyRoute[] = [
  route({
    verb: "GET",
    path: "/admin/v1/analytics",
    summary: "Rates, success, durations, retries, the most active, and patterns of failure",
    description:
      `Counts attempts by the hour in which they started; a time that is not a full hour is extended to one. ` +
      `At most ${MAX_DAYS} days. Percentiles are estimated within classes of durations.`,
    fields: {
      from: time("Begin. Default: 24 hours before `to`."),
      to: time("End. Default: now."),
      top: integer("How many owners and endpoints to name.", { min: 1, max: 100, default: TOP }),
    },
    answer: Analytics,
    handle: (deps, { values }) => analyse(deps, values),
  }),
];

type Query = { from?: number | undefined; to?: number | undefined; top?: number | undefined };

async function analyse({ db, now }: AdminDeps, query: Query): Promise<Analytics> {
  const { to: end = now(), top: limit = TOP } = query;
  const { from: begin = end - DAY_MS } = query;
  if (end <= begin) throw invalid("to", "must be after `from`");
  const from = Math.floor(begin / HOUR_MS) * HOUR_MS;
  const to = Math.ceil(end / HOUR_MS) * HOUR_MS;
  if (end - begin > MAX_DAYS * DAY_MS)
    throw invalid("from", `must be at most ${MAX_DAYS} days before \`to\``);
  const [{ hours, kinds }, active] = await Promise.all([
    readSums(db, from, to),
    readMostActive(db, { from, to, limit }),
  ]);
  const delivered = kinds.filter(({ outcome }) => outcome === "delivered");
  const failures = kinds.filter(({ outcome }) => outcome !== "delivered");
  const attempts = countOf(kinds);
  return {
    from: toTime(from),
    to: toTime(to),
    attempts,
    delivered: countOf(delivered),
    failed: countOf(failures),
    retries: kinds.reduce((sum, { retries }) => sum + retries, 0),
    successShare: shareOf(countOf(delivered), attempts),
    // Of the time there has been: the hour that is under way is not over.
    attemptsPerMinute: attempts / (Math.max(60_000, Math.min(to, now()) - from) / 60_000),
    durationMs: { all: durationsOf(kinds), delivered: durationsOf(delivered) },
    hours: hours.map((hour) => ({
      ...hour,
      hour: toTime(hour.hour),
      failed: hour.attempts - hour.delivered,
    })),
    codes: codesOf(kinds),
    failures: failures.slice(0, FAILURES).map(({ outcome, status, error, attempts, retries }) => ({
      outcome,
      status,
      error,
      attempts,
      retries,
    })),
    mostActive: {
      since: toTime(active.since),
      owners: active.owners.map((owner) => ({ owner: owner.owner, ...toActivity(owner) })),
      endpoints: active.endpoints.map(({ owner, origin, ...activity }) => ({
        ...{ owner, origin },
        ...toActivity(activity),
      })),
    },
  };
}

function countOf(kinds: readonly KindSum[]): number {
  return kinds.reduce((sum, { attempts }) => sum + attempts, 0);
}

function shareOf(part: number, whole: number): number | null {
  return whole === 0 ? null : part / whole;
}

function meanOf(totalMs: number, count: number): number | null {
  return count === 0 ? null : Math.round(totalMs / count);
}

function toActivity({ attempts, delivered, retries, durationMs }: Activity) {
  const successShare = shareOf(delivered, attempts);
  return { attempts, delivered, retries, successShare, meanMs: meanOf(durationMs, attempts) };
}

/** `2xx` to `5xx`, and the reasons why there was no answer. */
function codesOf(kinds: readonly KindSum[]): { code: string; attempts: number }[] {
  const codes = new Map<string, number>();
  for (const { status, error, attempts } of kinds) {
    const code = status === null ? (error ?? "none") : `${Math.floor(status / 100)}xx`;
    codes.set(code, (codes.get(code) ?? 0) + attempts);
  }
  return [...codes]
    .map(([code, attempts]) => ({ code, attempts }))
    .toSorted((a, b) => b.attempts - a.attempts || (a.code < b.code ? -1 : 1));
}

function durationsOf(kinds: readonly KindSum[]): Durations {
  const buckets = DURATION_BOUNDS_MS.map((_, i) =>
    kinds.reduce((sum, kind) => sum + (kind.durations[i] ?? 0), 0),
  );
  const total = kinds.reduce((sum, { durationMs }) => sum + durationMs, 0);
  return {
    mean: meanOf(total, countOf(kinds)),
    p50: percentile(buckets, 0.5),
    p95: percentile(buckets, 0.95),
    p99: percentile(buckets, 0.99),
  };
}

/** The duration (whole ms) that the share `p` does not exceed, if durations are spread evenly within each class. */
export function percentile(buckets: readonly number[], p: number): number | null {
  const total = buckets.reduce((sum, count) => sum + count, 0);
  if (total === 0) return null;
  let below = 0;
  for (const [i, count] of buckets.entries()) {
    const [lower, upper] = [DURATION_BOUNDS_MS[i - 1] ?? 0, DURATION_BOUNDS_MS[i] ?? 0];
    if (count > 0 && below + count >= p * total) {
      return Math.round(lower + (upper - lower) * ((p * total - below) / count));
    }
    below += count;
  }
  return DURATION_BOUNDS_MS.at(-1) ?? null;
}
