// What notifications cost a home, exactly counted: rows written (index rows included) are what the platform charges,
// and rows read show that nothing is searched for.

import { describe, expect, it } from "vitest";
import { nextOf } from "../../src/delivery/exchange.ts";
import type { StoredConfig } from "../../src/delivery/stored-config.ts";
import { apply, newRecord, receive } from "../../src/tasks/machine.ts";
import {
  BY,
  configOf,
  delivered,
  ENDPOINT,
  failed,
  newName,
  onStage,
  SECOND,
  type Stage,
} from "../support/notifications.ts";

/** Counts rows of one deed. */
function costOf(stage: Stage, deed: () => void): { rows: number; rowsRead: number } {
  const costs = stage.countCosts();
  deed();
  const { rows, rowsRead } = costs();
  return { rows, rowsRead };
}

/** A stage whose home has written before, has a config somewhere, and whose history has been shipped. */
async function warm(stage: Stage): Promise<void> {
  const { task } = stage.taskWith();
  stage.artifact(task);
  stage.settle(delivered(stage.claim()));
  await stage.run(10 * SECOND);
  expect(stage.store.outbox.isEmpty()).toBe(true);
}

/** What an echo writes: the task with its message, an artifact and its end, in one transaction. */
function echo(stage: Stage, inline?: (task: string) => StoredConfig): string {
  const id = newName("0-task");
  const created = newRecord(id, "echo", "0-context", stage.now);
  const step = receive(created, { messageId: "m", role: "ROLE_USER", parts: [{ text: "go" }] });
  let after = step.record;
  const entries = [step.entry];
  const artifact = { artifactId: "a", parts: [{ text: "x" }] };
  for (const emission of [
    { kind: "artifact", artifact, append: false, lastChunk: true },
    { kind: "status", state: "TASK_STATE_COMPLETED" },
  ] as const) {
    const next = apply(after, emission, stage.now);
    if (!next) throw new Error("the task has ended");
    after = next.record;
    entries.push(next.entry);
  }
  const config = inline?.(id);
  const companion = () => void (config && stage.commands.save(after, config, 0, BY));
  stage.store.save({ before: undefined, after, entries, companion });
  return id;
}

describe("rows written and read", () => {
  it("of a task without a config: none more, in a home with or without configs", () =>
    onStage(async (stage) => {
      echo(stage);
      const without = costOf(stage, () => echo(stage));
      await warm(stage);
      const beside = costOf(stage, () => echo(stage));
      expect(beside.rows).toBe(without.rows);
      // Each of the three commits has looked for lanes of the task, and found none.
      expect(beside.rowsRead).toBe(without.rowsRead);
    }));

  it("of a config: 5 written, and 1 more for the first of an endpoint", () =>
    onStage(async (stage) => {
      await warm(stage);
      const task = stage.task();
      stage.artifact(task);
      const config = configOf(task);
      const record = stage.record(task);
      // The config, its lane (nothing pending: no index row), and the outbox row for D1's index of configs with the
      // row in which SQLite remembers the outbox's number; and the audit.
      expect(costOf(stage, () => void stage.commands.set(record, config, BY))).toMatchObject({ rows: 5 });
      const other = { ...configOf(task), id: "other", endpoint: "owner|https://other.example" };
      expect(costOf(stage, () => void stage.commands.set(record, other, BY))).toMatchObject({ rows: 6 });
    }));

  it("of the event that wakes an idle lane: 2 written more than without a config; of the next: none", () =>
    onStage(async (stage) => {
      await warm(stage);
      const plain = stage.task();
      const { task } = stage.taskWith();
      const without = costOf(stage, () => stage.artifact(plain));
      // The lane, and its row in the index of what is due.
      expect(costOf(stage, () => stage.artifact(task)).rows).toBe(without.rows + 2);
      expect(costOf(stage, () => stage.artifact(task)).rows).toBe(without.rows);
    }));

  it("of a claim: none written", () =>
    onStage(async (stage) => {
      await warm(stage);
      stage.artifact(stage.taskWith().task);
      expect(costOf(stage, () => stage.claim()).rows).toBe(0);
    }));

  it("of the settlement of the last notification of a lane: 3 written", () =>
    onStage(async (stage) => {
      await warm(stage);
      stage.artifact(stage.taskWith().task);
      const claim = stage.claim();
      // The lane (what it leaves in the index counts nothing), the attempt in the outbox and the outbox's number.
      expect(costOf(stage, () => stage.settle(delivered(claim))).rows).toBe(3);
    }));

  it("of a settlement with more behind it: 4 written, and the next claim comes in the same call", () =>
    onStage(async (stage) => {
      await warm(stage);
      const { task } = stage.taskWith();
      stage.artifact(task);
      stage.artifact(task);
      const claim = stage.claim();
      await stage.pass(SECOND);
      // The lane, its place in the index at its new time, the attempt and the outbox's number.
      const cost = costOf(stage, () => expect(stage.claims({ settled: [delivered(claim)] })).toHaveLength(1));
      expect(cost.rows).toBe(4);
    }));

  it("of a failed attempt: 4 written", () =>
    onStage(async (stage) => {
      await warm(stage);
      stage.artifact(stage.taskWith().task);
      const claim = stage.claim();
      // The same: the lane, its place in the index at the time of the next attempt, the attempt, the number.
      expect(costOf(stage, () => stage.settle(failed(claim))).rows).toBe(4);
    }));

  it("of a release: none written", () =>
    onStage(async (stage) => {
      await warm(stage);
      stage.artifact(stage.taskWith().task);
      const claim = stage.claim();
      const settled = [{ ...delivered(claim), outcome: "released" as const }];
      expect(costOf(stage, () => void stage.exchange({ settled })).rows).toBe(0);
    }));

  it("of shipping: one for each row of the outbox, which is deleted", () =>
    onStage(async (stage) => {
      await warm(stage);
      const { task } = stage.taskWith();
      for (let i = 0; i < 10; i++) stage.artifact(task);
      for (let claims = stage.claims(); claims.length > 0; ) {
        claims = stage.claims({ settled: claims.map(delivered) });
      }
      const costs = stage.countCosts();
      await stage.run(3 * SECOND);
      // The config's and those of ten exchanges.
      expect(costs().rows).toBe(11);
    }));

  it("of attempts that are settled at once: one row of the outbox for all of them, and its number", () =>
    onStage(async (stage) => {
      await warm(stage);
      for (let i = 0; i < 12; i++) stage.artifact(stage.taskWith().task);
      const claims = stage.claims({ want: 12 });
      expect(claims).toHaveLength(12);
      expect(costOf(stage, () => stage.settle(...claims.map(delivered))).rows).toBe(12 + 2);
      expect(stage.attempts()).toHaveLength(12 + 1);
    }));
});

describe("the question whether an endpoint is behind", () => {
  const other = { url: "https://other.test/hook" };
  const OTHER = configOf("0-t", other).endpoint;

  it("is answered by what waits for it, however much waits for another", () =>
    onStage(async (stage) => {
      for (let i = 0; i < 60; i++) stage.artifact(stage.taskWith().task);
      await stage.pass(300 * SECOND);
      stage.artifact(stage.taskWith(other).task);
      await stage.pass(SECOND);
      expect(stage.notifications.behind(ENDPOINT, 50)).toEqual({ overdueMs: 301 * SECOND, backlog: 50 });
      expect(stage.notifications.behind(OTHER, 50)).toEqual({ overdueMs: SECOND, backlog: 1 });
    }));

  it("reads no row of another, and none at all where nothing waits", () =>
    onStage(async (stage) => {
      for (let i = 0; i < 60; i++) stage.artifact(stage.taskWith().task);
      expect(costOf(stage, () => stage.notifications.behind(OTHER, 50)).rowsRead).toBe(0);
      stage.artifact(stage.taskWith(other).task);
      // The first due of its target, and the count.
      expect(costOf(stage, () => stage.notifications.behind(OTHER, 50)).rowsRead).toBeLessThanOrEqual(3);
    }));
});

describe("under load", () => {
  it("a notification costs 1.25 rows: 120 of echo tasks with an inline config, settled twelve at a time", () =>
    onStage(async (stage) => {
      await warm(stage);
      const plain = costOf(stage, () => echo(stage)).rows;
      // Five rows, as above, and one to leave for D1.
      const configs = 60 * 6;
      const costs = stage.countCosts();
      for (let i = 0; i < 60; i++) echo(stage, configOf);
      for (let claims = stage.claims({ want: 6 }); claims.length > 0; ) {
        const sent = claims.flatMap((claim) => [claim, nextOf(claim) ?? claim]);
        expect(new Set(sent.map(({ id }) => id)).size).toBe(12);
        claims = stage.claims({ settled: sent.map(delivered), want: 6 });
      }
      await stage.run(3 * SECOND);
      expect(stage.store.outbox.isEmpty()).toBe(true);
      expect((costs().rows - 60 * plain - configs) / 120).toBe(1.25);
    }));
});

describe("one delivered notification", () => {
  it("costs 6 rows in all: 2 to become due, 3 to be settled, 1 to leave for D1", () =>
    onStage(async (stage) => {
      await warm(stage);
      const { task } = stage.taskWith();
      await stage.alarm();
      expect(stage.store.outbox.isEmpty()).toBe(true);
      const plain = stage.task();
      const event = costOf(stage, () => stage.artifact(plain)).rows;
      const costs = stage.countCosts();
      stage.artifact(task);
      stage.settle(delivered(stage.claim()));
      await stage.run(3 * SECOND);
      expect(costs().rows - event).toBe(6);
    }));

  it("costs as many rows read however many lanes and tasks there are", { timeout: 60_000 }, () =>
    onStage(async (stage) => {
      await warm(stage);
      const measure = () =>
        costOf(stage, () => {
          const { task } = stage.taskWith({ url: "https://receiver.test/measured" });
          stage.artifact(task);
          stage.settle(delivered(stage.claim({ want: 1, allowances: [{ target: "*", claims: 0 }, only] })));
        });
      const only = { target: "https://receiver.test/measured", claims: 1 };
      measure();
      const few = measure();
      for (let i = 0; i < 500; i++) stage.artifact(stage.taskWith().task);
      // Looked up once, for all that follow.
      measure();
      const many = measure();
      expect(many.rows).toBe(few.rows);
      expect(many.rowsRead - few.rowsRead).toBeLessThanOrEqual(10);
    }),
  );
});
