// The loop of an endpoint: what it sends at once, in which order, and what it tells the homes.

import { afterEach, describe, expect, it, vi } from "vitest";
import { type Claim, STANDS_MS } from "../../src/delivery/exchange.ts";
import { createRandom } from "../tasks/random.ts";
import { answering, settlementOf, World } from "./pump-world.ts";

const HOUR = 3_600_000;
const fast = "https://receiver.example/fast";
const slow = "https://receiver.example/slow";

afterEach(() => void vi.restoreAllMocks());

/** Adds so many lanes of so many notifications to a home. */
function fill(world: World, home: string, lanes: number, target = fast, each = 1): void {
  for (let lane = 0; lane < lanes; lane++) {
    for (let n = 0; n < each; n++)
      world.home(home).add(`${home}-${target.slice(-4)}-${lane}`, target, `body ${n}`);
  }
}

describe("a ring", () => {
  it("has everything delivered that is due, and lets the object rest", async () => {
    const world = new World({ send: answering(5) });
    fill(world, "h1", 100, fast, 3);
    world.pump.ring("h1");
    await world.drain();
    expect(world.sent).toHaveLength(300);
    expect(world.pending).toBe(0);
    expect(world.awake).toBe(0);
    expect(world.pump).toMatchObject({ inFlight: 0, queued: 0 });
  });

  it("that is repeated costs nothing: nothing is sent twice, and no home is spoken to twice at once", async () => {
    const world = new World({ send: answering(5) });
    fill(world, "h1", 50);
    for (let i = 0; i < 10; i++) world.pump.ring("h1");
    await world.clock.run(3);
    for (let i = 0; i < 10; i++) world.pump.ring("h1");
    await world.drain();
    expect(world.sent).toHaveLength(50);
    expect(world.home("h1").mostExchanging).toBe(1);
  });

  it("of a home that has nothing is one exchange", async () => {
    const world = new World({ send: answering(5) });
    world.pump.ring("h1");
    await world.clock.run(HOUR);
    expect(world.home("h1").requests).toHaveLength(1);
    expect(world.awake).toBe(0);
  });

  it("that comes while an exchange is under way is not lost", async () => {
    const world = new World({ send: answering(5), alarmMs: HOUR });
    world.home("h1").latencyMs = 100;
    world.pump.ring("h1");
    await world.clock.run(80);
    fill(world, "h1", 1);
    world.pump.ring("h1");
    await world.clock.run(1_000);
    expect(world.pending).toBe(0);
  });
});

describe("what follows in a claim", () => {
  /** One lane of four notifications that one claim brings along. */
  function lane(world: World, home = "h1", target = fast): void {
    fill(world, home, 1, target, 4);
    world.home(home).following = 3;
  }
  const sent = (world: World) => world.sent.map(({ claim }) => [claim.id, claim.sequence, claim.body]);
  const settledBy = (world: World, home = "h1") =>
    world.home(home).requests.map(({ settled }) => settled.map(({ id }) => id.slice(-1)).join(""));

  it("is sent in order without asking, and settled in one exchange", async () => {
    const world = new World({ send: answering(2) });
    lane(world);
    world.pump.ring("h1");
    await world.drain();
    expect(sent(world)).toEqual([0, 1, 2, 3].map((n) => [`h1-fast-0-${n}`, n + 1, `body ${n}`]));
    expect(settledBy(world)).toEqual(["", "0123"]);
    expect(world.sent.map(({ claim }) => claim.attempt)).toEqual([1, 1, 1, 1]);
    expect(world.pump).toMatchObject({ inFlight: 0, queued: 0 });
  });

  it("waits until the one before was delivered, and is claimed again by then", async () => {
    const fails = (claim: Claim) =>
      claim.id.endsWith("-1") && claim.attempt < 3 ? { outcome: "retry" as const, status: 500 } : {};
    const world = new World({ send: answering(2, fails) });
    lane(world);
    world.pump.ring("h1");
    await world.drain();
    expect(world.sent.map(({ claim }) => claim.id.slice(-1)).join("")).toBe("011123");
    expect(world.sent.map(({ claim }) => claim.attempt)).toEqual([1, 1, 2, 3, 1, 1]);
  });

  it("does not hold back for long what its home wants to know", async () => {
    const world = new World({
      send: answering((claim) => (claim.id.endsWith("-0") ? 2 : 10_000)),
      alarmMs: HOUR,
    });
    lane(world);
    world.pump.ring("h1");
    await world.clock.run(30);
    expect(settledBy(world)).toEqual(["", "0"]);
    await world.drain();
    expect(world.sent).toHaveLength(4);
    expect(world.pending).toBe(0);
  });

  it("begins within a second of the first, or is left to the home: so long a deletion waits in vain at most", async () => {
    const world = new World({ send: answering(400), alarmMs: HOUR });
    lane(world);
    world.pump.ring("h1");
    await world.drain();
    expect(world.sent).toHaveLength(4);
    const last = world.home("h1").requests.findLast(({ settled }) => settled.length > 0);
    expect(last?.settled.map(({ id }) => id)).toEqual(["h1-fast-0-3"]);
    expect(last?.busy).toEqual([]);
    const third = world
      .home("h1")
      .requests.find(({ settled }) => settled.some(({ id }) => id.endsWith("-2")));
    expect(third?.busy).toEqual([]);
  });

  it("lets a home that waits have its turn", async () => {
    const world = new World({ send: answering(100), alarmMs: HOUR });
    for (let n = 0; n < 6; n++) fill(world, "h1", 6, `https://receiver.example/at-${n}`, 4);
    world.home("h1").following = 3;
    lane(world, "h2", slow);
    world.pump.ring("h1");
    world.pump.ring("h2");
    await world.clock.run(250);
    const first = world.sent.findIndex(({ claim }) => claim.id.startsWith("h2"));
    expect(first).toBeGreaterThan(0);
    expect(first).toBeLessThan(14);
    await world.drain();
    expect(world.pending).toBe(0);
  });

  it("is not sent any more once its lane is forgotten, or an operator pauses the origin", async () => {
    for (const stop of [
      (world: World) => void world.pump.forget("h1", "h1-fast-0"),
      (world: World) => {
        world.paused = true;
      },
    ]) {
      const world = new World({ send: answering(50), alarmMs: HOUR });
      lane(world);
      world.pump.ring("h1");
      await world.clock.run(60);
      expect(world.sent).toHaveLength(2);
      stop(world);
      await world.clock.run(1_000);
      expect(world.sent).toHaveLength(2);
    }
  });

  it("takes a token of its target for each, and waits in its home while there is none", async () => {
    const world = new World({ send: answering(1), rate: { perMinute: 60, burst: 2 } });
    lane(world);
    world.pump.ring("h1");
    await world.drain();
    const times = world.sent.map(({ at }) => at - (world.sent[0]?.at ?? 0));
    expect(times[1]).toBeLessThan(100);
    expect(times[2]).toBeGreaterThanOrEqual(990);
    expect(times[3]).toBeGreaterThanOrEqual(1_990);
    expect(world.pending).toBe(0);
  });
});

/** A home calls, with what it would answer to an exchange. */
async function offer(world: World, home: string, want = 6): Promise<void> {
  const asked = { endpoint: "", settled: [], want, allowances: [], busy: [], counters: {} };
  const answer = world.home(home).exchange(asked);
  await world.clock.run(1);
  world.home(home).requests.length = 0;
  world.pump.offer(home, await answer);
}

describe("an offer", () => {
  it("is sent without asking; the one exchange tells what became of it", async () => {
    const world = new World({ send: answering(5), alarmMs: HOUR });
    fill(world, "h1", 1);
    await offer(world, "h1");
    await world.drain();
    expect(world.sent).toHaveLength(1);
    expect(world.home("h1").requests.map(({ settled }) => settled.length)).toEqual([1]);
    expect(world.awake).toBe(0);
  });

  it("that is sent slowly does not keep the home waiting: it is asked for more after 50 ms", async () => {
    const world = new World({ send: answering(10_000), alarmMs: HOUR });
    fill(world, "h1", 1, slow);
    await offer(world, "h1");
    fill(world, "h1", 1, fast);
    await world.clock.run(49);
    expect(world.sent).toHaveLength(1);
    await world.clock.run(3);
    expect(world.sent.map(({ claim }) => claim.target)).toEqual([slow, fast]);
    await world.drain();
    expect(world.sent).toHaveLength(2);
  });

  it("of a home that has more is followed by an exchange at once", async () => {
    const world = new World({ send: answering(5), alarmMs: HOUR });
    fill(world, "h1", 20);
    await offer(world, "h1", 2);
    expect(world.home("h1").requests).toHaveLength(1);
    await world.drain();
    expect(world.sent).toHaveLength(20);
  });

  it("that comes twice is sent once", async () => {
    const world = new World({ send: answering(5), alarmMs: HOUR });
    fill(world, "h1", 1);
    const asked = { endpoint: "", settled: [], want: 6, allowances: [], busy: [], counters: {} };
    const answer = world.home("h1").exchange(asked);
    await world.clock.run(1);
    world.pump.offer("h1", await answer);
    world.pump.offer("h1", await answer);
    await world.drain();
    expect(world.sent).toHaveLength(1);
  });
});

describe("offers that come faster than they are sent", () => {
  it("take no more room than claims that were asked for; the rest goes back and is delivered in its time", async () => {
    const world = new World({ send: answering(10_000), alarmMs: HOUR });
    fill(world, "h1", 300, slow);
    let most = 0;
    for (let offers = 0; offers < 40; offers++) {
      await offer(world, "h1");
      await world.clock.run(5);
      most = Math.max(most, world.pump.queued);
    }
    expect(most).toBeLessThanOrEqual(60);
    await world.drain();
    expect(new Set(world.sent.map(({ claim }) => claim.key)).size).toBe(300);
    expect(world.pending).toBe(0);
  });

  it("are limited by their bodies, too", async () => {
    const world = new World({ send: answering(10_000), alarmMs: HOUR });
    const body = "x".repeat(400_000);
    for (let lane = 0; lane < 300; lane++) world.home("h1").add(`lane ${lane}`, slow, body);
    for (let offers = 0; offers < 40; offers++) {
      await offer(world, "h1");
      await world.clock.run(5);
      // What one exchange asks for comes on top.
      expect(world.pump.queued * body.length).toBeLessThan(8_000_000 + 48 * body.length);
    }
  });
});

describe("what is sent at once", () => {
  it("is never more than six, five of them for one target", async () => {
    const world = new World({ send: answering(50) });
    fill(world, "h1", 60);
    world.pump.ring("h1");
    await world.clock.run(20);
    expect(world.inFlight.size).toBe(3);
    await world.clock.run(50);
    expect(world.inFlight.size).toBe(5);
    fill(world, "h1", 60, slow);
    world.pump.ring("h1");
    await world.drain();
    expect(world.mostInFlight).toBe(6);
    expect(world.sent).toHaveLength(120);
  });

  it("is at most one of a lane, in order", async () => {
    const world = new World({ send: answering(5) });
    fill(world, "h1", 3, fast, 20);
    world.pump.ring("h1");
    await world.drain();
    for (const ids of world.home("h1").delivered.values()) {
      expect(ids.map((id) => Number(id.split("-").at(-1)))).toEqual(Array.from({ length: 20 }, (_, n) => n));
    }
  });

  it("keeps its slots busy: settlements and claims travel together", async () => {
    const world = new World({ send: answering(3) });
    fill(world, "h1", 1_000);
    const began = world.clock.now;
    world.pump.ring("h1");
    await world.drain();
    // 1,000 deliveries of 3 ms, five at a time, take 600 ms; a home that answers after 1 ms must not be felt.
    expect(world.clock.now - began).toBeLessThan(700);
    expect(world.home("h1").requests.length).toBeLessThan(150);
  });

  it("is settled together only while there is more to send", async () => {
    const world = new World({ send: answering(5), alarmMs: HOUR });
    world.home("h1").latencyMs = 2;
    fill(world, "h1", 1, fast, 5);
    const began = world.clock.now;
    world.pump.ring("h1");
    await world.drain();
    // Six exchanges of 2 ms and five sends of 5 ms: nobody waited for company.
    expect(world.clock.now - began).toBeLessThan(40);
    expect(world.home("h1").requests).toHaveLength(6);
  });
});

describe("a slow target", () => {
  const send = answering((claim) => (claim.target === slow ? 15_000 : 5));

  it("leaves three slots to others", async () => {
    const world = new World({ send });
    fill(world, "h1", 40, slow);
    fill(world, "h1", 300, fast);
    world.pump.ring("h1");
    const began = world.clock.now;
    await world.clock.run(60_000, () => [...world.home("h1").delivered.values()].flat().length >= 300);
    expect(world.clock.now - began).toBeLessThan(1_600);
    const lastFast = world.sent.findLast(({ claim }) => claim.target === fast)?.at ?? 0;
    const slowBefore = world.sent.filter(({ claim, at }) => claim.target === slow && at < lastFast);
    expect(slowBefore).toHaveLength(3);
  });

  it("and another leave one slot to a third", async () => {
    const lame = "https://receiver.example/lame";
    const world = new World({ send: answering(({ target }) => (target === fast ? 5 : 15_000)) });
    fill(world, "h1", 20, slow);
    fill(world, "h1", 20, lame);
    world.pump.ring("h1");
    await world.clock.run(1_000);
    expect(world.inFlight.size).toBe(5);
    fill(world, "h2", 20, fast);
    world.pump.ring("h2");
    await world.clock.run(1_000);
    expect(world.home("h2").pending).toBe(0);
  });

  it("that was quick before leaves one slot to who comes later, and room in the queue of its home", async () => {
    let isSlow = false;
    const world = new World({ send: answering(({ target }) => (target === slow && isSlow ? 15_000 : 5)) });
    fill(world, "h1", 100, slow);
    world.pump.ring("h1");
    await world.clock.run(50);
    isSlow = true;
    await world.clock.run(1_000);
    expect(world.inFlight.size).toBe(5);
    fill(world, "h1", 20, fast);
    fill(world, "h2", 20, fast);
    world.pump.ring("h1");
    world.pump.ring("h2");
    const began = world.clock.now;
    await world.clock.run(
      60_000,
      () => world.sent.filter(({ claim }) => claim.target === fast).length === 40,
    );
    expect(world.clock.now - began).toBeLessThan(1_000);
  });
});

describe("homes", () => {
  it("take turns on a target", async () => {
    const world = new World({ send: answering(10) });
    fill(world, "h1", 300);
    fill(world, "h2", 10);
    world.pump.ring("h1");
    await world.clock.run(50);
    world.pump.ring("h2");
    await world.clock.run(10_000, () => world.home("h2").pending === 0);
    expect(world.home("h1").pending).toBeGreaterThan(200);
  });

  it("that give a claim again while it is in hand do not have it sent twice", async () => {
    const world = new World({ send: answering(50) });
    fill(world, "h1", 12);
    const { exchange } = world.home("h1");
    // It forgets its leases, and does not look at what the endpoint says it has.
    world.home("h1").exchange = (request) => exchange.call(world.home("h1"), { ...request, busy: [] });
    world.home("h1").leaseMs = 0;
    world.pump.ring("h1");
    await world.drain();
    expect(world.sent).toHaveLength(12);
  });

  it("one that does not answer holds up no other", async () => {
    const world = new World({ send: answering(5) });
    world.home("h1").latencyMs = HOUR;
    fill(world, "h1", 10);
    fill(world, "h2", 100);
    world.pump.ring("h1");
    world.pump.ring("h2");
    await world.clock.run(1_000);
    expect(world.home("h2").pending).toBe(0);
  });
});

describe("a lost exchange", () => {
  it("is repeated with what was settled, until it succeeds", async () => {
    const world = new World({ send: answering(5), alarmMs: HOUR });
    fill(world, "h1", 1);
    let failures = 3;
    world.home("h1").fault = ({ settled }) => (settled.length > 0 && failures-- > 0 ? "refuse" : undefined);
    world.pump.ring("h1");
    const began = world.clock.now;
    await world.drain();
    expect(world.sent).toHaveLength(1);
    expect(world.pending).toBe(0);
    // 0.2 s, 0.4 s, 0.8 s.
    expect(world.clock.now - began).toBeGreaterThan(1_400);
    expect(world.clock.now - began).toBeLessThan(2_000);
  });

  it("whose answer was lost settles nothing twice, and its claims come again when their lease has run out", async () => {
    const world = new World({ send: answering(5) });
    fill(world, "h1", 10, fast, 3);
    const random = createRandom(1);
    world.home("h1").fault = () => (random(3) === 0 ? "lose" : undefined);
    world.pump.ring("h1");
    await world.drain();
    expect(world.pending).toBe(0);
    for (const ids of world.home("h1").delivered.values()) expect(new Set(ids).size).toBe(3);
  });

  it("is given up after a minute, and the notifications are sent again when the home is back", async () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const world = new World({ send: answering(5), alarmMs: HOUR });
    fill(world, "h1", 30);
    let down = false;
    world.home("h1").fault = () => (down ? "refuse" : undefined);
    world.pump.ring("h1");
    await world.clock.run(2);
    down = true;
    await world.clock.run(2 * 60_000);
    expect(world.awake).toBe(0);
    expect(world.pump).toMatchObject({ inFlight: 0, queued: 0 });
    expect(log).toHaveBeenCalledTimes(1);
    const before = world.sent.length;
    // What had been sent when it was gone, and what was settled together with it.
    expect(before).toBeLessThanOrEqual(30);
    down = false;
    world.pump.ring("h1");
    await world.drain();
    expect(world.pending).toBe(0);
    expect(world.sent).toHaveLength(30 + before);
  });

  it("stops sending for a home that cannot be told, and for no other", async () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    const world = new World({ send: answering(5), alarmMs: HOUR });
    fill(world, "h1", 100);
    fill(world, "h2", 100);
    world.home("h1").fault = ({ settled }) => (settled.length > 0 ? "refuse" : undefined);
    world.pump.ring("h1");
    world.pump.ring("h2");
    await world.clock.run(30_000);
    expect(world.home("h2").pending).toBe(0);
    expect(world.sent.filter(({ claim }) => claim.key.startsWith("h1")).length).toBeLessThanOrEqual(20);
  });
});

describe("a notification that breaks the sender", () => {
  it("counts as an attempt, and is not the end of the loop", async () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const send = answering(5);
    const world = new World({
      send: (claim, signal, of) => {
        if (claim.body === "bad" && claim.attempt < 3) throw new Error("a bug");
        return send(claim, signal, of);
      },
    });
    world.home("h1").add("bad", fast, "bad");
    fill(world, "h1", 20);
    world.pump.ring("h1");
    await world.drain();
    expect(world.pending).toBe(0);
    expect(log).toHaveBeenCalledTimes(2);
    const settled = world.home("h1").requests.flatMap((request) => request.settled);
    expect(settled.filter(({ key }) => key === "bad").map(({ outcome }) => outcome)).toEqual([
      "retry",
      "retry",
      "delivered",
    ]);
  });
});

describe("forget", () => {
  it("drops what waits, aborts what is under way, and answers when it has ended", async () => {
    const world = new World({ send: answering(10_000) });
    fill(world, "h1", 10);
    world.pump.ring("h1");
    await world.clock.run(100);
    const [under] = [...world.inFlight];
    const waiting = "h1-fast-9";
    expect([...world.inFlight].some(({ key }) => key === waiting)).toBe(false);
    for (const lane of [under?.key, waiting]) {
      if (lane === undefined) throw new Error("nothing to forget");
      world.home("h1").remove(lane);
      let answered = false;
      void world.pump.forget("h1", lane).then(() => {
        answered = true;
      });
      await world.clock.run(1);
      expect(answered).toBe(true);
      expect([...world.inFlight].some(({ key }) => key === lane)).toBe(false);
    }
    await world.drain();
    expect(world.sent.filter(({ claim }) => claim.key === waiting)).toEqual([]);
    expect(world.sent).toHaveLength(9);
  });

  it("waits for a send that does not heed its signal", async () => {
    const world = new World({
      send: async (claim, _signal, { clock }) => {
        const startedAt = clock.now;
        await clock.sleep(5_000);
        return settlementOf(claim, startedAt);
      },
    });
    fill(world, "h1", 1);
    world.pump.ring("h1");
    await world.clock.run(100);
    let answered = false;
    void world.pump.forget("h1", "h1-fast-0").then(() => {
      answered = true;
    });
    await world.clock.run(4_000);
    expect(answered).toBe(false);
    await world.clock.run(1_000);
    expect(answered).toBe(true);
  });

  it("holds for claims that were under way to the endpoint, which go back", async () => {
    const world = new World({ send: answering(5), alarmMs: HOUR });
    world.home("h1").latencyMs = 200;
    fill(world, "h1", 2);
    world.pump.ring("h1");
    // The home has answered, the answer has not arrived.
    await world.clock.run(150);
    await world.pump.forget("h1", "h1-fast-0");
    await world.clock.run(10_000);
    expect(world.sent.some(({ claim }) => claim.key === "h1-fast-0")).toBe(false);
    expect(world.home("h1").delivered.has("h1-fast-1")).toBe(true);
    const settled = world.home("h1").requests.flatMap((request) => request.settled);
    expect(settled).toContainEqual(expect.objectContaining({ key: "h1-fast-0", outcome: "released" }));
  });

  it("makes no circle of a lane that goes on: it is asked for once a second, and sent after a minute", async () => {
    const world = new World({ send: answering(5) });
    await world.pump.forget("h1", "h1-fast-0");
    fill(world, "h1", 1);
    const began = world.clock.now;
    world.pump.ring("h1");
    await world.drain();
    expect(world.clock.now - began).toBeGreaterThan(59_000);
    expect(world.clock.now - began).toBeLessThan(63_000);
    expect(world.home("h1").requests.length).toBeLessThan(70);
  });

  it("of one member ends a whole batch, whose other lanes come again", async () => {
    const world = new World({ send: answering(1_000) });
    fill(world, "h1", 1);
    world.pump.ring("h1");
    await world.clock.run(10);
    for (const claim of world.inFlight) claim.lanes.push("another");
    let answered = false;
    void world.pump.forget("h1", "another").then(() => {
      answered = true;
    });
    await world.clock.run(1);
    expect(answered).toBe(true);
    await world.drain();
    expect(world.pending).toBe(0);
    expect(world.sent).toHaveLength(2);
  });

  it("of a lane of another home does nothing", async () => {
    const world = new World({ send: answering(5) });
    fill(world, "h1", 1);
    world.pump.ring("h1");
    await world.pump.forget("h2", "h1-fast-0");
    await world.drain();
    expect(world.pending).toBe(0);
  });
});

describe("being called", () => {
  it("is arranged for every 20 seconds while anything is under way, and never otherwise", async () => {
    const world = new World({ send: answering(9_000) });
    const began = world.clock.now;
    fill(world, "h1", 30);
    world.pump.ring("h1");
    await world.drain();
    const lasted = world.clock.now - began;
    const times = [began, ...world.calls, world.clock.now];
    const gaps = times.slice(1).map((at, i) => at - (times[i] ?? 0));
    expect(lasted).toBeGreaterThan(60_000);
    expect(Math.max(...gaps)).toBeLessThan(30_000);
    expect(world.calls.length).toBeLessThanOrEqual(lasted / 20_000);
    const { length } = world.calls;
    await world.clock.run(HOUR);
    expect(world.calls).toHaveLength(length);
  });

  it("is not needed by what is over sooner, however often it comes", async () => {
    const world = new World({ send: answering(1_000) });
    for (let i = 0; i < 20; i++) {
      fill(world, "h1", 10);
      world.pump.ring("h1");
      await world.drain();
      await world.clock.run(30_000);
    }
    expect(world.calls).toEqual([]);
  });
});

describe("a claim that has waited", () => {
  const deleteUnheard = async (world: World, lane: string) => {
    world.home("h1").remove(lane);
    const deletedAt = world.clock.now;
    await world.drain();
    return world.sent.filter(({ claim, at }) => claim.key === lane && at > deletedAt + STANDS_MS);
  };

  it("is not sent once its home has said that its lane is gone", async () => {
    const world = new World({ send: answering(5_000) });
    fill(world, "h1", 30);
    world.pump.ring("h1");
    await world.clock.run(100);
    expect(await deleteUnheard(world, "h1-fast-29")).toEqual([]);
    expect(world.sent).toHaveLength(29);
  });

  it("behind sends of another home is asked for before it is sent", async () => {
    // Nothing of h1 is settled meanwhile, so without a question it hears nothing.
    const world = new World({ send: answering(({ key }) => (key.startsWith("h2") ? 60_000 : 5)) });
    fill(world, "h2", 12);
    world.pump.ring("h2");
    await world.clock.run(100);
    fill(world, "h1", 1);
    world.pump.ring("h1");
    await world.clock.run(100);
    expect(world.sent.filter(({ claim }) => claim.key === "h1-fast-0")).toEqual([]);
    expect(await deleteUnheard(world, "h1-fast-0")).toEqual([]);
    expect(world.pending).toBe(0);
  });

  it("is sent however long its home takes to say so", async () => {
    const world = new World({ send: answering(20_000) });
    world.home("h1").latencyMs = 14_000;
    world.home("h1").leaseMs = 60_000;
    fill(world, "h1", 12);
    world.pump.ring("h1");
    await world.drain();
    expect(world.pending).toBe(0);
    expect(world.sent).toHaveLength(12);
  });
});

describe("a pause", () => {
  it("gives back what waits, lets what is under way end, and holds homes until it is over", async () => {
    const world = new World({ send: answering(500) });
    fill(world, "h1", 30);
    world.pump.ring("h1");
    await world.clock.run(100);
    world.paused = true;
    world.pump.advance();
    await world.clock.run(600_000);
    expect(world.sent).toHaveLength(3);
    expect(world.home("h1").pending).toBe(27);
    expect(world.awake).toBe(0);
    expect(world.pausedHomes).toContain("h1");
    expect(world.home("h1").requests.at(-1)).toMatchObject({
      want: 0,
      allowances: [{ target: "*", claims: 0 }],
    });
    expect(world.home("h1").requests.length).toBeLessThan(15);
    world.paused = false;
    world.pump.ring("h1");
    await world.clock.run(10_000);
    expect(world.pending).toBe(0);
  });

  it("tells also a home that rings later", async () => {
    const world = new World({ send: answering(5) });
    world.paused = true;
    fill(world, "h2", 1);
    world.pump.ring("h2");
    await world.clock.run(10_000);
    expect(world.sent).toEqual([]);
    expect(world.pausedHomes).toEqual(["h2"]);
    expect(world.awake).toBe(0);
  });
});

describe("that an origin was validated", () => {
  it("is told to each home once", async () => {
    const world = new World({ send: answering(5) });
    fill(world, "h1", 20);
    world.pump.ring("h1");
    await world.drain();
    world.validatedUntil = 5;
    fill(world, "h1", 20, slow);
    fill(world, "h2", 20);
    world.pump.ring("h1");
    world.pump.ring("h2");
    await world.drain();
    for (const home of ["h1", "h2"]) {
      const told = world.home(home).requests.filter(({ validatedUntil }) => validatedUntil === 5);
      expect(told).toHaveLength(1);
    }
  });
});

describe("large notifications", () => {
  it("are not claimed far ahead", async () => {
    const world = new World({ send: answering(100), alarmMs: HOUR });
    const began = world.clock.now;
    const body = "x".repeat(1_000_000);
    for (let lane = 0; lane < 60; lane++) world.home("h1").add(`big-${lane}`, fast, body);
    world.home("h1").fault = ({ busy }) => {
      expect(busy.length).toBeLessThanOrEqual(48 + 6);
      return undefined;
    };
    world.pump.ring("h1");
    await world.drain();
    expect(world.pending).toBe(0);
    // 60 of 100 ms, five at a time: claiming less ahead leaves no gaps.
    expect(world.clock.now - began).toBeLessThan(1_600);
    for (const request of world.home("h1").requests.slice(1)) {
      if (request.busy.length > 15) expect(request.want).toBe(0);
    }
  });

  it("of one home only put off what another has", async () => {
    const world = new World({ send: answering(({ key }) => (key === "first" ? 100 : 30)), alarmMs: HOUR });
    world.home("h2").add("first", slow, "body");
    world.pump.ring("h2");
    await world.clock.run(10);
    for (let lane = 0; lane < 60; lane++) world.home("h1").add(`big-${lane}`, fast, "x".repeat(1_000_000));
    world.pump.ring("h1");
    await world.clock.run(20);
    fill(world, "h2", 5, slow);
    world.pump.ring("h2");
    await world.clock.run(10_000);
    // It was told of the end of its first one while there was no room for more.
    expect(world.home("h2").requests.some(({ settled, want }) => settled.length === 1 && want === 0)).toBe(
      true,
    );
    expect(world.pending).toBe(0);
  });
});
