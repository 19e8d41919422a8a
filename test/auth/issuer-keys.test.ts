// When an issuer's keys are fetched: once for all who want them, again for what is not known, rarely, and without
// anybody waiting for a request that is gone.

import { describe, expect, it } from "vitest";
import { createIssuerKeys, type FetchKeys } from "../../src/auth/issuer-keys.ts";
import type { PublicJwk } from "../../src/auth/key-set.ts";

const key = (kid: string): PublicJwk => ({ kty: "OKP", crv: "Ed25519", x: "x", kid });
const never = () => new Promise<never>(() => {});

/** Time passes only while somebody waits, for all who do at once. Each fetch takes the next answer; the last one goes on. */
function start(...answers: (() => ReturnType<FetchKeys>)[]) {
  const clock = { now: 1_000_000 };
  let fetches = 0;
  let tick: Promise<void> | undefined;
  const keys = createIssuerKeys({
    fetchKeys: () => {
      const answer = answers[Math.min(fetches, answers.length - 1)] ?? never;
      fetches += 1;
      return answer();
    },
    now: () => clock.now,
    wait: (ms) => {
      tick ??= scheduler.wait(0).then(() => {
        clock.now += ms;
        tick = undefined;
      });
      return tick;
    },
  });
  const kids = async () => {
    const loaded = await keys.load();
    return loaded.ok ? loaded.value.map(({ kid }) => kid) : loaded.error;
  };
  const reloaded = async () => {
    const found = await keys.reload();
    return found?.ok ? found.value.map(({ kid }) => kid) : found?.error;
  };
  return { clock, kids, reloaded, fetches: () => fetches };
}

const good =
  (...kids: string[]) =>
  async () => ({ ok: true as const, value: kids.map(key) });
const bad = async () => ({ ok: false as const, error: "network_error" });
const later = (answer: () => ReturnType<FetchKeys>, times: number) => async () => {
  for (let i = 0; i < times; i++) await scheduler.wait(0);
  return answer();
};

describe("load", () => {
  it("fetches once for a hundred who come at once", async () => {
    const { kids, fetches } = start(later(good("a"), 5));
    const all = await Promise.all(Array.from({ length: 100 }, kids));
    expect(new Set(all.map(String))).toEqual(new Set(["a"]));
    expect(fetches()).toBe(1);
  });

  it("fetches nothing for ten minutes, then again", async () => {
    const { kids, fetches, clock } = start(good("a"), good("b"));
    expect(await kids()).toEqual(["a"]);
    clock.now += 599_999;
    expect(await kids()).toEqual(["a"]);
    expect(fetches()).toBe(1);
    clock.now += 1;
    expect(await kids()).toEqual(["b"]);
    expect(fetches()).toBe(2);
  });

  it("overtakes a fetch whose request is gone: nobody waits for ever, and one fetches for all who wait", async () => {
    const { kids, fetches, clock } = start(never, later(good("a"), 3));
    const dead = kids();
    const startedAt = clock.now;
    const all = await Promise.all(Array.from({ length: 20 }, kids));
    expect(new Set(all.map(String))).toEqual(new Set(["a"]));
    expect(fetches()).toBe(2);
    expect(clock.now - startedAt).toBeLessThan(5_000);
    expect(await Promise.race([dead, Promise.resolve("still waiting")])).toBe("still waiting");
  });

  it("of an issuer that never answers is given up by those who wait, who do not all begin to fetch", async () => {
    const { kids, fetches } = start(never);
    const answered: unknown[] = [];
    for (let i = 0; i < 100; i++) void kids().then((keys) => answered.push(keys));
    for (let i = 0; i < 1_500; i++) await scheduler.wait(0);
    expect(fetches()).toBeLessThan(10);
    expect(answered.length + fetches()).toBe(100);
    expect(new Set(answered)).toEqual(new Set(["the keys did not come in time"]));
  });

  it("tells all who waited for a fetch that failed, and leaves the issuer alone for 5 s", async () => {
    const { kids, fetches, clock } = start(later(bad, 3), good("a"));
    expect(new Set(await Promise.all(Array.from({ length: 50 }, kids)))).toEqual(new Set(["network_error"]));
    expect(await kids()).toBe("network_error");
    expect(fetches()).toBe(1);
    clock.now += 5_000;
    expect(await kids()).toEqual(["a"]);
    expect(fetches()).toBe(2);
  });

  it("goes on with what it knows while the issuer is down, asking once a minute, for four hours", async () => {
    const { kids, fetches, clock } = start(good("a"), bad);
    expect(await kids()).toEqual(["a"]);
    clock.now += 600_000;
    for (let i = 0; i < 10; i++) expect(await kids()).toEqual(["a"]);
    expect(fetches()).toBe(2);
    clock.now += 60_000;
    expect(await kids()).toEqual(["a"]);
    expect(fetches()).toBe(3);
    clock.now += 4 * 3_600_000;
    expect(await kids()).toBe("network_error");
  });

  it("makes nobody wait for a fetch while there are keys to go on with", async () => {
    const { kids, fetches, clock } = start(good("a"), never);
    await kids();
    clock.now += 600_000;
    void kids();
    expect(await kids()).toEqual(["a"]);
    expect(fetches()).toBe(2);
  });

  it("takes a bug in a fetch for a failure", async () => {
    const { kids } = start(async () => {
      throw new Error("bug");
    });
    expect(await kids()).toBe("the fetch failed");
  });

  it("lets no slow answer of an older fetch replace a newer one's", async () => {
    let release = () => {};
    const slow = async () => {
      await new Promise<void>((settle) => {
        release = settle;
      });
      return good("old")();
    };
    const { kids, clock } = start(slow, good("new"));
    const first = kids();
    clock.now += 2_000;
    expect(await kids()).toEqual(["new"]);
    release();
    expect(await first).toEqual(["new"]);
    expect(await kids()).toEqual(["new"]);
  });
});

describe("reload", () => {
  it("fetches once in 30 s, however many unknown keys are named", async () => {
    const { kids, reloaded, fetches, clock } = start(good("a"), later(good("a", "b"), 3), good("c"));
    await kids();
    const all = await Promise.all(Array.from({ length: 50 }, reloaded));
    expect(all.every((found) => String(found) === "a,b")).toBe(true);
    expect(fetches()).toBe(2);
    expect(await reloaded()).toBeUndefined();
    expect(fetches()).toBe(2);
    clock.now += 30_000;
    expect(await reloaded()).toEqual(["c"]);
  });

  it("is not held up by who names an unknown key and hangs up", async () => {
    const { kids, reloaded, clock } = start(good("a"), never, good("b"));
    await kids();
    void reloaded();
    clock.now += 2_000;
    expect(await reloaded()).toEqual(["b"]);
  });

  it("leaves an issuer alone that is down, and says so each time", async () => {
    const { kids, reloaded, fetches, clock } = start(good("a"), bad, bad, good("b"));
    await kids();
    expect(await reloaded()).toBe("network_error");
    clock.now += 31_000;
    expect(await reloaded()).toBe("network_error");
    expect(fetches()).toBe(2);
    expect(await kids()).toEqual(["a"]);
    clock.now += 31_000;
    expect(await reloaded()).toBe("network_error");
    clock.now += 61_000;
    expect(await reloaded()).toEqual(["b"]);
    expect(await reloaded()).toBeUndefined();
  });
});
