// What an endpoint knows of its targets: what counts against them, what may be claimed, and what is stored.

import { describe, expect, it } from "vitest";
import type { TargetState } from "../../src/delivery/endpoint-state.ts";
import type { Claim, Settlement } from "../../src/delivery/exchange.ts";
import { type Room, Targets } from "../../src/delivery/targets.ts";
import { aClaim } from "./claims.ts";

const MINUTE = 60_000;
const DAY = 1_440 * MINUTE;

type Setup = { rate?: { perMinute: number; burst: number }; stored?: [string, TargetState][] };

function setUp({ rate = { perMinute: 0, burst: 10 }, stored = [] }: Setup = {}) {
  const rows = new Map<string, TargetState>(stored);
  const counted: string[] = [];
  let [changes, writes] = [0, 0];
  const targets = new Targets({
    rate,
    timeoutMs: 15_000,
    stored,
    save: (target, state) => {
      writes += 1;
      if (Object.keys(state).length === 0) rows.delete(target);
      else rows.set(target, structuredClone(state));
    },
    count: (key) => void counted.push(key),
    changed: () => {
      changes += 1;
    },
  });
  return { targets, rows, counted, changes: () => changes, writes: () => writes };
}

const claim = aClaim({ target: "t" });

/** Sends a claim that ends at once; false if it was not admitted. */
function send(targets: Targets, now: number, ending: Partial<Settlement> = {}, of: Claim = claim): boolean {
  const { key, id, attempt } = of;
  if (!targets.admit(of, now).ok) return false;
  const settlement: Settlement = {
    key,
    id,
    attempt,
    outcome: "delivered",
    startedAt: now,
    durationMs: 0,
    ...ending,
  };
  targets.settle(of.target, settlement, now, now);
  return true;
}

function fail(targets: Targets, now: number, times: number): void {
  for (let i = 0; i < times; i++) send(targets, now, { outcome: "retry", status: 500 });
}

const roomOf = (targets: Targets, now: number): Room | undefined =>
  new Map(targets.constrained(now)).get("t");

describe("what counts against an endpoint", () => {
  it.each<Partial<Settlement>>([
    { outcome: "retry", status: 500 },
    { outcome: "retry", status: 408 },
    { outcome: "retry", status: 429 },
    { outcome: "retry", error: "timeout" },
    { outcome: "retry", error: "network_error" },
    { outcome: "retry", error: "dns_failure" },
    { outcome: "blocked", error: "tls_error" },
  ])("is $outcome $status $error", (ending) => {
    const { targets } = setUp();
    for (let i = 0; i < 5; i++) expect(send(targets, 1_000, ending)).toBe(true);
    expect(send(targets, 1_000)).toBe(false);
  });

  it.each<Partial<Settlement>>([
    { outcome: "delivered", status: 200 },
    { outcome: "rejected", status: 404 },
    { outcome: "rejected", status: 302 },
    { outcome: "unauthorized", status: 401 },
    { outcome: "gone", status: 410 },
    { outcome: "blocked", error: "blocked_destination" },
    { outcome: "retry", error: "oauth2_failed" },
    { outcome: "retry", error: "secrets_unreadable" },
    { outcome: "released" },
  ])("is not $outcome $status $error", (ending) => {
    const { targets } = setUp();
    for (let i = 0; i < 30; i++) expect(send(targets, 1_000, ending)).toBe(true);
  });

  it("is not forgiven by what says nothing about the endpoint, but by an answer of any kind", () => {
    const { targets } = setUp();
    fail(targets, 1_000, 4);
    send(targets, 1_000, { outcome: "retry", error: "oauth2_failed" });
    fail(targets, 1_000, 1);
    expect(send(targets, 1_000)).toBe(false);
    const other = setUp().targets;
    fail(other, 1_000, 4);
    send(other, 1_000, { outcome: "rejected", status: 404 });
    fail(other, 1_000, 1);
    expect(send(other, 1_000)).toBe(true);
  });
});

describe("a breaker", () => {
  it("is told, counted and stored when it changes, and forgotten when it closes", () => {
    const { targets, rows, counted, changes } = setUp();
    fail(targets, 1_000, 5);
    expect(rows.get("t")).toEqual({ breaker: { state: "open", until: 31_000, trips: 1 } });
    expect(targets.breakers()).toEqual({ open: 1, halfOpen: 0 });
    expect(roomOf(targets, 2_000)).toEqual({ claims: 0, hold: { reason: "breaker_open", retryAt: 31_000 } });
    expect(roomOf(targets, 31_000)).toEqual({ claims: 1 });
    expect(targets.admit(claim, 31_000).ok).toBe(true);
    expect(rows.get("t")).toEqual({ breaker: { state: "half-open", probeStartedAt: 31_000, trips: 1 } });
    expect(targets.breakers()).toEqual({ open: 0, halfOpen: 1 });
    expect(roomOf(targets, 31_000)?.hold?.reason).toBe("probe_running");
    const { key, id, attempt } = claim;
    const settlement: Settlement = {
      key,
      id,
      attempt,
      outcome: "delivered",
      startedAt: 31_000,
      durationMs: 5,
    };
    expect(targets.settle("t", settlement, 31_000, 31_005)).toBe(true);
    expect(rows.has("t")).toBe(false);
    expect(roomOf(targets, 31_005)).toBeUndefined();
    expect(changes()).toBe(3);
    expect(counted).toEqual([
      'a2a_webhook_breaker_transitions_total{to="open"}',
      'a2a_webhook_breaker_transitions_total{to="half_open"}',
      'a2a_webhook_breaker_transitions_total{to="closed"}',
    ]);
  });

  it("goes on in a new object where it was, the probe of the old one replaced when it is overdue", () => {
    const { targets, rows } = setUp();
    fail(targets, 1_000, 5);
    const second = setUp({ stored: [...rows] });
    expect(send(second.targets, 30_999)).toBe(false);
    expect(second.targets.admit(claim, 31_000).ok).toBe(true);
    const third = setUp({ stored: [...second.rows] });
    expect(send(third.targets, 45_999)).toBe(false);
    expect(send(third.targets, 46_000)).toBe(true);
    expect(third.rows.size).toBe(0);
  });

  it("does not wait for a probe that was not sent", () => {
    const { targets } = setUp();
    fail(targets, 1_000, 5);
    send(targets, 31_000, { outcome: "released" });
    expect(send(targets, 31_001)).toBe(true);
    expect(send(targets, 31_002)).toBe(true);
  });

  it("of one target is not that of another", () => {
    const { targets } = setUp();
    fail(targets, 1_000, 5);
    expect(send(targets, 1_000, {}, aClaim({ target: "u" }))).toBe(true);
  });
});

describe("a Retry-After", () => {
  it.each([429, 503])("on %i holds the target, at most 24 h, also in a new object", (status) => {
    const { targets, rows, counted } = setUp();
    send(targets, 1_000, { outcome: "retry", status, retryAfterMs: 20_000 });
    expect(roomOf(targets, 1_001)).toEqual({ claims: 0, hold: { reason: "retry_after", retryAt: 21_000 } });
    expect(send(targets, 20_999)).toBe(false);
    expect(counted).toEqual(['a2a_webhook_rate_limited_total{by="endpoint"}']);
    expect(send(setUp({ stored: [...rows] }).targets, 20_999)).toBe(false);
    expect(send(targets, 21_000, { outcome: "retry", status, retryAfterMs: 10 * DAY })).toBe(true);
    expect(roomOf(targets, 22_000)?.hold?.retryAt).toBe(21_000 + DAY);
  });

  it("is not shortened by an answer that was under way", () => {
    const { targets } = setUp();
    const { key, id, attempt } = claim;
    for (const retryAfterMs of [20_000, 1_000]) {
      const settlement: Settlement = {
        key,
        id,
        attempt,
        outcome: "retry",
        status: 429,
        retryAfterMs,
        startedAt: 0,
        durationMs: 0,
      };
      targets.settle("t", settlement, 0, 1_000);
    }
    expect(send(targets, 20_999)).toBe(false);
  });

  it("on another status, or of nothing, holds nothing", () => {
    const { targets, writes } = setUp();
    send(targets, 1_000, { outcome: "retry", status: 500, retryAfterMs: 20_000 });
    send(targets, 1_000, { outcome: "retry", status: 503, retryAfterMs: 0 });
    expect(send(targets, 1_000)).toBe(true);
    expect(writes()).toBe(0);
  });

  it("is over when the clock was put back by more than it can last", () => {
    const { targets } = setUp();
    send(targets, 100 * DAY, { outcome: "retry", status: 503, retryAfterMs: DAY / 2 });
    expect(send(targets, 99.8 * DAY)).toBe(false);
    expect(send(targets, 90 * DAY)).toBe(true);
  });
});

describe("a rate limit", () => {
  const rate = { perMinute: 60, burst: 3 };

  it("is the lower of the deployment's and the config's", () => {
    const limited = (rateLimit: { perMinute: number; burst?: number }) =>
      aClaim({ target: "t", options: { rateLimit } });
    const burstOf = (targets: Targets, of: Claim) => {
      let taken = 0;
      while (send(targets, 1_000, {}, of)) taken += 1;
      const admitted = targets.admit(of, 1_000);
      return { taken, nextMs: admitted.ok ? 0 : admitted.error.retryAt - 1_000 };
    };
    expect(burstOf(setUp({ rate }).targets, claim)).toEqual({ taken: 3, nextMs: 1_000 });
    expect(burstOf(setUp({ rate }).targets, limited({ perMinute: 6, burst: 2 }))).toEqual({
      taken: 2,
      nextMs: 10_000,
    });
    expect(burstOf(setUp({ rate }).targets, limited({ perMinute: 600, burst: 50 }))).toEqual({
      taken: 3,
      nextMs: 1_000,
    });
    expect(burstOf(setUp({ rate }).targets, limited({ perMinute: 6 }))).toEqual({ taken: 3, nextMs: 10_000 });
    expect(burstOf(setUp().targets, limited({ perMinute: 6 }))).toEqual({ taken: 10, nextMs: 10_000 });
    expect(burstOf(setUp().targets, limited({ perMinute: 6, burst: 20 }))).toEqual({
      taken: 20,
      nextMs: 10_000,
    });
  });

  it("says how much can be claimed: what can be sent within five seconds", () => {
    const { targets } = setUp({ rate });
    expect(roomOf(targets, 1_000)).toBeUndefined();
    while (send(targets, 1_000));
    expect(roomOf(targets, 1_000)).toEqual({ claims: 3 });
    expect(roomOf(setUp({ rate }).targets, 1_000)).toBeUndefined();
    const slow = setUp({ rate: { perMinute: 2, burst: 1 } }).targets;
    while (send(slow, 1_000));
    expect(roomOf(slow, 2_000)).toEqual({ claims: 0, hold: { reason: "rate_limited", retryAt: 31_000 } });
    expect(roomOf(slow, 26_000)).toEqual({ claims: 1 });
    expect(roomOf(slow, 31_000)).toBeUndefined();
  });

  it("is counted once for each time that a target runs out of tokens", () => {
    const { targets, counted } = setUp({ rate });
    for (let i = 0; i < 10; i++) send(targets, 1_000);
    expect(counted).toEqual(['a2a_webhook_rate_limited_total{by="url"}']);
    for (const _ of targets.constrained(10_000));
    for (let i = 0; i < 10; i++) send(targets, 10_000);
    expect(counted).toHaveLength(2);
  });

  it("is stored when claims have to go back, so that a new object has no new burst", () => {
    const { targets, rows, writes } = setUp({ rate: { perMinute: 2, burst: 2 } });
    expect(send(targets, 1_000)).toBe(true);
    expect(send(targets, 1_000)).toBe(true);
    expect(writes()).toBe(0);
    expect(send(targets, 1_000)).toBe(false);
    const again = setUp({ rate: { perMinute: 2, burst: 2 }, stored: [...rows] }).targets;
    expect(send(again, 30_999)).toBe(false);
    expect(send(again, 31_000)).toBe(true);
  });

  it("waits a little without writing anything", () => {
    const { targets, writes } = setUp({ rate });
    for (let i = 0; i < 100; i++) send(targets, 1_000 + i * 300);
    expect(writes()).toBe(0);
  });

  it("takes no token for what a breaker or a hold refuses", () => {
    const { targets } = setUp({ rate: { perMinute: 60, burst: 6 } });
    fail(targets, 1_000, 5);
    for (let i = 0; i < 10; i++) expect(send(targets, 1_000)).toBe(false);
    expect(targets.health(1_000)[0]?.tokensLeft).toBe(1);
  });

  it("leaves a probe to the one that has a token", () => {
    const { targets } = setUp({ rate: { perMinute: 1, burst: 5 } });
    fail(targets, 1_000, 5);
    expect(send(targets, 31_000)).toBe(false);
    expect(targets.breakers()).toEqual({ open: 1, halfOpen: 0 });
    expect(send(targets, 61_000)).toBe(true);
  });
});

describe("health", () => {
  it("says for each target how it is and why it waits", () => {
    const { targets } = setUp({ rate: { perMinute: 60, burst: 6 } });
    fail(targets, 1_000, 5);
    send(targets, 1_000, {}, aClaim({ target: "u" }));
    expect(targets.health(2_000)).toEqual([
      { target: "t", breaker: "open", holdUntil: 31_000, holdReason: "breaker_open", tokensLeft: 2 },
      { target: "u", breaker: "closed", holdUntil: null, holdReason: null, tokensLeft: 6 },
    ]);
  });
});

describe("tidying", () => {
  it("forgets what is as it would be anyway, in memory and on disk", () => {
    const { targets, rows } = setUp();
    send(targets, 1_000, { outcome: "retry", status: 503, retryAfterMs: 20_000 }, aClaim({ target: "held" }));
    send(targets, 1_000, {}, aClaim({ target: "held" }));
    send(targets, 1_000, {}, aClaim({ target: "fine" }));
    targets.tidy(70_000);
    expect(targets.health(70_000).map(({ target }) => target)).toEqual(["held"]);
    send(targets, 70_000, {}, aClaim({ target: "held" }));
    expect([...rows.keys()]).toEqual(["held"]);
    targets.tidy(10 * MINUTE);
    expect(targets.health(10 * MINUTE)).toEqual([]);
    expect(rows.size).toBe(0);
  });

  it("keeps what matters", () => {
    const { targets, rows } = setUp();
    fail(targets, 1_000, 5);
    targets.tidy(10 * MINUTE);
    expect(rows.size).toBe(1);
    targets.tidy(2 * DAY);
    expect(rows.size).toBe(0);
  });

  it("bounds the memory of an endpoint with a URL for every task", () => {
    const { targets } = setUp();
    fail(targets, 1_000, 5);
    for (let i = 0; i < 30_000; i++) {
      send(targets, 1_000, { outcome: "retry", status: 500 }, aClaim({ target: `t${i}` }));
    }
    expect(targets.health(1_000).length).toBeLessThanOrEqual(10_000);
    expect(send(targets, 1_000)).toBe(false);
  });

  it.each<[string, number, Partial<Settlement>]>([
    ["fail", 5, { outcome: "retry", status: 500 }],
    ["ask to wait", 1, { outcome: "retry", status: 429, retryAfterMs: MINUTE }],
  ])("bounds what is stored and told when all of them %s: the first are forgotten", (_, times, ending) => {
    const { targets, rows } = setUp();
    const target = (i: number) => aClaim({ target: `t${i}` });
    for (let i = 0; i < 3_000; i++) for (let n = 0; n < times; n++) send(targets, 1_000, ending, target(i));
    expect([...targets.constrained(1_000)]).toHaveLength(1_000);
    expect(targets.breakers().open).toBe(times === 5 ? 1_000 : 0);
    expect([...rows.keys()]).toEqual(Array.from({ length: 1_000 }, (_, i) => `t${i + 2_000}`));
    expect(send(targets, 1_000, {}, target(1_999))).toBe(true);
    expect(send(targets, 1_000, {}, target(2_000))).toBe(false);
  });

  it("leaves nothing stored of what need not wait any more", () => {
    const { targets, rows } = setUp();
    send(targets, 1_000, { outcome: "retry", status: 429, retryAfterMs: MINUTE });
    expect([...targets.constrained(1_000 + MINUTE)]).toEqual([]);
    expect(rows.size).toBe(0);
  });
});
