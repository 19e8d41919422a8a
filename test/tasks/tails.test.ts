// The newest rows of a journal in memory: they are those that are stored, and no more than there is room for.

import { describe, expect, it } from "vitest";
import type { Entry } from "../../src/tasks/machine.ts";
import { Tails } from "../../src/tasks/tails.ts";
import { delivered, onStage, SECOND } from "../support/notifications.ts";

const row = (seq: number, body = "{}"): Entry => ({ seq, kind: "status", body });
const seqs = (entries: readonly Entry[] | undefined) => entries?.map(({ seq }) => seq);

describe("the rows of a task", () => {
  it("are all remembered from the first that was appended here on", () => {
    const tails = new Tails();
    tails.append("t", [row(3), row(4)], 1_000);
    tails.append("t", [row(5)], 2_000);
    expect(tails.entry("t", 4)).toEqual({ ...row(4), at: 1_000 });
    expect(seqs(tails.after("t", 2))).toEqual([3, 4, 5]);
    expect(seqs(tails.after("t", 4))).toEqual([5]);
    expect(seqs(tails.after("t", 5))).toEqual([]);
    // There may be a row before them.
    expect(tails.after("t", 1)).toBeUndefined();
    expect(tails.entry("t", 2)).toBeUndefined();
    expect(tails.after("u", 0)).toBeUndefined();
  });

  it("are forgotten when they are long, and those that follow are not taken for all", () => {
    const tails = new Tails();
    tails.append("t", [row(1), row(2, "x".repeat(10_000))], 1_000);
    expect(tails.entry("t", 1)).toBeUndefined();
    tails.append("t", [row(3)], 1_000);
    expect(tails.after("t", 0)).toBeUndefined();
    expect(seqs(tails.after("t", 2))).toEqual([3]);
  });

  it("are forgotten for those of newer tasks", () => {
    const tails = new Tails();
    for (let i = 0; i <= 100; i++) tails.append(`t${i}`, [row(1)], 1_000);
    expect(tails.entry("t0", 1)).toBeUndefined();
    expect(tails.entry("t1", 1)).toBeDefined();
    expect(tails.entry("t100", 1)).toBeDefined();
  });
});

describe("what is in memory of a task with a webhook", () => {
  it("is what is stored when a transaction is rolled back", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith();
      const { seq } = stage.record(task);
      const before = stage.lanes(task);
      expect(() =>
        stage.store.write(() => {
          stage.artifact(task);
          throw new Error("of the test");
        }),
      ).toThrow("of the test");
      expect(stage.store.journal.entry(task, seq + 1)).toBeUndefined();
      expect([...stage.store.journal.events(task, seq)]).toEqual([]);
      expect(stage.lanes(task)).toEqual(before);
      expect(stage.claims()).toEqual([]);
    }));

  it("spares its notifications every row but that of what is due", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith();
      stage.artifact(task);
      stage.artifact(task);
      const costs = stage.countCosts();
      const first = stage.claim();
      await stage.pass(SECOND);
      stage.settle(delivered(first));
      // The time of the lane and its place in the index, before and after.
      expect(costs().rowsRead).toBeLessThanOrEqual(8);
    }));
});
