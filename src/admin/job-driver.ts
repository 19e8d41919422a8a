// Retries of many dead letters, chunk by chunk: a message in the queue is a chunk, and the cron sees to jobs whose
// message was lost or whose holder died. store/retry-jobs says why a chunk may safely be repeated.
//
// Homes are asked side by side; the letters of one config go to its home in one call, in order.

import type { ListedLetter } from "../store/dead-letters.ts";
import { advanceRetryJob, claimRetryJob, idleRetryJobs, readChunk } from "../store/retry-jobs.ts";
import { log } from "../telemetry/log.ts";
import type { WorkDeps } from "./deps.ts";

const CHUNK = 100;
/** A holder that has not finished by then is taken for dead. */
const LEASE_MS = 60_000;
/** Jobs that one run of the cron moves on. */
const JOBS = 10;

/** Retries the next chunk of a job, if it runs and nobody else does, and asks for the one after. */
export async function driveRetryJob(deps: WorkDeps, id: string): Promise<void> {
  const now = deps.now();
  const job = await claimRetryJob(deps.db, id, { now, leaseUntil: now + LEASE_MS });
  if (!job) return;
  const { rows, next } = await readChunk(deps.db, job, CHUNK);
  const groups = Map.groupBy(rows, ({ home, task, config }) => JSON.stringify([home, task, config]));
  const results = await Promise.all(
    [...groups.values()].map((letters) => retryGroup(deps, letters, job.actor)),
  );
  const retried = results.flatMap(({ accepted }) => accepted);
  const advanced = await advanceRetryJob(deps.db, job, {
    retried,
    gone: results.reduce((sum, { gone }) => sum + gone, 0),
    failed: results.reduce((sum, { failed }) => sum + failed, 0),
    next,
    now: deps.now(),
  });
  if (advanced && next !== undefined) await wakeJob(deps, id);
}

/** Moves on jobs that nobody holds; called by the cron. */
export async function driveRetryJobs(deps: WorkDeps): Promise<void> {
  for (const id of await idleRetryJobs(deps.db, deps.now(), JOBS)) await driveRetryJob(deps, id);
}

/** Asks for the next chunk. If the queue cannot be reached the cron sees to it, a minute later. */
export async function wakeJob(deps: Pick<WorkDeps, "wakeJob">, id: string): Promise<void> {
  try {
    await deps.wakeJob({ kind: "retry-job", id });
  } catch (error) {
    log("warn", "a retry job could not be woken; it waits for the cron", { job: id, error });
  }
}

type GroupResult = { accepted: ListedLetter[]; gone: number; failed: number };

/** Retries the letters of one config, in the order of their events. */
async function retryGroup(
  { homeAt }: WorkDeps,
  letters: ListedLetter[],
  actor: string,
): Promise<GroupResult> {
  const [first] = letters;
  if (!first) return { accepted: [], gone: 0, failed: 0 };
  const asked = letters
    .map(({ task, config, seq, sequence }) => ({ task, config, seq, sequence }))
    .toSorted((a, b) => a.seq - b.seq);
  try {
    const answer = await homeAt(first.home).retryDead(asked, { owner: first.owner, actor });
    if (answer.ok) {
      const gone = new Set(answer.value.gone.map(({ seq }) => seq));
      return { accepted: letters.filter(({ seq }) => !gone.has(seq)), gone: gone.size, failed: 0 };
    }
    log("warn", "a home refused to retry dead letters", { home: first.home, failure: answer.error });
  } catch (error) {
    log("warn", "a home could not be asked to retry dead letters", { home: first.home, error });
  }
  return { accepted: [], gone: 0, failed: letters.length };
}
