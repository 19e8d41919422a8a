// The circuit breaker: when it opens, for how long, and who may try.

import { describe, expect, it } from "vitest";
import { admit, type Breaker, CLOSED, forgo, isAtRest, record } from "../../src/delivery/breaker.ts";
import { createRandom } from "../tasks/random.ts";

const TIMEOUT = 15_000;
const MINUTE = 60_000;

/** Lets one delivery after the other end at the given times, `x` failed and `.` succeeded. */
function fold(endings: string, { breaker = CLOSED, from = 1_000, stepMs = 1 } = {}): Breaker {
  let state = breaker;
  let now = from;
  for (const ending of endings) {
    state = record(state, { failed: ending === "x", startedAt: now, now });
    now += stepMs;
  }
  return state;
}

function open(until: number, trips = 1): Breaker {
  return { state: "open", until, trips };
}

describe("a closed breaker", () => {
  it.each(["x", "xxxx", "xxxx.xxxx", ".........", "x.x.x.x."])("stays closed after %s", (endings) => {
    expect(fold(endings).state).toBe("closed");
  });

  it.each(["xxxxx", "...xxxxx", "xxxx.xxxxx", "x.x.x.x..x", ".....xxx.xxx", "..x.x..xx..xxx.x"])(
    "opens after %s",
    (endings) => {
      expect(fold(endings).state).toBe("open");
    },
  );

  it("opens at the fifth failure in a row, for 30 s", () => {
    expect(fold("xxxx").state).toBe("closed");
    expect(fold("xxxxx", { from: 1_000, stepMs: 100 })).toEqual(open(1_400 + 30_000));
  });

  it("counts failures in a row over any time", () => {
    expect(fold("xxxxx", { stepMs: 10 * MINUTE }).state).toBe("open");
  });

  it("counts half of at least ten only within a minute", () => {
    expect(fold("x.x.x.x..x", { stepMs: 5_000 }).state).toBe("open");
    expect(fold("x.x.x.x..x", { stepMs: 7_000 }).state).toBe("closed");
  });

  it("does not open by a success, whatever came before", () => {
    expect(fold("xxxx.x.x.").state).toBe("closed");
    expect(fold("xxxx.x.x..").state).toBe("closed");
  });

  it("forgets what a clock that was put back had seen", () => {
    const breaker = fold("x.x.x.x..", { from: 10 * MINUTE });
    expect(fold("x", { breaker, from: 0 }).state).toBe("closed");
  });

  it("admits everything and is not changed by it", () => {
    const breaker = fold("xx");
    expect(admit(breaker, 5, TIMEOUT)).toEqual({ ok: true, value: breaker });
  });

  it("keeps few numbers, however many deliveries there are", () => {
    const breaker = fold(".".repeat(5_000), { stepMs: 25 });
    expect(breaker.state === "closed" && breaker.recent.length).toBeLessThanOrEqual(6);
  });
});

describe("an open breaker", () => {
  it("refuses until its time, which it says", () => {
    const refusal = { ok: false, error: { reason: "breaker_open", retryAt: 31_000 } };
    expect(admit(open(31_000), 1_000, TIMEOUT)).toEqual(refusal);
    expect(admit(open(31_000), 30_999, TIMEOUT)).toEqual(refusal);
  });

  it("then admits a probe", () => {
    const probing = { state: "half-open", probeStartedAt: 31_000, trips: 1 };
    expect(admit(open(31_000), 31_000, TIMEOUT)).toEqual({ ok: true, value: probing });
  });

  it("is not changed by what was sent before it opened", () => {
    expect(fold("x.x.", { breaker: open(31_000) })).toEqual(open(31_000));
  });

  it("admits when the clock was put back by more than it can be open", () => {
    expect(admit(open(100 * MINUTE), 1_000, TIMEOUT).ok).toBe(true);
  });
});

describe("a half-open breaker", () => {
  const probing: Breaker = { state: "half-open", probeStartedAt: 31_000, trips: 3 };

  it("refuses while the probe may still be answered", () => {
    const refusal = { ok: false, error: { reason: "probe_running", retryAt: 46_000 } };
    expect(admit(probing, 31_000, TIMEOUT)).toEqual(refusal);
    expect(admit(probing, 45_999, TIMEOUT)).toEqual(refusal);
  });

  it("replaces a probe that is older than the timeout", () => {
    expect(admit(probing, 46_000, TIMEOUT)).toEqual({
      ok: true,
      value: { ...probing, probeStartedAt: 46_000 },
    });
  });

  it("replaces a probe from the future", () => {
    expect(admit(probing, 1_000, TIMEOUT)).toEqual({
      ok: true,
      value: { ...probing, probeStartedAt: 1_000 },
    });
  });

  it("closes when the probe succeeds, as if nothing had been", () => {
    expect(record(probing, { failed: false, startedAt: 31_000, now: 31_100 })).toEqual(CLOSED);
  });

  it("opens for twice as long when the probe fails", () => {
    expect(record(probing, { failed: true, startedAt: 31_000, now: 32_000 })).toEqual(
      open(32_000 + 240_000, 4),
    );
  });

  it("is not changed by what was sent before the probe, a probe that was replaced among it", () => {
    for (const failed of [true, false]) {
      expect(record(probing, { failed, startedAt: 30_999, now: 32_000 })).toEqual(probing);
    }
  });

  it("admits another at once when the probe was not sent after all", () => {
    expect(admit(forgo(probing, 31_500), 31_500, TIMEOUT).ok).toBe(true);
    const failed = record(
      { ...probing, probeStartedAt: 31_500 },
      { failed: true, startedAt: 31_500, now: 31_600 },
    );
    expect(failed).toMatchObject({ trips: 4 });
    expect(forgo(CLOSED, 1)).toEqual(CLOSED);
  });
});

describe("probes that fail", () => {
  it("double the pause from 30 s to 15 min", () => {
    let breaker = fold("xxxxx", { from: 0 });
    const pauses: number[] = [];
    for (let probe = 0; probe < 8; probe++) {
      if (breaker.state !== "open") throw new Error("not open");
      const now = breaker.until;
      const admitted = admit(breaker, now, TIMEOUT);
      if (!admitted.ok) throw new Error("not admitted");
      breaker = record(admitted.value, { failed: true, startedAt: now, now });
      pauses.push(breaker.state === "open" ? breaker.until - now : 0);
    }
    expect(pauses.map((ms) => ms / 1_000)).toEqual([60, 120, 240, 480, 900, 900, 900, 900]);
  });
});

describe("a breaker that need not be kept", () => {
  it("is a closed one without failures, a minute after its last delivery", () => {
    expect(isAtRest(CLOSED, 0)).toBe(true);
    const used = fold("..");
    expect(isAtRest(used, 2_000)).toBe(false);
    expect(isAtRest(used, 2_000 + MINUTE)).toBe(true);
    expect(isAtRest(fold("x"), 2_000 + MINUTE)).toBe(false);
  });

  it("is one that nobody has asked for a day after its pause", () => {
    const day = 1_440 * MINUTE;
    expect(isAtRest(open(1_000), 1_000 + day)).toBe(false);
    expect(isAtRest(open(1_000), 1_001 + day)).toBe(true);
    expect(isAtRest({ state: "half-open", probeStartedAt: 5, trips: 1 }, 6 + day)).toBe(true);
  });
});

describe("whatever happens", () => {
  it("lets at most one probe out per timeout, and is saved and loaded unchanged", () => {
    const random = createRandom(3);
    for (let run = 0; run < 300; run++) {
      let breaker: Breaker = CLOSED;
      let now = 0;
      let probedAt = Number.NEGATIVE_INFINITY;
      const underWay: number[] = [];
      for (let step = 0; step < 200; step++) {
        now += random(20_000);
        breaker = JSON.parse(JSON.stringify(breaker)) as Breaker;
        const startedAt = random(3) > 0 ? underWay.shift() : undefined;
        if (startedAt !== undefined) {
          const before = breaker;
          breaker = record(breaker, { failed: random(3) > 0, startedAt, now });
          if (before.state === "open") expect(breaker).toEqual(before);
          if (breaker.state !== "half-open") probedAt = Number.NEGATIVE_INFINITY;
          continue;
        }
        const admitted = admit(breaker, now, TIMEOUT);
        if (!admitted.ok) {
          expect(admitted.error.retryAt).toBeGreaterThan(now);
          expect(admitted.error.retryAt).toBeLessThanOrEqual(now + 900_000);
          continue;
        }
        breaker = admitted.value;
        if (breaker.state === "half-open") {
          expect(now - probedAt).toBeGreaterThanOrEqual(TIMEOUT);
          probedAt = now;
        }
        underWay.push(now);
      }
    }
  });
});
