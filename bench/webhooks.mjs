// What the parts of the workload `notify` have in common: which limits the servers run with, and the receiver as the
// load sees it.
//
// A task counts as notified when its `completed` has come. The wait for it ends early only when nothing at all has
// come for SILENCE_MS: what is missing then is lost.

import { setTimeout as delay } from "node:timers/promises";

/** No limit of ours on how fast; plain http to this machine. The peers know the first one only. */
export const WEBHOOK_VARS = {
  PUSH_NOTIFICATIONS: "true",
  ALLOW_PRIVATE_WEBHOOKS: "true",
  WEBHOOK_RATE_PER_MINUTE: "0",
  WEBHOOK_GLOBAL_PER_MINUTE: "0",
};

/** For the head of the report. */
export const WEBHOOK_LIMITS =
  "webhooks of a2a-edge: no limit of a rate, as in development; plain http to this machine";

const SILENCE_MS = 10_000;
const POLL_MS = 50;

/** @param origin of a running `receiver` */
export function createReceiver(origin) {
  const ask = async (path, init) => (await fetch(origin + path, init)).json();

  return {
    /** A webhook of its own for each name. */
    url: (name) => `${origin}/hooks/${name}`,

    reset: () => ask("/reset", { method: "POST" }),

    /** How many requests have come since the last reset. */
    requests: async () => (await ask("/stats")).requests,

    /**
     * Waits until all these tasks were notified. `tasks`: of each that was, `{ notifications, completedAt,
     * committedAt }` in wall clock ms; `lost`: how many were not; `lastAt`: when the last notification came;
     * `notifications`: how many came.
     */
    async notified(ids) {
      const begun = Date.now();
      for (;;) {
        const stats = await ask("/stats");
        const isSilent = Date.now() - Math.max(begun, stats.lastAt ?? 0) > SILENCE_MS;
        if (stats.completed >= ids.length || isSilent) {
          const all = await ask("/tasks");
          const tasks = ids.map((id) => all[id]).filter((task) => task?.completedAt !== undefined);
          if (tasks.length === ids.length || isSilent) {
            const { lastAt, notifications } = stats;
            return { tasks, lost: ids.length - tasks.length, lastAt, notifications };
          }
        }
        await delay(POLL_MS);
      }
    },
  };
}

/** A notification like those that servers send, about a task that nobody has. */
export function createNotification(taskId) {
  const status = { state: "TASK_STATE_COMPLETED", timestamp: new Date().toISOString() };
  return {
    headers: { "content-type": "application/a2a+json" },
    body: JSON.stringify({ statusUpdate: { taskId, contextId: crypto.randomUUID(), status } }),
  };
}

/** From commit to receipt, in ms. */
export function deliveryTimes(tasks) {
  return tasks.map(({ committedAt, completedAt }) => completedAt - committedAt);
}

/** How many tasks were completed and not yet notified, at the worst moment. */
export function largestBacklog(tasks) {
  const changes = tasks.flatMap(({ committedAt, completedAt }) => [
    [committedAt, 1],
    [completedAt, -1],
  ]);
  // What is committed and received within the same ms was backlog, if only for a moment.
  changes.sort(([a, more], [b, other]) => a - b || other - more);
  let backlog = 0;
  let largest = 0;
  for (const [, change] of changes) {
    backlog += change;
    largest = Math.max(largest, backlog);
  }
  return largest;
}

/** Tells the report of tasks that were never notified, as of any other wrong answer. */
export function countLost(report, name, lost) {
  if (lost > 0) report.countFailures(name, lost, new Map([["a task was never notified", lost]]));
}
