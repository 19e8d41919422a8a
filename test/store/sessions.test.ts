// The table of sessions, on the real D1.

import { env } from "cloudflare:test";
import { beforeEach, describe, expect, it } from "vitest";
import { uuidv7 } from "../../src/lib/ids.ts";
import { readInbox } from "../../src/store/audit-inbox.ts";
import {
  extendSession,
  findSession,
  listSessions,
  openSession,
  revokeOwnSession,
  revokeSession,
  revokeSessions,
  type Session,
  searchSessions,
  trimSessions,
} from "../../src/store/sessions.ts";

const NOW = 1_700_000_000_000;
const MINUTE = 60_000;
const limits = { perOwner: 5, perMinute: 100 };

beforeEach(async () => void (await env.DB.prepare("DELETE FROM sessions").run()));

let made = 0;
const newHash = () => String(++made).padStart(64, "0");

function session(more: Partial<Session & { hash: string }> = {}) {
  const createdAt = more.createdAt ?? NOW;
  const [expiresAt, endsAt] = [createdAt + 60 * MINUTE, createdAt + 600 * MINUTE];
  return {
    ...{ id: uuidv7(createdAt), hash: newHash(), owner: "o", actor: "a", key: null },
    ...{ basis: '{"kind":"open","expiresAt":null}', scopes: '["task:read"]' },
    ...{ createdAt, expiresAt, endsAt, ...more },
  };
}

async function open(more: Partial<Session> = {}, within = limits) {
  const one = session(more);
  const opened = await openSession(env.DB, one, within);
  if (!opened.ok) throw new Error(JSON.stringify(opened.error));
  return one;
}

const ids = (sessions: { id: string }[]) => sessions.map(({ id }) => id);
const maker = { owner: "o", actor: "a" };
const by = { maker, actor: "a" };

describe("a session", () => {
  it("is found by the hash of its token, and by nothing that is not that", async () => {
    const { hash, ...stored } = await open({ key: "k1" });
    expect(await findSession(env.DB, hash)).toEqual(stored);
    for (const other of ["", "%", hash.slice(1), `${hash} `, stored.id, "' OR 1=1 --"]) {
      expect(await findSession(env.DB, other)).toBeUndefined();
    }
  });

  it("is found by an index, and so are those of an owner, of a key, and those that are over", async () => {
    const plan = async (sql: string) => {
      const { results } = await env.DB.prepare(`EXPLAIN QUERY PLAN ${sql}`).all<{ detail: string }>();
      return results.map(({ detail }) => detail).join();
    };
    expect(await plan("SELECT * FROM sessions WHERE hash = '1'")).toContain("SEARCH sessions USING INDEX");
    expect(await plan("SELECT count(*) FROM sessions WHERE owner = 'o' AND expires_at > 1")).toContain(
      "sessions_by_owner",
    );
    expect(await plan("UPDATE sessions SET expires_at = 0 WHERE api_key = 'k'")).toContain("sessions_by_key");
    expect(await plan("SELECT id FROM sessions WHERE expires_at <= 1")).toContain("sessions_by_expiry");
  });

  it("cannot be stored twice under one hash", async () => {
    const { hash } = await open();
    await expect(openSession(env.DB, session({ hash } as never), limits)).rejects.toThrow("UNIQUE");
  });
});

describe("the limit of an owner", () => {
  it("revokes the oldest of the same credential", async () => {
    const all: Awaited<ReturnType<typeof open>>[] = [];
    for (let i = 0; i < 7; i++) all.push(await open({ createdAt: NOW + i }));
    const live = await listSessions(env.DB, maker, NOW + 10);
    expect(ids(live)).toEqual(ids(all.slice(2)).toReversed());
    expect((await findSession(env.DB, all[1]?.hash ?? ""))?.expiresAt).toBe(0);
  });

  it("revokes none of another credential: then the new one is refused until the first has expired", async () => {
    for (let i = 0; i < 5; i++) await open({ createdAt: NOW + i, expiresAt: NOW + MINUTE + i });
    expect(await openSession(env.DB, session({ actor: "b", createdAt: NOW + 9 }), limits)).toEqual({
      ok: false,
      error: { reason: "full", retryAt: NOW + MINUTE },
    });
    expect(await listSessions(env.DB, maker, NOW + 10)).toHaveLength(5);
    await open({ actor: "b", createdAt: NOW + MINUTE });
  });

  it("counts no session of another owner, and none that is over", async () => {
    for (let i = 0; i < 4; i++) await open({ createdAt: NOW + i });
    const { id } = await open({ createdAt: NOW + 5 });
    await revokeSession(env.DB, id, NOW + 6);
    await open({ owner: "p", createdAt: NOW + 7 });
    await open({ createdAt: NOW + 8 });
    expect(await listSessions(env.DB, maker, NOW + 9)).toHaveLength(5);
  });

  it("holds when many are made at once", async () => {
    await Promise.all(Array.from({ length: 40 }, (_, i) => open({ createdAt: NOW + i })));
    expect(await listSessions(env.DB, maker, NOW + 50)).toHaveLength(5);
  });
});

describe("the rate of a credential", () => {
  const slow = { perOwner: 5, perMinute: 3 };

  it("refuses more in a minute, says when there may be one, and costs no session that is there", async () => {
    for (let i = 0; i < 3; i++) await open({ createdAt: NOW + i * 1_000 }, slow);
    const refused = await openSession(env.DB, session({ createdAt: NOW + 5_000 }), { ...slow, perOwner: 3 });
    expect(refused).toEqual({ ok: false, error: { reason: "rate", retryAt: NOW + MINUTE } });
    expect(await listSessions(env.DB, maker, NOW + 5_000)).toHaveLength(3);
    await open({ createdAt: NOW + MINUTE }, slow);
  });

  it("is not evaded by revoking, nor by the cron's trimming", async () => {
    for (let i = 0; i < 3; i++) {
      const { id } = await open({ createdAt: NOW + i }, slow);
      await revokeOwnSession(env.DB, id, { by, now: NOW + i });
    }
    expect(await trimSessions(env.DB, NOW + 10, 100)).toBe(0);
    expect((await openSession(env.DB, session({ createdAt: NOW + 10 }), slow)).ok).toBe(false);
  });

  it("is of one credential", async () => {
    for (let i = 0; i < 3; i++) await open({ createdAt: NOW + i }, slow);
    await open({ actor: "b", createdAt: NOW + 10 }, slow);
  });
});

describe("extending", () => {
  it("makes it last longer, never shorter, and never beyond its end", async () => {
    const { id, expiresAt, endsAt } = await open();
    const extend = async (until: number) =>
      (await extendSession(env.DB, id, { by, now: NOW + 1, until }))?.expiresAt;
    expect(await extend(NOW + 5)).toBe(expiresAt);
    expect(await extend(expiresAt + 5)).toBe(expiresAt + 5);
    expect(await extend(Number.MAX_SAFE_INTEGER)).toBe(endsAt);
  });

  it("revives none that has expired or was revoked, whatever the clock says", async () => {
    const { id, expiresAt } = await open();
    const until = expiresAt + MINUTE;
    expect(await extendSession(env.DB, id, { by, now: expiresAt, until })).toBeUndefined();
    expect(await revokeOwnSession(env.DB, id, { by, now: NOW })).toBe(true);
    for (const now of [NOW, NOW - 100 * MINUTE, 0]) {
      expect(await extendSession(env.DB, id, { by, now, until })).toBeUndefined();
    }
  });

  it.each([
    ["another owner", { owner: "p", actor: "a" }],
    ["another credential", { owner: "o", actor: "b" }],
  ])("and revoking are not for %s", async (_, foreign) => {
    const { id, hash } = await open();
    expect(
      await extendSession(env.DB, id, { by: { ...by, maker: foreign }, now: NOW, until: NOW + 500 * MINUTE }),
    ).toBeUndefined();
    expect(await revokeOwnSession(env.DB, id, { by: { ...by, maker: foreign }, now: NOW })).toBe(false);
    expect((await findSession(env.DB, hash))?.expiresAt).toBe(NOW + 60 * MINUTE);
  });

  it("never wins against a revocation: whoever is first, it is over", async () => {
    for (let i = 0; i < 20; i++) {
      const { id, hash } = await open({ createdAt: NOW + i });
      const until = NOW + 100 * MINUTE;
      await Promise.all([
        extendSession(env.DB, id, { by, now: NOW + i, until }),
        revokeOwnSession(env.DB, id, { by, now: NOW + i }),
        extendSession(env.DB, id, { by, now: NOW + i, until }),
      ]);
      expect((await findSession(env.DB, hash))?.expiresAt).toBe(0);
    }
  });
});

describe("what operators ask", () => {
  async function many() {
    const all: Session[] = [];
    for (let i = 0; i < 9; i++) {
      const [owner, key] = [i % 3 === 0 ? "o" : "p", i % 2 === 0 ? "k" : null];
      all.push(await open({ owner, key, createdAt: NOW + i }, { ...limits, perOwner: 100 }));
    }
    return all;
  }

  it("is answered newest first, page by page, and without those that are over", async () => {
    const all = await many();
    await revokeSession(env.DB, all[4]?.id ?? "", NOW + 20);
    const found: Session[] = [];
    for (let after: undefined | readonly (string | number)[]; ; ) {
      const page = await searchSessions(env.DB, {}, { limit: 3, after }, NOW + 20);
      found.push(...page.rows);
      if (page.next === undefined) break;
      after = page.next;
    }
    expect(ids(found)).toEqual(ids(all.filter((_, i) => i !== 4)).toReversed());
  });

  it.each([
    [{ owner: "o" }, [6, 3, 0]],
    [{ key: "k" }, [8, 6, 4, 2, 0]],
    [{ owner: "p", key: "k" }, [8, 4, 2]],
    [{ owner: "nobody" }, []],
  ])("can be narrowed: %j", async (filter, expected) => {
    const all = await many();
    const { rows } = await searchSessions(env.DB, filter, { limit: 100 }, NOW + 20);
    expect(ids(rows)).toEqual(expected.map((i) => all[i]?.id));
  });

  it("can be revoked as a whole: those of an owner, those of a key", async () => {
    await many();
    expect(await revokeSessions(env.DB, { owner: "o" }, NOW + 20)).toBe(3);
    expect(await revokeSessions(env.DB, { owner: "o" }, NOW + 20)).toBe(0);
    expect(await revokeSessions(env.DB, { key: "k" }, NOW + 20)).toBe(3);
    const { rows } = await searchSessions(env.DB, {}, { limit: 100 }, NOW + 20);
    expect(rows).toHaveLength(3);
  });
});

describe("trimming", () => {
  it("deletes what is over and older than a minute, in chunks, and nothing else", async () => {
    const soon = { expiresAt: NOW + 10 };
    for (let i = 0; i < 5; i++) await open({ createdAt: NOW + i, ...soon });
    const live = await open({ createdAt: NOW + 6 });
    const at = NOW + MINUTE + 10;
    expect(await trimSessions(env.DB, at, 3)).toBe(3);
    expect(await trimSessions(env.DB, at, 3)).toBe(2);
    expect(await trimSessions(env.DB, at, 3)).toBe(0);
    expect(await findSession(env.DB, live.hash)).toBeDefined();
  });
});

describe("the audit", () => {
  beforeEach(async () => void (await env.DB.prepare("DELETE FROM audit_inbox").run()));

  /** What it is told, in the order in which it happened. */
  const told = async () => (await readInbox(env.DB, 100)).map(({ body }) => JSON.parse(body));
  const event = (kind: string, session: string, at: number, actor = "a") => ({
    ...{ kind, owner: "o", actor, detail: { session, at } },
  });

  it("is told of a session that is opened, extended and revoked, by whom, and of nothing secret", async () => {
    const { id, hash } = await open();
    const until = NOW + 100 * MINUTE;
    await extendSession(env.DB, id, { by: { maker, actor: `a/${id}` }, now: NOW + 1, until });
    await revokeOwnSession(env.DB, id, { by, now: NOW + 2 });
    expect(await told()).toEqual([
      event("session.opened", id, NOW),
      event("session.extended", id, NOW + 1, `a/${id}`),
      event("session.revoked", id, NOW + 2),
    ]);
    expect(JSON.stringify(await readInbox(env.DB, 100))).not.toContain(hash);
  });

  it("is told of those that had to go for a new one", async () => {
    const [first, second] = [await open({ createdAt: NOW }), await open({ createdAt: NOW + 1 })];
    await env.DB.prepare("DELETE FROM audit_inbox").run();
    const third = await open({ createdAt: NOW + 2 }, { ...limits, perOwner: 1 });
    const events = await told();
    expect(events).toHaveLength(3);
    expect(events).toEqual(
      expect.arrayContaining([
        event("session.replaced", first.id, NOW + 2),
        event("session.replaced", second.id, NOW + 2),
        event("session.opened", third.id, NOW + 2),
      ]),
    );
  });

  it("is told nothing of what was not done", async () => {
    const { id } = await open({}, { perOwner: 5, perMinute: 1 });
    await env.DB.prepare("DELETE FROM audit_inbox").run();
    expect((await openSession(env.DB, session(), { perOwner: 5, perMinute: 1 })).ok).toBe(false);
    expect((await openSession(env.DB, session({ actor: "b" }), { perOwner: 1, perMinute: 9 })).ok).toBe(
      false,
    );
    const other = { maker: { owner: "o", actor: "b" }, actor: "b" };
    await extendSession(env.DB, id, { by: other, now: NOW, until: NOW + 99 * MINUTE });
    await revokeOwnSession(env.DB, id, { by: other, now: NOW });
    await expect(openSession(env.DB, session({ id }), limits)).rejects.toThrow("UNIQUE");
    expect(await told()).toEqual([]);
    // Operators' requests are told by themselves.
    await revokeSession(env.DB, id, NOW);
    expect(await told()).toEqual([]);
  });
});
