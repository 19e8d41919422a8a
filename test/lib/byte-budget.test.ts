import { expect, it } from "vitest";
import { ByteBudget } from "../../src/lib/byte-budget.ts";

const [a, b, c] = [{}, {}, {}];
const at = (now: number) => ({ now, until: now + 100 });

it("lets holders have so many bytes together, and no more until some are given back", () => {
  const budget = new ByteBudget(10);
  expect(budget.hold(a, 6, at(0))).toBe(true);
  expect(budget.hold(b, 4, at(0))).toBe(true);
  expect(budget.hold(c, 1, at(0))).toBe(false);
  budget.release(a);
  budget.release(a);
  expect(budget.hold(c, 6, at(0))).toBe(true);
  expect(budget.hold(a, 1, at(0))).toBe(false);
});

it("counts what a holder has once, however it grows", () => {
  const budget = new ByteBudget(10);
  for (const bytes of [1, 5, 9, 10, 2]) expect(budget.hold(a, bytes, at(0))).toBe(true);
  expect(budget.hold(a, 11, at(0))).toBe(false);
  expect(budget.hold(b, 8, at(0))).toBe(true);
  expect(budget.hold(b, 9, at(0))).toBe(false);
});

it("takes back what was never released, when its time is over", () => {
  const budget = new ByteBudget(10);
  budget.hold(a, 10, at(0));
  expect(budget.hold(b, 1, at(99))).toBe(false);
  expect(budget.hold(b, 10, at(100))).toBe(true);
  budget.release(a);
  expect(budget.hold(c, 1, at(100))).toBe(false);
});

it("is no smaller for one that grows after its time", () => {
  const budget = new ByteBudget(10);
  budget.hold(a, 8, at(0));
  expect(budget.hold(a, 9, at(200))).toBe(true);
  budget.hold(b, 8, at(200));
  budget.release(a);
  expect(budget.hold(b, 10, at(200))).toBe(true);
});
