// How a home calls an endpoint with what is due first, and what one delivered notification costs in calls: exactly
// counted, from the home over the endpoint's own loop to D1.

import { env } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import type { Claim, ExchangeAnswer } from "../../src/delivery/exchange.ts";
import { Pump } from "../../src/delivery/pump.ts";
import { Share } from "../../src/delivery/share.ts";
import { Targets } from "../../src/delivery/targets.ts";
import { archiveIn } from "../../src/tasks/archive.ts";
import {
  delivered,
  ENDPOINT,
  HOME,
  LEASE_MS,
  MINUTE,
  onStage,
  SECOND,
  type Stage,
} from "../support/notifications.ts";

type Call = { endpoint: string; offered: ExchangeAnswer };

/** From now on endpoints can be called; what they are given. */
function listen(stage: Stage): Call[] {
  const calls: Call[] = [];
  stage.world.offer = async (endpoint, offered) => void calls.push({ endpoint, offered });
  return calls;
}

/** An endpoint has come once, with nothing in hand. */
function acquaint(stage: Stage): void {
  stage.task();
  stage.exchange();
}

describe("an endpoint is called", () => {
  it("with what is due first, and nothing goes through the queue", () =>
    onStage(async (stage) => {
      acquaint(stage);
      const calls = listen(stage);
      const { task } = stage.taskWith();
      stage.artifact(task);
      await stage.calm();
      expect(calls).toMatchObject([{ endpoint: ENDPOINT, offered: { claims: [{ task }], more: false } }]);
      expect(stage.doorbells).toEqual([]);
      // It is leased like any other claim.
      expect(stage.claims()).toEqual([]);
      await stage.pass(LEASE_MS);
      expect(stage.claim()).toMatchObject({ task, attempt: 1 });
    }));

  it("without claims until it has said what it has in hand: this home may have been started anew", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith();
      stage.artifact(task);
      const claim = stage.claim();
      await stage.start();
      const calls = listen(stage);
      stage.artifact(stage.taskWith().task);
      await stage.calm();
      expect(calls.map(({ offered }) => offered)).toEqual([{ claims: [], more: true }]);
      expect(stage.claims({ busy: [claim.key] }).map((other) => other.task)).not.toContain(task);
    }));

  it("once for what comes until it has come itself, and with no more than it may have room for", () =>
    onStage(async (stage) => {
      acquaint(stage);
      const calls = listen(stage);
      for (let i = 0; i < 20; i++) stage.artifact(stage.taskWith().task);
      await stage.calm();
      stage.artifact(stage.taskWith().task);
      await stage.calm();
      expect(calls.map(({ offered: { claims, more } }) => [claims.length, more])).toEqual([[6, true]]);
    }));

  it("with nothing for a target that must wait", () =>
    onStage(async (stage) => {
      const calls = listen(stage);
      const { task, config } = stage.taskWith();
      stage.artifact(task);
      const held = { target: config.target, claims: 0, holdUntil: stage.now + MINUTE };
      stage.exchange({ allowances: [held] });
      stage.artifact(task);
      const { task: other } = stage.taskWith({
        url: "https://receiver.test/b",
        target: "https://receiver.test/b",
      });
      stage.artifact(other);
      await stage.calm();
      const given = calls.flatMap(({ offered }) => offered.claims.map((claim) => claim.task));
      expect(given).toEqual([other]);
    }));

  it("through the queue if it cannot be, and what it was to be given is there for whoever comes", () =>
    onStage(async (stage) => {
      acquaint(stage);
      const { task } = stage.taskWith();
      stage.artifact(task);
      await stage.calm();
      expect(stage.doorbells).toEqual([{ kind: "ring", home: HOME, endpoint: ENDPOINT }]);
      expect(stage.claim()).toMatchObject({ task, attempt: 1 });
    }));

  it("through the queue if it has not come 5 s after it was called", () =>
    onStage(async (stage) => {
      listen(stage);
      stage.artifact(stage.taskWith().task);
      await stage.run(5 * SECOND - 1);
      expect(stage.doorbells).toEqual([]);
      await stage.run(1);
      expect(stage.doorbells).toHaveLength(1);
    }));

  it("and gives nothing twice that it has got although the call failed", () =>
    onStage(async (stage) => {
      acquaint(stage);
      const got: Claim[] = [];
      stage.world.offer = async (_, { claims }) => {
        got.push(...claims);
        throw new Error("the answer was lost");
      };
      const { task } = stage.taskWith();
      stage.artifact(task);
      await stage.calm();
      expect(got).toHaveLength(1);
      expect(stage.claims({ busy: got.map(({ key }) => key) })).toEqual([]);
      await stage.pass(SECOND);
      // Named as busy once, it is leased again.
      expect(stage.claims()).toEqual([]);
      stage.settle(...got.map(delivered));
      expect(stage.lane(task)).toMatchObject({ pending: false, delivered: 1 });
    }));
});

describe("one delivered notification", () => {
  it("costs one call, one exchange, one request to the world, one to the metrics, 5 statements of D1 in one batch, and nothing of the queue", () =>
    onStage(async (stage) => {
      const costs = { calls: 0, exchanges: 0, sends: 0, shipments: 0, metrics: 0, batches: 0, statements: 0 };
      const now = () => stage.now;
      const count = () => {};
      const targets = new Targets({
        rate: { perMinute: 0, burst: 10 },
        timeoutMs: 15_000,
        stored: [],
        save: count,
        count,
        changed: count,
      });
      const pump: Pump = new Pump({
        endpoint: ENDPOINT,
        homeOf: () => ({
          exchange: async (request) => {
            costs.exchanges += 1;
            return stage.notifications.exchange(request);
          },
        }),
        targets,
        share: new Share({
          perMinute: 0,
          grant: async () => ({ ok: true, value: { tokens: 1 } }),
          now,
          changed: () => pump.advance(),
          refused: count,
          failed: count,
        }),
        send: async (claim) => {
          costs.sends += 1;
          return delivered(claim);
        },
        isPaused: () => false,
        resumedAt: () => undefined,
        toldOfPause: count,
        validatedUntil: () => undefined,
        now,
        sleep: () => new Promise(() => {}),
        callSoon: count,
        waitUntil: count,
      });
      const db = new Proxy(env.DB, {
        get(target, name) {
          if (name !== "batch") return Reflect.get(target, name).bind(target);
          return (statements: D1PreparedStatement[]) => {
            costs.batches += 1;
            costs.statements += statements.length;
            return target.batch(statements);
          };
        },
      });
      const archive = archiveIn(db, HOME);
      stage.isReal = true;
      const { count: countMetrics } = stage.world;
      stage.world.offer = async (_, offered) => {
        costs.calls += 1;
        pump.offer(HOME, offered);
      };
      stage.world.archive = async (shipment) => {
        costs.shipments += 1;
        await archive(shipment);
      };
      stage.world.count = async (delta) => {
        costs.metrics += 1;
        return countMetrics(delta);
      };
      // The first one makes home and endpoint acquainted, and ships the config.
      const { task } = stage.taskWith();
      stage.artifact(task);
      await stage.run(10 * SECOND);
      for (const name of Object.keys(costs) as (keyof typeof costs)[]) costs[name] = 0;

      stage.artifact(task);
      await stage.run(10 * SECOND);
      expect(stage.lane(task)).toMatchObject({ pending: false, delivered: 2 });
      expect(stage.store.outbox.isEmpty()).toBe(true);
      expect(costs).toEqual({
        ...{ calls: 1, exchanges: 1, sends: 1, shipments: 1 },
        ...{ metrics: 1, batches: 1, statements: 5 },
      });
      expect(stage.doorbells).toEqual([]);
    }));
});
