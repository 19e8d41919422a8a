// Bulk retries as rows: one holder a chunk, one transaction a step, and nothing that dies again is retried again.

import { env } from "cloudflare:test";
import { beforeEach, describe, expect, it } from "vitest";
import { findDeadLetter, saveDeadLetters } from "../../src/store/dead-letters.ts";
import {
  advanceRetryJob,
  changeRetryJob,
  claimRetryJob,
  createRetryJob,
  findRetryJob,
  idleRetryJobs,
  listRetryJobs,
  type RetryFilter,
  type RetryJob,
  readChunk,
  trimRetryJobs,
} from "../../src/store/retry-jobs.ts";
import { deadLetter } from "./rows.ts";

const db = env.DB;
const NOW = 10_000;
const LEASE = { now: NOW, leaseUntil: NOW + 60_000 };

beforeEach(async () => {
  await db.batch(["dead_letters", "retry_jobs"].map((table) => db.prepare(`DELETE FROM ${table}`)));
});

async function claimed(filter: RetryFilter = {}): Promise<RetryJob> {
  await createRetryJob(db, { id: "job", filter, actor: "operator::a", now: NOW });
  return claim();
}

async function claim(now = NOW): Promise<RetryJob> {
  const job = await claimRetryJob(db, "job", { now, leaseUntil: now + 60_000 });
  if (!job) throw new Error("the job could not be claimed");
  return job;
}

const nothing = { retried: [], gone: 0, failed: 0, next: undefined, now: NOW };

describe("a retry job", () => {
  it("begins running, with its filter and nothing done", async () => {
    const job = await createRetryJob(db, {
      id: "job",
      filter: { owner: "o", status: 500 },
      actor: "operator::a",
      now: NOW,
    });
    expect(job).toEqual({
      ...{
        id: "job",
        state: "running",
        actor: "operator::a",
        filter: { owner: "o", status: 500 },
        cursorAt: 0,
        cursorId: "",
      },
      ...{ retried: 0, gone: 0, failed: 0, step: 0, createdAt: NOW, updatedAt: NOW },
    });
    expect(await findRetryJob(db, "job")).toEqual(job);
    expect(await findRetryJob(db, "none")).toBeUndefined();
  });

  it("is claimed by one at a time, and by another when the lease has run out", async () => {
    await claimed();
    expect(await claimRetryJob(db, "job", LEASE)).toBeUndefined();
    expect(await idleRetryJobs(db, NOW, 10)).toEqual([]);
    expect(await idleRetryJobs(db, NOW + 60_000, 10)).toEqual(["job"]);
    expect((await claim(NOW + 60_000)).step).toBe(2);
  });

  it("is not claimed while it is paused, nor when it has ended", async () => {
    await createRetryJob(db, { id: "job", filter: {}, actor: "operator::a", now: NOW });
    for (const to of ["paused", "cancelled", "done"] as const) {
      await changeRetryJob(db, "job", { from: ["running", "paused", "cancelled"], to, now: NOW });
      expect(await claimRetryJob(db, "job", LEASE)).toBeUndefined();
      expect(await idleRetryJobs(db, NOW, 10)).toEqual([]);
    }
  });

  it("changes its state only from the states that are named", async () => {
    await createRetryJob(db, { id: "job", filter: {}, actor: "operator::a", now: NOW });
    const change = (from: RetryJob["state"][], to: RetryJob["state"]) =>
      changeRetryJob(db, "job", { from, to, now: NOW + 1 });
    expect(await change(["paused"], "running")).toBeUndefined();
    expect(await change(["running"], "paused")).toMatchObject({ state: "paused", updatedAt: NOW + 1 });
    expect(await changeRetryJob(db, "none", { from: ["running"], to: "paused", now: NOW })).toBeUndefined();
  });

  it("moves on in one transaction with its letters", async () => {
    await saveDeadLetters(
      db,
      ["a", "b", "c"].map((id, i) => deadLetter({ id, diedAt: 10 + i })),
    );
    const job = await claimed();
    const { rows, next } = await readChunk(db, job, 2);
    expect(rows.map(({ id }) => id)).toEqual(["a", "b"]);
    const progress = { retried: rows.slice(0, 1), gone: 1, failed: 0, next, now: NOW + 5 };
    expect(await advanceRetryJob(db, job, progress)).toBe(true);
    expect(await findRetryJob(db, "job")).toMatchObject({
      ...{ state: "running", cursorAt: 11, cursorId: "b", retried: 1, gone: 1, updatedAt: NOW + 5 },
    });
    expect((await findDeadLetter(db, "a"))?.state).toBe("retrying");
    expect((await findDeadLetter(db, "b"))?.state).toBe("dead");
    const second = await claim();
    const last = await readChunk(db, second, 2);
    expect(last.rows.map(({ id }) => id)).toEqual(["c"]);
    expect(last.next).toBeUndefined();
    await advanceRetryJob(db, second, { ...nothing, retried: last.rows });
    expect(await findRetryJob(db, "job")).toMatchObject({ state: "done", retried: 2, gone: 1 });
  });

  it("is not moved on by a holder whose lease was taken over, though its letters are marked", async () => {
    await saveDeadLetters(db, [deadLetter({ id: "a", diedAt: 10 })]);
    const slow = await claimed();
    const { rows } = await readChunk(db, slow, 2);
    const quick = await claim(NOW + 60_000);
    expect(await advanceRetryJob(db, slow, { ...nothing, retried: rows })).toBe(false);
    expect((await findDeadLetter(db, "a"))?.state).toBe("retrying");
    expect(await findRetryJob(db, "job")).toMatchObject({ state: "running", retried: 0 });
    expect(await advanceRetryJob(db, quick, nothing)).toBe(true);
  });

  it("stays cancelled when its last chunk ends, and keeps the count", async () => {
    const job = await claimed();
    await changeRetryJob(db, "job", { from: ["running"], to: "cancelled", now: NOW });
    await advanceRetryJob(db, job, { ...nothing, gone: 3 });
    expect(await findRetryJob(db, "job")).toMatchObject({ state: "cancelled", gone: 3 });
  });

  it("is done when it was paused during its last chunk: there is nothing left to pause", async () => {
    const job = await claimed();
    await changeRetryJob(db, "job", { from: ["running"], to: "paused", now: NOW });
    await advanceRetryJob(db, job, nothing);
    expect((await findRetryJob(db, "job"))?.state).toBe("done");
  });
});

describe("a chunk", () => {
  it("holds dead letters that fit, the oldest first, and none that died after the job was made", async () => {
    await saveDeadLetters(db, [
      deadLetter({ id: "young", diedAt: 9_000 }),
      deadLetter({ id: "old", diedAt: 1_000 }),
      deadLetter({ id: "later", diedAt: NOW }),
      deadLetter({ id: "foreign", diedAt: 2_000, owner: "another" }),
      deadLetter({ id: "early", diedAt: 500 }),
    ]);
    const job = await claimed({ owner: "open::owner", from: 1_000, to: NOW + 99 });
    const { rows, next } = await readChunk(db, job, 10);
    expect(rows.map(({ id }) => id)).toEqual(["old", "young"]);
    expect(next).toBeUndefined();
  });
});

describe("the list of jobs", () => {
  it("is newest first, in pages", async () => {
    for (const id of ["1", "2", "3"])
      await createRetryJob(db, { id, filter: {}, actor: "operator::a", now: NOW });
    const first = await listRetryJobs(db, { limit: 2 });
    expect(first.rows.map(({ id }) => id)).toEqual(["3", "2"]);
    const second = await listRetryJobs(db, { limit: 2, after: first.next });
    expect(second.rows.map(({ id }) => id)).toEqual(["1"]);
    expect(second.next).toBeUndefined();
  });

  it("loses jobs that have ended long ago", async () => {
    for (const id of ["running", "paused", "done", "fresh"]) {
      await createRetryJob(db, { id, filter: {}, actor: "operator::a", now: id === "fresh" ? 50 : 10 });
    }
    await changeRetryJob(db, "paused", { from: ["running"], to: "paused", now: 10 });
    await changeRetryJob(db, "done", { from: ["running"], to: "done", now: 10 });
    await changeRetryJob(db, "fresh", { from: ["running"], to: "cancelled", now: 50 });
    expect(await trimRetryJobs(db, 40, 10)).toBe(1);
    expect((await listRetryJobs(db, { limit: 9 })).rows.map(({ id }) => id)).toEqual([
      "running",
      "paused",
      "fresh",
    ]);
  });
});
