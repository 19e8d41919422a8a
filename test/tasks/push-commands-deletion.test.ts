// Deleting a config: from its answer on nothing of it is sent, whatever its endpoint does and whoever else is at it.

import { describe, expect, it } from "vitest";
import type { StoredConfig } from "../../src/delivery/stored-config.ts";
import {
  BY,
  configOf,
  DAY,
  delivered,
  failed,
  forever,
  onStage,
  SECOND,
  type Stage,
  UNHEARD_MS,
} from "../support/notifications.ts";

const NEW_URL = "https://receiver.test/new";

/** Deletes a config and says, from then on, whether the deletion has answered. */
function startDeletion(stage: Stage, task: string, id = "main") {
  const deletion = { done: false, answered: stage.commands.delete(task, id, BY) };
  void deletion.answered.then(() => {
    deletion.done = true;
  });
  return deletion;
}

/** Delivers all there is; which, as [config, sequence]. */
function deliverAll(stage: Stage): [string, number][] {
  const seen: [string, number][] = [];
  for (let claims = stage.claims(); claims.length > 0; ) {
    seen.push(...claims.map(({ config, sequence }) => [config, sequence] as [string, number]));
    claims = stage.claims({ settled: claims.map(delivered) });
  }
  return seen;
}

/** A task of whose two notifications the first has been sent again. */
async function withReplay(stage: Stage): Promise<string> {
  const { task } = stage.taskWith();
  for (const text of ["one", "two"]) {
    stage.artifact(task, text);
    stage.settle(delivered(stage.claim()));
  }
  stage.operations.replay({ by: BY, task, config: "main", from: 0, to: stage.now });
  stage.settle(delivered(stage.claim()));
  return task;
}

/** What D1 has been told will not be sent again. */
const unretried = (stage: Stage) =>
  [...stage.archived.values()].flatMap((item) => (item.kind === "unretried" ? item.notifications : []));

describe("deleting a config", () => {
  it("leaves nothing of it, and tells D1", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith();
      stage.artifact(task);
      stage.settle(delivered(stage.claim()));
      await stage.commands.delete(task, "main", BY);
      expect(stage.commands.get(task, "main")).toMatchObject({ ok: false });
      expect([stage.commands.list(task), stage.lanes(task)]).toEqual([[], []]);
      await stage.run(10 * SECOND);
      expect([...stage.archived.values()].at(-1)).toEqual({ kind: "unconfig", task, config: "main" });
      stage.artifact(task);
      expect(stage.claims()).toEqual([]);
    }));

  it("waits for nobody when nothing is pending", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith();
      stage.world.forget = () => forever;
      await stage.commands.delete(task, "main", BY);
      expect(stage.lanes(task)).toEqual([]);
    }));

  it("hides it at once, claims nothing more of it, and answers when its endpoint has dropped it", () =>
    onStage(async (stage) => {
      const { task, config } = stage.taskWith();
      stage.artifact(task);
      stage.claim();
      const gate = Promise.withResolvers<void>();
      const asked: string[] = [];
      stage.world.forget = (_, lane) => {
        asked.push(lane);
        return gate.promise;
      };
      const deletion = startDeletion(stage, task);
      await stage.calm();
      expect(asked).toEqual([config.lane]);
      expect(stage.commands.get(task, "main")).toMatchObject({ ok: false });
      expect(stage.commands.list(task)).toEqual([]);
      expect([deletion.done, stage.claims()]).toEqual([false, []]);
      stage.artifact(task);
      expect(stage.claims()).toEqual([]);
      gate.resolve();
      await stage.calm();
      expect(deletion.done).toBe(true);
      await stage.pass(DAY);
      expect(stage.claims()).toEqual([]);
    }));

  it.each([
    ["does not answer", () => forever],
    ["throws", () => Promise.reject(new Error("overloaded"))],
  ])("answers when a send must be over, if the endpoint %s", (_, forget) =>
    onStage(async (stage) => {
      const { task } = stage.taskWith();
      stage.artifact(task);
      stage.claim();
      stage.world.forget = forget;
      const deletion = startDeletion(stage, task);
      await stage.calm();
      await stage.pass(UNHEARD_MS - 1);
      expect(deletion.done).toBe(false);
      await stage.pass(1);
      expect(deletion.done).toBe(true);
      expect(stage.lanes(task)).toEqual([]);
    }),
  );

  /** Replaces the config of a task, whose lane has been claimed, without waiting for it. */
  const replacing: [string, (stage: Stage, task: string, stored: StoredConfig) => void][] = [
    [
      "a call",
      (stage, task, stored) => {
        void stage.commands.set(stage.record(task), stored, BY);
      },
    ],
    [
      "a message",
      (stage, task, stored) =>
        stage.store.write(() => {
          const record = stage.record(task);
          stage.commands.save(record, stored, record.seq, BY);
          stage.commands.dropReplacedSoon(task, stored.id);
        }),
    ],
  ];

  it.each(replacing)("waits also for what was sent before %s replaced it", (_, replace) =>
    onStage(async (stage) => {
      const { task, config } = stage.taskWith();
      stage.artifact(task);
      stage.claim();
      const gate = Promise.withResolvers<void>();
      let asked = 0;
      stage.world.forget = async (_, lane) => {
        if (lane !== config.lane) return;
        asked += 1;
        await gate.promise;
      };
      replace(stage, task, configOf(task, { url: "https://other.test/hook" }));
      await stage.calm();
      const deletion = startDeletion(stage, task);
      await stage.calm();
      expect([deletion.done, asked]).toEqual([false, 1]);
      gate.resolve();
      await stage.calm();
      expect(deletion.done).toBe(true);
      expect([stage.commands.list(task), stage.lanes(task)]).toEqual([[], []]);
    }),
  );

  it.each(replacing)("drops what was replaced by %s, when that was cut off", (_, replace) =>
    onStage(async (stage) => {
      const { task, config } = stage.taskWith();
      stage.artifact(task);
      stage.claim();
      stage.world.forget = () => forever;
      const stored = configOf(task, { url: "https://other.test/hook" });
      replace(stage, task, stored);
      await stage.calm();
      await stage.start();
      const dropped: string[] = [];
      stage.world.forget = async (_, lane) => void dropped.push(lane);
      await stage.commands.delete(task, "main", BY);
      expect(dropped.toSorted()).toEqual([config.lane, stored.lane].toSorted());
    }),
  );

  it("is not undone by what comes back of the send that was under way", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith();
      stage.artifact(task);
      const claim = stage.claim();
      stage.world.forget = () => forever;
      const deletion = startDeletion(stage, task);
      await stage.calm();
      stage.settle(failed(claim));
      await stage.pass(10 * SECOND);
      expect(stage.claims()).toEqual([]);
      await stage.pass(UNHEARD_MS - 10 * SECOND);
      expect(deletion.done).toBe(true);
      expect(stage.lanes(task)).toEqual([]);
    }));

  it("is not undone by an operator who resumes it meanwhile", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith();
      stage.artifact(task);
      stage.world.forget = () => forever;
      startDeletion(stage, task);
      await stage.calm();
      const query = { task, config: "main" };
      expect(stage.operations.setState({ by: BY, ...query, state: "active" })).toMatchObject({ ok: false });
      expect(stage.operations.replay({ by: BY, ...query, from: 0, to: stage.now })).toMatchObject({
        ok: false,
      });
      expect(stage.operations.retryDead([{ ...query, seq: 2, sequence: 1 }], BY)).toMatchObject({
        value: { accepted: 0 },
      });
      expect(stage.claims()).toEqual([]);
    }));

  it("twice at once answers both when it is over, and counts once", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith();
      stage.artifact(task);
      const gate = Promise.withResolvers<void>();
      stage.world.forget = () => gate.promise;
      const first = startDeletion(stage, task);
      const second = startDeletion(stage, task);
      await stage.calm();
      expect([first.done, second.done]).toEqual([false, false]);
      gate.resolve();
      await Promise.all([first.answered, second.answered]);
      await stage.run(10 * SECOND);
      expect(stage.counters['a2a_webhook_deliveries_total{outcome="dropped"}']).toBe(1);
      expect([...stage.archived.values()].filter(({ kind }) => kind === "unconfig")).toHaveLength(1);
    }));

  it("again, when it has been deleted, is answered at once", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith();
      await stage.commands.delete(task, "main", BY);
      await stage.commands.delete(task, "main", BY);
      await stage.commands.delete(task, "never there", BY);
      expect(stage.commands.list(task)).toEqual([]);
    }));

  it("that was cut off by a crash shows nothing, sends nothing, and is finished by the next", () =>
    onStage(async (stage) => {
      const { task, config } = stage.taskWith();
      stage.artifact(task);
      stage.claim();
      const { forget } = stage.world;
      stage.world.forget = () => forever;
      startDeletion(stage, task);
      await stage.calm();
      await stage.start();
      stage.artifact(task);
      await stage.run(DAY);
      expect(stage.claims()).toEqual([]);
      expect(stage.commands.list(task)).toEqual([]);
      stage.world.forget = forget;
      await stage.commands.delete(task, "main", BY);
      expect(stage.forgotten).toEqual([config.lane]);
      expect(stage.lanes(task)).toEqual([]);
      expect(stage.store.configs.list(task)).toEqual([]);
    }));

  it("and setting it again meanwhile leaves the new one, which hears only of what follows", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith();
      stage.artifact(task, "before");
      stage.claim();
      const gate = Promise.withResolvers<void>();
      stage.world.forget = () => gate.promise;
      const deletion = startDeletion(stage, task);
      await stage.calm();
      const set = stage.set(task, { url: NEW_URL });
      await stage.calm();
      stage.artifact(task, "after");
      gate.resolve();
      await Promise.all([deletion.answered, set]);
      expect(stage.commands.list(task)).toHaveLength(1);
      expect(stage.lanes(task)).toHaveLength(1);
      const claim = stage.claim();
      expect(claim).toMatchObject({ url: NEW_URL, sequence: 1 });
      expect(claim.body).toContain("after");
    }));

  it("drops what is being sent again for it, too", () =>
    onStage(async (stage) => {
      const { task, config } = stage.taskWith();
      stage.artifact(task);
      stage.settle(delivered(stage.claim()));
      stage.operations.replay({ by: BY, task, config: "main", from: 0, to: stage.now });
      const again = stage.lanes(task).find(({ list }) => list)?.lane;
      stage.claim();
      await stage.commands.delete(task, "main", BY);
      expect(stage.forgotten).toEqual([again]);
      expect(stage.lanes(task)).toEqual([]);
      expect(again).not.toBe(config.lane);
    }));

  it("tells D1 what will not be sent again: what is left of a list", () =>
    onStage(async (stage) => {
      const task = await withReplay(stage);
      const { ids } = stage.lane(task);
      await stage.commands.delete(task, "main", BY);
      await stage.run(10 * SECOND);
      expect(unretried(stage)).toEqual([`${ids}-3`]);
    }));

  it("tells it also when the config is set again meanwhile, and when the task goes before the deletion is over", () =>
    onStage(async (stage) => {
      stage.world.forget = () => forever;
      const [again, trimmed] = [await withReplay(stage), await withReplay(stage)];
      const { ids } = stage.lane(again);
      const { ids: others } = stage.lane(trimmed);
      startDeletion(stage, again);
      startDeletion(stage, trimmed);
      await stage.calm();
      const set = stage.set(again);
      stage.store.write(() => stage.store.delete(stage.record(trimmed)));
      await stage.run(60 * SECOND);
      await set;
      expect(unretried(stage)).toEqual([`${ids}-3`, `${others}-3`]);
      expect(stage.counters['a2a_webhook_deliveries_total{outcome="dropped"}']).toBe(2);
    }));

  it("leaves the other configs of the task alone", () =>
    onStage(async (stage) => {
      const task = stage.task();
      await stage.set(task, { id: "a" });
      await stage.set(task, { id: "b" });
      stage.artifact(task);
      await stage.commands.delete(task, "a", BY);
      expect(deliverAll(stage)).toEqual([["b", 1]]);
    }));
});
