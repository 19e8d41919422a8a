// An endpoint's share of the deployment's limit: what it asks for, when, and what it does without an answer.

import { describe, expect, it } from "vitest";
import { blockOf, type Grant, Share } from "../../src/delivery/share.ts";
import { Clock } from "./pump-world.ts";

function setUp(grant: Grant, perMinute = 1_000) {
  const clock = new Clock();
  const asked: number[] = [];
  const seen = { changed: 0, refused: 0, failed: 0 };
  const share = new Share({
    perMinute,
    grant: async (want) => {
      asked.push(want);
      return grant(want);
    },
    now: () => clock.now,
    changed: () => void seen.changed++,
    refused: () => void seen.refused++,
    failed: () => void seen.failed++,
  });
  return { share, clock, asked, seen };
}

const generous: Grant = async (want) => ({ ok: true, value: { tokens: want } });

describe("a share", () => {
  it("asks nobody where there is no limit", () => {
    const { share, asked } = setUp(generous, 0);
    for (let i = 0; i < 100; i++) {
      expect(share.isReady(10)).toBe(true);
      share.use();
    }
    expect(share.heldUntil()).toBeUndefined();
    expect(asked).toEqual([]);
  });

  it("asks once for what waits, however often it is looked at, and says when it has changed", async () => {
    const { share, clock, asked, seen } = setUp(generous);
    for (let i = 0; i < 5; i++) expect(share.isReady(7)).toBe(false);
    expect(share.heldUntil()).toBeUndefined();
    await clock.settle();
    expect(asked).toEqual([7]);
    expect(seen.changed).toBe(1);
    let used = 0;
    while (share.isReady(1)) {
      share.use();
      used += 1;
    }
    expect(used).toBe(7);
  });

  it("asks ahead, for twice as much each time, up to a block", async () => {
    const { share, clock, asked } = setUp(generous);
    share.isReady(5);
    for (let used = 0; used < 1_000; used++) {
      await clock.settle();
      expect(share.isReady(24)).toBe(true);
      share.use();
    }
    expect(asked.slice(0, 4)).toEqual([5, 24, 48, 50]);
    // So a delivery costs a fiftieth of a request.
    expect(asked.length).toBeLessThan(1_000 / 40);
  });

  it("asks for little again after a minute of silence, and what was left then is gone", async () => {
    const { share, clock, asked } = setUp(generous);
    for (let used = 0; used < 200; used++) {
      share.isReady(24);
      await clock.settle();
      share.use();
    }
    await clock.run(61_000);
    expect(share.isReady(1)).toBe(false);
    await clock.settle();
    expect(asked.at(-1)).toBe(1);
  });

  it("keeps to the time it is told, and asks again then", async () => {
    const { share, clock, asked, seen } = setUp(async () => ({ ok: false, error: { retryAt: 1_003_000 } }));
    share.isReady(1);
    await clock.settle();
    expect(share.heldUntil()).toBe(1_003_000);
    expect(seen).toEqual({ changed: 1, refused: 1, failed: 0 });
    await clock.run(2_999);
    expect(share.isReady(1)).toBe(false);
    expect(asked).toHaveLength(1);
    await clock.run(1);
    share.isReady(1);
    expect(asked).toHaveLength(2);
  });

  it("that cannot be fetched is asked for again after 0.5 s, 1 s, 2 s … 5 s", async () => {
    const { share, clock, seen } = setUp(async () => {
      throw new Error("unreachable");
    });
    const pauses: number[] = [];
    for (let i = 0; i < 6; i++) {
      share.isReady(1);
      await clock.settle();
      const pauseMs = (share.heldUntil() ?? 0) - clock.now;
      pauses.push(pauseMs);
      await clock.run(pauseMs);
    }
    expect(pauses).toEqual([500, 1_000, 2_000, 4_000, 5_000, 5_000]);
    expect(seen.failed).toBe(6);
  });

  it("does not wait for a time that lies far ahead because the clock was put back", async () => {
    const { share, clock, asked } = setUp(async () => ({ ok: false, error: { retryAt: 9_000_000 } }));
    share.isReady(1);
    await clock.settle();
    expect(share.heldUntil()).toBeUndefined();
    share.isReady(1);
    expect(asked).toHaveLength(2);
  });
});

describe("a block", () => {
  it("is a twentieth of a minute, at least one", () => {
    expect([1, 19, 20, 1_000, 10_000_000].map(blockOf)).toEqual([1, 1, 1, 50, 500_000]);
  });
});
