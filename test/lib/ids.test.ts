import { describe, expect, it } from "vitest";
import { uuidv7 } from "../../src/lib/ids.ts";

describe("uuidv7 (RFC 9562 §5.7)", () => {
  it("has version 7, variant 10 and lower-case digits", () => {
    for (let i = 0; i < 200; i++) {
      expect(uuidv7(Date.now())).toMatch(
        /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
      );
    }
  });

  it("begins with the time in milliseconds", () => {
    // The example of appendix A.6.
    expect(uuidv7(0x017f22e279b0)).toMatch(/^017f22e2-79b0-7/);
    expect(uuidv7(0)).toMatch(/^00000000-0000-7/);
    expect(uuidv7(2 ** 48 - 1)).toMatch(/^ffffffff-ffff-7/);
  });

  it("sorts by its time", () => {
    const times = [0, 1, 255, 256, 65_535, 1_700_000_000_000, 1_700_000_000_001, 2 ** 47];
    const ids = times.map(uuidv7);
    expect(ids.toSorted()).toEqual(ids);
  });

  it("is another each time, with 74 random bits", () => {
    const ids = Array.from({ length: 2_000 }, () => uuidv7(1));
    expect(new Set(ids).size).toBe(2_000);
    // Each random digit takes every value of its range.
    const tails = ids.map((id) => id.slice(14).replaceAll("-", ""));
    for (let place = 1; place < 20; place++) {
      const values = new Set(tails.map((tail) => tail[place]));
      expect(values.size, `digit ${place}`).toBe(place === 4 ? 4 : 16);
    }
  });
});
