// LimitsObject in the real runtime: blocks of the deployment's tokens.

import { env, runInDurableObject } from "cloudflare:test";
import { afterEach, describe, expect, it, vi } from "vitest";
import { LIMITS_NAME, LimitsObject } from "../../src/delivery/limits.ts";

const stub = env.LIMITS.get(env.LIMITS.idFromName(LIMITS_NAME));

/** A LimitsObject of a deployment with this limit, beside the one of the tests' own. */
function limitsOf<T>(perMinute: number, use: (limits: LimitsObject) => Promise<T>): Promise<T> {
  return runInDurableObject(stub, (_, ctx) =>
    use(new LimitsObject(ctx, { ...env, WEBHOOK_GLOBAL_PER_MINUTE: String(perMinute) })),
  );
}

afterEach(() => void vi.restoreAllMocks());

describe("the deployment's limit", () => {
  it("grants whatever is wanted where there is none", async () => {
    expect(await stub.grant(1)).toEqual({ ok: true, value: { tokens: 1 } });
  });

  it("grants blocks of a twentieth of a minute, two at once, and says when there is another", async () => {
    let now = 1_000_000;
    vi.spyOn(Date, "now").mockImplementation(() => now);
    await limitsOf(1_000, async (limits) => {
      expect(await limits.grant(500)).toEqual({ ok: true, value: { tokens: 50 } });
      expect(await limits.grant(20)).toEqual({ ok: true, value: { tokens: 20 } });
      expect(await limits.grant(50)).toEqual({ ok: true, value: { tokens: 30 } });
      expect(await limits.grant(50)).toEqual({ ok: false, error: { retryAt: 1_003_000 } });
      expect(await limits.grant(1)).toEqual({ ok: false, error: { retryAt: 1_000_060 } });
      now += 60;
      expect(await limits.grant(50)).toEqual({ ok: true, value: { tokens: 1 } });
      now += 3_000;
      expect(await limits.grant(50)).toEqual({ ok: true, value: { tokens: 50 } });
    });
  });

  it("is never exceeded, however endpoints ask", async () => {
    let now = 1_000_000;
    vi.spyOn(Date, "now").mockImplementation(() => now);
    await limitsOf(600, async (limits) => {
      let granted = 0;
      for (let step = 0; step < 3_000; step++) {
        now += step % 41;
        const answer = await limits.grant((step * 7) % 60);
        if (answer.ok) granted += answer.value.tokens;
        expect(granted).toBeLessThanOrEqual(60 + (now - 1_000_000) / 100);
      }
      expect(granted).toBeGreaterThan((now - 1_000_000) / 100 - 30);
    });
  });

  it.each([0, -5, 0.5, 1e9])("takes %d for what it can be", async (want) => {
    const answer = await limitsOf(100, (limits) => limits.grant(want));
    expect(answer).toEqual({ ok: true, value: { tokens: want > 1 ? 5 : 1 } });
  });

  it("of one a minute is one a minute", async () => {
    let now = 1_000_000;
    vi.spyOn(Date, "now").mockImplementation(() => now);
    await limitsOf(1, async (limits) => {
      expect(await limits.grant(9)).toEqual({ ok: true, value: { tokens: 1 } });
      expect(await limits.grant(9)).toEqual({ ok: true, value: { tokens: 1 } });
      expect(await limits.grant(9)).toEqual({ ok: false, error: { retryAt: 1_060_000 } });
      now += 60_000;
      expect((await limits.grant(9)).ok).toBe(true);
    });
  });
});
