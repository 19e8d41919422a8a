// How homes and endpoints find together: what an endpoint asks for and is given, who is rung and when, and that ten
// thousand lanes do not wake together.

import { describe, expect, it } from "vitest";
import {
  DAY,
  delivered,
  ENDPOINT,
  failed,
  HOME,
  MINUTE,
  OWNER,
  onStage,
  SECOND,
} from "../support/notifications.ts";

describe("what an endpoint asks for", () => {
  const many = (stage: Parameters<Parameters<typeof onStage>[0]>[0], count: number, url?: string) => {
    for (let i = 0; i < count; i++) stage.artifact(stage.taskWith(url === undefined ? {} : { url }).task);
  };

  it("is given at most as many claims as it wants, and told whether there are more", () =>
    onStage((stage) => {
      many(stage, 5);
      const first = stage.exchange({ want: 3 });
      expect([first.claims.length, first.more]).toEqual([3, true]);
      const second = stage.exchange({ want: 2 });
      expect([second.claims.length, second.more]).toEqual([2, false]);
      const third = stage.exchange({ want: 2 });
      expect([third.claims.length, third.more]).toEqual([0, false]);
    }));

  it("with want 0 is given nothing, and told whether there is something", () =>
    onStage((stage) => {
      many(stage, 1);
      expect(stage.exchange({ want: 0 })).toEqual({ claims: [], more: true });
    }));

  it("and may claim again after a hold, is what the alarm is set for anew", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith({ retryMs: [0, MINUTE] });
      stage.artifact(task);
      stage.settle(failed(stage.claim()));
      const holdUntil = stage.now + 60 * MINUTE;
      stage.exchange({ allowances: [{ target: "*", claims: 0, holdUntil }] });
      await stage.run(10 * SECOND);
      expect(stage.alarmAt).toBeGreaterThan(stage.now + 10 * MINUTE);
      // The hold is over before its time, and nothing is due yet.
      expect(stage.exchange().claims).toEqual([]);
      expect(stage.alarmAt).toBeLessThanOrEqual(stage.lanes(task)[0]?.due ?? 0);
    }));

  it("is given the longest waiting first", () =>
    onStage(async (stage) => {
      const tasks: string[] = [];
      for (let i = 0; i < 5; i++) {
        const { task } = stage.taskWith();
        tasks.push(task);
        stage.artifact(task);
        await stage.pass(10);
      }
      expect(stage.claims({ want: 5 }).map(({ task }) => task)).toEqual(tasks);
    }));

  it("stays within what is allowed of each target", () =>
    onStage((stage) => {
      many(stage, 4, "https://receiver.test/a");
      many(stage, 4, "https://receiver.test/b");
      many(stage, 1, "https://receiver.test/c");
      const allowances = [
        { target: "https://receiver.test/a", claims: 2 },
        { target: "https://receiver.test/b", claims: 9, holdUntil: stage.now + 1 },
      ];
      const { claims } = stage.exchange({ allowances });
      expect(claims.map(({ target }) => target).sort()).toEqual([
        "https://receiver.test/a",
        "https://receiver.test/a",
        "https://receiver.test/c",
      ]);
    }));

  it("stays within what is allowed of all, but for targets that are named", () =>
    onStage((stage) => {
      many(stage, 3, "https://receiver.test/a");
      many(stage, 3, "https://receiver.test/b");
      const allowances = [
        { target: "*", claims: 0, holdUntil: stage.now + MINUTE },
        { target: "https://receiver.test/b", claims: 1 },
      ];
      expect(stage.claims({ allowances }).map(({ target }) => target)).toEqual(["https://receiver.test/b"]);
    }));

  it("fits into one RPC value, however large the events are", () =>
    onStage((stage) => {
      for (let i = 0; i < 8; i++) stage.artifact(stage.taskWith().task, "x".repeat(4_000_000));
      const { claims, more } = stage.exchange({ want: 8 });
      expect(more).toBe(true);
      const bytes = claims.reduce((sum, { body }) => sum + body.length, 0);
      expect(bytes).toBeLessThan(32 * 1_048_576);
      expect(claims.length).toBeGreaterThan(0);
    }));

  it("is recorded: what only the endpoint counts, and that its origin has echoed a challenge", () =>
    onStage((stage) => {
      const { task } = stage.taskWith();
      const told = { configured: true, validated: false };
      expect(stage.commands.notificationsOf(task, undefined)).toEqual(told);
      const key = 'a2a_webhook_rate_limited_total{by="url"}';
      stage.exchange({ counters: { [key]: 3 }, validatedUntil: stage.now + 30 * DAY });
      expect(stage.commands.notificationsOf(task, undefined)).toEqual({ ...told, validated: true });
      expect(stage.store.outbox.next()?.items.map(({ item }) => item)).toContainEqual({
        kind: "counters",
        counters: { [key]: 3 },
      });
    }));
});

describe("doorbells", () => {
  it("are rung once for what comes while one is not answered", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith();
      const { task: other } = stage.taskWith({ url: "https://receiver.test/other" });
      stage.artifact(task);
      stage.artifact(other);
      await stage.calm();
      expect(stage.doorbells).toEqual([{ kind: "ring", home: HOME, endpoint: ENDPOINT }]);
    }));

  it("are rung per endpoint", () =>
    onStage(async (stage) => {
      stage.artifact(stage.taskWith().task);
      stage.artifact(stage.taskWith({ url: "https://other.test/" }).task);
      await stage.calm();
      expect(stage.doorbells.map(({ endpoint }) => endpoint).sort()).toEqual([
        `${OWNER}|https://other.test`,
        ENDPOINT,
      ]);
    }));

  it("are rung again every 5 s until the endpoint comes", () =>
    onStage(async (stage) => {
      stage.artifact(stage.taskWith().task);
      await stage.calm();
      await stage.run(4_999);
      expect(stage.doorbells).toHaveLength(1);
      await stage.run(1);
      expect(stage.doorbells).toHaveLength(2);
      await stage.run(20 * SECOND);
      expect(stage.doorbells).toHaveLength(6);
      stage.settle(delivered(stage.claim()));
      await stage.run(MINUTE);
      expect(stage.doorbells).toHaveLength(6);
    }));

  it("that cannot be sent are sent again in 5 s", () =>
    onStage(async (stage) => {
      const { ring } = stage.world;
      stage.world.ring = async () => {
        throw new Error("the queue is down");
      };
      stage.artifact(stage.taskWith().task);
      await stage.run(4 * SECOND);
      stage.world.ring = ring;
      await stage.run(SECOND);
      expect(stage.doorbells).toHaveLength(1);
    }));

  it("are rung for a retry when it is due", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith();
      stage.artifact(task);
      await stage.calm();
      stage.settle(failed(stage.claim()));
      await stage.run(5 * SECOND - 1);
      expect(stage.doorbells).toHaveLength(1);
      await stage.run(1);
      expect(stage.doorbells).toHaveLength(2);
    }));

  it("are rung after a restart, for what was due and for what becomes due", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith();
      stage.artifact(task);
      const { task: later } = stage.taskWith({ url: "https://other.test/" });
      stage.artifact(later);
      await stage.calm();
      const other = { endpoint: `${OWNER}|https://other.test` };
      stage.exchange({ ...other, settled: [failed(stage.claim(other))], want: 0 });
      stage.doorbells.length = 0;
      await stage.start();
      await stage.run(4 * SECOND);
      expect(stage.doorbells.map(({ endpoint }) => endpoint)).toEqual([ENDPOINT]);
      await stage.run(SECOND);
      expect(stage.doorbells.map(({ endpoint }) => endpoint)).toContain(other.endpoint);
    }));

  it("are rung even if the alarm was lost, once somebody pokes the home", () =>
    onStage(async (stage) => {
      stage.artifact(stage.taskWith().task);
      await stage.calm();
      stage.alarmAt = null;
      await stage.pass(DAY);
      await stage.alarm();
      expect(stage.doorbells).toHaveLength(2);
      expect(stage.alarmAt).toBe(stage.now + 5 * SECOND);
    }));

  it("are not rung for a target that waits, until it need not", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith();
      stage.artifact(task);
      await stage.calm();
      const allowances = [
        { target: "https://receiver.test/hook", claims: 0, holdUntil: stage.now + 10 * MINUTE },
      ];
      expect(stage.claims({ allowances })).toEqual([]);
      stage.artifact(stage.taskWith().task);
      await stage.run(10 * MINUTE - 1);
      expect(stage.doorbells).toHaveLength(1);
      await stage.run(1);
      expect(stage.doorbells).toHaveLength(2);
    }));

  it("are not held up by a clock that was ahead and has been set right", () =>
    onStage(async (stage) => {
      await stage.pass(DAY);
      const { task } = stage.taskWith();
      stage.artifact(task);
      await stage.calm();
      await stage.pass(-DAY);
      // The lane itself is due tomorrow; another is due now.
      stage.store.lanes.save({ ...stage.lane(task), due: stage.now });
      await stage.alarm();
      await stage.run(10 * SECOND);
      expect(stage.doorbells).toHaveLength(4);
    }));

  it("are one for an endpoint that is sent a backlog in many exchanges", () =>
    onStage(async (stage) => {
      for (let i = 0; i < 60; i++) stage.artifact(stage.taskWith().task);
      await stage.calm();
      let { claims, more } = stage.exchange({ want: 6 });
      let exchanges = 1;
      while (claims.length > 0) {
        expect(more).toBe(exchanges < 10);
        await stage.run(100);
        ({ claims, more } = stage.exchange({ want: 6, settled: claims.map(delivered) }));
        exchanges += 1;
      }
      expect(exchanges).toBe(11);
      expect(stage.doorbells).toHaveLength(1);
    }));

  it("are rung for the rest of a backlog that its endpoint has not come back for", () =>
    onStage(async (stage) => {
      for (let i = 0; i < 3; i++) stage.artifact(stage.taskWith().task);
      await stage.calm();
      expect(stage.exchange({ want: 1 }).more).toBe(true);
      await stage.run(6 * SECOND);
      expect(stage.doorbells).toHaveLength(2);
    }));
});

describe("10,000 lanes that have waited for a target", () => {
  it("make one ring, and are claimed as allowed", { timeout: 60_000 }, () =>
    onStage(async (stage) => {
      const LANES = 10_000;
      for (let i = 0; i < LANES; i++) stage.artifact(stage.taskWith().task);
      await stage.calm();
      const target = "https://receiver.test/hook";
      const until = stage.now + 15 * MINUTE;
      stage.exchange({ allowances: [{ target, claims: 0, holdUntil: until }] });
      stage.doorbells.length = 0;
      await stage.run(15 * MINUTE);
      expect(stage.doorbells).toHaveLength(1);
      // One probes, then the rest follow as tokens are granted.
      const [probe, ...none] = stage.claims({ want: 6, allowances: [{ target, claims: 1 }] });
      expect(none).toEqual([]);
      if (!probe) throw new Error("no probe");
      const { claims, more } = stage.exchange({ settled: [delivered(probe)], want: 100 });
      expect([claims.length, more]).toEqual([100, true]);
      expect(new Set(claims.map(({ key }) => key)).size).toBe(100);
      await stage.run(SECOND);
      expect(stage.doorbells).toHaveLength(1);
    }),
  );

  it("with a URL of their own each are claimed as quickly", { timeout: 60_000 }, () =>
    onStage(async (stage) => {
      const LANES = 2_000;
      for (let i = 0; i < LANES; i++) {
        stage.artifact(stage.taskWith({ url: `https://receiver.test/hooks/${i}` }).task);
      }
      await stage.calm();
      let claims = stage.claims({ want: 6 });
      const costs = stage.countCosts();
      for (let i = 0; i < 10; i++) claims = stage.claims({ want: 6, settled: claims.map(delivered) });
      expect(costs().rowsRead / 60).toBeLessThan(30);
    }),
  );
});
