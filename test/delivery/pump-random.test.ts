// The loop of an endpoint under whatever happens: receivers that fail in every way, homes that lose answers, rings
// that come twice, lanes that are forgotten, pauses. Seeded; a failure names its seed.

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type Claim, type Settlement, STANDS_MS } from "../../src/delivery/exchange.ts";
import { createRandom } from "../tasks/random.ts";
import { type FakeHome, settlementOf, World } from "./pump-world.ts";

const RUNS = 120;
const MINUTE = 60_000;
const targets = ["a", "b", "c", "d"].map((path) => `https://receiver.example/${path}`);

beforeEach(() => void vi.spyOn(console, "error").mockImplementation(() => {}));
afterEach(() => void vi.restoreAllMocks());

type Random = ReturnType<typeof createRandom>;

/** Since when a target asks not to be sent to, and until when. */
type Holds = Map<string, { askedAt: number; until: number }>;

/** A receiver that is in a bad mood until `until`. Throws at a send that its Retry-After should have prevented. */
function moody(random: Random, holds: Holds, broken: string[], until: number) {
  return async (claim: Claim, signal: AbortSignal, { clock }: World): Promise<Settlement> => {
    const startedAt = clock.now;
    const hold = holds.get(claim.target);
    if (hold && startedAt > hold.askedAt && startedAt < hold.until)
      broken.push(`${claim.id} at ${startedAt}`);
    const mood = clock.now < until ? random(12) : 11;
    const aborted = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
    const released = () => settlementOf(claim, 0, { outcome: "released" });
    const after = async (ms: number, members: Partial<Settlement>) => {
      await Promise.race([clock.sleep(ms), aborted]);
      return signal.aborted
        ? released()
        : settlementOf(claim, startedAt, { durationMs: clock.now - startedAt, ...members });
    };
    switch (mood) {
      case 0:
        return after(15_000, { outcome: "retry", error: "timeout" });
      case 1:
      case 2: {
        const settlement = await after(random(50), {
          outcome: "retry",
          status: 503,
          retryAfterMs: random(20_000),
        });
        const known = holds.get(claim.target)?.until ?? 0;
        const asked = clock.now + (settlement.retryAfterMs ?? 0);
        if (settlement.outcome === "retry" && asked > known) {
          holds.set(claim.target, { askedAt: clock.now, until: asked });
        }
        return settlement;
      }
      case 3:
        return after(random(1_000), { outcome: "retry", status: 500 });
      case 4:
        return after(random(50), { outcome: "rejected", status: 404 });
      case 5:
        return after(1, { outcome: "retry", error: "oauth2_failed" });
      case 6:
        return after(1, { outcome: "blocked", error: "blocked_destination" });
      case 7:
        throw new Error("a bug");
      default:
        return after(random(30), {});
    }
  };
}

/** What a world does to itself for a while: every fault there is. `forgotten`: after when (ms) nothing of a lane may be sent. */
async function trouble(world: World, random: Random, forgotten: Map<string, number>): Promise<void> {
  const homes = [...world.homes.values()];
  for (let step = 0; step < 40; step++) {
    await world.clock.run(random(4_000));
    const home = homes[random(homes.length)] as FakeHome;
    switch (random(6)) {
      case 0:
        for (let i = 0; i < 3; i++) world.pump.ring(home.id);
        break;
      case 1: {
        const lane = `${home.id}-${random(12)}`;
        home.remove(lane);
        if (random(3) === 0) {
          // Its home cannot call it.
          forgotten.set(lane, world.clock.now + STANDS_MS);
          break;
        }
        void world.pump.forget(home.id, lane).then(() => {
          forgotten.set(lane, world.clock.now);
          expect([...world.inFlight].some(({ key }) => key === lane)).toBe(false);
        });
        break;
      }
      case 2:
        world.paused = !world.paused;
        world.pump.advance();
        break;
      default:
        world.paused = false;
        for (const id of world.pausedHomes.splice(0)) world.pump.ring(id);
    }
  }
  world.paused = false;
  for (const id of world.pausedHomes.splice(0)) world.pump.ring(id);
}

describe("whatever happens", () => {
  it.each(Array.from({ length: RUNS }, (_, seed) => seed))(
    "everything is delivered in order (seed %i)",
    async (seed) => {
      const random = createRandom(seed);
      const holds: Holds = new Map();
      const broken: string[] = [];
      const forgotten = new Map<string, number>();
      const limited = seed % 3 === 0 ? { perMinute: 60 + random(600), burst: 1 + random(10) } : undefined;
      const world = new World({
        send: moody(random, holds, broken, 1_000_000 + 3 * MINUTE),
        ...(limited && { rate: limited }),
        alarmMs: 200 + random(800),
      });
      const lanes = new Map<string, number>();
      for (const id of ["h1", "h2", "h3"].slice(0, 1 + random(3))) {
        const home = world.home(id);
        home.latencyMs = 1 + random(40);
        home.following = seed % 4;
        home.fault = () =>
          world.clock.now < 1_000_000 + 2 * MINUTE && random(8) === 0
            ? (["refuse", "lose"] as const)[random(2)]
            : undefined;
        for (let lane = 0; lane < 12; lane++) {
          const name = `${id}-${lane}`;
          const count = 1 + random(5);
          lanes.set(name, count);
          for (let n = 0; n < count; n++)
            home.add(name, targets[random(seed % 2 === 0 ? 4 : 1)] ?? "", `body ${n}`);
        }
        world.pump.ring(id);
      }
      await trouble(world, random, forgotten);
      await world.drain();

      expect(world.pending).toBe(0);
      expect(world.awake).toBe(0);
      expect(broken).toEqual([]);
      expect(world.mostInFlight).toBeLessThanOrEqual(6);
      for (const home of world.homes.values()) {
        expect(home.mostExchanging).toBe(1);
        for (const [lane, ids] of home.delivered) {
          expect(ids).toEqual(Array.from({ length: ids.length }, (_, n) => `${lane}-${n}`));
          if (!forgotten.has(lane)) expect(ids).toHaveLength(lanes.get(lane) ?? 0);
        }
      }
      for (const { claim, at } of world.sent) {
        expect(at).toBeLessThanOrEqual(forgotten.get(claim.key) ?? Number.POSITIVE_INFINITY);
      }
      if (limited) {
        for (const target of targets) {
          const times = world.sent.filter(({ claim }) => claim.target === target).map(({ at }) => at);
          for (const [first, from] of times.entries()) {
            const until = times[first + limited.burst] ?? Number.POSITIVE_INFINITY;
            // The token for one more than the burst has to come first.
            expect(until - from).toBeGreaterThanOrEqual(60_000 / limited.perMinute - 1);
          }
        }
      }
    },
  );
});
