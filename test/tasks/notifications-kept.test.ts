// What of a home's notifications outlasts time: a migration of the database, a restart, the trimming of old tasks.

import { describe, expect, it } from "vitest";
import { NEWEST, toSchema } from "../support/earlier-schema.ts";
import {
  BY,
  DAY,
  delivered,
  failed,
  HOME,
  onStage,
  SECOND,
  type Stage,
  settlementOf,
} from "../support/notifications.ts";

/** Lets the home trim, so many days later. */
async function later(stage: Stage, days: number): Promise<void> {
  await stage.pass(days * DAY);
  await stage.alarm();
}

describe("a home that is migrated from schema version 1", () => {
  it("takes configs for tasks of that time, which hear of what follows", () =>
    onStage(async (stage) => {
      const task = stage.task();
      stage.artifact(task, "of version 1");
      toSchema(1, stage.storage);
      await stage.start();
      expect(stage.store.journal.read(task, 0)).toHaveLength(2);
      await stage.set(task);
      expect(stage.claims()).toEqual([]);
      const seq = stage.artifact(task, "of version 2");
      expect(stage.claim()).toMatchObject({ sequence: 1, committedAt: stage.now });
      expect(stage.store.journal.entry(task, seq - 1)).toMatchObject({ at: 0 });
    }));

  it("replays nothing to a config that was not there", () =>
    onStage(async (stage) => {
      const task = stage.task();
      stage.artifact(task, "of version 1");
      toSchema(1, stage.storage);
      await stage.start();
      await stage.set(task);
      const query = { task, config: "main", from: 0, to: stage.now };
      expect(stage.operations.replay({ ...query, by: BY })).toMatchObject({ value: { notifications: 0 } });
    }));
});

describe("pending lanes", () => {
  it.each([
    ["a restart", NEWEST],
    ...[2, 3, 4].map((version) => [`schema version ${version}`, version] as const),
  ] as const)("survive %s in every state, with their attempts, times, batches and lists", (_, version) =>
    onStage(async (stage) => {
      const batch = { key: "k", maxEvents: 50, maxWaitMs: SECOND };
      const retried = stage.taskWith().task;
      const paused = stage.taskWith().task;
      const gone = stage.taskWith().task;
      const batched = stage.taskWith({ batch }).task;
      const replayed = stage.taskWith().task;
      for (const task of [retried, paused, gone, batched, replayed]) stage.artifact(task);
      await stage.pass(SECOND);
      const claims = stage.claims();
      const of = (task: string) => claims.filter((claim) => claim.task === task);
      stage.settle(
        ...of(retried).map((claim) => failed(claim)),
        ...of(batched).map((claim) => failed(claim)),
        ...of(gone).map((claim) => settlementOf(claim, "gone", { status: 410 })),
        ...of(replayed).map(delivered),
      );
      stage.operations.setState({ by: BY, task: paused, config: "main", state: "paused" });
      stage.operations.replay({ by: BY, task: replayed, config: "main", from: 0, to: stage.now });
      const lanes = () =>
        [retried, paused, gone, batched, replayed].map((task) =>
          stage.lanes(task).toSorted((a, b) => (a.lane < b.lane ? -1 : 1)),
        );
      const before = lanes();
      toSchema(version, stage.storage);
      await stage.start();
      expect(lanes()).toEqual(before);
      await stage.run(10 * SECOND);
      const again = stage.claims();
      expect(again.map(({ task, attempt }) => [task, attempt]).sort()).toEqual(
        [
          [retried, 2],
          [batched, 2],
          [replayed, 1],
        ].sort(),
      );
      expect(again.find(({ task }) => task === batched)?.id).toBe(of(batched)[0]?.id);
    }),
  );
});

describe("a task that has ended", () => {
  /** An ended task with a config, whose end is the only notification. */
  const ended = (stage: Stage) => {
    const { task } = stage.taskWith({ events: ["completed"] });
    stage.status(task, "TASK_STATE_COMPLETED");
    return task;
  };

  it("is trimmed in its time when all of it was delivered, with its config and lanes, and D1 is told", () =>
    onStage(async (stage) => {
      const task = ended(stage);
      stage.settle(delivered(stage.claim()));
      await later(stage, 8);
      expect(stage.store.get(task)).toBeUndefined();
      expect([stage.lanes(task), stage.store.configs.list(task)]).toEqual([[], []]);
      await stage.run(10 * SECOND);
      expect([...stage.archived.values()]).toContainEqual({ kind: "unconfig", task, config: "main" });
      expect(stage.counters['a2a_webhook_deliveries_total{outcome="dropped"}']).toBeUndefined();
    }));

  it.each([
    ["waits to be delivered", () => {}],
    [
      "is held for a config that is paused",
      (stage: Stage, task: string) =>
        void stage.operations.setState({ by: BY, task, config: "main", state: "paused" }),
    ],
  ])("is kept while something of it %s, and 30 days at most", (_, hold) =>
    onStage(async (stage) => {
      const task = ended(stage);
      hold(stage, task);
      for (let days = 0; days < 29; days++) await later(stage, 1);
      expect(stage.store.get(task)).toBeDefined();
      await later(stage, 2);
      expect(stage.store.get(task)).toBeUndefined();
      expect(stage.claims()).toEqual([]);
      await stage.run(10 * SECOND);
      expect(stage.counters['a2a_webhook_deliveries_total{outcome="dropped"}']).toBe(1);
    }),
  );

  it("takes what is under way with it: a settlement that comes later is ignored", () =>
    onStage(async (stage) => {
      const task = ended(stage);
      const claim = stage.claim();
      for (let days = 0; days < 32; days++) await later(stage, 1);
      expect(stage.store.get(task)).toBeUndefined();
      stage.settle(failed(claim), delivered(claim));
      expect(stage.lanes(task)).toEqual([]);
      expect(await stage.run(DAY)).toBeLessThan(5);
    }));
});

describe("a dead letter", () => {
  it("is kept when it has died again before its first death was known to be filed", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith({ retryMs: [0] });
      const seq = stage.artifact(task);
      const load = () => stage.store.dead.load(HOME, stage.store.dead.ids(9), stage.store.journal);
      stage.settle(failed(stage.claim()));
      const first = load();
      await stage.pass(SECOND);
      stage.operations.retryDead([{ task, config: "main", seq, sequence: 1 }], BY);
      stage.settle(failed(stage.claim()));
      const second = load();
      expect(second).toMatchObject([{ id: first[0]?.id, diedAt: stage.now }]);
      stage.store.write(() => stage.store.dead.filed(first));
      expect(load()).toEqual(second);
      stage.store.write(() => stage.store.dead.filed(second));
      expect(load()).toEqual([]);
    }));
});
