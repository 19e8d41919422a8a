// Retries of many dead letters, chunk by chunk: a message in the queue is a chunk, and the cron sees to jobs whose
// message was lost or whose holder died. store/retry-chunks says why a chunk may safely be repeated.
//
// Homes are asked side by side; the letters of one config go to its home in one call, in order.

import type { ListedLetter } from "../store/dead-letters.ts";
import { finishChunk, takeChunk } from "../store/retry-chunks.ts";
import { claimRetryJob, idleRetryJobs } from "../store/retry-jobs.ts";
import { log } from "../telemetry/log.ts";
import type { WorkDeps } from "./deps.ts";

const CHUNK = 100;
/** A holder that has not finished by then is taken for dead. */
const LEASE_MS = 60_000;
/** Jobs that one run of the cron moves on. */
const JOBS = 10;

/** Retries the next chunk of a job, if there is one and nobody else does, and asks for the one after. */
export async function driveRetryJob(deps: WorkDeps, id: string): Promise<void> {
  const now = deps.now();
  const job = await claimRetryJob(deps.db, id, { now, leaseUntil: now + LEASE_MS });
  if (!job) return;
  const chunk = await takeChunk(deps.db, job, { limit: CHUNK, now });
  const groups = Map.groupBy(chunk.letters, ({ home, task, config }) => JSON.stringify([home, task, config]));
  const results = await Promise.all(
    [...groups.values()].map((letters) => retryGroup(deps, letters, job.actor)),
  );
  const advanced = await finishChunk(deps.db, job, chunk, {
    gone: results.flatMap(({ gone }) => gone),
    failed: results.flatMap(({ failed }) => failed),
    now: deps.now(),
  });
  if (advanced && !chunk.isLast) await wakeJob(deps, id);
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

/** What their home has not taken back. */
type GroupResult = { gone: ListedLetter[]; failed: ListedLetter[] };

/** Retries the letters of one config, in the order of their events. */
async function retryGroup(
  { homeAt }: WorkDeps,
  letters: ListedLetter[],
  actor: string,
): Promise<GroupResult> {
  const [first] = letters;
  if (!first) return { gone: [], failed: [] };
  const asked = letters
    .map(({ task, config, seq, sequence }) => ({ task, config, seq, sequence }))
    .toSorted((a, b) => a.seq - b.seq);
  try {
    const answer = await homeAt(first.home).retryDead(asked, { owner: first.owner, actor });
    if (answer.ok) {
      const gone = new Set(answer.value.gone.map(({ seq }) => seq));
      return { gone: letters.filter(({ seq }) => gone.has(seq)), failed: [] };
    }
    log("warn", "a home refused to retry dead letters", { home: first.home, failure: answer.error });
  } catch (error) {
    log("warn", "a home could not be asked to retry dead letters", { home: first.home, error });
  }
  return { gone: [], failed: letters };
}
