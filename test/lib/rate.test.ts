// How many a minute, of whom, and what it costs to be asked by everybody.

import { expect, it } from "vitest";
import { createRate } from "../../src/lib/rate.ts";

function setUp({ perMinute = 3, maxKeys = 100 } = {}) {
  const clock = { now: 600_000 };
  return { clock, rate: createRate({ perMinute, maxKeys, now: () => clock.now }) };
}

it("lets so many pass in a minute, each key by itself, and says how long to wait", () => {
  const { clock, rate } = setUp();
  clock.now += 20_000;
  expect([rate("a"), rate("a"), rate("a"), rate("b")]).toEqual([0, 0, 0, 0]);
  expect(rate("a")).toBe(40_000);
  clock.now += 39_999;
  expect(rate("a")).toBe(1);
  clock.now += 1;
  expect(rate("a")).toBe(0);
});

it("has keys beyond its number share one count", () => {
  const { rate } = setUp({ maxKeys: 2 });
  for (const key of ["a", "b", "c", "d", "e"]) expect(rate(key)).toBe(0);
  expect(rate("f")).toBeGreaterThan(0);
  expect(rate("a")).toBe(0);
});

it("begins anew when the clock is put back", () => {
  const { clock, rate } = setUp({ perMinute: 1 });
  expect([rate("a"), rate("a") > 0]).toEqual([0, true]);
  clock.now -= 3_600_000;
  expect(rate("a")).toBe(0);
});
