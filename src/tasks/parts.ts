// What a home is made of, put together once an object: storage, turns, jobs, notifications, limits and the clock.

import type { JobParams } from "../agents/job.ts";
import { createRegistry } from "../agents/registry.ts";
import { AuditShipping } from "../audit/shipping.ts";
import type { Config } from "../config.ts";
import { orLate } from "../lib/or-late.ts";
import { keepStubs } from "../lib/stubs.ts";
import { saveAudit } from "../store/audit.ts";
import { forgetHome, reportHome } from "../store/homes.ts";
import { metricKey } from "../telemetry/metrics.ts";
import { createTally } from "../telemetry/tally.ts";
import { Calls } from "./calls.ts";
import { Clock } from "./clock.ts";
import { createDelivery } from "./delivery.ts";
import { Followers } from "./followers.ts";
import { Inbox } from "./inbox.ts";
import { Jobs } from "./jobs.ts";
import { Limits } from "./limits.ts";
import type { TaskRecord } from "./machine.ts";
import { Shedding } from "./shedding.ts";
import { Store } from "./store.ts";
import { Turns } from "./turns.ts";

/** A slow commit says something of the next for so long. */
const COMMIT_COUNTS_MS = 5_000;

export function createParts(ctx: DurableObjectState, env: Env, config: Config) {
  const agents = createRegistry(config);
  if (!agents.ok) throw new Error(agents.error);

  const home = ctx.id.toString();
  const store = new Store(ctx.storage, home, ctx.id.name ?? "");
  const waitUntil = (promise: Promise<unknown>) => ctx.waitUntil(promise);
  const metrics = () => env.METRICS.get(env.METRICS.idFromName("all"));
  const tally = createTally({
    count: (delta) => metrics().add(delta),
    waitUntil,
    sleep: (ms) => scheduler.wait(ms),
  });
  const delivery = createDelivery({
    store,
    home,
    config,
    db: env.DB,
    callEndpoint: keepStubs((name) => env.ENDPOINTS.get(env.ENDPOINTS.idFromName(name))),
    doorbells: env.DELIVERIES,
    deadLetters: env.DEAD_LETTERS,
    metrics,
    now: Date.now,
    waitUntil,
  });
  const shared = {
    store,
    now: Date.now,
    maxTaskBytes: config.maxTaskBytes,
    waitUntil,
    notificationsOf: delivery.commands.notificationsOf.bind(delivery.commands),
    continueTask: (record: TaskRecord) => void inbox.continue(record),
  };
  const auditing = new AuditShipping({
    chain: store.audit,
    now: Date.now,
    write: (change) => store.write(change),
    archive: (entries) => saveAudit(env.DB, entries),
    ring: (at) => store.due.ring(at),
  });
  store.onRecord = () => auditing.soon();
  const { turnTimeoutMs, stepMs, jobWatchMs: watchMs, taskRetentionMs: retentionMs } = config;
  const followers = new Followers(store);
  const limits = new Limits({
    config,
    now: Date.now,
    refused: (limit) => tally.add(metricKey("a2a_refused_total", { limit })),
  });
  const shedding = new Shedding({
    limits: config,
    now: Date.now,
    home: () => {
      const { waiting, last } = store.commits;
      const isLate = last !== undefined && Date.now() - last.at < COMMIT_COUNTS_MS;
      return { waiting, commitMs: isLate ? last.tookMs : undefined };
    },
    notifications: (endpoint) => delivery.notifications.behind(endpoint, config.shedBacklog),
    began: (reason) => tally.add(metricKey("a2a_shedding_total", { reason })),
    refused: (limit) => tally.add(metricKey("a2a_refused_total", { limit: `${limit}_behind` })),
  });
  const turns = new Turns({ ...shared, agent: agents.value.get, turnTimeoutMs, stepMs });
  const jobs = new Jobs({ ...shared, workflow: env.JOBS as Workflow<JobParams>, home, watchMs });
  const inbox = new Inbox({
    ...shared,
    turns,
    jobs,
    agents: agents.value,
    push: delivery.commands,
  });
  const clock = new Clock({
    ...shared,
    ...delivery,
    auditing,
    turns,
    jobs,
    orLate,
    retentionMs,
    report: (dueAt, name) => reportHome(env.DB, { id: home, name, dueAt }),
    forget: () => forgetHome(env.DB, home),
  });
  const push = delivery.commands;
  const calls = new Calls({ store, turns, jobs, inbox, followers, push, limits, shedding });
  return { calls, store, turns, jobs, clock, followers, delivery };
}
