// What a home remembers of its conversation with endpoints: who has been rung, what is claimed, what must wait.

import { describe, expect, it } from "vitest";
import type { Allowance } from "../../src/delivery/exchange.ts";
import type { Lane } from "../../src/tasks/lanes.ts";
import { allowanceOf, Leases, RING_AGAIN_MS } from "../../src/tasks/leases.ts";
import { ENDPOINT, LEASE_MS, onStage, type Stage } from "../support/notifications.ts";

const TARGET = "https://receiver.test/hook";
const target = { endpoint: ENDPOINT, target: TARGET };
const NOW = 1_000_000;

/** Leases over lanes that are due at these times, by name. */
function withLeases(
  due: Record<string, number | null>,
  use: (leases: Leases, lane: (name: string) => Lane, stage: Stage) => void,
): Promise<void> {
  return onStage((stage) => {
    const { task } = stage.taskWith();
    const [model] = stage.lanes(task);
    if (!model) throw new Error("no lane");
    const lane = (name: string): Lane => ({ ...model, lane: name, pending: true, due: due[name] ?? null });
    for (const name of Object.keys(due)) stage.store.lanes.insert(lane(name));
    use(new Leases(stage.store.lanes, LEASE_MS), lane, stage);
  });
}

const idle = (endpoint: string) => {
  return { endpoint, settled: [], want: 0, allowances: [], busy: [], counters: {} };
};
const nothing = { claims: [], more: false };
const hold = (holdUntil: number, of = TARGET): Allowance => ({ target: of, claims: 0, holdUntil });

describe("a new object", () => {
  it("knows what is due, and has rung nobody", () =>
    withLeases({ a: NOW - 5, b: NOW + 5 }, (leases) => {
      expect(leases.wake(NOW)).toBeLessThanOrEqual(NOW);
      expect(leases.claimable(ENDPOINT, NOW)).toMatchObject([target]);
      expect(leases.ringDue(NOW)).toEqual([ENDPOINT]);
    }));

  it("wakes when the first lane is due, and not at all without one", () =>
    withLeases({ a: NOW + 5, b: NOW + 3, c: null }, (leases) => {
      expect(leases.wake(NOW)).toBe(NOW + 3);
      expect(leases.wakeAfter(idle(ENDPOINT), nothing, NOW)).toBe(NOW + 3);
      expect(leases.ringDue(NOW)).toEqual([]);
      expect(leases.wakeAfter(idle("somebody|https://receiver.test"), nothing, NOW)).toBeUndefined();
    }));

  it("without anything due wakes never", () =>
    withLeases({ a: null }, (leases) => {
      expect(leases.wake(NOW)).toBeUndefined();
      expect(leases.claimable(ENDPOINT, NOW)).toEqual([]);
    }));
});

describe("what is overdue", () => {
  it("is the oldest that waits for nothing but to be sent", () =>
    withLeases({ a: NOW - 7_000, b: NOW - 3_000, c: null }, (leases) => {
      expect(leases.overdueMs(ENDPOINT, NOW)).toBe(7_000);
      expect(leases.overdueMs(ENDPOINT, NOW - 7_000)).toBe(0);
    }));

  it("is nothing while its endpoint has asked it to wait", () =>
    withLeases({ a: NOW - 7_000 }, (leases) => {
      expect(leases.overdueMs(ENDPOINT, NOW)).toBe(7_000);
      leases.heard(ENDPOINT, [hold(NOW + 60_000)], NOW);
      expect(leases.overdueMs(ENDPOINT, NOW)).toBe(0);
      expect(leases.overdueMs(ENDPOINT, NOW + 60_000)).toBe(67_000);
    }));

  it("is nothing where nothing is due", () =>
    withLeases({ a: null, b: NOW + 5 }, (leases) => {
      expect(leases.overdueMs(ENDPOINT, NOW)).toBe(0);
    }));

  it("is an endpoint's own: of another nothing is", () =>
    withLeases({ a: NOW - 7_000 }, (leases) => {
      const other = "somebody|https://receiver.test";
      expect([leases.isAwaited(ENDPOINT), leases.isAwaited(other)]).toEqual([true, false]);
      expect(leases.overdueMs(other, NOW)).toBe(0);
    }));
});

describe("a doorbell", () => {
  it("is rung once, and again when it has not been answered in 5 s", () =>
    withLeases({ a: NOW }, (leases) => {
      expect(leases.ring(target, NOW)).toBe(true);
      expect(leases.ring(target, NOW + RING_AGAIN_MS - 1)).toBe(false);
      expect(leases.wake(NOW)).toBe(NOW + RING_AGAIN_MS);
      expect(leases.ringDue(NOW + RING_AGAIN_MS - 1)).toEqual([]);
      expect(leases.ringDue(NOW + RING_AGAIN_MS)).toEqual([ENDPOINT]);
      expect(leases.ringDue(NOW + RING_AGAIN_MS)).toEqual([]);
    }));

  it("is one for all targets of an endpoint", () =>
    withLeases({ a: NOW }, (leases) => {
      expect(leases.ring(target, NOW)).toBe(true);
      expect(leases.ring({ ...target, target: "https://receiver.test/other" }, NOW)).toBe(false);
      expect(leases.ring({ ...target, endpoint: "somebody|https://receiver.test" }, NOW)).toBe(true);
    }));

  it("that was answered may be rung again at once", () =>
    withLeases({ a: NOW }, (leases) => {
      leases.ring(target, NOW);
      leases.heard(ENDPOINT, [], NOW);
      expect(leases.ring(target, NOW)).toBe(true);
    }));

  it("is not needed by an endpoint that comes back, unless it does not", () =>
    withLeases({ a: NOW }, (leases) => {
      leases.heard(ENDPOINT, [], NOW);
      leases.comesBack(ENDPOINT, NOW);
      expect(leases.ring(target, NOW)).toBe(false);
      expect(leases.wake(NOW)).toBe(NOW + RING_AGAIN_MS);
      expect(leases.ringDue(NOW + RING_AGAIN_MS)).toEqual([ENDPOINT]);
    }));

  it("that was rung in the future is rung again: the clock was set back", () =>
    withLeases({ a: NOW }, (leases) => {
      leases.ring(target, NOW + 3_600_000);
      expect(leases.wake(NOW)).toBeLessThanOrEqual(NOW);
      expect(leases.ringDue(NOW)).toEqual([ENDPOINT]);
    }));

  it("is not rung for what has been paused or deleted since it was looked up", () =>
    withLeases({ a: NOW }, (leases, lane, { store }) => {
      expect(leases.wake(NOW)).toBeLessThanOrEqual(NOW);
      store.lanes.save({ ...lane("a"), due: null });
      expect(leases.ringDue(NOW)).toEqual([]);
      expect(leases.wake(NOW)).toBeUndefined();
    }));

  it("is rung for a lane that became due after its target was forgotten", () =>
    withLeases({ a: null }, (leases, lane, { store }) => {
      expect(leases.wake(NOW)).toBeUndefined();
      store.lanes.save({ ...lane("a"), due: NOW });
      leases.watch(target);
      expect(leases.wake(NOW)).toBeLessThanOrEqual(NOW);
    }));
});

describe("a lease", () => {
  it("keeps a lane from others until it runs out", () =>
    withLeases({ a: NOW }, (leases, lane) => {
      leases.take(lane("a"), "k", NOW);
      expect(leases.isTaken(lane("a"), NOW + LEASE_MS - 1)).toBe(true);
      expect(leases.due(target, NOW, 2)).toMatchObject([{ lane: "a", ...target }]);
      expect(leases.claimable(ENDPOINT, NOW)).toEqual([]);
      expect(leases.wake(NOW)).toBe(NOW + LEASE_MS);
      expect(leases.isTaken(lane("a"), NOW + LEASE_MS)).toBe(false);
      expect(leases.claimable(ENDPOINT, NOW + LEASE_MS)).toMatchObject([target]);
      expect(leases.ringDue(NOW + LEASE_MS)).toEqual([ENDPOINT]);
    }));

  it("of one lane does not hide another that is due", () =>
    withLeases({ a: NOW, b: NOW + 7, c: NOW + 9 }, (leases, lane) => {
      leases.take(lane("a"), "k", NOW);
      expect(leases.taken(target)).toBe(1);
      expect(leases.wake(NOW)).toBe(NOW + 7);
      leases.take(lane("b"), "k", NOW);
      expect(leases.taken(target)).toBe(2);
      expect(leases.wake(NOW)).toBe(NOW + 9);
    }));

  it("is renewed for what its endpoint names as busy, and ended when it is released", () =>
    withLeases({ a: NOW, b: NOW }, (leases, lane) => {
      leases.take(lane("a"), "ka", NOW);
      leases.take(lane("b"), "kb", NOW);
      leases.renew(ENDPOINT, new Set(["ka", "unknown"]), NOW + 10_000);
      expect(leases.isTaken(lane("a"), NOW + LEASE_MS)).toBe(true);
      expect(leases.isTaken(lane("b"), NOW + LEASE_MS)).toBe(false);
      leases.release(lane("a"));
      expect(leases.isTaken(lane("a"), NOW + 10_000)).toBe(false);
      leases.renew("somebody|https://receiver.test", new Set(["kb"]), NOW + 20_000);
      expect(leases.isTaken(lane("b"), NOW + LEASE_MS)).toBe(false);
    }));

  it("that has run out is forgotten", () =>
    withLeases({ a: NOW, b: NOW }, (leases, lane) => {
      leases.take(lane("a"), "k", NOW);
      leases.watch(target);
      leases.wake(NOW + LEASE_MS);
      expect(leases.taken(target)).toBe(0);
    }));
});

describe("a target that must wait", () => {
  it("is not rung for before its time, and then it is", () =>
    withLeases({ a: NOW }, (leases) => {
      leases.heard(ENDPOINT, [hold(NOW + 60_000)], NOW);
      expect(leases.ring(target, NOW)).toBe(false);
      expect(leases.wake(NOW)).toBe(NOW + 60_000);
      expect(leases.ringDue(NOW + 59_999)).toEqual([]);
      expect(leases.ringDue(NOW + 60_000)).toEqual([ENDPOINT]);
    }));

  it("needs not wait any longer when the endpoint no longer says so", () =>
    withLeases({ a: NOW }, (leases) => {
      leases.heard(ENDPOINT, [hold(NOW + 60_000)], NOW);
      leases.heard(ENDPOINT, [], NOW);
      expect(leases.ring(target, NOW)).toBe(true);
    }));

  it("may be any that is not named", () =>
    withLeases({ a: NOW }, (leases) => {
      leases.heard(ENDPOINT, [hold(NOW + 60_000, "*")], NOW);
      expect(leases.ring(target, NOW)).toBe(false);
      leases.heard(ENDPOINT, [hold(NOW + 60_000, "*"), { target: TARGET, claims: 1 }], NOW);
      expect(leases.ring(target, NOW)).toBe(true);
    }));

  it("holds up no other of the same endpoint", () =>
    withLeases({ a: NOW }, (leases, lane, { store }) => {
      const other = { ...lane("b"), target: "https://receiver.test/other", due: NOW };
      store.lanes.insert(other);
      leases.heard(ENDPOINT, [hold(NOW + 60_000)], NOW);
      expect(leases.ring(other, NOW)).toBe(true);
    }));
});

describe("allowanceOf", () => {
  const named = { target: TARGET, claims: 1 };
  const all = { target: "*", claims: 2 };
  it.each([
    ["nothing", [], undefined],
    ["another target", [{ target: "x", claims: 3 }], undefined],
    ["this target", [named], named],
    ["all", [all], all],
    ["both, in either order", [all, named], named],
    ["both", [named, all], named],
  ])("finds what is said of a target when the endpoint names %s", (_, allowances, expected) => {
    expect(allowanceOf(target, allowances)).toEqual(expected);
  });
});
