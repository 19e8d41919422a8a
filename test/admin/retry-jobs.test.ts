// Bulk retries: watched, paused, resumed and cancelled, and finished whatever dies on the way.

import { beforeEach, describe, expect, it, vi } from "vitest";
import type { WorkDeps } from "../../src/admin/deps.ts";
import { driveRetryJob, driveRetryJobs } from "../../src/admin/job-driver.ts";
import { err, ok } from "../../src/lib/result.ts";
import { failure } from "../../src/protocol/errors.ts";
import { findDeadLetter, saveDeadLetters } from "../../src/store/dead-letters.ts";
import { findRetryJob } from "../../src/store/retry-jobs.ts";
import { deadLetter } from "../store/rows.ts";
import { createOperator, type OperatorOptions, startAfresh } from "./operator.ts";

const { db } = createOperator().deps;
const LEASE_MS = 60_000;

beforeEach(async () => {
  await startAfresh();
  vi.spyOn(console, "warn").mockImplementation(() => {});
});

const letters = (count: number, more: (i: number) => Parameters<typeof deadLetter>[0] = () => ({})) =>
  Array.from({ length: count }, (_, i) =>
    deadLetter({ id: `msg_${i}`, seq: i, diedAt: 1_000 + i, ...more(i) }),
  );

type Job = { id: string; state: string; retried: number; gone: number; failed: number; filter: object };

/** An operator whose queue is a list, and what works it off. */
function setUp(options: OperatorOptions = {}) {
  const operator = createOperator(options);
  const work = async (deps: WorkDeps = operator.deps) => {
    for (let message = operator.woken.shift(); message; message = operator.woken.shift()) {
      await driveRetryJob(deps, message.id);
    }
  };
  const start = (filter: object = {}) => operator.result<Job>("POST", "/retry-jobs", filter);
  const look = (id: string) => operator.result<Job>("GET", `/retry-jobs/${id}`);
  const retried = () =>
    Object.values(operator.homes)
      .flat()
      .flatMap(([, asked]) => (asked as { seq: number }[]).map(({ seq }) => seq));
  return { ...operator, work, start, look, retried };
}

describe("a retry job", () => {
  it("is made at once and retries what the filter selects, chunk by chunk, the oldest first", async () => {
    await saveDeadLetters(
      db,
      letters(250, (i) => ({ owner: i % 5 === 0 ? "another" : "open::owner" })),
    );
    const { start, work, look, retried, woken } = setUp();
    const job = await start({ owner: "open::owner", from: "1970-01-01T00:00:01.010Z" });
    expect(job).toMatchObject({
      ...{ state: "running", retried: 0, gone: 0, failed: 0, handledUpTo: null },
      filter: { owner: "open::owner", from: "1970-01-01T00:00:01.010Z" },
    });
    expect(woken).toEqual([{ kind: "retry-job", id: job.id }]);
    await work();
    expect(await look(job.id)).toMatchObject({ state: "done", retried: 192, gone: 0, failed: 0 });
    const selected = Array.from({ length: 250 }, (_, i) => i).filter((i) => i >= 10 && i % 5 !== 0);
    expect(retried()).toEqual(selected);
    expect((await findDeadLetter(db, "msg_11"))?.state).toBe("retrying");
    expect((await findDeadLetter(db, "msg_10"))?.state).toBe("dead");
  });

  it("asks each home once a chunk and config, with the letters in the order of their events", async () => {
    await saveDeadLetters(
      db,
      letters(12, (i) => ({ home: `home-${i % 2}`, config: `config-${i % 3}`, seq: 100 - i })),
    );
    const { start, work, homes } = setUp();
    await start();
    await work();
    const calls = Object.values(homes).flat() as ["retryDead", { config: string; seq: number }[]][];
    expect(calls).toHaveLength(6);
    for (const [, asked] of calls) {
      expect(new Set(asked.map(({ config }) => config)).size).toBe(1);
      expect(asked.map(({ seq }) => seq)).toEqual(asked.map(({ seq }) => seq).toSorted((a, b) => a - b));
    }
  });

  it("with nothing to do is done at once", async () => {
    const { start, work, look } = setUp();
    const { id } = await start();
    await work();
    expect(await look(id)).toMatchObject({ state: "done", retried: 0 });
  });

  it("counts what is gone and what cannot be asked, and goes on", async () => {
    await saveDeadLetters(
      db,
      letters(40, (i) => ({ config: `config-${i % 4}` })),
    );
    const { start, work, look } = setUp({
      home: {
        retryDead: async (asked) => {
          switch (asked[0]?.config) {
            case "config-1":
              return ok({ accepted: 0, gone: asked });
            case "config-2":
              return err(failure("UNAVAILABLE"));
            case "config-3":
              throw new Error("cut off");
            default:
              return ok({ accepted: asked.length, gone: [] });
          }
        },
      },
    });
    const { id } = await start();
    await work();
    expect(await look(id)).toMatchObject({ state: "done", retried: 10, gone: 10, failed: 20 });
    const states = await Promise.all(
      [0, 1, 2, 3].map(async (i) => (await findDeadLetter(db, `msg_${i}`))?.state),
    );
    expect(states).toEqual(["retrying", "dead", "dead", "dead"]);
  });

  it("tells those of one config that are gone from the others", async () => {
    await saveDeadLetters(db, letters(10));
    const { start, work, look } = setUp({
      home: {
        retryDead: async (asked) => {
          const gone = asked.filter(({ seq }) => seq % 2 === 1);
          return ok({ accepted: asked.length - gone.length, gone });
        },
      },
    });
    const { id } = await start();
    await work();
    expect(await look(id)).toMatchObject({ state: "done", retried: 5, gone: 5 });
    expect((await findDeadLetter(db, "msg_4"))?.state).toBe("retrying");
    expect((await findDeadLetter(db, "msg_5"))?.state).toBe("dead");
  });

  it("does not retry again what dies again while it runs", async () => {
    await saveDeadLetters(db, letters(150));
    let died = Date.now();
    const { start, work, look, retried } = setUp({
      home: {
        retryDead: async (asked) => {
          died += 1_000;
          await saveDeadLetters(
            db,
            asked.map(({ seq }) => deadLetter({ id: `msg_${seq}`, seq, diedAt: died })),
          );
          return ok({ accepted: asked.length, gone: [] });
        },
      },
    });
    const { id } = await start();
    await work();
    expect(await look(id)).toMatchObject({ state: "done", retried: 150 });
    expect(retried()).toHaveLength(150);
    expect((await findDeadLetter(db, "msg_7"))?.state).toBe("dead");
  });

  it("does not send what was discarded, and nothing can be discarded while a home is asked", async () => {
    await saveDeadLetters(db, letters(3));
    const { start, work, look, result, refusal, retried } = setUp({
      home: {
        retryDead: async (asked) => {
          expect(await refusal("POST", "/dead-letters/msg_1:discard")).toMatchObject({
            status: 400,
            message: expect.stringContaining("retrying"),
          });
          return ok({ accepted: asked.length, gone: [] });
        },
      },
    });
    const { id } = await start();
    await result("POST", "/dead-letters/msg_0:discard");
    await work();
    expect(await look(id)).toMatchObject({
      state: "done",
      retried: 2,
      handledUpTo: "1970-01-01T00:00:01.002Z",
    });
    expect(retried()).toEqual([1, 2]);
    expect((await findDeadLetter(db, "msg_0"))?.state).toBe("discarded");
  });

  it("is paused between chunks, goes on where it was, and is cancelled for good", async () => {
    await saveDeadLetters(db, letters(350));
    const { start, look, result, refusal, woken, work, deps } = setUp();
    const { id } = await start();
    await driveRetryJob(deps, woken.shift()?.id ?? "");
    expect(await result("POST", `/retry-jobs/${id}:pause`)).toMatchObject({ state: "paused", retried: 100 });
    expect(await result("POST", `/retry-jobs/${id}:pause`)).toMatchObject({ state: "paused" });
    await work();
    await driveRetryJobs(deps);
    expect(await look(id)).toMatchObject({ state: "paused", retried: 100 });
    expect(await result("POST", `/retry-jobs/${id}:resume`)).toMatchObject({ state: "running" });
    await driveRetryJob(deps, woken.shift()?.id ?? "");
    expect(await result("POST", `/retry-jobs/${id}:cancel`)).toMatchObject({
      state: "cancelled",
      retried: 200,
    });
    await work();
    await driveRetryJobs(deps);
    expect(await look(id)).toMatchObject({ state: "cancelled", retried: 200 });
    expect(await refusal("POST", `/retry-jobs/${id}:resume`)).toMatchObject({
      status: 400,
      message: expect.stringContaining("cancelled"),
    });
    expect((await refusal("POST", `/retry-jobs/${id}:pause`)).status).toBe(400);
    expect((await refusal("POST", "/retry-jobs/none:cancel")).status).toBe(404);
    expect((await refusal("GET", "/retry-jobs/none")).status).toBe(404);
  });

  it("is paused while a chunk is under way, and the chunk counts", async () => {
    await saveDeadLetters(db, letters(150));
    let id = "";
    const { start, work, look, result } = setUp({
      home: {
        retryDead: async (asked) => {
          await result("POST", `/retry-jobs/${id}:pause`);
          return ok({ accepted: asked.length, gone: [] });
        },
      },
    });
    ({ id } = await start());
    await work();
    expect(await look(id)).toMatchObject({ state: "paused", retried: 100 });
  });

  it("is listed, the newest first", async () => {
    const times = [1_000, 2_000, 3_000];
    const { start, result } = setUp({ now: () => times.shift() ?? 4_000 });
    const ids = [(await start()).id, (await start({ status: 500 })).id, (await start()).id];
    const first = await result<{ retryJobs: Job[]; nextPageToken: string }>("GET", "/retry-jobs?pageSize=2");
    expect(first.retryJobs.map(({ id }) => id)).toEqual(ids.toReversed().slice(0, 2));
    expect(first.retryJobs[1]).toMatchObject({ filter: { status: 500 } });
    const second = await result<typeof first>(
      "GET",
      `/retry-jobs?pageSize=2&pageToken=${first.nextPageToken}`,
    );
    expect(second.retryJobs.map(({ id }) => id)).toEqual(ids.slice(0, 1));
  });

  it("refuses a filter that it does not know", async () => {
    const { refusal, woken } = setUp();
    expect((await refusal("POST", "/retry-jobs", { state: "dead" })).fields).toEqual(["state"]);
    expect((await refusal("POST", "/retry-jobs", { config: "c" })).fields).toEqual(["config"]);
    expect((await refusal("POST", "/retry-jobs", { status: "5xx" })).fields).toEqual(["status"]);
    expect(woken).toEqual([]);
  });
});

describe("a retry job that is interrupted", () => {
  it("goes on by the cron when its message is lost", async () => {
    await saveDeadLetters(db, letters(120));
    const { start, look, woken, deps } = setUp({ wakeJob: () => Promise.reject(new Error("no queue")) });
    const { id } = await start();
    expect(woken).toEqual([]);
    await driveRetryJobs(deps);
    expect(await look(id)).toMatchObject({ state: "running", retried: 100 });
    await driveRetryJobs(deps);
    expect(await look(id)).toMatchObject({ state: "done", retried: 120 });
  });

  it.each([
    ["before its letters were marked", "read"],
    ["before its homes were asked", "mark"],
    ["after its homes were asked", "finish"],
  ])("repeats one chunk at most when it died %s", async (_, when) => {
    await saveDeadLetters(db, letters(150));
    let now = 10_000;
    const { start, look, work, deps, retried } = setUp({ now: () => now });
    const { id } = await start();
    // The claim is the first statement. The chunk is read in the first batch, marked in the second and finished in the
    // third; the answer of the second is lost.
    let batches = 0;
    const dying = {
      prepare: (sql: string) => db.prepare(sql),
      batch: async (statements: D1PreparedStatement[]) => {
        batches += 1;
        const isLast = batches === ["read", "mark", "finish"].indexOf(when) + 1;
        const results = isLast && when !== "mark" ? [] : await db.batch(statements);
        if (isLast) throw new Error("killed");
        return results;
      },
    } as unknown as D1Database;
    await expect(work({ ...deps, db: dying })).rejects.toThrow("killed");
    expect(await look(id)).toMatchObject({ state: "running", retried: 0 });
    // Nobody else takes it before the lease has run out.
    await driveRetryJobs(deps);
    expect(await look(id)).toMatchObject({ retried: 0 });
    now += LEASE_MS;
    await driveRetryJobs(deps);
    await work();
    expect(await look(id)).toMatchObject({ state: "done", retried: 150, gone: 0, failed: 0 });
    expect(retried()).toHaveLength(when === "finish" ? 250 : 150);
    expect(new Set(retried()).size).toBe(150);
  });

  it("is not done twice by two messages", async () => {
    await saveDeadLetters(db, letters(90));
    const { start, look, deps, retried } = setUp();
    const { id } = await start();
    await Promise.all([1, 2, 3].map(() => driveRetryJob(deps, id)));
    expect(retried()).toHaveLength(90);
    expect(await look(id)).toMatchObject({ state: "done", retried: 90 });
    expect((await findRetryJob(db, id))?.step).toBe(1);
  });

  it("is nothing to a message about a job that is not there", async () => {
    const { deps } = setUp();
    await driveRetryJob(deps, "none");
  });
});
