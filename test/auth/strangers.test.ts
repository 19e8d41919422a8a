// Who guesses credentials waits, who presents a right one does not notice, and what is remembered of strangers is
// bounded.

import { env } from "cloudflare:test";
import { describe, expect, it, vi } from "vitest";
import { addressOf } from "../../src/auth/address.ts";
import { createAuthentication } from "../../src/auth/authenticate.ts";
import { createRequireOperator } from "../../src/auth/operator.ts";
import { createStrangers, type StrangersOptions } from "../../src/auth/strangers.ts";
import { createApiKey } from "../../src/store/api-keys.ts";
import { BINDINGS, request as requestOver } from "../support/bindings.ts";
import { createClient } from "../support/client.ts";
import { configWith } from "../support/operations.ts";
import { serveWith } from "../support/server.ts";

const OFFICE = "203.0.113.7";

/** A request with this credential from this address. */
function from(address: string, credential?: string, headers: Record<string, string> = {}): Request {
  return new Request("https://agents.test/tasks", {
    headers: {
      "cf-connecting-ip": address,
      ...(credential !== undefined && { authorization: `Bearer ${credential}` }),
      ...headers,
    },
  });
}

function setUp(options: Partial<StrangersOptions> = {}) {
  const clock = { now: 1_000_000 };
  const counted: string[] = [];
  const strangers = createStrangers({
    guesses: 3,
    failuresPerMinute: 0,
    now: () => clock.now,
    counted: (limit) => void counted.push(limit),
    ...options,
  });
  /** A wrong credential: whether it was looked up, or how long it has to wait (s). */
  const guess = (address: string, credential: string) => {
    const request = from(address, credential);
    const held = strangers.refusal(request);
    if (held) return held.retryAfterSeconds;
    strangers.refused(request, "unknown_key");
    return "looked up";
  };
  return { clock, counted, strangers, guess };
}

describe("an address that guesses", () => {
  it("waits after so many different credentials, twice as long each time, up to five minutes", () => {
    const { clock, guess, counted } = setUp();
    for (let i = 0; i < 3; i++) expect(guess(OFFICE, `wrong-${i}`)).toBe("looked up");
    const waits: number[] = [];
    for (let i = 3; i < 15; i++) {
      const wait = Number(guess(OFFICE, `wrong-${i}`));
      waits.push(wait);
      clock.now += wait * 1_000;
      expect(guess(OFFICE, `wrong-${i}`)).toBe("looked up");
    }
    expect(waits).toEqual([1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
    expect(counted).toEqual(Array(12).fill("guessing"));
  });

  it("is not looked up a moment earlier than it was told", () => {
    const { clock, guess } = setUp();
    for (let i = 0; i < 4; i++) guess(OFFICE, `wrong-${i}`);
    clock.now += 999;
    expect(guess(OFFICE, "next")).toBe(1);
    clock.now += 1;
    expect(guess(OFFICE, "next")).toBe("looked up");
  });

  it("waits with a right credential, too, as long as it is not known to be right", () => {
    const { strangers, guess } = setUp();
    for (let i = 0; i < 3; i++) guess(OFFICE, `wrong-${i}`);
    expect(strangers.refusal(from(OFFICE, "right"))).toMatchObject({
      reason: "RATE_LIMIT_EXCEEDED",
      retryAfterSeconds: 1,
    });
  });

  it("gets one answer after a pause, however many credentials it sends at once", () => {
    const { clock, strangers, guess } = setUp();
    for (let i = 0; i < 3; i++) guess(OFFICE, `wrong-${i}`);
    clock.now += 1_000;
    const requests = Array.from({ length: 100 }, (_, i) => from(OFFICE, `next-${i}`));
    expect(requests.filter((request) => strangers.refusal(request) === undefined)).toEqual([requests[0]]);
    // Asked twice about the one that is looked at, it says the same.
    expect(strangers.refusal(requests[0] as Request)).toBeUndefined();
    strangers.refused(requests[0] as Request, "unknown_key");
    expect(strangers.refusal(from(OFFICE, "next-1"))).toMatchObject({ retryAfterSeconds: 2 });
  });

  it("does not wait longer for a wait, nor for those behind it", () => {
    const { clock, guess } = setUp();
    for (let i = 0; i < 3; i++) guess(OFFICE, `wrong-${i}`);
    for (let i = 0; i < 1_000; i++) guess(OFFICE, `more-${i}`);
    clock.now += 1_000;
    expect(guess(OFFICE, "next")).toBe("looked up");
    expect(guess("198.51.100.1", "wrong")).toBe("looked up");
  });

  it("is a new one after an hour", () => {
    const { clock, guess } = setUp();
    for (let i = 0; i < 3; i++) guess(OFFICE, `wrong-${i}`);
    clock.now += 3_600_000;
    for (let i = 3; i < 6; i++) expect(guess(OFFICE, `wrong-${i}`)).toBe("looked up");
  });

  it("never waits where guesses are not limited", () => {
    const { guess, strangers } = setUp({ guesses: 0 });
    for (let i = 0; i < 1_000; i++) expect(guess(OFFICE, `wrong-${i}`)).toBe("looked up");
    strangers.admitted(from(OFFICE, "right"));
    expect(strangers.sizes()).toEqual({ guessing: 0, good: 0, failing: 0 });
  });
});

describe("others behind the address of one who guesses", () => {
  it("are served if they were before, with any header that carries a credential", () => {
    const { strangers, guess } = setUp();
    const good = [
      from(OFFICE, "right"),
      from(OFFICE, undefined, { "x-api-key": "right" }),
      new Request("https://agents.test/tasks/1:subscribe?session=a2as_right", {
        headers: { "cf-connecting-ip": OFFICE },
      }),
    ];
    for (const request of good) strangers.admitted(request);
    for (let i = 0; i < 50; i++) guess(OFFICE, `wrong-${i}`);
    for (const request of good) expect(strangers.refusal(request)).toBeUndefined();
    expect(strangers.refusal(from("198.51.100.1", "right"))).toBeUndefined();
    expect(strangers.refusal(from(OFFICE, "right-"))).toBeDefined();
  });

  it("are not locked out by a client that repeats one wrong credential, or one that has expired", () => {
    const { strangers, guess } = setUp();
    for (let i = 0; i < 1_000; i++) expect(guess(OFFICE, "stuck")).toBe("looked up");
    for (let i = 0; i < 100; i++) {
      for (const reason of ["missing", "unsupported_scheme", "expired", "revoked"] as const) {
        expect(strangers.refused(from(OFFICE, `old-${i}`), reason)).toBeUndefined();
      }
    }
    expect(strangers.refusal(from(OFFICE, "new"))).toBeUndefined();
  });

  it("end the pause with a right credential", () => {
    const { clock, strangers, guess } = setUp();
    for (let i = 0; i < 3; i++) guess(OFFICE, `wrong-${i}`);
    clock.now += 1_000;
    expect(strangers.refusal(from(OFFICE, "right"))).toBeUndefined();
    expect(strangers.refusal(from(OFFICE, "other"))).toBeDefined();
    strangers.admitted(from(OFFICE, "right"));
    expect(strangers.refusal(from(OFFICE, "other"))).toBeUndefined();
  });

  it("wait like anybody once their credential is not right any more", () => {
    const { strangers, guess } = setUp();
    strangers.admitted(from(OFFICE, "right"));
    for (let i = 0; i < 3; i++) guess(OFFICE, `wrong-${i}`);
    strangers.refused(from(OFFICE, "right"), "revoked");
    expect(strangers.refusal(from(OFFICE, "right"))).toBeDefined();
  });
});

describe("requests without a valid credential", () => {
  it("are refused for a moment when there are too many of an address, and answered again after Retry-After", () => {
    const { clock, strangers, counted } = setUp({ guesses: 0, failuresPerMinute: 5 });
    for (let i = 0; i < 5; i++) expect(strangers.refused(from(OFFICE), "missing")).toBeUndefined();
    const told = strangers.refused(from(OFFICE), "missing");
    expect(told).toMatchObject({ reason: "RATE_LIMIT_EXCEEDED", retryAfterSeconds: 12 });
    expect(strangers.refused(from("198.51.100.1"), "missing")).toBeUndefined();
    clock.now += 12_000;
    expect(strangers.refused(from(OFFICE), "missing")).toBeUndefined();
    expect(counted).toEqual(["address"]);
  });
});

describe("what is remembered", () => {
  it("of 100,000 addresses and credentials is bounded", () => {
    const { strangers, guess } = setUp({ failuresPerMinute: 10 });
    for (let i = 0; i < 100_000; i++) {
      const address = `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`;
      guess(address, `wrong-${i}`);
      strangers.admitted(from(address, `right-${i}`));
    }
    const { guessing, good, failing } = strangers.sizes();
    expect(guessing).toBe(10_000);
    expect(good).toBe(10_000);
    expect(failing).toBeLessThanOrEqual(10_000);
  });
});

describe("an address", () => {
  it.each([
    ["203.0.113.7", "203.0.113.7"],
    ["::ffff:203.0.113.7", "203.0.113.7"],
    ["2001:db8:1:2::1", "20010db800010002/64"],
    ["2001:DB8:1:2:ffff:ffff:ffff:ffff", "20010db800010002/64"],
    ["2001:db8:1:3::1", "20010db800010003/64"],
    ["::1", "0000000000000000/64"],
    ["", "unknown"],
    ["203.0.113.7, 10.0.0.1", "unknown"],
    ["unknown", "unknown"],
    ["1".repeat(10_000), "unknown"],
  ])("of %s is %s", (text, address) => {
    expect(addressOf(from(text))).toBe(address);
  });

  it("that nobody says is unknown", () => {
    expect(addressOf(new Request("https://agents.test/"))).toBe("unknown");
  });
});

describe("a server with keys", () => {
  const key = (i: number) => `a2a_${String(i).padStart(32, "0")}`;

  function serve(guesses: number) {
    const config = configWith({ authModes: ["api-key"] });
    const { strangers, clock } = setUp({ guesses });
    const { authenticate } = createAuthentication({ config, db: env.DB, strangers });
    const requireOperator = createRequireOperator({ adminKey: config.adminKey, authenticate, strangers });
    return { clock, fetch: serveWith(config, { authenticate, requireOperator }), config };
  }

  it.each(BINDINGS)("looks nothing up for who guesses, and says when to come back (%s)", async (binding) => {
    const { fetch, clock } = serve(3);
    const { text } = await createApiKey(
      env.DB,
      { owner: "alice", roles: ["user"], scopes: [], createdBy: "cli" },
      Date.now(),
    );
    const as = (credential: string) =>
      createClient({ fetch, headers: { "cf-connecting-ip": OFFICE, authorization: `Bearer ${credential}` } });
    const ask = (credential: string) => requestOver(binding, as(credential), "ListTasks", {});
    for (let i = 0; i < 3; i++) expect((await ask(key(i))).status).toBe(401);
    const prepare = vi.spyOn(Object.getPrototypeOf(env.DB) as D1Database, "prepare");
    for (const credential of [key(4), text]) {
      const response = await ask(credential);
      expect(response.status).toBe(429);
      expect(response.headers.get("retry-after")).toBe("1");
      expect(await response.text()).toContain('"RATE_LIMIT_EXCEEDED"');
    }
    expect(prepare).not.toHaveBeenCalled();
    prepare.mockRestore();
    clock.now += 1_000;
    expect((await ask(text)).status).toBe(200);
    for (let i = 5; i < 20; i++) await ask(key(i));
    expect((await ask(text)).status).toBe(200);
  });

  it("lets the operator's key be guessed no faster", async () => {
    const { fetch, clock, config } = serve(3);
    const ask = async (credential: string) => {
      const headers = { "cf-connecting-ip": OFFICE, authorization: `Bearer ${credential}` };
      const response = await fetch(new Request("https://agents.test/metrics", { headers }));
      return response.status;
    };
    for (let i = 0; i < 3; i++) expect(await ask(`guess-${i}-of-the-operators-key`)).toBe(401);
    expect(await ask(config.adminKey)).toBe(429);
    clock.now += 1_000;
    expect(await ask(config.adminKey)).toBe(200);
    for (let i = 3; i < 9; i++) await ask(`guess-${i}-of-the-operators-key`);
    expect(await ask("another-guess")).toBe(429);
    expect(await ask(config.adminKey)).toBe(200);
  });

  it.each([
    ["in a query that says its name otherwise", (i: number) => `/tasks?%73ession=a2as_${i}`, 401],
    ["in a query that says something else before", (i: number) => `/tasks?a=1&sessio%6E=a2as_${i}`, 401],
    ["for the operator's key, beside a session in the query", (i: number) => `/metrics?session=${i}`, 400],
    [
      "for the operator's key, beside several sessions",
      (i: number) => `/metrics?session=${i}&session=2`,
      400,
    ],
  ])("lets nobody guess faster %s", async (_, path, refused) => {
    const { fetch } = serve(3);
    const statuses: number[] = [];
    for (let i = 0; i < 5; i++) {
      const headers: Record<string, string> = { "cf-connecting-ip": OFFICE };
      if (refused === 400) headers.authorization = `Bearer guess-${i}-of-the-operators-key`;
      statuses.push((await fetch(new Request(`https://agents.test${path(i)}`, { headers }))).status);
    }
    expect(statuses).toEqual([refused, refused, refused, 429, 429]);
  });

  it("knows who follows a task by its session, whatever else the query says", () => {
    const { strangers, guess } = setUp();
    const follow = (rest: string) =>
      new Request(`https://agents.test/tasks/t:subscribe?session=a2as_x&${rest}`, {
        headers: { "cf-connecting-ip": OFFICE },
      });
    strangers.admitted(follow("a=1"));
    for (let i = 0; i < 3; i++) guess(OFFICE, `wrong-${i}`);
    expect(strangers.refusal(follow("a=2"))).toBeUndefined();
  });

  it("lets the operator's key be guessed no faster where everybody is a caller", async () => {
    const config = configWith({ authModes: ["open"] });
    const { strangers } = setUp();
    const { authenticate } = createAuthentication({ config, db: env.DB, strangers });
    const operator = createRequireOperator({ adminKey: config.adminKey, authenticate, strangers });
    const reasons: string[] = [];
    for (let i = 0; i < 4; i++) {
      await operator(from(OFFICE, `guess-${i}`), "admin:read").catch(({ failure }) =>
        reasons.push(failure.reason),
      );
    }
    expect(reasons).toEqual([...Array(3).fill("UNAUTHENTICATED"), "RATE_LIMIT_EXCEEDED"]);
  });
});
