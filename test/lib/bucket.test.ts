// The token bucket: exact to the millisecond.

import { describe, expect, it } from "vitest";
import { type Bucket, isFull, type Rate, take, tokensAt } from "../../src/lib/bucket.ts";
import { createRandom } from "../tasks/random.ts";

const rate: Rate = { perMinute: 100, burst: 10 };

/** Takes one token after the other at `now` until there is none; how many there were, and what is left. */
function drain(
  bucket: Bucket | undefined,
  now: number,
  of = rate,
): { taken: number; bucket: Bucket; retryAt: number } {
  let [taken, left] = [0, bucket];
  for (;;) {
    const result = take(left, of, now);
    if (!result.ok) return { taken, bucket: left ?? { credit: 0, at: 0 }, retryAt: result.error.retryAt };
    taken += 1;
    left = result.value;
  }
}

describe("a bucket", () => {
  it("is full when it is absent", () => {
    expect(tokensAt(undefined, rate, 5)).toBe(10);
    expect(isFull(undefined, rate, 5)).toBe(true);
    expect(drain(undefined, 5).taken).toBe(10);
  });

  it("says when the next token comes, and has it then and no millisecond earlier", () => {
    const { bucket, retryAt } = drain(undefined, 1_000);
    expect(retryAt).toBe(1_600);
    expect(take(bucket, rate, 1_599).ok).toBe(false);
    expect(drain(bucket, 1_600).taken).toBe(1);
  });

  it("fills to its burst and no further", () => {
    const { bucket } = drain(undefined, 0);
    expect(tokensAt(bucket, rate, 3_000)).toBe(5);
    expect(tokensAt(bucket, rate, 5_999)).toBe(9);
    expect(isFull(bucket, rate, 5_999)).toBe(false);
    expect(isFull(bucket, rate, 6_000)).toBe(true);
    expect(tokensAt(bucket, rate, 1e12)).toBe(10);
  });

  it("gives several at once, or none of them", () => {
    const some = take(undefined, rate, 0, 7);
    expect(some.ok && tokensAt(some.value, rate, 0)).toBe(3);
    expect(some.ok && take(some.value, rate, 0, 4)).toEqual({ ok: false, error: { retryAt: 600 } });
  });

  it("follows a rate that changes", () => {
    const { bucket } = drain(undefined, 0);
    expect(tokensAt(bucket, { perMinute: 600, burst: 50 }, 1_000)).toBe(10);
    expect(tokensAt({ credit: 600_000, at: 0 }, { perMinute: 1, burst: 2 }, 0)).toBe(2);
  });

  it("does not wait for a clock that was put back to catch up", () => {
    const { bucket } = drain(undefined, 10_000_000);
    expect(tokensAt(bucket, rate, 0)).toBe(rate.burst);
    const again = drain(bucket, 0);
    expect(tokensAt(again.bucket, rate, 0)).toBe(0);
    expect(tokensAt(again.bucket, rate, 60_000)).toBe(Math.min(rate.burst, rate.perMinute));
  });

  it.each([
    [1, 1],
    [7, 3],
    [59, 10],
    [60, 1],
    [997, 13],
    [1_000_000, 100_000],
  ])("of %i a minute and a burst of %i gives never more than that in any time", (perMinute, burst) => {
    const random = createRandom(perMinute);
    const of = { perMinute, burst };
    let bucket: Bucket | undefined;
    let now = 0;
    const takenAt: number[] = [];
    for (let step = 0; step < 3_000; step++) {
      const result = take(bucket, of, now);
      if (result.ok) {
        bucket = result.value;
        takenAt.push(now);
        expect(Number.isSafeInteger(bucket.credit)).toBe(true);
        now += random(5) === 0 ? random(120_000 / perMinute + 1) : 0;
      } else {
        expect(take(bucket, of, result.error.retryAt - 1).ok).toBe(false);
        now = result.error.retryAt;
        expect(take(bucket, of, now).ok).toBe(true);
      }
    }
    for (let first = 0; first < takenAt.length; first += 17) {
      for (let last = first; last < takenAt.length; last += 31) {
        const spanMs = (takenAt[last] ?? 0) - (takenAt[first] ?? 0);
        expect(last - first + 1).toBeLessThanOrEqual(burst + Math.floor((spanMs * perMinute) / 60_000));
      }
    }
  });
});
