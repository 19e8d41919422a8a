// What tests of durable turns look at behind the server's back: which Workflow instance runs a task, and how it is.
//
// All of it is asked inside the task's home, whose binding is the one that the server uses, so that a spy on it
// sees the server's calls.

import { runInDurableObject } from "cloudflare:test";
import type { JobParams } from "../../src/agents/job.ts";
import type { HomeObject } from "../../src/tasks/home.ts";
import { homeOf } from "./client.ts";

export type JobRow = { job: string | null; attempt: number; state: string };

/** Calls `use` with the Workflows binding of the owner's home. */
export function withJobs<T>(owner: string, use: (jobs: Workflow<JobParams>) => T | Promise<T>): Promise<T> {
  return runInDurableObject(homeOf(owner), (home: HomeObject) =>
    use((home as unknown as { env: Env }).env.JOBS as Workflow<JobParams>),
  );
}

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
export function instanceStatus(owner: string, job: string): Promise<InstanceStatus["status"]> {
  return withJobs(owner, async (jobs) => {
    try {
      return (await (await jobs.get(job)).status()).status;
    } catch {
      return "unknown";
    }
  });
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
