// When a notification is tried again, and what ends it.

import { env } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import { loadConfig } from "../../src/config.ts";
import type { ErrorClass } from "../../src/delivery/outcome.ts";
import {
  budgetMs,
  type FailedOutcome,
  type Failure,
  type Plan,
  planNext,
  slowMs,
} from "../../src/delivery/schedule.ts";
import { createRandom } from "../tasks/random.ts";

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const preset = [0, 5, 30, 120, 600, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400].map(
  (s) => s * SECOND,
);
const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);

function plan(failure: Partial<Failure>): Plan {
  return planNext({
    outcome: "retry",
    attempt: 1,
    now: 0,
    committedAt: 0,
    clockFrom: 0,
    retryMs: preset,
    random: 0.5,
    ...failure,
  });
}

type Life = { delays: number[]; reason: string; endedAt: number };

/** Lets every attempt fail until the notification is dead; `random` from 0 to below 1. */
function live(failure: Partial<Failure>, random = () => 0.5, attemptMs = 0): Life {
  const delays: number[] = [];
  let now = 0;
  for (let attempt = 1; ; attempt++) {
    now += attemptMs;
    const next = plan({ ...failure, attempt, now, random: random() });
    if (next.next === "dead") return { delays, reason: next.reason, endedAt: now };
    delays.push(next.at - now);
    now = next.at;
    if (attempt > 100) throw new Error("it never ends");
  }
}

describe("the schedule of the deployment", () => {
  it("is by default 12 attempts in about 75 hours", () => {
    const config = loadConfig(env);
    expect(config.ok && config.value.webhookRetryMs).toEqual(preset);
    expect(live({}).delays).toEqual(preset.slice(1));
    expect(Math.round(sum(preset) / HOUR)).toBe(76);
  });

  it("ends with a sentence that says what happened", () => {
    expect(live({ status: 503 }).reason).toBe("12 attempts failed; the last answered 503");
    expect(plan({ retryMs: [0], status: 500 })).toEqual({
      next: "dead",
      reason: "1 attempt failed; it answered 500",
    });
  });

  it.each<[ErrorClass, string]>([
    ["blocked_destination", "2 attempts failed; the last led to a destination that is not allowed"],
    ["dns_failure", "2 attempts failed; the last could not resolve the host name"],
    ["tls_error", "2 attempts failed; the last found no trustworthy certificate"],
    ["timeout", "2 attempts failed; the last was not answered in time"],
    ["network_error", "2 attempts failed; the last could not reach the receiver"],
    ["oauth2_failed", "2 attempts failed; the last got no token from the token server"],
    ["secrets_unreadable", "2 attempts failed; the last could not decrypt the secrets of the config"],
  ])("says so of %s", (error, reason) => {
    expect(plan({ attempt: 2, retryMs: [0, 1], error })).toEqual({ next: "dead", reason });
  });

  it("spreads each delay by a fifth to either side", () => {
    for (const [attempt, delay] of preset.entries()) {
      if (attempt === 0) continue;
      expect(plan({ attempt, random: 0 })).toEqual({ next: "retry", at: Math.round(delay * 0.8) });
      expect(plan({ attempt, random: 0.999_999_999 })).toEqual({
        next: "retry",
        at: Math.round(delay * 1.2),
      });
    }
  });

  it("is that of the config where it has its own", () => {
    expect(live({ retryMs: [0, 100, 200] }).delays).toEqual([100, 200]);
  });
});

describe("a receiver that refuses", () => {
  it("is asked four times", () => {
    const { delays, reason } = live({ outcome: "rejected", status: 404 });
    expect(delays).toEqual([5 * SECOND, 30 * SECOND, 2 * MINUTE]);
    expect(reason).toBe("4 attempts failed; the last answered 404");
  });

  it("is asked less often where the schedule is shorter", () => {
    expect(live({ outcome: "rejected", retryMs: [0, 10] }).delays).toEqual([10]);
  });

  it("is not asked again when an outage has used up four attempts", () => {
    expect(plan({ outcome: "rejected", attempt: 7, now: HOUR }).next).toBe("dead");
  });
});

describe.each<FailedOutcome>(["unauthorized", "blocked"])("what is %s", (outcome) => {
  it("is tried again slowly: 10 min, 1 h, 6 h, 24 h", () => {
    const { delays, reason } = live({ outcome, status: 401 });
    expect(delays).toEqual([10 * MINUTE, HOUR, 6 * HOUR, DAY]);
    expect(reason).toBe("5 attempts failed; the last answered 401");
  });

  it("has at least a day left when an outage has used up its attempts", () => {
    const next = plan({ outcome, attempt: 8, now: 3 * HOUR });
    expect(next).toEqual({ next: "retry", at: 3 * HOUR + DAY });
    expect(plan({ outcome, attempt: 9, now: 3 * HOUR + DAY * 0.95 }).next).toBe("dead");
  });

  it("takes no longer than the configured schedule, and no more attempts", () => {
    expect(live({ outcome, retryMs: [0, SECOND, 2 * SECOND] }).delays).toEqual([429, 2_571]);
    expect(live({ outcome, retryMs: [0, DAY, DAY] }).delays).toEqual([10 * MINUTE, HOUR]);
    expect(live({ outcome, retryMs: [0] }).delays).toEqual([]);
    expect(live({ outcome, retryMs: [0, 0, 0] }).delays).toEqual([0, 0]);
  });

  it("fits any schedule", () => {
    for (const retryMs of [preset, [0], [0, 0], [0, 5], preset.slice(0, 5), [0, 7 * DAY]]) {
      const slow = slowMs(retryMs);
      expect(slow.length).toBeLessThanOrEqual(retryMs.length);
      expect(sum(slow)).toBeLessThanOrEqual(Math.max(sum(retryMs), 31.2 * HOUR) + slow.length);
      expect(sum(slow)).toBeLessThanOrEqual(sum(retryMs) + slow.length);
    }
  });
});

describe("Retry-After", () => {
  it("puts off the next attempt", () => {
    expect(plan({ retryAfterMs: HOUR })).toEqual({ next: "retry", at: HOUR });
  });

  it("brings nothing forward", () => {
    expect(plan({ attempt: 6, retryAfterMs: SECOND })).toEqual({ next: "retry", at: 7_200 * SECOND });
    expect(plan({ attempt: 6, retryAfterMs: 0 })).toEqual({ next: "retry", at: 7_200 * SECOND });
  });

  it("adds no attempt", () => {
    expect(plan({ attempt: 12, retryAfterMs: SECOND }).next).toBe("dead");
  });

  it("beyond its age ends a notification", () => {
    const retryMs = [0, SECOND, SECOND];
    expect(plan({ retryMs, retryAfterMs: DAY, status: 503 })).toEqual({
      next: "dead",
      reason: "too old after 1 attempt; it answered 503",
    });
  });
});

describe("the age of a notification", () => {
  it("counts from its commit, so that one behind a dead one gets one attempt", () => {
    const now = budgetMs(preset);
    expect(plan({ attempt: 1, now, status: 500 })).toEqual({
      next: "dead",
      reason: "too old after 1 attempt; it answered 500",
    });
    expect(plan({ attempt: 1, now, committedAt: 10 * SECOND }).next).toBe("retry");
  });

  it("counts from when its config was resumed, if that was later", () => {
    const now = 30 * DAY;
    expect(plan({ attempt: 1, now }).next).toBe("dead");
    expect(plan({ attempt: 1, now, clockFrom: now - HOUR }).next).toBe("retry");
    expect(plan({ attempt: 1, now, committedAt: now - HOUR, clockFrom: 0 }).next).toBe("retry");
  });

  it("leaves room for the pauses of a breaker, however short the schedule", () => {
    expect(plan({ retryMs: [0, 1, 1], now: 15 * MINUTE - 100 }).next).toBe("retry");
    expect(plan({ retryMs: [0, 1, 1], now: 15 * MINUTE + 100 }).next).toBe("dead");
  });

  it("does not matter to one from the future, when the clock was put back", () => {
    expect(plan({ now: -DAY })).toEqual({ next: "retry", at: -DAY + 5 * SECOND });
  });
});

describe("whatever fails, and however chance falls", () => {
  it("uses every attempt of its schedule, each in its time, and ends", () => {
    const random = createRandom(7);
    for (let run = 0; run < 2_000; run++) {
      const retryMs = [0, ...Array.from({ length: random(20) }, () => random(DAY))];
      const life = live({ retryMs }, () => random(1_000) / 1_000, random(15_000));
      expect(life.delays).toHaveLength(retryMs.length - 1);
      for (const [index, delay] of life.delays.entries()) {
        const planned = retryMs[index + 1] ?? 0;
        expect(delay).toBeGreaterThanOrEqual(Math.floor(planned * 0.8));
        expect(delay).toBeLessThanOrEqual(Math.ceil(planned * 1.2));
      }
      expect(life.reason).toMatch(/^\d+ attempts? failed; (it|the last) had no answer$/);
    }
  });

  it("comes to an end also when every attempt ends in another way", () => {
    const random = createRandom(8);
    const outcomes = ["retry", "rejected", "unauthorized", "blocked"] as const;
    for (let run = 0; run < 2_000; run++) {
      const retryMs = [0, ...Array.from({ length: random(20) }, () => random(DAY))];
      let now = 0;
      let attempt = 1;
      for (; attempt <= retryMs.length; attempt++) {
        const outcome = outcomes[random(4)] ?? "retry";
        const retryAfterMs = random(2) === 0 ? random(DAY) : undefined;
        const next = plan({ outcome, attempt, now, retryMs, retryAfterMs, random: random(1_000) / 1_000 });
        if (next.next === "dead") break;
        expect(next.at).toBeGreaterThanOrEqual(now + (retryAfterMs ?? 0));
        expect(next.at).toBeLessThanOrEqual(budgetMs(retryMs));
        now = next.at;
      }
      expect(attempt).toBeLessThanOrEqual(retryMs.length);
    }
  });
});
