// Retries of many dead letters as jobs to be watched, paused, resumed and cancelled. job-driver does the work.

import { uuidv7 } from "../lib/ids.ts";
import { A2AError } from "../protocol/errors.ts";
import {
  changeRetryJob,
  createRetryJob,
  findRetryJob,
  listRetryJobs,
  type RetryJob as RetryJobRow,
  type RetryJobState,
} from "../store/retry-jobs.ts";
import { checkConfig, letterFields } from "./dead-letters.ts";
import { type AdminDeps, notFound } from "./deps.ts";
import { RetryJob, RetryJobList } from "./history-answers.ts";
import { wakeJob } from "./job-driver.ts";
import { pageFields, readPage } from "./pages.ts";
import { type AnyRoute, route } from "./routes.ts";
import { toTime } from "./schemas.ts";

const ONE = "/admin/v1/retry-jobs/{id}";

export const retryJobRoutes: readonly AnyRoute[] = [
  route({
    verb: "POST",
    path: "/admin/v1/retry-jobs",
    summary: "Retry all dead letters that a filter selects",
    description:
      "An empty filter selects all. Letters that die after the job was made, or again, are not its business. " +
      "The job goes on by itself, also after a crash; watch it by its id.",
    fields: letterFields,
    status: 202,
    answer: RetryJob,
    async handle(deps, { values, operator: { actor } }) {
      checkConfig(values);
      const now = deps.now();
      const job = await createRetryJob(deps.db, { id: uuidv7(now), filter: values, actor, now });
      await wakeJob(deps, job.id);
      return toJob(job);
    },
  }),
  route({
    verb: "GET",
    path: "/admin/v1/retry-jobs",
    summary: "List retry jobs, newest first",
    fields: pageFields,
    answer: RetryJobList,
    async handle({ db }, { values }) {
      const { rows, nextPageToken } = await readPage(
        { list: "retry-jobs", place: ["string"], values },
        (_, page) => listRetryJobs(db, page),
      );
      return { retryJobs: rows.map(toJob), nextPageToken };
    },
  }),
  route({
    verb: "GET",
    path: ONE,
    summary: "See how far a retry job has come",
    fields: {},
    answer: RetryJob,
    handle: async (deps, { path }) => toJob(await find(deps, path)),
  }),
  route({
    verb: "POST",
    path: `${ONE}:pause`,
    summary: "Pause a retry job after the chunk that it is at",
    fields: {},
    answer: RetryJob,
    handle: (deps, { path }) => change(deps, path, ["running"], "paused"),
  }),
  route({
    verb: "POST",
    path: `${ONE}:resume`,
    summary: "Let a paused retry job go on",
    fields: {},
    answer: RetryJob,
    async handle(deps, { path }) {
      const job = await change(deps, path, ["paused"], "running");
      await wakeJob(deps, job.id);
      return job;
    },
  }),
  route({
    verb: "POST",
    path: `${ONE}:cancel`,
    summary: "End a retry job for good; what it has retried stays retried",
    fields: {},
    answer: RetryJob,
    handle: (deps, { path }) => change(deps, path, ["running", "paused"], "cancelled"),
  }),
];

async function find({ db }: AdminDeps, { id = "" }: Readonly<Record<string, string>>): Promise<RetryJobRow> {
  const job = await findRetryJob(db, id);
  if (!job) throw notFound("retry job");
  return job;
}

/** A job that is in the state already is left alone, and that is a success. */
async function change(
  deps: AdminDeps,
  path: Readonly<Record<string, string>>,
  from: readonly RetryJobState[],
  to: RetryJobState,
): Promise<RetryJob> {
  const { id } = await find(deps, path);
  const changed = await changeRetryJob(deps.db, id, { from, to, now: deps.now() });
  const job = changed ?? (await find(deps, path));
  if (job.state === to) return toJob(job);
  const { state } = job;
  throw new A2AError("UNSUPPORTED_OPERATION", {
    message: `This is not possible: the job is ${state}.`,
    metadata: { state },
  });
}

function toJob(job: RetryJobRow): RetryJob {
  const { id, state, filter, cursorAt, cursorId, retried, gone, failed } = job;
  const { from, to, ...rest } = filter;
  return {
    ...{ id, state },
    filter: {
      ...rest,
      ...(from !== undefined && { from: toTime(from) }),
      ...(to !== undefined && { to: toTime(to) }),
    } as RetryJob["filter"],
    handledUpTo: cursorId === "" ? null : toTime(cursorAt),
    ...{ retried, gone, failed },
    createdAt: toTime(job.createdAt),
    updatedAt: toTime(job.updatedAt),
  };
}
