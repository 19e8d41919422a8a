// Sessions without a server around them: what their makers can ask for, how long they last, whose they are. Only the
// time and the credential are the test's own.

import { env } from "cloudflare:test";
import { beforeEach, describe, expect, it, vi } from "vitest";
import type { Authenticated } from "../../src/auth/caller.ts";
import { createSessions, type Rights, type SessionSettings } from "../../src/auth/sessions.ts";
import { sha256 } from "../../src/lib/bytes.ts";
import type { Scope } from "../../src/protocol/operations.ts";

const SECOND = 1_000;
const HOUR = 3_600_000;
const TOKEN = /^a2as_[A-Za-z0-9_-]{43}$/;

beforeEach(async () => void (await env.DB.prepare("DELETE FROM sessions").run()));

/** Sessions of one isolate; several of them share a clock, credentials and the database. */
function setUp(settings: Partial<SessionSettings> = {}) {
  const clock = { now: 1_700_000_000_000 };
  const rights: { now: Rights | undefined } = {
    now: { scopes: "all", adminScopes: new Set(["admin:read", "admin:keys"]), expiresAt: null },
  };
  const prepare = vi.fn((sql: string) => env.DB.prepare(sql));
  const isolate = () =>
    createSessions({
      db: { prepare, batch: env.DB.batch.bind(env.DB) } as unknown as D1Database,
      settings: { lifetimeMs: HOUR, maxAgeMs: 5 * HOUR, perOwner: 100, perMinute: 100, ...settings },
      rightsOf: async () => rights.now,
      now: () => clock.now,
    });
  return { clock, rights, prepare, isolate, sessions: isolate() };
}

function caller(more: Partial<Authenticated> = {}): Authenticated {
  return {
    owner: "key::alice",
    actor: "key:alice:k1",
    scopes: "all",
    adminScopes: new Set(),
    basis: { kind: "key", id: "k1", hash: "h", expiresAt: null },
    ...more,
  };
}

type Opened = { token: string; id: string; scopes: string[]; expiresAt: number; endsAt: number };

async function open(
  { sessions }: Pick<ReturnType<typeof setUp>, "sessions">,
  wish: { seconds?: number; scopes?: string[] } = {},
  by = caller(),
): Promise<Opened> {
  const opened = await sessions.open(by, wish);
  if (!opened.ok) throw new Error(JSON.stringify(opened.error));
  return opened.value;
}

const isValid = async ({ sessions }: Pick<ReturnType<typeof setUp>, "sessions">, token: string) =>
  (await sessions.authenticate(token)).ok;

describe("a token", () => {
  it("is 256 bits of which the database has the hash, and nothing else of it", async () => {
    const on = setUp();
    const tokens = new Set<string>();
    for (let i = 0; i < 20; i++) tokens.add((await open(on)).token);
    expect(tokens.size).toBe(20);
    const { results } = await env.DB.prepare("SELECT * FROM sessions").all();
    const stored = JSON.stringify(results);
    for (const token of tokens) {
      expect(token).toMatch(TOKEN);
      expect(stored).not.toContain(token.slice(5, 20));
      expect(stored).toContain(await sha256(token));
    }
  });

  it("makes its holder the owner, with the credential's actor and the session's id", async () => {
    const on = setUp();
    const { token, id } = await open(on);
    expect(await on.sessions.authenticate(token)).toMatchObject({
      ok: true,
      value: { owner: "key::alice", actor: `key:alice:k1/${id}`, session: id },
    });
  });

  it.each([
    ["of another form", () => "a2as_short"],
    ["of a key", () => "a2a_0123456789abcdef"],
    ["that was never made", () => `a2as_${"A".repeat(43)}`],
    ["that is longer", (token: string) => `${token}A`],
    ["that is shorter", (token: string) => token.slice(0, -1)],
    ["in other letters", (token: string) => token.toUpperCase()],
    ["with another letter", (token: string) => token.slice(0, -2) + (token.endsWith("AA") ? "BB" : "AA")],
    ["with a space", (token: string) => `${token} `],
  ])("%s is none", async (_, of) => {
    const on = setUp();
    const { token } = await open(on);
    expect(await on.sessions.authenticate(of(token))).toEqual({
      ok: false,
      error: { reason: "unknown_session", kind: "session" },
    });
  });

  it("costs one query in 30 seconds, also one that is none", async () => {
    const on = setUp();
    const { token } = await open(on);
    on.prepare.mockClear();
    for (let i = 0; i < 5; i++) expect(await isValid(on, token)).toBe(true);
    const guess = `a2as_${"B".repeat(43)}`;
    for (let i = 0; i < 5; i++) expect(await isValid(on, guess)).toBe(false);
    expect(on.prepare).toHaveBeenCalledTimes(2);
  });
});

describe("what a session may do", () => {
  const scopesOf = async (on: ReturnType<typeof setUp>, token: string) => {
    const one = await on.sessions.authenticate(token);
    if (!one.ok) throw new Error(one.error.reason);
    return [...one.value.scopes, ...one.value.adminScopes];
  };

  it("is what its credential may, but nothing of what operators may", async () => {
    const on = setUp();
    const scopes: ReadonlySet<Scope> = new Set(["task:read", "push:read"]);
    const { token, scopes: told } = await open(
      on,
      {},
      caller({ scopes, adminScopes: new Set(["admin:read"]) }),
    );
    expect(told).toEqual(["task:read", "push:read"]);
    expect(await scopesOf(on, token)).toEqual(told);
  });

  it("is less if less was asked for", async () => {
    const on = setUp();
    const { token, scopes } = await open(on, { scopes: ["push:*", "task:read"] });
    expect(scopes.toSorted()).toEqual(["push:read", "push:write", "task:read"]);
    expect((await scopesOf(on, token)).toSorted()).toEqual(scopes.toSorted());
  });

  it("is what operators may where that was asked for, except to make credentials", async () => {
    const on = setUp();
    const operator = caller({ adminScopes: new Set(["admin:read", "admin:keys"]) });
    const { token } = await open(on, { scopes: ["admin:read"] }, operator);
    expect(await scopesOf(on, token)).toEqual(["admin:read"]);
    for (const scope of ["admin:keys", "admin:*", "admin:write"]) {
      expect(await on.sessions.open(operator, { scopes: [scope] })).toMatchObject({
        ok: false,
        error: { reason: "PERMISSION_DENIED", metadata: { scope: expect.stringMatching(/^admin:/) } },
      });
    }
  });

  it.each([
    [["task:write"], "PERMISSION_DENIED"],
    [["task:*"], "PERMISSION_DENIED"],
    [["task:read", "tool:approve"], "PERMISSION_DENIED"],
    [["admin:read"], "PERMISSION_DENIED"],
    [[], "INVALID_PARAMS"],
    [["everything"], "INVALID_PARAMS"],
    [["*"], "INVALID_PARAMS"],
    [["__proto__"], "INVALID_PARAMS"],
  ])("is never more: %j of somebody who may read tasks", async (scopes, reason) => {
    const on = setUp();
    const reader = caller({ scopes: new Set<Scope>(["task:read"]) });
    expect(await on.sessions.open(reader, { scopes })).toMatchObject({ ok: false, error: { reason } });
    expect(await on.sessions.list(reader)).toEqual([]);
  });

  it("becomes less with its credential, and never more", async () => {
    const on = setUp();
    const { token } = await open(on, { scopes: ["task:*"] });
    on.rights.now = { scopes: new Set(["task:read", "push:read"]), adminScopes: new Set(), expiresAt: null };
    expect(await scopesOf(on, token)).toEqual(["task:read"]);
    on.rights.now = { scopes: new Set(), adminScopes: new Set(["admin:write"]), expiresAt: null };
    expect(await scopesOf(on, token)).toEqual([]);
  });

  it("is not to make sessions", async () => {
    const on = setUp();
    const { token } = await open(on);
    const by = await on.sessions.authenticate(token);
    expect(by.ok && (await on.sessions.open(by.value, {}))).toMatchObject({
      ok: false,
      error: { reason: "PERMISSION_DENIED" },
    });
  });
});

describe("the end of a session", () => {
  it("comes by itself, to the millisecond", async () => {
    const on = setUp();
    const { token } = await open(on, { seconds: 10 });
    on.clock.now += 10 * SECOND - 1;
    expect(await isValid(on, token)).toBe(true);
    on.clock.now += 1;
    expect(await isValid(on, token)).toBe(false);
  });

  it("comes with that of its credential, which no wish and no extension outlives", async () => {
    const on = setUp();
    const expiresAt = on.clock.now + 20 * SECOND;
    const by = caller({ basis: { kind: "key", id: "k1", hash: "h", expiresAt } });
    const opened = await open(on, {}, by);
    expect([opened.expiresAt, opened.endsAt]).toEqual([expiresAt, expiresAt]);
    expect(await on.sessions.extend(by, opened.id)).toMatchObject({ ok: true, value: { expiresAt } });
    on.rights.now = { scopes: "all", adminScopes: new Set(), expiresAt: on.clock.now + SECOND };
    expect(await isValid(on, opened.token)).toBe(true);
    on.clock.now += SECOND;
    expect(await isValid(on, opened.token)).toBe(false);
  });

  it("is not put off by a token that is taken for some seconds after its end: nothing is made of it", async () => {
    const on = setUp();
    const basis = { kind: "jwt", issuer: "i", roles: [], scopes: [], expiresAt: on.clock.now } as const;
    expect(await on.sessions.open(caller({ basis }), {})).toMatchObject({
      ok: false,
      error: { reason: "UNAUTHENTICATED" },
    });
  });

  it("comes when its credential is not valid any more", async () => {
    const on = setUp();
    const { token } = await open(on);
    expect(await isValid(on, token)).toBe(true);
    on.rights.now = undefined;
    expect(await isValid(on, token)).toBe(false);
  });

  it("comes at once where it is revoked, and within 30 seconds elsewhere, for good", async () => {
    const on = setUp();
    const elsewhere = { sessions: on.isolate() };
    const { token, id } = await open(on);
    expect(await isValid(elsewhere, token)).toBe(true);
    expect((await on.sessions.revoke(caller(), id)).ok).toBe(true);
    expect(await isValid(on, token)).toBe(false);
    on.clock.now += 30 * SECOND;
    expect(await isValid(elsewhere, token)).toBe(false);
    for (const jump of [-HOUR, -24 * HOUR, HOUR]) {
      on.clock.now += jump;
      expect(await isValid({ sessions: on.isolate() }, token)).toBe(false);
    }
  });

  it("is never later because a clock was put back in the isolate that knows it", async () => {
    const on = setUp();
    const { token, id } = await open(on);
    expect(await isValid(on, token)).toBe(true);
    await env.DB.prepare("UPDATE sessions SET expires_at = 0 WHERE id = ?").bind(id).run();
    on.clock.now -= 10 * HOUR;
    expect(await isValid(on, token)).toBe(false);
  });
});

describe("extending", () => {
  it("counts from now, up to the age that a session may reach", async () => {
    const on = setUp();
    const { id, endsAt } = await open(on);
    on.clock.now += HOUR / 2;
    const later = await on.sessions.extend(caller(), id);
    expect(later).toMatchObject({ ok: true, value: { expiresAt: on.clock.now + HOUR, endsAt } });
    for (let i = 0; i < 10; i++) {
      on.clock.now += HOUR / 2;
      await on.sessions.extend(caller(), id);
    }
    expect(await on.sessions.extend(caller(), id)).toMatchObject({
      ok: false,
      error: { reason: "NOT_FOUND" },
    });
  });

  it("never shortens", async () => {
    const on = setUp();
    const { id, expiresAt } = await open(on);
    expect(await on.sessions.extend(caller(), id, 1)).toMatchObject({ ok: true, value: { expiresAt } });
  });

  it("is known at once in an isolate that remembers the end as it was", async () => {
    const on = setUp();
    const elsewhere = { sessions: on.isolate() };
    const { token, id } = await open(on, { seconds: 10 });
    expect(await isValid(elsewhere, token)).toBe(true);
    on.clock.now += 9 * SECOND;
    await on.sessions.extend(caller(), id);
    on.clock.now += 2 * SECOND;
    on.prepare.mockClear();
    expect(await isValid(elsewhere, token)).toBe(true);
    expect(await isValid(elsewhere, token)).toBe(true);
    expect(on.prepare).toHaveBeenCalledTimes(1);
  });

  it("of one that is over costs no query for each time it is presented", async () => {
    const on = setUp();
    const { token } = await open(on, { seconds: 1 });
    await isValid(on, token);
    on.clock.now += SECOND;
    on.prepare.mockClear();
    for (let i = 0; i < 5; i++) expect(await isValid(on, token)).toBe(false);
    expect(on.prepare).toHaveBeenCalledTimes(1);
  });

  it("can be done by the session itself", async () => {
    const on = setUp();
    const { token, id } = await open(on, { seconds: 10 });
    const by = await on.sessions.authenticate(token);
    expect(by.ok && (await on.sessions.extend(by.value, id))).toMatchObject({
      ok: true,
      value: { expiresAt: on.clock.now + HOUR },
    });
  });
});

describe("sessions of others", () => {
  const strangers: [string, Authenticated][] = [
    ["another owner", caller({ owner: "key::bob", actor: "key:bob:k2" })],
    ["another credential of the owner", caller({ actor: "key:alice:k2" })],
    ["an owner whose credential has the same name", caller({ owner: "key::bob" })],
  ];

  it.each(strangers)("look missing to %s, and stay as they are", async (_, stranger) => {
    const on = setUp();
    const { token, id } = await open(on);
    const missing = await on.sessions.extend(stranger, crypto.randomUUID());
    expect(await on.sessions.extend(stranger, id)).toEqual(missing);
    expect(await on.sessions.revoke(stranger, id)).toEqual(missing);
    expect(await on.sessions.list(stranger)).toEqual([]);
    expect(await isValid(on, token)).toBe(true);
  });

  it("are seen by all sessions of the same credential", async () => {
    const on = setUp();
    const [one, two] = [await open(on), await open(on)];
    const by = await on.sessions.authenticate(one.token);
    if (!by.ok) throw new Error("not valid");
    expect((await on.sessions.list(by.value)).map(({ id }) => id).toSorted()).toEqual(
      [one.id, two.id].toSorted(),
    );
    expect((await on.sessions.revoke(by.value, two.id)).ok).toBe(true);
    expect(await isValid(on, two.token)).toBe(false);
  });
});

describe("too many", () => {
  it("a minute are refused, with the seconds to wait", async () => {
    const on = setUp({ perMinute: 2 });
    await open(on);
    on.clock.now += 10_500;
    await open(on);
    expect(await on.sessions.open(caller(), {})).toEqual({
      ok: false,
      error: {
        reason: "RATE_LIMIT_EXCEEDED",
        message: "A credential may make 2 sessions a minute",
        retryAfterSeconds: 50,
      },
    });
    on.clock.now += 50 * SECOND;
    await open(on);
  });

  it("at once end the oldest, also in the isolate that knows it", async () => {
    const on = setUp({ perOwner: 2 });
    const first = await open(on);
    on.clock.now += 1;
    const second = await open(on);
    expect(await isValid(on, first.token)).toBe(true);
    on.clock.now += 1;
    const third = await open(on);
    expect(await isValid(on, first.token)).toBe(false);
    expect(await isValid(on, second.token)).toBe(true);
    expect(await isValid(on, third.token)).toBe(true);
    const other = await on.sessions.open(caller({ actor: "key:alice:k2" }), {});
    expect(other).toMatchObject({
      ok: false,
      error: { reason: "RATE_LIMIT_EXCEEDED", retryAfterSeconds: expect.any(Number) },
    });
  });
});
