// What D1 and the metrics are told of a home's notifications: all of it, in order, and each thing once, whatever
// fails half-way.

import { describe, expect, it } from "vitest";
import type { OutboxItem } from "../../src/tasks/outbox.ts";
import {
  BY,
  DAY,
  delivered,
  failed,
  forever,
  HOME,
  HOUR,
  MINUTE,
  onStage,
  SECOND,
  type Stage,
  settlementOf,
} from "../support/notifications.ts";

const DELIVERED = 'a2a_webhook_deliveries_total{outcome="delivered"}';
const OK = 'a2a_webhook_attempts_total{code="2xx"}';
const DEAD = 'a2a_webhook_deliveries_total{outcome="dead"}';
const UNFILED = "a2a_webhook_dead_letters_unfiled";

const kinds = (items: Iterable<OutboxItem>) => [...items].map(({ kind }) => kind);

/** A task whose `count` events have been delivered. */
function deliver(stage: Stage, count: number): string {
  const { task } = stage.taskWith();
  for (let i = 0; i < count; i++) {
    stage.artifact(task);
    stage.settle(delivered(stage.claim()));
  }
  return task;
}

/** A task whose one event has died. */
function die(stage: Stage): string {
  const { task } = stage.taskWith({ retryMs: [0] });
  stage.artifact(task, "last words");
  stage.settle(failed(stage.claim()));
  return task;
}

/** Has the letters filed that the newest notice names. */
function fileLast({ notices, store }: Stage): void {
  const letters = store.dead.load(HOME, notices.at(-1)?.ids ?? [], store.journal);
  store.write(() => store.dead.filed(letters));
}

describe("what happened", () => {
  it("is shipped 2 s later, together with what else came, and leaves the home", () =>
    onStage(async (stage) => {
      deliver(stage, 2);
      await stage.run(SECOND);
      expect(stage.archived.size).toBe(0);
      deliver(stage, 1);
      await stage.run(SECOND);
      expect(kinds(stage.archived.values())).toEqual(["config", "attempt", "attempt", "config", "attempt"]);
      expect(stage.counters).toEqual({ [OK]: 3, [DELIVERED]: 3 });
      expect(stage.store.outbox.isEmpty()).toBe(true);
    }));

  it("tells of an attempt all that there is to tell", () =>
    onStage(async (stage) => {
      const { task, config } = stage.taskWith({ id: "main" });
      const seq = stage.artifact(task);
      const committedAt = stage.now;
      await stage.pass(SECOND);
      const more = { status: 503, durationMs: 40, response: "try later", retryAfterMs: MINUTE };
      stage.settle(settlementOf(stage.claim(), "retry", more));
      await stage.pass(MINUTE);
      const timeout = { error: "timeout", durationMs: 15_000 } as const;
      stage.settle(settlementOf(stage.claim(), "retry", timeout));
      const common = {
        owner: "anonymous",
        origin: "https://receiver.test",
        agent: "echo",
        task,
        config: "main",
        target: "https://receiver.test/hook",
        notification: `${config.lane}-${seq}`,
        sequence: 1,
        outcome: "retry",
        committedAt,
      };
      expect(stage.attempts().map(({ n: _, ...attempt }) => attempt)).toEqual([
        {
          ...common,
          attempt: 1,
          status: 503,
          error: null,
          durationMs: 40,
          plannedAt: committedAt,
          startedAt: committedAt + SECOND,
          response: "try later",
        },
        {
          ...common,
          attempt: 2,
          status: null,
          error: "timeout",
          durationMs: 15_000,
          plannedAt: committedAt + SECOND + MINUTE,
          startedAt: committedAt + SECOND + MINUTE,
          response: null,
        },
      ]);
    }));

  it("is shipped in pieces when it is much", () =>
    onStage(async (stage) => {
      deliver(stage, 1_200);
      const shipments: number[] = [];
      const { archive } = stage.world;
      stage.world.archive = async (shipment) => {
        shipments.push(shipment.items.length);
        await archive(shipment);
      };
      await stage.run(10 * SECOND);
      expect(shipments).toEqual([500, 500, 201]);
      expect(stage.counters[DELIVERED]).toBe(1_200);
    }));

  it("has numbers that are never given again, also when all before have been shipped", () =>
    onStage(async (stage) => {
      deliver(stage, 1);
      await stage.run(10 * SECOND);
      const before = Math.max(...stage.archived.keys());
      await stage.start();
      deliver(stage, 1);
      await stage.run(10 * SECOND);
      expect([...stage.archived.keys()].filter((n) => n > before)).toHaveLength(2);
      expect(stage.archived.size).toBe(4);
    }));

  it("is shipped whole when a transaction has many items, however much a receiver has answered", () =>
    onStage(async (stage) => {
      for (let i = 0; i < 60; i++) stage.artifact(stage.taskWith().task);
      // As JSON each character is six.
      const response = "\u0000".repeat(4_096);
      const claims = stage.claims({ want: 60 });
      stage.settle(...claims.map((claim) => failed(claim, { response })));
      await stage.run(10 * SECOND);
      const attempts = stage.attempts();
      expect(attempts).toHaveLength(60);
      expect(new Set(attempts.map(({ n }) => n)).size).toBe(60);
      expect(attempts.map(({ task }) => task)).toEqual(claims.map(({ task }) => task));
      expect(attempts.every((attempt) => attempt.response === response)).toBe(true);
    }));

  it("is shipped, and numbered on, when a server before this one has written it: an item a row", () =>
    onStage(async (stage) => {
      deliver(stage, 2);
      const { sql } = stage.storage;
      const items = stage.store.outbox.next()?.items ?? [];
      sql.exec("DELETE FROM outbox");
      for (const { n, item } of items) {
        const { kind, ...body } = item;
        sql.exec("INSERT INTO outbox VALUES (?, ?, ?)", n, kind, JSON.stringify(body));
      }
      await stage.start();
      expect(stage.store.outbox.next()?.items).toEqual(items);
      deliver(stage, 1);
      await stage.run(10 * SECOND);
      expect(kinds(stage.archived.values())).toEqual(["config", "attempt", "attempt", "config", "attempt"]);
      expect([...stage.archived.keys()]).toEqual([1, 2, 3, 4, 5]);
    }));

  it("is shipped by a new object at once", () =>
    onStage(async (stage) => {
      deliver(stage, 1);
      await stage.start();
      await stage.alarm();
      expect(stage.archived.size).toBe(2);
    }));
});

describe("an archive that fails", () => {
  it("is asked again after 5 s, doubling up to 5 min, and then told everything", () =>
    onStage(async (stage) => {
      const { archive } = stage.world;
      const asked: number[] = [];
      stage.world.archive = async () => {
        asked.push(stage.now);
        throw new Error("D1 is down");
      };
      deliver(stage, 1);
      await stage.run(HOUR);
      const pauses = asked.slice(1).map((at, i) => (at - (asked[i] ?? 0)) / SECOND);
      expect(pauses.slice(0, 8)).toEqual([5, 10, 20, 40, 80, 160, 300, 300]);
      expect(stage.counters).toEqual({});
      stage.world.archive = archive;
      await stage.run(5 * MINUTE);
      expect(stage.archived.size).toBe(2);
      expect(stage.counters).toEqual({ [OK]: 1, [DELIVERED]: 1 });
    }));

  it("does not keep the alarm ringing for lanes that wait", () =>
    onStage(async (stage) => {
      stage.world.archive = async () => {
        throw new Error("D1 is down");
      };
      const { task } = stage.taskWith();
      stage.artifact(task);
      stage.settle(failed(stage.claim(), { retryAfterMs: 10 * HOUR }));
      expect(await stage.run(HOUR)).toBeLessThan(40);
    }));

  it("holds up neither doorbells nor deliveries", () =>
    onStage(async (stage) => {
      stage.world.archive = () => forever;
      deliver(stage, 1);
      await stage.pass(3 * SECOND);
      stage.alarmAt = null;
      void stage.alarm();
      await stage.calm();
      stage.artifact(stage.taskWith().task);
      await stage.calm();
      expect(stage.doorbells.length).toBeGreaterThan(0);
      expect(stage.claims()).toHaveLength(1);
    }));
});

describe("what hangs", () => {
  /** A door that stays shut until it is opened; how many have gone in at once. */
  function gateBefore<In extends unknown[], Out>(work: (...args: In) => Promise<Out>) {
    const gate = Promise.withResolvers<void>();
    const inside = { now: 0, most: 0 };
    const pass = async (...args: In) => {
      inside.now += 1;
      inside.most = Math.max(inside.most, inside.now);
      await gate.promise;
      const out = await work(...args);
      inside.now -= 1;
      return out;
    };
    return { pass, open: () => gate.resolve(), inside };
  }

  it.each(["archive", "count", "bury", "report"] as const)(
    "%s: retries go on, and all is told once when it answers again",
    (what) =>
      onStage(async (stage) => {
        const gate = gateBefore<[never], unknown>(stage.world[what] as () => Promise<unknown>);
        Object.assign(stage.world, { [what]: gate.pass });
        die(stage);
        const { task } = stage.taskWith();
        stage.artifact(task);
        // Told of by the first alarm: 2 s later, and so is the retry.
        const first = stage.claim();
        await stage.run(3 * SECOND);
        stage.settle(failed(first));
        stage.doorbells.length = 0;
        await stage.run(10 * SECOND);
        expect(stage.doorbells).not.toEqual([]);
        for (let i = 0; i < 3; i++) {
          stage.settle(failed(stage.claim()));
          const due = stage.lane(task).due ?? 0;
          stage.doorbells.length = 0;
          await stage.run(due - stage.now + SECOND);
          expect(stage.doorbells).not.toEqual([]);
        }
        const rings = await stage.run(HOUR);
        expect(rings).toBeLessThan(1_500);
        gate.open();
        await stage.run(MINUTE);
        expect(gate.inside).toEqual({ now: 0, most: 1 });
        expect(stage.attempts().filter((attempt) => attempt.task === task)).toHaveLength(4);
        expect(stage.store.outbox.isEmpty()).toBe(true);
        expect(stage.counters).toMatchObject({ [DEAD]: 1, 'a2a_webhook_attempts_total{code="5xx"}': 5 });
        expect(stage.notices).not.toEqual([]);
      }),
  );
});

describe("what is counted", () => {
  const fails = ["archive", "count", "count after", "crash after archive", "crash after count"] as const;

  it.each(fails)("is counted once and archived once when this fails: %s", (what) =>
    onStage(async (stage) => {
      const { archive, count } = stage.world;
      let broken = true;
      stage.world.archive = async (shipment) => {
        if (broken && what === "archive") throw new Error("D1 is down");
        await archive(shipment);
        if (broken && what === "crash after archive") await forever;
      };
      stage.world.count = async (delta) => {
        if (broken && what === "count") throw new Error("no metrics");
        const counted = await count(delta);
        if (broken && what === "count after") throw new Error("the answer was lost");
        if (broken && what === "crash after count") await forever;
        return counted;
      };
      deliver(stage, 3);
      await stage.pass(3 * SECOND);
      stage.alarmAt = null;
      void stage.alarm();
      await stage.calm();
      // More has come by the time that it is tried again.
      deliver(stage, 2);
      broken = false;
      if (what.startsWith("crash")) await stage.start();
      await stage.run(10 * MINUTE);
      await stage.alarm();
      expect(kinds(stage.archived.values()).filter((kind) => kind === "attempt")).toHaveLength(5);
      expect(stage.counters).toEqual({ [OK]: 5, [DELIVERED]: 5 });
      expect(stage.observations.a2a_webhook_attempt_duration_seconds).toHaveLength(5);
      expect(stage.store.outbox.isEmpty()).toBe(true);
    }),
  );

  it("is counted once when the alarm and a poke ship at the same time", () =>
    onStage(async (stage) => {
      const gate = Promise.withResolvers<void>();
      const { archive } = stage.world;
      stage.world.archive = async (shipment) => {
        await gate.promise;
        await archive(shipment);
      };
      deliver(stage, 2);
      await stage.pass(3 * SECOND);
      const first = stage.alarm();
      deliver(stage, 2);
      await stage.pass(3 * SECOND);
      const second = stage.alarm();
      gate.resolve();
      await Promise.all([first, second]);
      await stage.run(MINUTE);
      expect(stage.counters).toEqual({ [OK]: 4, [DELIVERED]: 4 });
      expect(stage.archived.size).toBe(6);
      expect(stage.store.outbox.isEmpty()).toBe(true);
    }));

  it("holds what the endpoint counted and what was dropped with its config", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith();
      stage.artifact(task);
      stage.exchange({ want: 0, counters: { 'a2a_webhook_rate_limited_total{by="url"}': 7 } });
      stage.exchange({ want: 0, counters: { 'a2a_webhook_rate_limited_total{by="url"}': 1 } });
      await stage.commands.delete(task, "main", BY);
      await stage.run(10 * SECOND);
      expect(stage.counters).toEqual({
        'a2a_webhook_rate_limited_total{by="url"}': 8,
        'a2a_webhook_deliveries_total{outcome="dropped"}': 1,
      });
    }));
});

describe("gauges", () => {
  it("of much that waits are looked at every ten seconds, and at once when nothing waits any more", () =>
    onStage(async (stage) => {
      const pending = () => stage.gauges.a2a_webhook_pending;
      for (let i = 0; i < 120; i++) stage.artifact(stage.taskWith().task);
      const claims = stage.claims({ want: 120 });
      expect(claims).toHaveLength(120);
      const settle = async (count: number) => {
        stage.settle(...claims.splice(0, count).map(delivered));
        await stage.run(3 * SECOND);
      };
      await settle(1);
      expect(pending()).toBe(119);
      await settle(10);
      expect(pending()).toBe(119);
      await stage.pass(10 * SECOND);
      await settle(10);
      expect(pending()).toBe(99);
      await settle(9);
      expect(pending()).toBe(90);
      for (let i = 0; i < 20; i++) stage.artifact(stage.taskWith().task);
      const more = stage.claims({ want: 120, busy: claims.map(({ key }) => key) });
      claims.push(...more);
      await settle(1);
      expect(pending()).toBe(109);
      await settle(claims.length);
      expect(pending()).toBe(0);
    }));

  it("say what waits: how many, since when, how many are overdue", () =>
    onStage(async (stage) => {
      const at = stage.now;
      const { task } = stage.taskWith();
      stage.artifact(task);
      stage.artifact(stage.taskWith({ url: "https://other.test/" }).task);
      await stage.run(10 * SECOND);
      expect(stage.gauges).toEqual({
        a2a_webhook_pending: 2,
        a2a_webhook_overdue: 0,
        [UNFILED]: 0,
        a2a_webhook_oldest_pending_timestamp_seconds: at / SECOND,
      });
      await stage.run(2 * MINUTE);
      stage.settle(failed(stage.claim()));
      await stage.run(2_100);
      expect(stage.gauges).toEqual({
        a2a_webhook_pending: 2,
        a2a_webhook_overdue: 1,
        [UNFILED]: 0,
        a2a_webhook_oldest_pending_timestamp_seconds: at / SECOND,
      });
    }));

  it("are told every half hour while something waits and nothing happens, at the cost of no row", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith();
      stage.artifact(task);
      stage.settle(failed(stage.claim(), { retryAfterMs: 10 * HOUR }));
      await stage.run(MINUTE);
      const { count } = stage.world;
      let reports = 0;
      stage.world.count = async (delta) => {
        reports += 1;
        expect(delta).toMatchObject({ source: `home/${HOME}`, counters: {}, observations: {} });
        expect(delta.gauges.a2a_webhook_pending).toBe(1);
        return count(delta);
      };
      const costs = stage.countCosts();
      await stage.run(9 * HOUR);
      expect(reports).toBe(18);
      expect(costs().rows).toBe(0);
    }));

  it("are not told when nothing waits: the home sleeps until its next trim", () =>
    onStage(async (stage) => {
      deliver(stage, 1);
      await stage.run(MINUTE);
      expect(stage.gauges).toEqual({ a2a_webhook_pending: 0, a2a_webhook_overdue: 0, [UNFILED]: 0 });
      expect(await stage.run(12 * HOUR)).toBe(0);
    }));

  it("go down when dead letters are filed", () =>
    onStage(async (stage) => {
      die(stage);
      await stage.run(MINUTE);
      expect(stage.gauges[UNFILED]).toBe(1);
      fileLast(stage);
      stage.shipping.filed();
      await stage.run(SECOND);
      expect(stage.gauges[UNFILED]).toBe(0);
    }));

  it("are told later when they cannot be told, without a loop", () =>
    onStage(async (stage) => {
      stage.artifact(stage.taskWith().task);
      stage.settle(failed(stage.claim(), { retryAfterMs: 10 * HOUR }));
      await stage.run(MINUTE);
      stage.world.count = async () => {
        throw new Error("no metrics");
      };
      expect(await stage.run(9 * HOUR)).toBeLessThanOrEqual(18);
    }));
});

describe("a notification that died", () => {
  it("is told to the queue by its id, and again every minute until it is filed", () =>
    onStage(async (stage) => {
      const task = die(stage);
      await stage.run(10 * SECOND);
      const [{ ids } = { ids: [] }] = stage.notices;
      expect(stage.notices).toEqual([{ kind: "dead", home: HOME, ids }]);
      expect(ids).toHaveLength(1);
      await stage.run(3 * MINUTE);
      expect(stage.notices).toHaveLength(4);
      const letters = stage.store.dead.load(HOME, ids, stage.store.journal);
      expect(letters).toMatchObject([
        { id: ids[0], home: HOME, task, config: "main", sequence: 1, attempts: 1, status: 500, error: null },
      ]);
      expect(letters[0]?.reason).toBe("1 attempt failed; it answered 500");
      expect(letters[0]?.body).toContain("last words");
      stage.store.write(() => stage.store.dead.filed(letters));
      stage.shipping.filed();
      await stage.run(HOUR);
      expect(stage.notices).toHaveLength(4);
      expect(stage.counters[DEAD]).toBe(1);
    }));

  it("is told again when the queue was down", () =>
    onStage(async (stage) => {
      const { bury } = stage.world;
      stage.world.bury = async () => {
        throw new Error("the queue is down");
      };
      die(stage);
      await stage.run(MINUTE);
      stage.world.bury = bury;
      await stage.run(MINUTE);
      expect(stage.notices).toHaveLength(1);
    }));

  it("is told by a new object, too", () =>
    onStage(async (stage) => {
      die(stage);
      await stage.start();
      await stage.alarm();
      expect(stage.notices).toHaveLength(1);
    }));

  it("is one of many that are filed as fast as they are taken", () =>
    onStage(async (stage) => {
      for (let i = 0; i < 250; i++) die(stage);
      const filed = new Set<string>();
      const before = stage.now;
      stage.world.bury = async ({ ids }) => {
        stage.notices.push({ kind: "dead", home: HOME, ids });
        for (const id of ids) filed.add(id);
      };
      for (let i = 0; i < 3; i++) {
        await stage.run(3 * SECOND);
        fileLast(stage);
        stage.shipping.filed();
      }
      expect(filed.size).toBe(250);
      expect(stage.notices.map(({ ids }) => ids.length)).toEqual([100, 100, 50]);
      expect(stage.now - before).toBeLessThan(10 * SECOND);
    }));

  it.each([
    ["x", 1_000_001, false],
    ["漢", 340_000, false],
    ["漢", 330_000, true],
    ["x", 990_000, true],
  ])(
    "is loaded with a payload of %s × %i, if that is no larger than a megabyte: %s",
    (char, count, isLoaded) =>
      onStage((stage) => {
        const { task } = stage.taskWith({ retryMs: [0] });
        stage.artifact(task, char.repeat(count));
        stage.settle(failed(stage.claim()));
        const [id = ""] = stage.store.dead.ids(1);
        expect(stage.store.dead.load(HOME, [id, "unknown"], stage.store.journal)).toMatchObject([
          { id, body: isLoaded ? expect.stringContaining(char.repeat(count)) : null },
        ]);
      }),
  );

  it("is kept with its task until it is filed, and 30 days at most", () =>
    onStage(async (stage) => {
      const task = die(stage);
      stage.status(task, "TASK_STATE_COMPLETED");
      // The ending is a notification as well, and dies at once.
      stage.settle(failed(stage.claim()));
      const days = async (count: number) => {
        await stage.pass(count * DAY);
        await stage.alarm();
      };
      await days(29);
      expect(stage.store.get(task)).toBeDefined();
      await days(2);
      expect(stage.store.get(task)).toBeUndefined();
    }));
});
