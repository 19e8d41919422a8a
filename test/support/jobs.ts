// What tests of durable turns look at behind the server's back: which Workflow instance runs a task, and how it is.

import { env, runInDurableObject } from "cloudflare:test";
import { homeOf } from "./client.ts";

export type JobRow = { job: string | null; attempt: number; state: string };

/** The instance in charge of a task, as its home knows it. */
export function jobOf(owner: string, task: string): Promise<JobRow> {
  return runInDurableObject(homeOf(owner), (_, state) =>
    state.storage.sql.exec<JobRow>("SELECT job, attempt, state FROM tasks WHERE id = ?", task).one(),
  );
}

/** The id of the instance in charge of a task. */
export async function jobIdOf(owner: string, task: string): Promise<string> {
  const { job } = await jobOf(owner, task);
  if (job === null) throw new Error(`no job runs the task ${task}`);
  return job;
}

/** The status of an instance, or "unknown" when there is none. */
export async function instanceStatus(job: string): Promise<InstanceStatus["status"]> {
  const instance = await env.JOBS.get(job).catch(() => undefined);
  return instance ? (await instance.status()).status : "unknown";
}

/** What a home still has to see to for its jobs. */
export function dueJobs(owner: string): Promise<string[]> {
  return runInDurableObject(homeOf(owner), (_, state) =>
    state.storage.sql
      .exec<{ key: string }>("SELECT key FROM due WHERE kind = 'job'")
      .toArray()
      .map((row) => row.key),
  );
}
