// Notifications that go together: who shares a batch, what it holds, and that it stays the same batch until it has
// come to an end.

import { describe, expect, it } from "vitest";
import type { Claim } from "../../src/delivery/exchange.ts";
import { utf8Length } from "../../src/lib/bytes.ts";
import {
  BY,
  DAY,
  delivered,
  ENDPOINT,
  failed,
  HOUR,
  LEASE_MS,
  MINUTE,
  onStage,
  RETRY_MS,
  released,
  SECOND,
  type Stage,
  settlementOf,
  UNHEARD_MS,
} from "../support/notifications.ts";

const WAIT_MS = 1_000;
const batch = { key: "shared", maxEvents: 50, maxWaitMs: WAIT_MS };

type Piece = { id: string; sequence: number; event: string; payload: Record<string, unknown> };
const pieces = ({ body }: Claim) => JSON.parse(body) as Piece[];

/** Tasks with a config that shares batches, each with `events` artifacts. */
function tasksWith(stage: Stage, count: number, events = 1): string[] {
  return Array.from({ length: count }, () => {
    const { task } = stage.taskWith({ batch });
    for (let i = 0; i < events; i++) stage.artifact(task, `${task} ${i}`);
    return task;
  });
}

/** How many batches the home has written down. */
function batchRows(stage: Stage): number {
  return stage.storage.sql.exec<{ count: number }>("SELECT COUNT(*) AS count FROM batches").one().count;
}

describe("a batch", () => {
  it("is not claimed before its window has passed", () =>
    onStage(async (stage) => {
      tasksWith(stage, 1);
      await stage.calm();
      expect(stage.doorbells).toEqual([]);
      await stage.pass(WAIT_MS - 1);
      expect(stage.claims()).toEqual([]);
      await stage.pass(1);
      expect(stage.claims()).toHaveLength(1);
    }));

  it("is rung for when its window has passed", () =>
    onStage(async (stage) => {
      tasksWith(stage, 1);
      await stage.run(WAIT_MS - 1);
      expect(stage.doorbells).toEqual([]);
      await stage.run(1);
      expect(stage.doorbells).toHaveLength(1);
    }));

  it("holds what came in its window, in order per config, and takes along those whose own is still open", () =>
    onStage(async (stage) => {
      const [first = ""] = tasksWith(stage, 1, 2);
      await stage.pass(WAIT_MS - 100);
      stage.artifact(first, "late");
      const [second = ""] = tasksWith(stage, 1);
      await stage.pass(100);
      const claim = stage.claim();
      const ids = [stage.lane(first).ids, stage.lane(second).ids];
      expect(claim).toMatchObject({
        key: `batch/${claim.id}`,
        lanes: ids,
        contentType: "application/json",
        sequence: 1,
        attempt: 1,
        committedAt: stage.now - WAIT_MS,
      });
      expect(claim.id).not.toContain(".");
      expect(pieces(claim).map(({ id, sequence, event }) => [id, sequence, event])).toEqual([
        [`${ids[0]}-2`, 1, "artifactAdded"],
        [`${ids[0]}-3`, 2, "artifactAdded"],
        [`${ids[0]}-4`, 3, "artifactAdded"],
        [`${ids[1]}-2`, 1, "artifactAdded"],
      ]);
      expect(pieces(claim)[0]?.payload).toEqual(JSON.parse(stage.store.journal.entry(first, 2)?.body ?? ""));
    }));

  it("names each event, and numbers only what the filter wants", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith({ batch, events: ["artifactAdded", "completed"] });
      stage.status(task);
      stage.artifact(task);
      stage.status(task);
      stage.status(task, "TASK_STATE_COMPLETED");
      await stage.pass(WAIT_MS);
      expect(pieces(stage.claim()).map(({ sequence, event }) => [sequence, event])).toEqual([
        [1, "artifactAdded"],
        [2, "completed"],
      ]);
    }));

  it("holds at most 50 events, the rest of a config goes into the next", () =>
    onStage(async (stage) => {
      const [task = ""] = tasksWith(stage, 1, 120);
      await stage.pass(WAIT_MS);
      const seen: number[][] = [];
      let claims = stage.claims();
      while (claims.length > 0) {
        seen.push(...claims.map((claim) => pieces(claim).map(({ sequence }) => sequence)));
        claims = stage.claims({ settled: claims.map(delivered) });
      }
      expect(seen.map(({ length }) => length)).toEqual([50, 50, 20]);
      expect(seen.flat()).toEqual(Array.from({ length: 120 }, (_, i) => i + 1));
      expect(stage.lane(task)).toMatchObject({ delivered: 120, sequence: 120, pending: false });
    }));

  it("holds as few as its config asks for", () =>
    onStage(async (stage) => {
      const few = { ...batch, key: "few", maxEvents: 3 };
      const { task } = stage.taskWith({ batch: few });
      for (let i = 0; i < 7; i++) stage.artifact(task);
      await stage.pass(WAIT_MS);
      expect(pieces(stage.claim())).toHaveLength(3);
    }));

  it("holds at most 128 KB, wherever the characters lie in Unicode", () =>
    onStage(async (stage) => {
      for (const text of ["x".repeat(30_000), "\u{1F600}".repeat(7_500), "é".repeat(15_000)]) {
        const { task } = stage.taskWith({ batch });
        for (let i = 0; i < 10; i++) stage.artifact(task, text);
        await stage.pass(WAIT_MS);
        const claim = stage.claim();
        expect(pieces(claim)).toHaveLength(4);
        expect(utf8Length(claim.body)).toBeLessThanOrEqual(131_072);
        await stage.commands.delete(task, "main", BY);
      }
    }));

  it("of one event that is larger than any batch holds that alone", () =>
    onStage(async (stage) => {
      const [task = ""] = tasksWith(stage, 1, 1);
      const { task: large } = stage.taskWith({ batch });
      stage.artifact(large, "x".repeat(200_000));
      stage.artifact(large, "small");
      await stage.pass(WAIT_MS);
      let claims = stage.claims();
      const seen = claims.map((claim) => pieces(claim).length);
      claims = stage.claims({ settled: claims.map(delivered) });
      seen.push(...claims.map((claim) => pieces(claim).length));
      expect(seen).toEqual([1, 1, 1]);
      expect(stage.lane(task).delivered).toBe(1);
    }));

  it("is never shared by configs with different keys, targets or endpoints, nor by one that wants none", () =>
    onStage(async (stage) => {
      stage.artifact(stage.taskWith({ batch }).task);
      stage.artifact(stage.taskWith({ batch }).task);
      stage.artifact(stage.taskWith({ batch: { ...batch, key: "other" } }).task);
      stage.artifact(stage.taskWith({ batch, url: "https://receiver.test/other" }).task);
      stage.artifact(stage.taskWith().task);
      await stage.pass(WAIT_MS);
      const sizes = stage.claims().map(({ lanes, key }) => `${key.split("/")[0]} ${lanes.length}`);
      expect(sizes.sort()).toEqual(["batch 1", "batch 1", "batch 2", "lane 1"]);
    }));

  it("is not claimed a second time by another of its members", () =>
    onStage(async (stage) => {
      tasksWith(stage, 5);
      await stage.pass(WAIT_MS);
      const claim = stage.claim();
      expect(claim.lanes).toHaveLength(5);
      await stage.pass(SECOND);
      expect(stage.claims()).toEqual([]);
    }));

  it("leaves more for who wants more, however many lanes one batch takes", () =>
    onStage(async (stage) => {
      tasksWith(stage, 170);
      await stage.pass(WAIT_MS);
      const sizes: number[] = [];
      let { claims, more } = stage.exchange({ want: 2 });
      for (;;) {
        sizes.push(...claims.map(({ lanes }) => lanes.length));
        if (!more) break;
        ({ claims, more } = stage.exchange({ want: 2 }));
      }
      expect(sizes).toEqual([50, 50, 50, 20]);
    }));
});

describe("a batch that was sent once", () => {
  it("has the same id and the same members on every attempt, whatever comes meanwhile", () =>
    onStage(async (stage) => {
      const [first = ""] = tasksWith(stage, 3);
      await stage.pass(WAIT_MS);
      const claim = stage.claim();
      stage.artifact(first, "more");
      tasksWith(stage, 2);
      stage.settle(failed(claim));
      await stage.pass(30 * SECOND);
      const again = stage.claims();
      expect(again).toHaveLength(2);
      expect(again.find(({ id }) => id === claim.id)).toEqual({
        ...claim,
        attempt: 2,
        plannedAt: expect.any(Number),
      });
    }));

  it("has them also in a new object, and after a lost answer", () =>
    onStage(async (stage) => {
      const [first = ""] = tasksWith(stage, 3);
      await stage.pass(WAIT_MS);
      const claim = stage.claim();
      await stage.start();
      stage.artifact(first, "more");
      expect(stage.claim()).toEqual(claim);
      await stage.pass(LEASE_MS);
      expect(stage.claim()).toEqual(claim);
    }));

  it("is tried again as one, at one time", () =>
    onStage(async (stage) => {
      let random = 0;
      stage.random = () => {
        random = (random + 0.3) % 1;
        return random;
      };
      const tasks = tasksWith(stage, 4);
      await stage.pass(WAIT_MS);
      stage.settle(failed(stage.claim()));
      const dues = new Set(tasks.map((task) => stage.lane(task).due));
      expect(dues.size).toBe(1);
    }));

  it("is delivered as a whole: each lane goes on behind what it had in it, and nothing is left of the batch", () =>
    onStage(async (stage) => {
      const tasks = tasksWith(stage, 3, 2);
      await stage.pass(WAIT_MS);
      const claim = stage.claim();
      stage.settle(delivered(claim));
      for (const task of tasks) {
        expect(stage.lane(task)).toMatchObject({ delivered: 2, sequence: 2, pending: false, batch: null });
      }
      expect(stage.attempts().map(({ notification }) => notification)).toEqual(
        pieces(claim).map(({ id }) => id),
      );
      expect(batchRows(stage)).toBe(0);
    }));

  it("dies as a whole, with a letter for each of its events, and nothing is left of the batch", () =>
    onStage(async (stage) => {
      const short = { batch, retryMs: [0, 5_000] };
      const { task: old } = stage.taskWith(short);
      stage.artifact(old);
      await stage.pass(WAIT_MS - 1);
      const { task: young } = stage.taskWith(short);
      stage.artifact(young);
      await stage.pass(1);
      const claim = stage.claim();
      stage.settle(failed(claim));
      await stage.pass(5 * SECOND);
      const again = stage.claim();
      stage.settle(failed(again, { retryAfterMs: DAY }));
      expect(stage.store.dead.ids(10).sort()).toEqual(
        pieces(claim)
          .map(({ id }) => id)
          .sort(),
      );
      expect([stage.lane(old).dead, stage.lane(young).dead]).toEqual([1, 1]);
      expect(batchRows(stage)).toBe(0);
      // What comes next is a batch of its own.
      stage.artifact(young);
      await stage.pass(WAIT_MS);
      expect(stage.claim().id).not.toBe(claim.id);
    }));

  it.each(["of another config", "behind an old one of the same config"])(
    "has the time of its youngest event, %s",
    (where) =>
      onStage(async (stage) => {
        const [old = ""] = tasksWith(stage, 1);
        const young = where === "of another config" ? stage.taskWith({ batch }).task : old;
        await stage.pass(92 * HOUR);
        stage.artifact(young, "young");
        await stage.pass(WAIT_MS);
        for (let attempt = 1; attempt <= RETRY_MS.length; attempt++) {
          const claim = stage.claim();
          expect([claim.attempt, pieces(claim).length]).toEqual([attempt, 2]);
          expect([stage.lane(old).dead, stage.lane(young).dead]).toEqual([0, 0]);
          stage.settle(failed(claim));
          await stage.pass((stage.lane(young).due ?? stage.now) - stage.now);
        }
        expect(stage.store.dead.ids(10)).toHaveLength(2);
      }),
  );

  it("whose events are all too old by then gets one attempt", () =>
    onStage(async (stage) => {
      const [task = ""] = tasksWith(stage, 1, 2);
      await stage.pass(93 * HOUR);
      stage.settle(failed(stage.claim()));
      expect(stage.lane(task)).toMatchObject({ dead: 2, pending: false });
    }));

  it("is released as a whole, and stays the same", () =>
    onStage(async (stage) => {
      tasksWith(stage, 3);
      await stage.pass(WAIT_MS);
      const claim = stage.claim();
      stage.settle(released(claim));
      expect(stage.claim()).toEqual(claim);
      expect(batchRows(stage)).toBe(1);
    }));

  it("that is settled twice, or late, counts once", () =>
    onStage(async (stage) => {
      const tasks = tasksWith(stage, 2, 2);
      await stage.pass(WAIT_MS);
      const claim = stage.claim();
      stage.settle(delivered(claim), delivered(claim));
      for (const task of tasks) stage.artifact(task);
      stage.settle(delivered(claim), failed(claim));
      for (const task of tasks)
        expect(stage.lane(task)).toMatchObject({ delivered: 2, attempt: 0, pending: true });
      expect(stage.attempts()).toHaveLength(4);
    }));

  it("of which one member is deleted goes on without it, under another id", () =>
    onStage(async (stage) => {
      const [gone = "", ...others] = tasksWith(stage, 3);
      await stage.pass(WAIT_MS);
      const claim = stage.claim();
      stage.settle(failed(claim));
      const lane = stage.lane(gone).lane;
      await stage.commands.delete(gone, "main", BY);
      expect(stage.forgotten).toEqual([lane]);
      await stage.pass(5 * SECOND);
      const again = stage.claim();
      expect(again.id).not.toBe(claim.id);
      expect(again.attempt).toBe(2);
      expect(again.lanes).toEqual(others.map((task) => stage.lane(task).lane));
      expect(pieces(again)).toEqual(pieces(claim).slice(1));
      stage.settle(delivered(again));
      expect(batchRows(stage)).toBe(0);
    }));

  it("of which the claiming member is deleted goes on with the others", () =>
    onStage(async (stage) => {
      const tasks = tasksWith(stage, 3);
      await stage.pass(WAIT_MS);
      stage.settle(failed(stage.claim()));
      for (const task of tasks.slice(0, 2)) await stage.commands.delete(task, "main", BY);
      await stage.pass(5 * SECOND);
      expect(stage.claim()).toMatchObject({ lanes: [stage.lane(tasks[2] ?? "").lane], attempt: 2 });
    }));

  it("does not carry a member along while its deletion waits for another of its lanes", () =>
    onStage(async (stage) => {
      const [gone = "", other = ""] = tasksWith(stage, 2);
      await stage.pass(WAIT_MS);
      const claim = stage.claim();
      stage.settle(failed(claim));
      // A second lane of the config, whose endpoint does not answer.
      stage.operations.retryDead([{ task: gone, config: "main", seq: 2, sequence: 1 }], BY);
      const main = stage.lanes(gone).find(({ list }) => list === null)?.lane;
      stage.world.forget = async (_, lane) => {
        if (lane !== main) await new Promise(() => {});
      };
      const deletion = stage.commands.delete(gone, "main", BY);
      await stage.pass(5 * SECOND);
      expect(stage.claims().flatMap(({ lanes }) => lanes)).toEqual([stage.lane(other).lane]);
      await stage.pass(UNHEARD_MS);
      await deletion;
    }));

  it("of which all members are deleted is deleted with the next trim, and no other is", () =>
    onStage(async (stage) => {
      const tasks = tasksWith(stage, 2);
      const { task: other } = stage.taskWith({ batch: { ...batch, key: "other" } });
      stage.artifact(other);
      await stage.pass(WAIT_MS);
      const claims = stage.claims();
      stage.settle(...claims.map((claim) => failed(claim)));
      for (const task of tasks) await stage.commands.delete(task, "main", BY);
      expect(batchRows(stage)).toBe(2);
      await stage.pass(DAY);
      await stage.alarm();
      expect(batchRows(stage)).toBe(1);
      expect(stage.claim().id).toBe(claims.find(({ task }) => task === other)?.id);
    }));

  it("of which one member is paused goes on without it; that one goes out when it is resumed", () =>
    onStage(async (stage) => {
      const [paused = "", other = ""] = tasksWith(stage, 2);
      await stage.pass(WAIT_MS);
      const claim = stage.claim();
      stage.settle(failed(claim));
      stage.operations.setState({ by: BY, task: paused, config: "main", state: "paused" });
      await stage.pass(5 * SECOND);
      const again = stage.claim();
      expect(again.id).not.toBe(claim.id);
      expect(again.lanes).toEqual([stage.lane(other).lane]);
      stage.settle(delivered(again));
      await stage.pass(MINUTE);
      expect(stage.claims()).toEqual([]);
      stage.operations.setState({ by: BY, task: paused, config: "main", state: "active" });
      const late = stage.claim();
      expect(pieces(late)).toEqual(pieces(claim).slice(0, 1));
      stage.settle(delivered(late));
      expect(stage.lane(paused)).toMatchObject({ delivered: 1, pending: false });
      expect(batchRows(stage)).toBe(0);
    }));

  it("whose member is replaced sends what was pending with the new config", () =>
    onStage(async (stage) => {
      const [replaced = ""] = tasksWith(stage, 2);
      await stage.pass(WAIT_MS);
      const claim = stage.claim();
      stage.settle(failed(claim));
      await stage.set(replaced, { batch: { ...batch, key: "new" } });
      const [fresh] = stage.claims();
      expect(fresh && pieces(fresh)).toEqual(pieces(claim).slice(0, 1));
      await stage.pass(5 * SECOND);
      const rest = stage.claim({ settled: fresh ? [delivered(fresh)] : [] });
      expect([rest.id === claim.id, pieces(rest)]).toEqual([false, pieces(claim).slice(1)]);
    }));

  it("that is answered 410 disables each of its configs", () =>
    onStage(async (stage) => {
      const tasks = tasksWith(stage, 3);
      await stage.pass(WAIT_MS);
      stage.settle(settlementOf(stage.claim(), "gone", { status: 410 }));
      for (const task of tasks) expect(stage.lane(task)).toMatchObject({ state: "disabled", due: null });
      await stage.pass(DAY);
      expect(stage.claims()).toEqual([]);
      for (const task of tasks) stage.operations.setState({ by: BY, task, config: "main", state: "active" });
      expect(pieces(stage.claim())).toHaveLength(3);
      expect(batchRows(stage)).toBe(1);
    }));
});

describe("a batch config that is replaced by one with another filter", () => {
  it("sends what is still wanted, once", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith({ batch });
      stage.status(task);
      const wanted = stage.artifact(task);
      await stage.set(task, { batch, events: ["artifactAdded"] });
      await stage.pass(WAIT_MS);
      const claim = stage.claim();
      expect(pieces(claim)).toMatchObject([{ id: `${stage.lane(task).ids}-${wanted}`, sequence: 1 }]);
      expect(stage.claims({ settled: [delivered(claim)] })).toEqual([]);
      expect(stage.lane(task)).toMatchObject({ pending: false, delivered: 1 });
    }));
});

describe("a batch config whose secret is rotated", () => {
  const rotate = (stage: Stage, task: string) =>
    stage.operations.rotateSecret({ by: BY, task, config: "main", was: "1.old", sealed: "1.new" });

  /** Two tasks that share a batch and a secret, each with an event. */
  async function pairOn(stage: Stage): Promise<[rotated: string, other: string]> {
    const make = () => {
      const { task } = stage.taskWith({ batch, sealed: "1.old" });
      stage.artifact(task);
      return task;
    };
    const pair: [string, string] = [make(), make()];
    await stage.pass(WAIT_MS);
    return pair;
  }

  /** What is claimed, by the secret it is signed with. */
  const bySecret = (claims: readonly Claim[]) => claims.map(({ sealed, lanes }) => [sealed, lanes]).sort();

  it("shares no batch with one that has the old secret, nor with one that was rotated for itself", () =>
    onStage(async (stage) => {
      const pair = await pairOn(stage);
      const { task: third } = stage.taskWith({ batch, sealed: "1.old" });
      stage.artifact(third);
      for (const task of pair) rotate(stage, task);
      await stage.pass(WAIT_MS);
      const lanes = [...pair, third].map((task) => stage.lane(task).lane);
      expect(bySecret(stage.claims())).toEqual([
        ["1.new", [lanes[0]]],
        ["1.new", [lanes[1]]],
        ["1.old", [lanes[2]]],
      ]);
    }));

  it("leaves a batch that has failed: both go on, each with its own secret", () =>
    onStage(async (stage) => {
      const [rotated, other] = await pairOn(stage);
      const claim = stage.claim();
      stage.settle(failed(claim));
      rotate(stage, rotated);
      await stage.pass(5 * SECOND);
      const claims = stage.claims();
      const lanes = [rotated, other].map((task) => stage.lane(task).lane);
      expect(bySecret(claims)).toEqual([
        ["1.new", [lanes[0]]],
        ["1.old", [lanes[1]]],
      ]);
      // The one that left has its attempts before it again, with whatever has joined it.
      expect(claims.map(({ attempt }) => attempt).sort()).toEqual([1, 2]);
      expect(claims.map(({ id }) => id)).not.toContain(claim.id);
      expect(claims.flatMap(pieces)).toEqual(expect.arrayContaining(pieces(claim)));
      stage.settle(...claims.map(delivered));
      expect([stage.lane(rotated), stage.lane(other)]).toMatchObject([{ delivered: 1 }, { delivered: 1 }]);
      expect(batchRows(stage)).toBe(0);
    }));

  it.each([
    ["delivered", { delivered: 1, pending: false }],
    ["failed", { attempt: 1, pending: true }],
  ] as const)("leaves a batch that is under way, and is sent again after that was %s", (end, then) =>
    onStage(async (stage) => {
      const [rotated, other] = await pairOn(stage);
      const claim = stage.claim();
      rotate(stage, rotated);
      expect(stage.claims({ busy: [claim.key] })).toEqual([]);
      const again = stage.claim({ settled: [end === "delivered" ? delivered(claim) : failed(claim)] });
      expect(stage.lane(other)).toMatchObject(then);
      expect(stage.lane(rotated)).toMatchObject({ delivered: 0, attempt: 0, pending: true });
      expect(again).toMatchObject({ sealed: "1.new", lanes: [stage.lane(rotated).lane], attempt: 1 });
      expect(pieces(again)).toEqual(pieces(claim).slice(0, 1));
      stage.settle(delivered(again));
      expect(stage.lane(rotated)).toMatchObject({ delivered: 1, pending: false });
    }),
  );

  it("leaves a batch of which it was alone, or whose answer is lost, without losing anything", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith({ batch, sealed: "1.old" });
      stage.artifact(task);
      await stage.pass(WAIT_MS);
      const lost = stage.claim();
      rotate(stage, task);
      await stage.start();
      await stage.pass(LEASE_MS);
      const again = stage.claim();
      expect([again.id === lost.id, again.sealed, pieces(again)]).toEqual([false, "1.new", pieces(lost)]);
      stage.settle(delivered(lost));
      expect(stage.lane(task)).toMatchObject({ delivered: 0, pending: true });
      stage.settle(delivered(again));
      expect(stage.lane(task)).toMatchObject({ delivered: 1, pending: false });
    }));
});

describe("a replay of a config that shares batches", () => {
  it("goes in batches, too, and ends with its list", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith({ batch });
      for (let i = 0; i < 60; i++) stage.artifact(task);
      await stage.pass(WAIT_MS);
      let claims = stage.claims();
      while (claims.length > 0) claims = stage.claims({ settled: claims.map(delivered) });
      const replay = stage.operations.replay({ by: BY, task, config: "main", from: 0, to: stage.now });
      expect(replay).toMatchObject({ value: { notifications: 60 } });
      const sequences: number[] = [];
      claims = stage.claims();
      while (claims.length > 0) {
        sequences.push(...claims.flatMap((claim) => pieces(claim).map(({ sequence }) => sequence)));
        claims = stage.claims({ settled: claims.map(delivered) });
      }
      expect(sequences).toEqual(Array.from({ length: 60 }, (_, i) => i + 1));
      expect(stage.lanes(task)).toHaveLength(1);
      expect(batchRows(stage)).toBe(0);
      expect(stage.lane(task).endpoint).toBe(ENDPOINT);
    }));
});
