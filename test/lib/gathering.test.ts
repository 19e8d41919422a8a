// What is gathered is handed over in one piece, and also when whoever was to do it is gone.

import { expect, it } from "vitest";
import { createGathering } from "../../src/lib/gathering.ts";

function setUp() {
  const clock = { now: 1_000_000 };
  const handed: number[] = [];
  const sleeping: (() => void)[] = [];
  const waiting: Promise<unknown>[] = [];
  const gathering = createGathering<number>({
    everyMs: 2_000,
    handOver: async (sum) => void handed.push(sum),
    waitUntil: (promise) => void waiting.push(promise),
    sleep: () => new Promise<void>((resolve) => void sleeping.push(resolve)),
    now: () => clock.now,
  });
  const one = () => gathering.add((sum = 0) => sum + 1);
  return { clock, handed, sleeping, waiting, one };
}

it("is told once for many, by one who waits", async () => {
  const { handed, sleeping, waiting, one } = setUp();
  for (let i = 0; i < 100; i++) one();
  expect([sleeping.length, waiting.length, handed]).toEqual([1, 1, []]);
  sleeping[0]?.();
  await Promise.all(waiting);
  expect(handed).toEqual([100]);
});

it("is told by another when whoever waited is gone, and not twice should it come back", async () => {
  const { clock, handed, sleeping, waiting, one } = setUp();
  one();
  clock.now += 5_999;
  one();
  expect(sleeping).toHaveLength(1);
  clock.now += 1;
  one();
  expect(sleeping).toHaveLength(2);
  sleeping[1]?.();
  await waiting[1];
  expect(handed).toEqual([3]);
  sleeping[0]?.();
  await waiting[0];
  expect(handed).toEqual([3]);
});

it("waits no longer because a clock was put back", () => {
  const { clock, sleeping, one } = setUp();
  one();
  clock.now -= 3_600_000;
  one();
  expect(sleeping).toHaveLength(2);
});
