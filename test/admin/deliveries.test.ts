// The history as operators search it.

import { beforeEach, describe, expect, it } from "vitest";
import { saveAttempts } from "../../src/store/attempts.ts";
import { saveDeadLetters } from "../../src/store/dead-letters.ts";
import { WALK } from "../../src/store/keyset.ts";
import { attemptRow, attemptRows, deadLetter } from "../store/rows.ts";
import { createOperator, startAfresh } from "./operator.ts";

const operator = createOperator();
const { db } = operator.deps;

type Deliveries = { deliveries: Record<string, unknown>[]; nextPageToken: string };
const search = (query: string) => operator.result<Deliveries>("GET", `/deliveries${query}`);

beforeEach(startAfresh);

describe("GET /admin/v1/deliveries", () => {
  it("tells all of an attempt but what was answered", async () => {
    await saveAttempts(db, [
      attemptRow({ outcome: "retry", status: null, error: "timeout", response: "secret", attempt: 2 }),
    ]);
    expect((await search("")).deliveries).toEqual([
      {
        notification: "msg_1",
        sequence: 1,
        attempt: 2,
        outcome: "retry",
        status: null,
        error: "timeout",
        durationMs: 12,
        committedAt: "1970-01-01T00:00:00.900Z",
        plannedAt: "1970-01-01T00:00:00.950Z",
        startedAt: "1970-01-01T00:00:01.000Z",
        home: "home",
        owner: "open::owner",
        agent: "echo",
        task: "0-task",
        config: "config",
        origin: "https://hooks.example",
        target: "https://hooks.example/a",
      },
    ]);
  });

  it("finds what each filter asks for, newest first", async () => {
    await saveAttempts(db, [
      attemptRow({ n: 1, startedAt: 1_000, owner: "a", task: "0-x", config: "c" }),
      attemptRow({ n: 2, startedAt: 2_000, origin: "https://b.example", status: 503, outcome: "retry" }),
      attemptRow({ n: 3, startedAt: 3_000, status: null, error: "tls_error", outcome: "blocked" }),
    ]);
    const found = async (query: string) =>
      (await search(query)).deliveries.map(({ startedAt }) => Date.parse(String(startedAt)) / 1_000);
    expect(await found("")).toEqual([3, 2, 1]);
    expect(await found("?owner=a")).toEqual([1]);
    expect(await found("?task=0-x&config=c")).toEqual([1]);
    expect(await found("?task=0-x&config=d")).toEqual([]);
    expect(await found("?origin=https%3A%2F%2Fb.example")).toEqual([2]);
    expect(await found("?outcome=failed")).toEqual([3, 2]);
    expect(await found("?outcome=delivered")).toEqual([1]);
    expect(await found("?status=503&outcome=retry")).toEqual([2]);
    expect(await found("?error=tls_error")).toEqual([3]);
    expect(await found("?from=1970-01-01T00:00:02Z&to=1970-01-01T00:00:03Z")).toEqual([2]);
  });

  it("shows 50 attempts unless it is asked for more or fewer", async () => {
    await saveAttempts(
      db,
      attemptRows(120, (i) => ({ n: i })),
    );
    expect((await search("")).deliveries).toHaveLength(50);
    expect((await search("?pageSize=100")).deliveries).toHaveLength(100);
    expect((await search("?pageSize=1")).deliveries).toHaveLength(1);
  });

  it("answers an empty page with a token when it has searched long enough", async () => {
    await saveAttempts(
      db,
      attemptRows(WALK + 5, (i) => ({ n: i, startedAt: 1_000 + i, status: i === 0 ? 299 : 200 })),
    );
    const first = await search("?status=299");
    expect(first.deliveries).toEqual([]);
    const second = await search(`?status=299&pageToken=${first.nextPageToken}`);
    expect(second).toMatchObject({ deliveries: [{ status: 299 }], nextPageToken: "" });
  });
});

describe("GET /admin/v1/notifications/{id}", () => {
  it("tells all attempts with what was answered, and how it ended", async () => {
    await saveAttempts(db, [
      attemptRow({ n: 1, startedAt: 500, outcome: "retry", status: 500, response: '{"error":"no"}' }),
      attemptRow({ n: 2, startedAt: 700, outcome: "retry", status: null, error: "timeout", attempt: 2 }),
      attemptRow({ n: 3, notification: "msg_2" }),
    ]);
    await saveDeadLetters(db, [deadLetter()]);
    expect(await operator.result("GET", "/notifications/msg_1")).toMatchObject({
      id: "msg_1",
      attempts: [
        { attempt: 1, status: 500, response: '{"error":"no"}' },
        { attempt: 2, error: "timeout", response: null },
      ],
      deadLetter: { id: "msg_1", state: "dead" },
    });
    expect(await operator.result("GET", "/notifications/msg_2")).toMatchObject({ deadLetter: null });
  });

  it("knows a letter whose attempts are gone already", async () => {
    await saveDeadLetters(db, [deadLetter()]);
    expect(await operator.result("GET", "/notifications/msg_1")).toMatchObject({ attempts: [] });
  });

  it("answers 404 for an id that nobody has seen", async () => {
    expect((await operator.refusal("GET", "/notifications/msg_9")).status).toBe(404);
  });
});
