// What the platform calls without a client: the two queues and the cron.

import { trimAuditHistory } from "./admin/audit.ts";
import type { HomeOperator, WorkDeps } from "./admin/deps.ts";
import { fileDeadLetters } from "./admin/filing.ts";
import { driveRetryJob, driveRetryJobs } from "./admin/job-driver.ts";
import { trimHistory } from "./admin/retention.ts";
import type { AuditEvent } from "./audit/entry.ts";
import type { Config } from "./config.ts";
import {
  consumeDeadLetters,
  consumeDoorbells,
  isOfOtherVersion,
  type QueueMessage,
} from "./delivery/doorbell.ts";
import type { Doorbell, Endpoint } from "./delivery/exchange.ts";
import { readInbox } from "./store/audit-inbox.ts";
import { takeOverdueHomes } from "./store/homes.ts";
import { trimSessions } from "./store/sessions.ts";
import { log } from "./telemetry/log.ts";
import { type MetricsDelta, metricKey } from "./telemetry/metrics.ts";

/** A home is poked when it is this much later than it said. */
const OVERDUE_MS = 120_000;
const POKES = 100;
/** Sessions that are over and deleted in one go: 83 a second. */
const SESSIONS = 5_000;
/** One that does not report after it was poked is poked again after this time. */
const POKE_AGAIN_MS = 600_000;

export type Home = HomeOperator & { poke(): Promise<void> };

export type BackgroundDeps = Omit<WorkDeps, "homeAt"> & {
  config: Config;
  homeAt(id: string): Home;
  endpointAt(name: string): Endpoint;
  ringLater(doorbell: Doorbell, delaySeconds: number): Promise<void>;
  /** Has the chain of administration take over what was told in the database. */
  collectAudit(): Promise<void>;
  /** Adds to the chain of administration. */
  recordAudit(event: AuditEvent): Promise<void>;
  count(delta: MetricsDelta): Promise<unknown>;
};

/** Rings endpoints, and goes on with the jobs that retry dead letters. */
export async function consumeDeliveries(
  messages: readonly QueueMessage[],
  deps: BackgroundDeps,
): Promise<void> {
  const jobs = messages.filter((message) => jobOf(message) !== undefined);
  const doorbells = messages.filter((message) => !jobs.includes(message));
  const ring = (endpoint: string, home: string) => deps.endpointAt(endpoint).ring(home);
  await Promise.all([
    consumeDoorbells(doorbells, ring),
    ...jobs.map(async (message) => {
      try {
        await driveRetryJob(deps, jobOf(message) ?? "");
        message.ack();
      } catch (error) {
        log("error", "a job of retries could not go on", { error });
        message.retry({ delaySeconds: 5 });
      }
    }),
  ]);
}

function jobOf({ body }: QueueMessage): string | undefined {
  const { kind, id } = (body ?? {}) as { kind?: unknown; id?: unknown };
  return kind === "retry-job" && typeof id === "string" && !isOfOtherVersion(body) ? id : undefined;
}

/** Files notifications that died, and has doorbells rung again that nobody could ring. */
export async function consumeDead(messages: readonly QueueMessage[], deps: BackgroundDeps): Promise<void> {
  await consumeDeadLetters(messages, {
    file: (home, ids) => fileDeadLetters(deps, home, ids),
    ringLater: deps.ringLater,
    countDoorbells: async (count) => {
      const counters = { [metricKey("a2a_webhook_doorbells_failed_total")]: count };
      await Promise.all([
        deps.count({ source: "", number: 0, counters, observations: {}, gauges: {} }),
        deps.recordAudit({ kind: "doorbells.failed", detail: { count } }),
      ]);
    },
  });
}

/**
 * Every minute: wakes homes whose alarm was lost, goes on with jobs, tells the audit, drops history that is too old and
 * sessions that are over.
 */
export async function runCron(deps: BackgroundDeps): Promise<void> {
  const tasks = {
    homes: wakeHomes(deps),
    jobs: driveRetryJobs(deps),
    history: trimHistory(deps),
    audit: trimAuditHistory(deps),
    inbox: collectInbox(deps),
    sessions: trimSessions(deps.db, deps.now(), SESSIONS),
  };
  await Promise.all(
    Object.entries(tasks).map(async ([task, running]) => {
      try {
        await running;
      } catch (error) {
        log("error", "the cron could not finish", { task, error });
      }
    }),
  );
}

async function collectInbox({ db, collectAudit }: BackgroundDeps): Promise<void> {
  const [waiting] = await readInbox(db, 1);
  if (waiting) await collectAudit();
}

async function wakeHomes({ db, homeAt, now }: BackgroundDeps): Promise<void> {
  const at = now();
  const overdue = await takeOverdueHomes(db, {
    before: at - OVERDUE_MS,
    again: at + POKE_AGAIN_MS,
    limit: POKES,
  });
  for (const poke of await Promise.allSettled(overdue.map(async (id) => homeAt(id).poke()))) {
    if (poke.status === "rejected") log("error", "a home could not be woken", { error: poke.reason });
  }
}
