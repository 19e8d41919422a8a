// How long the history is kept: told, and kept to.

import { beforeEach, describe, expect, it } from "vitest";
import { trimHistory } from "../../src/admin/retention.ts";
import { saveAttempts } from "../../src/store/attempts.ts";
import { markDeadLetters, saveDeadLetters } from "../../src/store/dead-letters.ts";
import { changeRetryJob, createRetryJob } from "../../src/store/retry-jobs.ts";
import { attemptRows, deadLetter } from "../store/rows.ts";
import { createOperator, startAfresh } from "./operator.ts";

const DAY = 86_400_000;
const NOW = 100 * DAY;
const operator = createOperator({ now: () => NOW });
const { db } = operator.deps;

beforeEach(startAfresh);

/** One attempt, letter and job of each age in days. */
async function fill(...ages: number[]): Promise<void> {
  await saveAttempts(
    db,
    attemptRows(ages.length, (i) => ({ n: Date.now() + i, startedAt: NOW - (ages[i] ?? 0) * DAY })),
  );
  await saveDeadLetters(
    db,
    ages.map((age) => deadLetter({ id: `msg_${age}`, diedAt: NOW - age * DAY })),
  );
  for (const age of ages) {
    const now = NOW - age * DAY;
    await createRetryJob(db, { id: `job_${age}`, filter: {}, actor: "operator::a", now });
    await changeRetryJob(db, `job_${age}`, { from: ["running"], to: "done", now });
  }
}

describe("GET /admin/v1/retention", () => {
  it("tells the setting and what is stored", async () => {
    await fill(1, 2, 40);
    const letter = { id: "msg_1", diedAt: NOW - DAY };
    await markDeadLetters(db, [letter], { from: ["dead"], to: "discarded", now: NOW });
    expect(await operator.result("GET", "/retention")).toEqual({
      days: 30,
      keptSince: new Date(70 * DAY).toISOString(),
      attempts: {
        count: 3,
        oldestAt: new Date(60 * DAY).toISOString(),
        newestAt: new Date(99 * DAY).toISOString(),
      },
      deadLetters: {
        ...{ dead: 2, retrying: 0, delivered: 0, discarded: 1 },
        oldestAt: new Date(60 * DAY).toISOString(),
      },
    });
  });

  it("tells it when nothing is", async () => {
    const none = { count: 0, oldestAt: null, newestAt: null };
    expect(await operator.result("GET", "/retention")).toMatchObject({ attempts: none });
  });
});

describe("trimming", () => {
  it("deletes what is older than it is kept, and nothing else", async () => {
    await fill(1, 29, 31, 90);
    expect(await operator.result("POST", "/retention:trim")).toEqual({
      ...{ attempts: 2, sums: 4, deadLetters: 2, retryJobs: 2, more: false },
    });
    expect(await operator.result("GET", "/retention")).toMatchObject({
      attempts: { count: 2 },
      deadLetters: { dead: 2 },
    });
    expect(await operator.result("GET", "/retry-jobs")).toMatchObject({ retryJobs: [{}, {}] });
    expect(await trimHistory(operator.deps)).toMatchObject({ attempts: 0, more: false });
  });

  it("goes on in chunks, and says when there is more", async () => {
    await saveAttempts(
      db,
      attemptRows(10_500, (i) => ({ n: i, startedAt: DAY })),
    );
    expect(await trimHistory(operator.deps, 1)).toMatchObject({ attempts: 5_000, more: true });
    expect(await trimHistory(operator.deps)).toMatchObject({ attempts: 5_500, more: false });
  });
});
