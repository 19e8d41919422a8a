// Buckets of many keys: each its own, and no more of them than there may be.

import { describe, expect, it } from "vitest";
import { Buckets } from "../../src/lib/buckets.ts";

const rate = { perMinute: 60, burst: 2 };

describe("buckets", () => {
  it("are apart: one key's calls take nothing from another's", () => {
    const buckets = new Buckets(rate, 10);
    expect([1, 2, 3].map(() => buckets.take("a", 0))).toEqual([undefined, undefined, 1_000]);
    expect([1, 2, 3].map(() => buckets.take("b", 0))).toEqual([undefined, undefined, 1_000]);
  });

  it("say when to come back, and are right", () => {
    const buckets = new Buckets(rate, 10);
    buckets.take("a", 0);
    buckets.take("a", 0);
    const at = buckets.take("a", 300) ?? 0;
    expect(buckets.take("a", at - 1)).toBe(at);
    expect(buckets.take("a", at)).toBeUndefined();
  });

  it("take nothing for a refusal", () => {
    const buckets = new Buckets(rate, 10);
    buckets.take("a", 0);
    buckets.take("a", 0);
    for (let i = 0; i < 100; i++) expect(buckets.take("a", 999)).toBe(1_000);
    expect(buckets.take("a", 1_000)).toBeUndefined();
  });

  it("of 100,000 keys are as few as are wanted, whether they are full again or not", () => {
    for (const step of [0, 10]) {
      const buckets = new Buckets(rate, 1_000);
      let most = 0;
      for (let i = 0; i < 100_000; i++) {
        expect(buckets.take(`key-${i}`, i * step)).toBeUndefined();
        most = Math.max(most, buckets.size);
      }
      expect(most).toBe(1_000);
    }
  });

  it("that are in use stay when full ones make room", () => {
    const buckets = new Buckets(rate, 10);
    for (let i = 0; i < 9; i++) buckets.take(`old-${i}`, 0);
    buckets.take("busy", 10_000);
    buckets.take("busy", 10_000);
    buckets.take("new", 10_000);
    expect(buckets.size).toBe(2);
    expect(buckets.take("busy", 10_000)).toBe(11_000);
  });
});
