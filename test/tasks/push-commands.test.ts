// What callers do with the configs of a task: set, replace, get and list them, while notifications are under way.

import { describe, expect, it } from "vitest";
import type { PushConfigView } from "../../src/delivery/stored-config.ts";
import type { Result } from "../../src/lib/result.ts";
import {
  BY,
  configOf,
  DAY,
  delivered,
  failed,
  forever,
  onStage,
  SECOND,
  START,
  type Stage,
  settlementOf,
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

const healthOf = (view: Result<PushConfigView, unknown>) => (view.ok ? view.value.health : undefined);

/** Delivers all there is; which, as [config, sequence]. */
function deliverAll(stage: Stage): [string, number][] {
  const seen: [string, number][] = [];
  for (let claims = stage.claims(); claims.length > 0; ) {
    seen.push(...claims.map(({ config, sequence }) => [config, sequence] as [string, number]));
    claims = stage.claims({ settled: claims.map(delivered) });
  }
  return seen;
}

describe("setting a config", () => {
  it("answers what callers are shown, and shows it again", () =>
    onStage(async (stage) => {
      const task = stage.task();
      const stored = configOf(task, { id: "b", sealed: "1.secret" });
      expect(await stage.commands.set(stage.record(task), stored, BY)).toEqual({
        ok: true,
        value: stored.answer,
      });
      await stage.set(task, { id: "a" });
      expect(stage.commands.get(task, "b")).toMatchObject({
        value: { answer: stored.answer, health: { state: "active", pending: 0, delivered: 0 } },
      });
      expect(stage.commands.list(task).map(({ answer }) => answer.id)).toEqual(["a", "b"]);
      expect(JSON.stringify(stage.commands.list(task))).not.toContain("secret");
    }));

  it("survives a restart", () =>
    onStage(async (stage) => {
      const { task, config } = stage.taskWith({
        events: ["completed"],
        batch: { key: "k", maxEvents: 5, maxWaitMs: 7 },
        retryMs: [0, 5],
        sealed: "1.secret",
        options: { jwt: { audience: "x" } },
      });
      const before = stage.store.configs.get(task, "main");
      await stage.start();
      expect(stage.store.configs.get(task, "main")).toEqual(before);
      const { endpoint: _, target: __, ...own } = config;
      expect(before).toMatchObject({ ...own, task, agent: "echo", createdAt: START, deleting: false });
    }));

  it("is refused beyond the most that a task may have, and replacing one is not", () =>
    onStage(async (stage) => {
      stage.maxConfigs = 3;
      await stage.start();
      const task = stage.task();
      for (const id of ["a", "b", "c"]) await stage.set(task, { id });
      expect(await stage.set(task, { id: "d" })).toMatchObject({
        ok: false,
        error: {
          reason: "INVALID_PARAMS",
          violations: [
            {
              field: "taskPushNotificationConfig",
              description: "is one too many: a task has at most 3 push notification configs",
            },
          ],
        },
      });
      expect(stage.commands.list(task)).toHaveLength(3);
      expect(await stage.set(task, { id: "b", url: NEW_URL })).toMatchObject({ ok: true });
      await stage.commands.delete(task, "a", BY);
      expect(await stage.set(task, { id: "d" })).toMatchObject({ ok: true });
    }));

  it("does not count one whose deletion is under way", () =>
    onStage(async (stage) => {
      stage.maxConfigs = 1;
      await stage.start();
      const task = stage.task();
      await stage.set(task, { id: "a" });
      stage.artifact(task);
      stage.world.forget = () => forever;
      startDeletion(stage, task, "a");
      expect(await stage.set(task, { id: "b" })).toMatchObject({ ok: true });
    }));
});

describe("replacing a config", () => {
  it("gives what is pending to the new one, under the same ids, after what the old one has settled", () =>
    onStage(async (stage) => {
      const { task, config } = stage.taskWith();
      for (const text of ["one", "two", "three"]) stage.artifact(task, text);
      stage.settle(delivered(stage.claim()));
      const old = stage.claim();
      stage.settle(failed(old));
      await stage.set(task, { url: NEW_URL, sealed: "1.new" });
      const claim = stage.claim();
      expect(claim).toMatchObject({ id: old.id, sequence: 2, attempt: 1, url: NEW_URL, sealed: "1.new" });
      expect(deliverAll(stage)).toEqual([]);
      expect(stage.claim({ settled: [delivered(claim)] })).toMatchObject({ sequence: 3 });
      expect(claim.id.startsWith(`${config.lane}-`)).toBe(true);
      expect(stage.forgotten).toEqual([config.lane]);
    }));

  it("has the old send dropped before the new one begins", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith();
      stage.artifact(task);
      stage.claim();
      const dropped = Promise.withResolvers<void>();
      stage.world.forget = () => dropped.promise;
      const set = stage.set(task, { url: NEW_URL });
      await stage.pass(5 * SECOND);
      expect(stage.claims()).toEqual([]);
      dropped.resolve();
      await set;
      expect(stage.claim().url).toBe(NEW_URL);
    }));

  it.each([
    ["does not answer", () => forever],
    ["throws", () => Promise.reject(new Error("overloaded"))],
  ])("waits until a send must be over when the endpoint %s", (_, forget) =>
    onStage(async (stage) => {
      const { task } = stage.taskWith();
      stage.artifact(task);
      stage.claim();
      stage.world.forget = forget;
      let answered = false;
      void stage.set(task, { url: NEW_URL }).then(() => {
        answered = true;
      });
      await stage.calm();
      await stage.pass(UNHEARD_MS - 1);
      expect([answered, stage.claims()]).toEqual([false, []]);
      await stage.pass(1);
      expect(answered).toBe(true);
      expect(stage.claim().url).toBe(NEW_URL);
    }),
  );

  it("goes on by itself when it was cut off", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith();
      stage.artifact(task);
      stage.claim();
      stage.world.forget = () => forever;
      void stage.set(task, { url: NEW_URL });
      await stage.calm();
      await stage.start();
      stage.doorbells.length = 0;
      await stage.run(UNHEARD_MS);
      expect(stage.doorbells.length).toBeGreaterThan(0);
      expect(stage.claim().url).toBe(NEW_URL);
    }));

  it("moves what is pending to another endpoint, and rings that one", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith();
      stage.artifact(task);
      await stage.calm();
      await stage.set(task, { url: "https://other.test/hook" });
      await stage.calm();
      const endpoint = "anonymous|https://other.test";
      expect(stage.doorbells.at(-1)?.endpoint).toBe(endpoint);
      expect(stage.claims()).toEqual([]);
      expect(stage.claims({ endpoint })).toHaveLength(1);
    }));

  it("waits for nothing when nothing is pending", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith();
      stage.world.forget = () => forever;
      expect(await stage.set(task, { url: NEW_URL })).toMatchObject({ ok: true });
      stage.artifact(task);
      expect(stage.claim()).toMatchObject({ url: NEW_URL, sequence: 1 });
    }));

  it("makes one active that was disabled, with its backlog", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith();
      stage.artifact(task);
      stage.settle(settlementOf(stage.claim(), "gone", { status: 410 }));
      stage.artifact(task);
      await stage.set(task, { url: NEW_URL });
      expect(stage.lane(task)).toMatchObject({ state: "active", reason: null, failures: 0 });
      expect(deliverAll(stage)).toEqual([
        ["main", 1],
        ["main", 2],
      ]);
    }));

  it("leaves one paused that an operator has paused, with its backlog and what is being sent again", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith();
      stage.artifact(task);
      stage.settle(delivered(stage.claim()));
      stage.operations.replay({ by: BY, task, config: "main", from: 0, to: stage.now });
      stage.artifact(task);
      stage.operations.setState({ by: BY, task, config: "main", state: "paused" });
      const paused = { state: "paused", reason: "Paused by an operator.", stateAt: stage.now, due: null };
      await stage.pass(DAY);
      await stage.set(task, { url: NEW_URL });
      expect(stage.lanes(task)).toMatchObject([paused, paused]);
      await stage.run(DAY);
      expect(stage.claims()).toEqual([]);
      const told = [...stage.archived.values()].filter((item) => item.kind === "config").at(-1);
      expect(told).toMatchObject({ config: { target: NEW_URL, state: "paused", reason: paused.reason } });
      stage.operations.setState({ by: BY, task, config: "main", state: "active" });
      expect(stage.claims()).toMatchObject([{ url: NEW_URL }, { url: NEW_URL }]);
    }));

  it("makes a new one active when the paused one was deleted", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith();
      stage.operations.setState({ by: BY, task, config: "main", state: "paused" });
      await stage.commands.delete(task, "main", BY);
      await stage.set(task);
      expect(stage.lane(task)).toMatchObject({ state: "active", reason: null });
    }));

  it("keeps what is told of it: when it was made, and what was delivered", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith();
      stage.artifact(task);
      stage.settle(delivered(stage.claim()));
      await stage.pass(DAY);
      await stage.set(task, { url: NEW_URL });
      expect(stage.store.configs.get(task, "main")?.createdAt).toBe(START);
      expect(healthOf(stage.commands.get(task, "main"))).toMatchObject({ delivered: 1, pending: 0 });
    }));

  it("sends what the new filter wants of what was pending, and numbers it on", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith();
      stage.artifact(task, "delivered");
      stage.settle(delivered(stage.claim()));
      stage.status(task);
      stage.artifact(task, "wanted");
      await stage.set(task, { events: ["artifactAdded", "completed"] });
      const claim = stage.claim();
      expect(claim.sequence).toBe(2);
      expect(claim.body).toContain("wanted");
      stage.status(task);
      stage.status(task, "TASK_STATE_COMPLETED");
      expect(stage.claim({ settled: [delivered(claim)] })).toMatchObject({ sequence: 3 });
    }));

  it("whose filter wants nothing of what was pending leaves nothing pending", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith();
      stage.artifact(task);
      await stage.set(task, { events: ["failed"] });
      expect(stage.lane(task)).toMatchObject({ pending: false, due: null });
      expect(stage.claims()).toEqual([]);
      stage.status(task, "TASK_STATE_FAILED");
      expect(stage.claim()).toMatchObject({ sequence: 1 });
    }));

  it("keeps what is being sent again", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith({ retryMs: [0] });
      const seq = stage.artifact(task);
      stage.settle(failed(stage.claim()));
      stage.operations.retryDead([{ task, config: "main", seq, sequence: 1 }], BY);
      await stage.set(task, { url: NEW_URL });
      await stage.start();
      const claim = stage.claim();
      expect(claim).toMatchObject({ url: NEW_URL, sequence: 1 });
      stage.settle(delivered(claim));
      expect(stage.lanes(task)).toHaveLength(1);
    }));

  it("rings for what is being sent again, if the endpoint could not be told and nothing else is pending", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith({ retryMs: [0] });
      const seq = stage.artifact(task);
      stage.settle(failed(stage.claim()));
      stage.operations.retryDead([{ task, config: "main", seq, sequence: 1 }], BY);
      stage.claim();
      stage.world.forget = () => Promise.reject(new Error("overloaded"));
      const other = "https://other.test/hook";
      void stage.set(task, { url: other });
      await stage.calm();
      stage.doorbells.length = 0;
      await stage.run(UNHEARD_MS);
      expect(stage.doorbells.map(({ endpoint }) => endpoint)).toEqual(["anonymous|https://other.test"]);
    }));

  it("that is made twice, since its answer was lost, keeps its lane and drops the old one", () =>
    onStage(async (stage) => {
      const { task, config } = stage.taskWith();
      stage.artifact(task);
      const stored = configOf(task, { url: NEW_URL });
      stage.world.forget = () => forever;
      void stage.commands.set(stage.record(task), stored, BY);
      await stage.calm();
      await stage.start();
      const dropped: string[] = [];
      stage.world.forget = async (_, lane) => void dropped.push(lane);
      expect(await stage.commands.set(stage.record(task), stored, BY)).toMatchObject({ ok: true });
      expect(dropped).toEqual([config.lane]);
      expect(stage.claim()).toMatchObject({ lanes: [stored.lane], url: NEW_URL });
    }));

  it("twice at once leaves one config and one lane, the last", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith();
      stage.artifact(task);
      stage.claim();
      const gates = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
      let calls = 0;
      stage.world.forget = () => gates[calls++]?.promise ?? Promise.resolve();
      const sets = [stage.set(task, { url: "https://receiver.test/1" }), stage.set(task, { url: NEW_URL })];
      await stage.calm();
      gates[1]?.resolve();
      gates[0]?.resolve();
      await Promise.all(sets);
      expect(stage.lanes(task)).toHaveLength(1);
      expect(stage.claim()).toMatchObject({ url: NEW_URL, sequence: 1 });
    }));

  it("by a message goes without waiting, and hears of the answer", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith();
      stage.artifact(task, "old");
      stage.claim();
      stage.world.forget = () => forever;
      const stored = configOf(task, { url: NEW_URL });
      const record = stage.record(task);
      stage.store.write(() => {
        stage.commands.save(record, stored, record.seq, BY);
        stage.commands.dropReplacedSoon(task, stored.id);
      });
      stage.artifact(task, "new");
      await stage.run(UNHEARD_MS);
      expect(deliverAll(stage)).toEqual([
        ["main", 1],
        ["main", 2],
      ]);
    }));
});

describe("what is asked for and is not there", () => {
  it.each([
    ["a config", (stage: Stage) => stage.task()],
    ["any config of a task that is not there", () => "0-none"],
  ])("is not found: %s", (_, find) =>
    onStage((stage) => {
      const task = find(stage);
      expect(stage.commands.get(task, "main")).toMatchObject({ error: { reason: "TASK_NOT_FOUND" } });
    }),
  );

  it("makes no database", () =>
    onStage(async (stage) => {
      expect(stage.commands.get("0-none", "main")).toMatchObject({ ok: false });
      await stage.commands.delete("0-none", "main", BY);
      expect(stage.commands.notificationsOf("0-none", undefined)).toEqual({
        configured: false,
        validated: false,
      });
      expect(stage.store.exists).toBe(false);
    }));
});

describe("what an agent is told of webhooks", () => {
  it("is whether any is there that works, one that comes with the message among them", () =>
    onStage(async (stage) => {
      const told = (inline?: Parameters<Stage["commands"]["notificationsOf"]>[1]) =>
        stage.commands.notificationsOf(task, inline);
      const task = stage.task();
      expect(told()).toEqual({ configured: false, validated: false });
      expect(told(configOf(task))).toEqual({ configured: true, validated: false });
      await stage.set(task);
      expect(told()).toEqual({ configured: true, validated: false });
      stage.operations.setState({ by: BY, task, config: "main", state: "paused" });
      expect(told()).toEqual({ configured: false, validated: false });
    }));

  it("says validated only when each of them is, and for as long as that counts", () =>
    onStage(async (stage) => {
      const task = stage.task();
      await stage.set(task, { id: "a" });
      stage.exchange({ want: 0, validatedUntil: stage.now + DAY });
      expect(stage.commands.notificationsOf(task, undefined).validated).toBe(true);
      await stage.set(task, { id: "b", url: "https://other.test/" });
      expect(stage.commands.notificationsOf(task, undefined).validated).toBe(false);
      await stage.commands.delete(task, "b", BY);
      await stage.pass(DAY);
      expect(stage.commands.notificationsOf(task, undefined).validated).toBe(false);
    }));
});
