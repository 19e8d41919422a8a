// The table of lanes: what is written is read again, and what is due is found by its index.

import { describe, expect, it } from "vitest";
import type { Lane } from "../../src/tasks/lanes.ts";
import { Leases } from "../../src/tasks/leases.ts";
import { ENDPOINT, LEASE_MS, onStage, type Stage } from "../support/notifications.ts";

const TARGET = "https://receiver.test/hook";

/** A lane in which every member differs from its neighbours. */
const lane = (own: Partial<Lane> = {}): Lane => ({
  task: "0-t",
  lane: "l1",
  config: "c1",
  endpoint: ENDPOINT,
  target: TARGET,
  ids: "i1",
  start: 3,
  list: null,
  sequence: 5,
  head: 7,
  pending: true,
  attempt: 2,
  due: 1_000,
  clockFrom: 11,
  state: "active",
  reason: "a reason",
  stateAt: 12,
  delivered: 13,
  dead: 14,
  failures: 15,
  failingSince: 16,
  lastAt: 17,
  lastStatus: 500,
  lastError: "timeout",
  batch: "b1",
  ...own,
});

/** A stage whose database has its schema. */
function withLanes<T>(use: (lanes: Stage["store"]["lanes"], stage: Stage) => T): Promise<T> {
  return onStage((stage) => {
    stage.task();
    return use(stage.store.lanes, stage);
  });
}

describe("a lane", () => {
  it.each([
    ["as it is", lane()],
    [
      "with a list of its own",
      lane({
        list: [
          [3, 1],
          [9, 4],
        ],
      }),
    ],
    [
      "with nothing that it may be without",
      lane({
        due: null,
        pending: false,
        reason: null,
        failingSince: null,
        lastAt: null,
        lastStatus: null,
        lastError: null,
        batch: null,
      }),
    ],
  ])("is read as it was written: %s", (_, written) =>
    withLanes((lanes) => {
      lanes.insert(written);
      expect(lanes.get("0-t", "l1")).toEqual(written);
      expect(lanes.forTask("0-t")).toEqual([written]);
    }),
  );

  it("is saved in what changes in its life, and in nothing else", () =>
    withLanes((lanes) => {
      lanes.insert(lane());
      const changed = lane({
        sequence: 105,
        head: 107,
        pending: false,
        attempt: 102,
        due: null,
        clockFrom: 111,
        state: "paused",
        reason: null,
        stateAt: 112,
        delivered: 113,
        dead: 114,
        failures: 115,
        failingSince: null,
        lastAt: 117,
        lastStatus: null,
        lastError: null,
        batch: null,
      });
      lanes.save({ ...changed, config: "x", endpoint: "x", target: "x", ids: "x", start: 0, list: [] });
      expect(lanes.get("0-t", "l1")).toEqual(changed);
    }));

  it("that is new is written with the end of its transaction, as it is then", () =>
    withLanes((lanes, stage) => {
      const costs = stage.countCosts();
      stage.store.write(() => {
        lanes.insert(lane({ due: null }));
        lanes.save(lane({ due: 5, config: "another" }));
      });
      // The row, and that of the index of what is due.
      expect(costs().rows).toBe(2);
      lanes.forget();
      expect(lanes.get("0-t", "l1")).toEqual(lane({ due: 5 }));
    }));

  it("that is new and deleted in the same transaction is not there", () =>
    withLanes((lanes, stage) => {
      stage.store.write(() => {
        lanes.insert(lane());
        lanes.delete("0-t", "l1");
      });
      expect(lanes.get("0-t", "l1")).toBeUndefined();
      lanes.forget();
      expect(lanes.get("0-t", "l1")).toBeUndefined();
    }));

  it("of a transaction that is rolled back is not there, and those of the one around it are", () =>
    withLanes((lanes, stage) => {
      stage.store.write(() => {
        lanes.insert(lane());
        const inner = () =>
          stage.store.write(() => {
            lanes.insert(lane({ lane: "l2" }));
            throw new Error("rolled back");
          });
        expect(inner).toThrow("rolled back");
      });
      expect(lanes.forTask("0-t").map((one) => one.lane)).toEqual(["l1"]);
    }));

  it("that is not there is not made by saving it", () =>
    withLanes((lanes) => {
      lanes.save(lane());
      expect(lanes.get("0-t", "l1")).toBeUndefined();
    }));

  it("is deleted by itself, or with all of its task", () =>
    withLanes((lanes) => {
      for (const name of ["l1", "l2", "l3"]) lanes.insert(lane({ lane: name }));
      lanes.insert(lane({ task: "0-u" }));
      lanes.delete("0-t", "l2");
      expect(lanes.forTask("0-t").map(({ lane }) => lane)).toEqual(["l1", "l3"]);
      lanes.deleteTask("0-t");
      expect(lanes.forTask("0-t")).toEqual([]);
      expect(lanes.forTask("0-u")).toHaveLength(1);
    }));
});

describe("what is due", () => {
  it("is found by endpoint, target and time, the longest waiting first", () =>
    withLanes((lanes) => {
      const add = (name: string, own: Partial<Lane>) => lanes.insert(lane({ lane: name, ...own }));
      add("late", { due: 3_000 });
      add("first", { due: 1_000 });
      add("second", { due: 2_000 });
      add("never", { due: null });
      add("elsewhere", { target: "https://receiver.test/other" });
      add("stranger", { endpoint: "somebody|https://receiver.test" });
      const target = { endpoint: ENDPOINT, target: TARGET };
      const names = (rows: { lane: string }[]) => rows.map(({ lane }) => lane);
      const leases = new Leases(lanes, LEASE_MS);
      expect(names(leases.due(target, 2_000, 10))).toEqual(["first", "second"]);
      expect(names(leases.due(target, 999, 10))).toEqual([]);
      expect(names(leases.due(target, 9_000, 2))).toEqual(["first", "second"]);
      expect(lanes.dueTimes(target, 10).map(({ due }) => due)).toEqual([1_000, 2_000, 3_000]);
      expect(lanes.targets()).toHaveLength(3);
    }));

  it("costs as many rows as are wanted, however many lanes there are", () =>
    withLanes((lanes, stage) => {
      for (let i = 0; i < 500; i++)
        lanes.insert(lane({ lane: `l${i}`, due: i, target: `${TARGET}/${i % 2}` }));
      const target = { endpoint: ENDPOINT, target: `${TARGET}/1` };
      const cost = (use: () => unknown) => {
        const costs = stage.countCosts();
        use();
        return costs().rowsRead;
      };
      const leases = new Leases(lanes, LEASE_MS);
      // The first time it looks which targets there are.
      leases.wake(0);
      expect(cost(() => leases.due(target, 10_000, 5))).toBeLessThanOrEqual(6);
      expect(cost(() => lanes.dueTimes(target, 5))).toBeLessThanOrEqual(6);
      expect(cost(() => lanes.anyDue())).toBe(1);
      // All of a task are read together, and once.
      expect(cost(() => lanes.get("0-t", "l7"))).toBe(500);
      expect(cost(() => lanes.get("0-t", "l8"))).toBe(0);
    }));

  it("is counted with its age", () =>
    withLanes((lanes, stage) => {
      expect(lanes.waiting(0)).toEqual({ count: 0, oldestAt: null, overdue: 0 });
      expect(lanes.anyDue()).toBe(false);
      const task = stage.task();
      const head = stage.artifact(task);
      lanes.insert(lane({ task, head, due: 1_000 }));
      lanes.insert(lane({ task, lane: "l2", head, due: 2_000 }));
      lanes.insert(lane({ task, lane: "l3", head, due: null }));
      expect(lanes.waiting(2_000)).toEqual({ count: 2, oldestAt: stage.now, overdue: 1 });
      expect(lanes.anyDue()).toBe(true);
    }));
});

describe("the members of a batch", () => {
  it("are kept until it is deleted, or has no lane any more", () =>
    withLanes((lanes) => {
      lanes.saveBatch("b1", "[1]");
      lanes.saveBatch("b2", "[2]");
      expect(lanes.loadBatch("b1")).toBe("[1]");
      lanes.deleteBatch("b1");
      expect(lanes.loadBatch("b1")).toBeUndefined();
      lanes.insert(lane({ batch: "b2" }));
      lanes.saveBatch("b3", "[3]");
      lanes.trimBatches();
      expect([lanes.loadBatch("b2"), lanes.loadBatch("b3")]).toEqual(["[2]", undefined]);
    }));
});
