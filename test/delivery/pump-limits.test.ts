// What an endpoint does not send: breaker, rate limit, Retry-After, and the deployment's limit, seen from outside.

import { describe, expect, it } from "vitest";
import type { Claim } from "../../src/delivery/exchange.ts";
import { answering, World } from "./pump-world.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const hook = "https://receiver.example/hook";
const other = "https://receiver.example/other";

function fill(world: World, home: string, lanes: number, target = hook): void {
  for (let lane = 0; lane < lanes; lane++)
    world.home(home).add(`${home}-${target.at(-1)}-${lane}`, target, "body");
}

function sentTo(world: World, target: string): number[] {
  return world.sent.filter(({ claim }) => claim.target === target).map(({ at }) => at);
}

/** How many of the times lie within `ms` of each other, at most. */
function densest(times: readonly number[], ms: number): number {
  return Math.max(...times.map((from) => times.filter((at) => at >= from && at < from + ms).length));
}

describe("a target that fails", () => {
  let down = true;
  const failing = (claim: Claim) =>
    down && claim.target === hook ? { outcome: "retry" as const, status: 500 } : {};

  it("is left alone after five failures, but for one probe after 30 s, 60 s, 2 min …", async () => {
    down = true;
    const world = new World({ send: answering(5, failing) });
    fill(world, "h1", 200);
    world.pump.ring("h1");
    await world.clock.run(16 * MINUTE);
    const times = sentTo(world, hook);
    const [first = 0] = times;
    // Three are under way at once, so up to two more may have been sent before the fifth was answered.
    const before = times.filter((at) => at < first + 1_000);
    expect(before.length).toBeGreaterThanOrEqual(5);
    expect(before.length).toBeLessThanOrEqual(7);
    const probes = times.slice(before.length).map((at) => Math.floor((at - first) / 10_000) * 10);
    expect(probes).toEqual([30, 90, 210, 450, 930]);
  });

  it("uses up no attempt of what waits", async () => {
    down = true;
    const world = new World({ send: answering(5, failing) });
    fill(world, "h1", 50);
    world.pump.ring("h1");
    await world.clock.run(10 * MINUTE);
    const failed = world
      .home("h1")
      .requests.flatMap(({ settled }) => settled)
      .filter(({ outcome }) => outcome === "retry");
    expect(failed).toHaveLength(sentTo(world, hook).length);
  });

  it("holds up nobody else", async () => {
    down = true;
    const world = new World({ send: answering(5, failing) });
    fill(world, "h1", 200);
    fill(world, "h1", 200, other);
    world.pump.ring("h1");
    const began = world.clock.now;
    await world.clock.run(HOUR, () => sentTo(world, other).length === 200);
    expect(world.clock.now - began).toBeLessThan(1_000);
  });

  it("is probed by one lane when it is back, and the rest follow, those of other homes too", async () => {
    down = true;
    const world = new World({ send: answering(5, failing) });
    for (const home of ["h1", "h2", "h3"]) {
      fill(world, home, 50);
      world.pump.ring(home);
    }
    await world.clock.run(20_000);
    down = false;
    const before = world.sent.length;
    await world.clock.run(HOUR, () => world.sent.length > before);
    const probedAt = world.clock.now;
    await world.clock.settle();
    expect(world.sent.length).toBe(before + 1);
    await world.clock.run(HOUR, () => world.pending === 0);
    expect(world.clock.now - probedAt).toBeLessThan(2_000);
  });

  it("costs few exchanges while it is down", async () => {
    down = true;
    const world = new World({ send: answering(5, failing) });
    fill(world, "h1", 200);
    world.pump.ring("h1");
    await world.clock.run(HOUR);
    expect(world.home("h1").requests.length).toBeLessThan(60);
  });
});

describe("a rate limit", () => {
  it.each([
    { perMinute: 600, burst: 10 },
    { perMinute: 100, burst: 10 },
    { perMinute: 6, burst: 2 },
    { perMinute: 1, burst: 1 },
  ])("of $perMinute a minute and $burst at once is kept exactly, and used in full", async (rate) => {
    const world = new World({ send: answering(5), rate });
    const lanes = rate.burst + rate.perMinute * 2;
    fill(world, "h1", lanes);
    world.pump.ring("h1");
    await world.clock.run(HOUR, () => world.pending === 0);
    const times = sentTo(world, hook);
    expect(times).toHaveLength(lanes);
    expect(densest(times, MINUTE)).toBeLessThanOrEqual(rate.perMinute + rate.burst);
    expect(densest(times, 1_000)).toBeLessThanOrEqual(rate.burst + Math.ceil(rate.perMinute / 60));
    const tookMs = (times.at(-1) ?? 0) - (times[0] ?? 0);
    expect(tookMs).toBeGreaterThan(2 * MINUTE - 60_000 / rate.perMinute - 10);
    expect(tookMs).toBeLessThan(2.05 * MINUTE + 5_000);
  });

  it("costs about one exchange a delivery", async () => {
    const world = new World({ send: answering(5), rate: { perMinute: 100, burst: 10 } });
    fill(world, "h1", 210);
    world.pump.ring("h1");
    await world.clock.run(HOUR, () => world.pending === 0);
    expect(world.home("h1").requests.length).toBeLessThan(260);
    expect(world.counters['a2a_webhook_rate_limited_total{by="url"}']).toBe(1);
  });

  it("is shared by the homes that want it", async () => {
    const world = new World({ send: answering(5), rate: { perMinute: 100, burst: 10 }, alarmMs: HOUR });
    world.home("h2").latencyMs = 50;
    for (const home of ["h1", "h2", "h3"]) {
      fill(world, home, 1_000);
      world.pump.ring(home);
      await world.clock.run(MINUTE);
    }
    const before = ["h1", "h2", "h3"].map((home) => world.home(home).pending);
    await world.clock.run(6 * MINUTE);
    const delivered = ["h1", "h2", "h3"].map(
      (home, index) => (before[index] ?? 0) - world.home(home).pending,
    );
    for (const count of delivered) expect(Math.abs(count - 200)).toBeLessThan(20);
  });

  it("leaves something to a home that came when another had everything there was", async () => {
    const world = new World({ send: answering(5), rate: { perMinute: 20, burst: 1 }, alarmMs: HOUR });
    fill(world, "h1", 200);
    world.pump.ring("h1");
    await world.clock.run(10_000);
    fill(world, "h2", 10);
    world.pump.ring("h2");
    await world.clock.run(MINUTE);
    expect(world.home("h2").requests[0]?.allowances).toEqual([{ target: hook, claims: 0 }]);
    expect(world.home("h2").pending).toBeLessThanOrEqual(2);
  });

  it("does not concern another target", async () => {
    const world = new World({ send: answering(5), rate: { perMinute: 6, burst: 1 } });
    fill(world, "h1", 100);
    fill(world, "h1", 1, other);
    world.pump.ring("h1");
    await world.clock.run(200);
    expect(sentTo(world, other)).toHaveLength(1);
  });
});

describe("Retry-After on 429 and 503", () => {
  it.each([429, 503])("%i pauses the target for as long as it says", async (status) => {
    let asked = false;
    const world = new World({
      send: answering(5, ({ target }) => {
        if (asked || target !== hook) return {};
        asked = true;
        return { outcome: "retry", status, retryAfterMs: 10 * MINUTE };
      }),
    });
    fill(world, "h1", 100);
    fill(world, "h1", 20, other);
    world.pump.ring("h1");
    await world.clock.run(MINUTE);
    expect(sentTo(world, hook).length).toBeLessThanOrEqual(3);
    expect(sentTo(world, other)).toHaveLength(20);
    await world.clock.run(8.9 * MINUTE);
    expect(sentTo(world, hook).length).toBeLessThanOrEqual(3);
    await world.clock.run(0.3 * MINUTE);
    expect(world.pending).toBe(0);
  });

  it("on another status concerns that notification alone", async () => {
    let asked = false;
    const world = new World({
      send: answering(5, () => {
        if (asked) return {};
        asked = true;
        return { outcome: "retry", status: 500, retryAfterMs: 10 * MINUTE };
      }),
    });
    fill(world, "h1", 100);
    world.pump.ring("h1");
    await world.clock.run(2_000);
    expect(world.pending).toBe(0);
  });
});

describe("the deployment's limit", () => {
  it("stops everything while there are no tokens, and goes on by itself when they come soon", async () => {
    let tokens = 10;
    const world = new World({
      send: answering(5),
      share: {
        perMinute: 600,
        grant: async (want) => {
          const given = Math.min(want, tokens);
          tokens -= given;
          const retryAt = world.clock.now + 3_000;
          return given > 0 ? { ok: true, value: { tokens: given } } : { ok: false, error: { retryAt } };
        },
      },
    });
    fill(world, "h1", 20);
    fill(world, "h1", 20, other);
    world.pump.ring("h1");
    await world.clock.run(2_000);
    expect(world.sent).toHaveLength(10);
    tokens = 30;
    await world.clock.run(2_000);
    expect(world.pending).toBe(0);
  });

  it("gives claims back when it takes longer, and homes wait without a loop", async () => {
    let tokens = 3;
    let asked = 0;
    const world = new World({
      send: answering(5),
      share: {
        perMinute: 60,
        grant: async (want) => {
          asked += 1;
          const given = Math.min(want, tokens);
          tokens -= given;
          const retryAt = world.clock.now + 30_000;
          return given > 0 ? { ok: true, value: { tokens: given } } : { ok: false, error: { retryAt } };
        },
      },
    });
    fill(world, "h1", 30);
    world.pump.ring("h1");
    await world.clock.run(29_000);
    expect(world.sent).toHaveLength(3);
    expect(world.awake).toBe(0);
    expect(asked).toBe(2);
    expect(world.home("h1").requests.length).toBeLessThan(10);
    tokens = 100;
    await world.clock.run(5_000);
    expect(world.pending).toBe(0);
  });

  it("that cannot be reached holds up deliveries, and not for ever", async () => {
    let down = true;
    const world = new World({
      send: answering(5),
      share: {
        perMinute: 600,
        grant: async (want) => {
          if (down) throw new Error("unreachable");
          return { ok: true, value: { tokens: want } };
        },
      },
    });
    fill(world, "h1", 30);
    world.pump.ring("h1");
    await world.clock.run(10 * MINUTE);
    expect(world.sent).toEqual([]);
    down = false;
    await world.clock.run(6_000);
    expect(world.pending).toBe(0);
  });
});
