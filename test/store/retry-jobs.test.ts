// Bulk retries as rows: one holder a chunk, one transaction a step, and nothing that dies again is retried again.

import { env } from "cloudflare:test";
import { beforeEach, describe, expect, it } from "vitest";
import { findDeadLetter, markDeadLetters, saveDeadLetters } from "../../src/store/dead-letters.ts";
import { finishChunk, takeChunk } from "../../src/store/retry-chunks.ts";
import {
  type ClaimedJob,
  changeRetryJob,
  claimRetryJob,
  createRetryJob,
  findRetryJob,
  idleRetryJobs,
  listRetryJobs,
  type RetryFilter,
  type RetryJob,
  trimRetryJobs,
} from "../../src/store/retry-jobs.ts";
import { deadLetter } from "./rows.ts";

const db = env.DB;
const NOW = 10_000;
const LEASE = { now: NOW, leaseUntil: NOW + 60_000 };

beforeEach(async () => {
  await db.batch(["dead_letters", "retry_jobs"].map((table) => db.prepare(`DELETE FROM ${table}`)));
});

async function claimed(filter: RetryFilter = {}): Promise<ClaimedJob> {
  await createRetryJob(db, { id: "job", filter, actor: "operator::a", now: NOW });
  return claim();
}

async function claim(now = NOW): Promise<ClaimedJob> {
  const job = await claimRetryJob(db, "job", { now, leaseUntil: now + 60_000 });
  if (!job) throw new Error("the job could not be claimed");
  return job;
}

const LIMIT = { limit: 2, now: NOW + 1 };
const taken = { gone: [], failed: [], now: NOW + 5 };
const stateOf = async (id: string) => (await findDeadLetter(db, id))?.state;

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
      ["a", "b", "c", "d"].map((id, i) => deadLetter({ id, diedAt: 10 + i })),
    );
    const job = await claimed();
    const chunk = await takeChunk(db, job, { ...LIMIT, limit: 3 });
    const [a, b, c] = chunk.letters;
    if (!a || !b || !c) throw new Error("the chunk is too small");
    expect([a, b, c].map(({ id, state }) => [id, state])).toEqual([
      ...[
        ["a", "retrying"],
        ["b", "retrying"],
        ["c", "retrying"],
      ],
    ]);
    expect(await finishChunk(db, job, chunk, { gone: [b], failed: [c], now: NOW + 5 })).toBe(true);
    expect(await findRetryJob(db, "job")).toMatchObject({
      ...{
        state: "running",
        cursorAt: 12,
        cursorId: "c",
        retried: 1,
        gone: 1,
        failed: 1,
        updatedAt: NOW + 5,
      },
    });
    expect(await Promise.all(["a", "b", "c", "d"].map(stateOf))).toEqual([
      "retrying",
      "dead",
      "dead",
      "dead",
    ]);
    const second = await claim();
    const last = await takeChunk(db, second, LIMIT);
    expect(last).toMatchObject({ letters: [{ id: "d" }], size: 1, isLast: true });
    await finishChunk(db, second, last, taken);
    expect(await findRetryJob(db, "job")).toMatchObject({
      ...{ state: "done", cursorAt: 13, cursorId: "d", retried: 2, gone: 1, failed: 1 },
    });
  });

  it("is not moved on by a holder whose lease was taken over, nor are its letters dead again", async () => {
    await saveDeadLetters(db, [deadLetter({ id: "a", diedAt: 10 })]);
    const slow = await claimed();
    const chunk = await takeChunk(db, slow, LIMIT);
    const quick = await claim(NOW + 60_000);
    const failed = { ...taken, failed: chunk.letters };
    expect(await finishChunk(db, slow, chunk, failed)).toBe(false);
    expect(await stateOf("a")).toBe("retrying");
    expect(await findRetryJob(db, "job")).toMatchObject({ state: "running", failed: 0 });
    expect((await takeChunk(db, quick, LIMIT)).letters).toEqual(chunk.letters);
    expect(await finishChunk(db, quick, chunk, taken)).toBe(true);
  });

  it("marks nothing for a holder whose lease was taken over before its chunk began", async () => {
    await saveDeadLetters(db, [deadLetter({ id: "a", diedAt: 10 })]);
    const slow = await claimed();
    await claim(NOW + 60_000);
    expect((await takeChunk(db, slow, LIMIT)).letters).toEqual([]);
    expect(await stateOf("a")).toBe("dead");
  });

  it("stays cancelled when its last chunk ends, and keeps the count", async () => {
    await saveDeadLetters(db, [deadLetter({ id: "a", diedAt: 10 })]);
    const job = await claimed();
    const chunk = await takeChunk(db, job, LIMIT);
    await changeRetryJob(db, "job", { from: ["running"], to: "cancelled", now: NOW });
    await finishChunk(db, job, chunk, { ...taken, gone: chunk.letters });
    expect(await findRetryJob(db, "job")).toMatchObject({ state: "cancelled", gone: 1 });
  });

  it("is done when it was paused during its last chunk: there is nothing left to pause", async () => {
    const job = await claimed();
    await changeRetryJob(db, "job", { from: ["running"], to: "paused", now: NOW });
    await finishChunk(db, job, await takeChunk(db, job, LIMIT), taken);
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
    const { letters, isLast } = await takeChunk(db, job, { ...LIMIT, limit: 10 });
    expect(letters.map(({ id }) => id)).toEqual(["old", "young"]);
    expect(isLast).toBe(true);
  });

  it("is taken over as it was begun, but for letters of which more has become", async () => {
    await saveDeadLetters(
      db,
      ["a", "b", "c", "d"].map((id, i) => deadLetter({ id, diedAt: 10 + i })),
    );
    const begun = await takeChunk(db, await claimed(), { ...LIMIT, limit: 3 });
    await markDeadLetters(db, begun.letters.slice(0, 1), { from: ["retrying"], to: "delivered", now: NOW });
    await saveDeadLetters(db, [deadLetter({ id: "b", diedAt: NOW + 2 })]);
    const heir = await claim(NOW + 60_000);
    const chunk = await takeChunk(db, heir, LIMIT);
    expect(chunk).toEqual({ ...begun, letters: begun.letters.slice(2) });
    await finishChunk(db, heir, chunk, taken);
    expect(await findRetryJob(db, "job")).toMatchObject({ state: "running", cursorId: "c", retried: 3 });
    expect(await stateOf("b")).toBe("dead");
  });

  it.each(["paused", "cancelled"] as const)(
    "that a dead holder has left is finished in a job that was %s",
    async (to) => {
      await saveDeadLetters(
        db,
        ["a", "b", "c"].map((id, i) => deadLetter({ id, diedAt: 10 + i })),
      );
      await takeChunk(db, await claimed(), LIMIT);
      await changeRetryJob(db, "job", { from: ["running"], to, now: NOW });
      expect(await idleRetryJobs(db, NOW + 60_000, 10)).toEqual(["job"]);
      const heir = await claim(NOW + 60_000);
      await finishChunk(db, heir, await takeChunk(db, heir, LIMIT), taken);
      expect(await findRetryJob(db, "job")).toMatchObject({ state: to, retried: 2 });
      expect(await idleRetryJobs(db, NOW + 60_000, 10)).toEqual([]);
      expect(await stateOf("c")).toBe("dead");
    },
  );
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
