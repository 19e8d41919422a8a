// The EndpointObject in the real runtime, over its own storage: rung by homes that a test plays, sending to a network
// that ends in a function of the test.

import { env, evictDurableObject, runInDurableObject } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Breaker } from "../../src/delivery/breaker.ts";
import { EndpointObject } from "../../src/delivery/endpoint.ts";
import { EndpointState } from "../../src/delivery/endpoint-state.ts";
import { type ExchangeRequest, toWire } from "../../src/delivery/exchange.ts";
import type { LimitsObject } from "../../src/delivery/limits.ts";
import type { MetricsDelta } from "../../src/telemetry/metrics.ts";
import { FakeHome } from "./pump-world.ts";

const origin = "http://receiver.test";
const hook = `${origin}/hook`;
const home = env.HOMES.idFromName("a home of these tests").toString();
const realTime = {
  get now() {
    return Date.now();
  },
  sleep: (ms: number) => scheduler.wait(ms),
};

let names = 0;
const newStub = () => {
  names += 1;
  return env.ENDPOINTS.get(env.ENDPOINTS.idFromName(`open::owner-${names}|${origin}`));
};

type Setting = Record<string, string> & { grant?: never };
type Stage = {
  /** A new object over the same storage, as after an eviction. */
  start(settings?: Setting): EndpointObject;
  storage: DurableObjectStorage;
  homes: Map<string, FakeHome>;
  home: FakeHome;
  /** What the metrics were told, and what they count of it. */
  deltas: MetricsDelta[];
  counters: Record<string, number>;
  /** What MetricsObject answers. */
  add(delta: MetricsDelta): Promise<number>;
  /** What LimitsObject answers. */
  grant: LimitsObject["grant"];
};

/** An endpoint's storage, and all that an object over it reaches. */
function onStage<T>(use: (stage: Stage) => Promise<T>): Promise<T> {
  return runInDurableObject(newStub(), async (_, ctx) => {
    const homes = new Map<string, FakeHome>();
    const homeOf = (id: string) => {
      const known = homes.get(id) ?? new FakeHome(id, realTime);
      homes.set(id, known);
      return known;
    };
    const deltas: MetricsDelta[] = [];
    const counters: Record<string, number> = {};
    let newest = 0;
    const stage: Stage = {
      storage: ctx.storage,
      homes,
      home: homeOf(home),
      deltas,
      counters,
      async add({ number, counters: more }) {
        if (number > newest) for (const key in more) counters[key] = (counters[key] ?? 0) + (more[key] ?? 0);
        newest = Math.max(newest, number);
        return newest;
      },
      grant: async (want) => ({ ok: true, value: { tokens: want } }),
      start: (settings = {}) =>
        new EndpointObject(ctx, {
          ...env,
          WEBHOOK_CHALLENGE: "off",
          ...settings,
          HOMES: {
            idFromString: (id: string) => env.HOMES.idFromString(id),
            get: (id: DurableObjectId) => ({
              exchange: async (request: ExchangeRequest) =>
                toWire(await homeOf(id.toString()).exchange(request)),
            }),
          },
          LIMITS: {
            idFromName: (name: string) => name,
            get: () => ({ grant: (want: number) => stage.grant(want) }),
          },
          METRICS: {
            idFromName: (name: string) => name,
            get: () => ({
              add: async (delta: MetricsDelta) => {
                deltas.push(delta);
                return stage.add(delta);
              },
            }),
          },
        } as unknown as Env),
    };
    return use(stage);
  }) as Promise<T>;
}

type Reply = (request: Request) => Response | Promise<Response>;

/** Has everything that is fetched end in `reply`; what was fetched, in order. */
function receive(reply: Reply = () => new Response(null)): Request[] {
  const received: Request[] = [];
  vi.spyOn(globalThis, "fetch").mockImplementation(async (input, init) => {
    const request = new Request(input as RequestInfo, init as RequestInit);
    received.push(request);
    return reply(request);
  });
  return received;
}

const soon = (check: () => void | Promise<void>) => vi.waitFor(check, { timeout: 8_000, interval: 5 });

beforeEach(() => {
  for (const level of ["info", "warn", "error"] as const)
    vi.spyOn(console, level).mockImplementation(() => {});
});
afterEach(() => void vi.restoreAllMocks());

describe("a ring", () => {
  it("answers at once, and has everything sent that is due", () =>
    onStage(async ({ start, home: of, storage }) => {
      const rung = Promise.withResolvers<void>();
      const received = receive(async () => {
        await rung.promise;
        return new Response(null, { status: 202 });
      });
      for (let lane = 0; lane < 20; lane++) of.add(`lane-${lane}`, hook, `body ${lane}`);
      const endpoint = start();
      await endpoint.ring(home);
      expect(of.pending).toBe(20);
      rung.resolve();
      await soon(() => expect(of.pending).toBe(0));
      expect(received).toHaveLength(20);
      expect((await Promise.all(received.map((request) => request.text()))).toSorted()[0]).toBe("body 0");
      // A healthy endpoint leaves nothing behind, not even a table.
      expect(storage.sql.exec("SELECT name FROM sqlite_master WHERE name = 'state'").toArray()).toEqual([]);
    }));

  it("of an object that finds more targets stored than it remembers names as many as that", () =>
    onStage(async ({ start, home: of, storage }) => {
      const stored = new EndpointState(storage);
      const breaker: Breaker = { state: "open", until: Date.now() + 600_000, trips: 5 };
      for (let i = 0; i < 1_200; i++) stored.saveTarget(`${origin}/${i}`, { breaker });
      await start().ring(home);
      await soon(() => expect(of.requests[0]?.allowances).toHaveLength(1_000));
    }));

  it("of something that is no home is refused", async () => {
    const stub = newStub();
    await runInDurableObject(stub, async (endpoint: EndpointObject) => {
      await expect(endpoint.ring("nobody")).rejects.toThrow();
    });
  });
});

describe("a receiver", () => {
  it("that never answers costs one attempt of its time, and the slots go on", () =>
    onStage(async ({ start, home: of }) => {
      let calls = 0;
      receive(({ signal }) => {
        calls += 1;
        if (calls > 2) return new Response(null);
        return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
      });
      of.retryMs = 10;
      for (let lane = 0; lane < 5; lane++) of.add(`lane-${lane}`, hook, "body");
      const endpoint = start({ WEBHOOK_TIMEOUT_SECONDS: "1" });
      await soon(async () => {
        if (of.alarm()) await endpoint.ring(home);
        expect(of.pending).toBe(0);
      });
      const settled = of.requests.flatMap((request) => request.settled);
      const late = settled.filter(({ error }) => error === "timeout");
      expect(late).toHaveLength(2);
      for (const { durationMs, outcome } of late) {
        expect(outcome).toBe("retry");
        expect(durationMs).toBeGreaterThan(900);
        expect(durationMs).toBeLessThan(2_500);
      }
    }));

  it("with an endless body is judged by its status", () =>
    onStage(async ({ start, home: of }) => {
      let canceled = 0;
      receive(() => {
        const body = new ReadableStream({
          pull: (controller) => controller.enqueue(new Uint8Array(1_024).fill(120)),
          cancel: () => {
            canceled += 1;
          },
        });
        return new Response(body, { status: of.requests.length < 2 ? 500 : 200 });
      });
      of.retryMs = 10;
      of.add("lane", hook, "body");
      await start().ring(home);
      // The home's alarm rings when a retry is due.
      await soon(() => expect(of.requests.flatMap(({ settled }) => settled)).toHaveLength(1));
      const [failed] = of.requests.flatMap(({ settled }) => settled);
      expect(failed).toMatchObject({ outcome: "retry", status: 500 });
      expect(failed?.response).toHaveLength(4_096);
      await soon(() => expect(canceled).toBe(1));
    }));
});

describe("forget", () => {
  it("aborts the request that is under way, and answers when it has ended", () =>
    onStage(async ({ start, home: of }) => {
      const received = receive(
        ({ signal }) =>
          new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason))),
      );
      of.add("lane", hook, "body");
      const endpoint = start();
      await endpoint.ring(home);
      await soon(() => expect(received).toHaveLength(1));
      of.remove("lane");
      const began = Date.now();
      await endpoint.forget(home, "lane");
      expect(Date.now() - began).toBeLessThan(1_000);
      expect((await endpoint.health()).inFlight).toBe(0);
      await scheduler.wait(100);
      expect(received).toHaveLength(1);
    }));
});

describe("a call that is never answered", () => {
  const never = new Promise<never>(() => {});
  const answerMs = 15_000;

  beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }));
  afterEach(() => void vi.useRealTimers());

  /** Until it holds, while the time of those who wait for an answer passes quickly. */
  const meanwhile = async (holds: () => boolean) => {
    for (let turn = 0; turn < 200 && !holds(); turn++) {
      await vi.advanceTimersByTimeAsync(answerMs / 10);
      await scheduler.wait(10);
    }
    expect(holds()).toBe(true);
  };

  it("does not stop a home: it is asked again", () =>
    onStage(async ({ start, home: of }) => {
      const received = receive();
      const exchange = of.exchange.bind(of);
      let calls = 0;
      of.exchange = (request) => (++calls <= 3 ? never : exchange(request));
      for (let lane = 0; lane < 20; lane++) of.add(`lane-${lane}`, hook, "body");
      await start().ring(home);
      await meanwhile(() => of.pending === 0);
      expect(received).toHaveLength(20);
    }));

  it("does not stop an endpoint that waits for its share", () =>
    onStage(async (stage) => {
      const received = receive();
      let calls = 0;
      stage.grant = (want) => (++calls <= 2 ? never : Promise.resolve({ ok: true, value: { tokens: want } }));
      for (let lane = 0; lane < 20; lane++) stage.home.add(`lane-${lane}`, hook, "body");
      await stage.start({ WEBHOOK_GLOBAL_PER_MINUTE: "1000" }).ring(home);
      await meanwhile(() => stage.home.pending === 0);
      expect(received).toHaveLength(20);
    }));
});

describe("an erasure", () => {
  it.each([200, 500])("is not undone by a challenge under way that is answered %i", (status) =>
    onStage(async ({ start, storage }) => {
      const gate = Promise.withResolvers<void>();
      const received = receive(async (request) => {
        await gate.promise;
        return new Response(new URL(request.url).searchParams.get("challenge"), { status });
      });
      const endpoint = start();
      const asked = endpoint.challengeNow(hook);
      await soon(() => expect(received).toHaveLength(1));
      await endpoint.erase();
      gate.resolve();
      expect((await asked).ok).toBe(status === 200);
      expect(await endpoint.health()).toMatchObject({ validatedUntil: null, challenge: null });
      expect(storage.sql.exec("SELECT name FROM sqlite_master WHERE name = 'state'").toArray()).toEqual([]);
    }),
  );

  it("leaves of an endpoint nothing but an operator's pause", () =>
    onStage(async ({ start, home: of, storage, deltas }) => {
      receive((request) => {
        const text = new URL(request.url).searchParams.get("challenge");
        return new Response(text, { status: text === null ? 500 : 200 });
      });
      of.retryMs = 1;
      const endpoint = start();
      await endpoint.challengeNow(hook);
      for (let lane = 0; lane < 6; lane++) of.add(`lane-${lane}`, hook, "body");
      await endpoint.ring(home);
      await soon(async () => expect((await endpoint.health()).targets[0]?.breaker).toBe("open"));
      await endpoint.pause();
      await soon(() =>
        expect(deltas.at(-1)?.gauges).toMatchObject({ 'a2a_webhook_breakers{state="open"}': 1 }),
      );
      await endpoint.erase();
      const erased = { validatedUntil: null, lastError: null, targets: [], pausedAt: expect.any(Number) };
      expect(await endpoint.health()).toMatchObject(erased);
      expect(await start().health()).toMatchObject(erased);
      expect(storage.sql.exec("SELECT key FROM state").toArray()).toEqual([{ key: "origin" }]);
      await soon(() =>
        expect(deltas.at(-1)?.gauges).toMatchObject({ 'a2a_webhook_breakers{state="open"}': 0 }),
      );
    }));

  it("of one that remembers nothing writes nothing", () =>
    onStage(async ({ start, storage }) => {
      await start().erase();
      expect(storage.sql.exec("SELECT name FROM sqlite_master WHERE name = 'state'").toArray()).toEqual([]);
    }));
});

describe("a breaker that has opened", () => {
  it("is open in a new object too, and reported to the metrics once", () =>
    onStage(async ({ start, home: of, deltas }) => {
      const received = receive(() => new Response("down", { status: 500 }));
      for (let lane = 0; lane < 30; lane++) of.add(`lane-${lane}`, hook, "body");
      const endpoint = start();
      await endpoint.ring(home);
      await soon(async () => expect((await endpoint.health()).targets[0]?.breaker).toBe("open"));
      await soon(async () => expect(await endpoint.health()).toMatchObject({ inFlight: 0, queued: 0 }));
      const sent = received.length;
      expect(sent).toBeLessThanOrEqual(7);
      const health = await endpoint.health();
      expect(health.targets).toEqual([
        {
          target: hook,
          breaker: "open",
          holdUntil: expect.any(Number),
          holdReason: "breaker_open",
          tokensLeft: null,
        },
      ]);
      expect(health.lastError).toEqual({ at: expect.any(Number), status: 500, error: null });

      const next = start();
      expect((await next.health()).targets).toEqual(health.targets);
      await next.ring(home);
      await scheduler.wait(100);
      expect(received).toHaveLength(sent);
      const [allowance] = of.requests.at(-1)?.allowances ?? [];
      expect(allowance).toEqual({ target: hook, claims: 0, holdUntil: health.targets[0]?.holdUntil });
      await soon(() =>
        expect(deltas.map(({ gauges }) => gauges)).toEqual([
          { 'a2a_webhook_breakers{state="open"}': 1, 'a2a_webhook_breakers{state="half_open"}': 0 },
        ]),
      );
    }));
});

describe("limits", () => {
  it("of a URL come from the configuration", () =>
    onStage(async ({ start, home: of }) => {
      const received = receive();
      for (let lane = 0; lane < 10; lane++) of.add(`lane-${lane}`, hook, "body");
      const endpoint = start({ WEBHOOK_RATE_PER_MINUTE: "60", WEBHOOK_BURST: "2" });
      await endpoint.ring(home);
      await soon(() => expect(received).toHaveLength(2));
      await scheduler.wait(200);
      expect(received).toHaveLength(2);
      expect((await endpoint.health()).targets[0]).toMatchObject({ tokensLeft: 0 });
      await soon(() => expect(received).toHaveLength(3));
      await endpoint.pause();
    }));

  it("of the deployment come from LimitsObject", () =>
    onStage(async (stage) => {
      const received = receive();
      const asked: number[] = [];
      stage.grant = async (want) => {
        asked.push(want);
        return asked.length === 1
          ? { ok: true, value: { tokens: 4 } }
          : { ok: false, error: { retryAt: Date.now() + 60_000 } };
      };
      for (let lane = 0; lane < 10; lane++) stage.home.add(`lane-${lane}`, hook, "body");
      const endpoint = stage.start({ WEBHOOK_GLOBAL_PER_MINUTE: "1000" });
      await endpoint.ring(home);
      await soon(() => expect(received).toHaveLength(4));
      await soon(() =>
        expect(stage.home.requests.at(-1)).toMatchObject({
          want: 0,
          allowances: [{ target: "*", claims: 0 }],
        }),
      );
      const key = 'a2a_webhook_rate_limited_total{by="deployment"}';
      await soon(() => expect(stage.counters[key]).toBe(1));
      expect(asked).toHaveLength(2);
    }));
});

describe("a pause", () => {
  it("is kept across an eviction, and its end rings the homes that were told", () =>
    onStage(async ({ start, home: of }) => {
      const received = receive();
      of.add("lane", hook, "body");
      const endpoint = start();
      await endpoint.pause();
      await endpoint.pause();
      await endpoint.ring(home);
      await soon(() => expect(of.requests).toHaveLength(1));
      expect(received).toEqual([]);
      const next = start();
      expect((await next.health()).pausedAt).toEqual(expect.any(Number));
      await next.resume();
      await soon(() => expect(of.pending).toBe(0));
      expect((await next.health()).pausedAt).toBeNull();
      await next.resume();
      expect((await start().health()).pausedAt).toBeNull();
    }));

  it("is told to homes with the time of its end, by a new object too; one that never was is not", () =>
    onStage(async ({ start, home: of }) => {
      receive();
      const deliver = async (endpoint: EndpointObject) => {
        of.add("lane", hook, "body");
        await endpoint.ring(home);
        await soon(() => expect(of.pending).toBe(0));
        return of.requests.at(-1)?.resumedAt;
      };
      const endpoint = start();
      await endpoint.resume();
      expect(await deliver(endpoint)).toBeUndefined();
      await endpoint.pause();
      const before = Date.now();
      await endpoint.resume();
      const resumedAt = await deliver(endpoint);
      expect(resumedAt).toBeGreaterThanOrEqual(before);
      await scheduler.wait(5);
      await endpoint.resume();
      expect(await deliver(start())).toBe(resumedAt);
    }));
});

describe("the validation challenge", () => {
  const echo: Reply = (request) => new Response(new URL(request.url).searchParams.get("challenge"));

  it("comes after the first delivery, and its success is told to homes and kept", () =>
    onStage(async ({ start, home: of }) => {
      const received = receive(echo);
      of.add("lane", hook, "body");
      const endpoint = start({ WEBHOOK_CHALLENGE: "warn" });
      await endpoint.ring(home);
      await soon(async () => expect((await endpoint.health()).validatedUntil).toBeGreaterThan(Date.now()));
      expect(received.map(({ method }) => method)).toEqual(["POST", "GET"]);
      const next = start({ WEBHOOK_CHALLENGE: "warn" });
      of.add("lane", hook, "again");
      await next.ring(home);
      await soon(() => expect(of.pending).toBe(0));
      await scheduler.wait(50);
      expect(received.map(({ method }) => method)).toEqual(["POST", "GET", "POST"]);
      const { validatedUntil } = await next.health();
      expect(of.requests.at(-2)).toMatchObject({ validatedUntil });
    }));

  it("that an origin does not pass delays nothing, and is not repeated by a new object", () =>
    onStage(async ({ start, home: of }) => {
      let challenges = 0;
      receive((request) => {
        if (request.method === "POST") return new Response(null);
        challenges += 1;
        return new Response(null, { status: 404 });
      });
      for (let lane = 0; lane < 30; lane++) of.add(`lane-${lane}`, hook, "body");
      const endpoint = start({ WEBHOOK_CHALLENGE: "warn" });
      await endpoint.ring(home);
      await soon(() => expect(of.pending).toBe(0));
      await soon(async () => expect((await endpoint.health()).challenge?.error).toBe("it answered 404"));
      of.add("lane-0", hook, "again");
      await start({ WEBHOOK_CHALLENGE: "warn" }).ring(home);
      await soon(() => expect(of.pending).toBe(0));
      await scheduler.wait(50);
      expect(challenges).toBe(1);
    }));

  it("can be asked for at any time, also where it is off", () =>
    onStage(async ({ start }) => {
      const received = receive(echo);
      const endpoint = start();
      const answer = await endpoint.challengeNow(hook);
      expect(answer).toEqual({
        ok: true,
        value: { validatedUntil: (await endpoint.health()).validatedUntil },
      });
      expect(await start().challengeNow(hook)).toEqual(answer);
      expect(received).toHaveLength(1);
      await start().challengeNow(hook, true);
      expect(received).toHaveLength(2);
    }));
});

describe("what an endpoint counts", () => {
  const passed = 'a2a_webhook_challenges_total{outcome="passed"}';
  const echo: Reply = (request) => new Response(new URL(request.url).searchParams.get("challenge"));

  it("is told to the metrics by itself, though there is no home left to talk to", () =>
    onStage(async ({ start, home: of, deltas, counters }) => {
      receive(echo);
      of.add("lane", hook, "body");
      await start({ WEBHOOK_CHALLENGE: "warn" }).ring(home);
      await soon(() => expect(counters).toEqual({ [passed]: 1 }));
      expect(of.requests).toHaveLength(2);
      expect(deltas).toHaveLength(1);
      expect(deltas[0]?.source).toMatch(/^endpoint\/[0-9a-f]{64}$/);
    }));

  it("costs a plain delivery nothing", () =>
    onStage(async ({ start, home: of, deltas }) => {
      receive();
      of.add("lane", hook, "body");
      await start().ring(home);
      await soon(() => expect(of.pending).toBe(0));
      await scheduler.wait(1_200);
      expect(deltas).toEqual([]);
    }));

  it("is gathered for a second", () =>
    onStage(async ({ start, deltas, counters }) => {
      receive(echo);
      const endpoint = start();
      for (let i = 0; i < 5; i++) await endpoint.challengeNow(hook, true);
      await soon(() => expect(counters).toEqual({ [passed]: 5 }));
      expect(deltas).toHaveLength(1);
    }));

  it("counts once when the answer to a report is lost, and what came meanwhile is told after it", () =>
    onStage(async (stage) => {
      receive(echo);
      const endpoint = stage.start();
      const { add } = stage;
      stage.add = async (delta) => {
        await add(delta);
        stage.add = add;
        await endpoint.challengeNow(hook, true);
        throw new Error("the connection was lost");
      };
      await endpoint.challengeNow(hook);
      await soon(() => expect(stage.counters).toEqual({ [passed]: 2 }));
      const [first, again, next] = stage.deltas;
      expect(again).toEqual(first);
      expect(next?.number).toBeGreaterThan(first?.number ?? 0);
    }));

  it("goes on counting in a new object whose clock was put back", () =>
    onStage(async ({ start, counters }) => {
      receive(echo);
      let aheadMs = 3_600_000;
      const { now } = Date;
      vi.spyOn(Date, "now").mockImplementation(() => now() + aheadMs);
      await start().challengeNow(hook);
      await soon(() => expect(counters).toEqual({ [passed]: 1 }));
      aheadMs = 0;
      await start().challengeNow(hook, true);
      await soon(() => expect(counters).toEqual({ [passed]: 2 }));
    }));
});

describe("an endpoint", () => {
  it("that the platform evicts remembers what it has to", async () => {
    const stub = newStub();
    const fresh = await stub.health();
    expect(fresh).toMatchObject({
      origin,
      pausedAt: null,
      validatedUntil: null,
      challenge: null,
      lastError: null,
    });
    expect(fresh).toMatchObject({ inFlight: 0, queued: 0, targets: [] });
    receive((request) => new Response(new URL(request.url).searchParams.get("challenge")));
    await stub.pause();
    const answer = await stub.challengeNow(hook);
    await evictDurableObject(stub);
    const { pausedAt, validatedUntil, endpoint } = await stub.health();
    expect(pausedAt).toEqual(expect.any(Number));
    expect(answer).toEqual({ ok: true, value: { validatedUntil } });
    expect(endpoint).toMatch(/^open::owner-\d+\|http:\/\/receiver\.test$/);
  });

  it("without keys it could use does not start", () =>
    onStage(async ({ start }) => {
      expect(() => start({ ENCRYPTION_KEYS: "nothing" })).toThrow("ENCRYPTION_KEYS");
      expect(() => start({ SIGNING_KEYS: "[]" })).toThrow("SIGNING_KEYS");
      expect(() => start({ WEBHOOK_BURST: "many" })).toThrow("WEBHOOK_BURST");
    }));
});
