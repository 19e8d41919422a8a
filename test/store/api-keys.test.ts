// The table of API keys, on the real D1.

import { env } from "cloudflare:test";
import { beforeEach, describe, expect, it } from "vitest";
import { sha256 } from "../../src/lib/bytes.ts";
import {
  apiKeysWalk,
  createApiKey,
  findApiKey,
  getApiKey,
  listApiKeys,
  revokeApiKey,
  rotateApiKey,
} from "../../src/store/api-keys.ts";
import { readInbox } from "../../src/store/audit-inbox.ts";
import { plansOf } from "./plans.ts";

const hashOf = (digit: string) => digit.repeat(64);

async function insert(hash: string, more: { id?: string; expiresAt?: number; revokedAt?: number } = {}) {
  const { id = crypto.randomUUID(), expiresAt = null, revokedAt = null } = more;
  await env.DB.prepare(
    "INSERT INTO api_keys (id, hash, owner, created_at, expires_at, revoked_at) VALUES (?, ?, ?, ?, ?, ?)",
  )
    .bind(id, hash, `owner of ${hash.slice(0, 1)}`, 1, expiresAt, revokedAt)
    .run();
}

describe("findApiKey", () => {
  it("finds a key by its hash, with all that decides about it", async () => {
    await insert(hashOf("a"), { id: "k1", expiresAt: 2, revokedAt: 3 });
    await insert(hashOf("b"), { id: "k2" });
    const key = {
      label: "",
      roles: [],
      scopes: [],
      createdAt: 1,
      createdBy: "",
      rotatedAt: null,
      previousUntil: null,
    };
    expect(await findApiKey(env.DB, hashOf("a"))).toEqual({
      ...key,
      id: "k1",
      owner: "owner of a",
      expiresAt: 2,
      revokedAt: 3,
      secretUntil: 2,
    });
    expect(await findApiKey(env.DB, hashOf("b"))).toEqual({
      ...key,
      id: "k2",
      owner: "owner of b",
      expiresAt: null,
      revokedAt: null,
      secretUntil: null,
    });
  });

  it.each([hashOf("c"), "", hashOf("A"), "a".repeat(63), `${hashOf("a")} `, "' OR 1=1 --", "%"])(
    "finds nothing for %j",
    async (hash) => {
      await insert(hashOf("a")).catch(() => {});
      expect(await findApiKey(env.DB, hash)).toBeUndefined();
    },
  );
});

describe("the table api_keys", () => {
  it("holds a hash once", async () => {
    await insert(hashOf("d"));
    await expect(insert(hashOf("d"))).rejects.toThrow("UNIQUE");
  });

  it("finds a hash by an index", async () => {
    const { results } = await env.DB.prepare("EXPLAIN QUERY PLAN SELECT * FROM api_keys WHERE hash = ?")
      .bind("x")
      .all<{ detail: string }>();
    expect(results.map((row) => row.detail).join()).toMatch(/SEARCH api_keys USING INDEX/);
  });

  it("finds a hash that is the current one or the one before by two indexes", async () => {
    const { results } = await env.DB.prepare(
      "EXPLAIN QUERY PLAN SELECT * FROM api_keys WHERE hash = ?1 OR previous_hash = ?1",
    )
      .bind("x")
      .all<{ detail: string }>();
    const plan = results.map((row) => row.detail).join();
    expect(plan).toMatch(/MULTI-INDEX OR.*SEARCH.*SEARCH/);
    expect(plan).not.toMatch(/SCAN/);
  });

  it.each([{}, { owner: "alice" }])("is listed by an index, without sorting: %j", async (filter) => {
    for (const after of [undefined, [5, "id"]]) {
      const [plan] = await plansOf(env.DB, apiKeysWalk(filter), { after, limit: 10 });
      expect(plan).toMatch(/SEARCH api_keys USING INDEX api_keys_by_/);
      expect(plan).not.toMatch(/TEMP B-TREE|SCAN/);
    }
  });
});

const make = (more: Partial<Parameters<typeof createApiKey>[1]> = {}, now = 1_000) =>
  createApiKey(env.DB, { owner: "alice", roles: [], scopes: [], createdBy: "key:a:b", ...more }, now);

const find = async (text: string) => findApiKey(env.DB, await sha256(text));

describe("createApiKey", () => {
  it("stores all that is said of the key, and of its text the hash alone", async () => {
    const said = {
      owner: "o'Brien",
      label: "laptop",
      roles: ["user", "approver"],
      scopes: ["task:*"],
      expiresAt: 9_000,
    };
    const { key, text } = await make(said);
    expect(key).toEqual({
      ...said,
      id: text.split("_")[1],
      createdAt: 1_000,
      createdBy: "key:a:b",
      rotatedAt: null,
      previousUntil: null,
      revokedAt: null,
    });
    expect(await find(text)).toEqual({ ...key, secretUntil: 9_000 });
    const { results } = await env.DB.prepare("SELECT * FROM api_keys").all();
    expect(JSON.stringify(results)).not.toContain(text.slice(17));
  });

  it("makes no two keys alike", async () => {
    const made = await Promise.all(Array.from({ length: 50 }, () => make()));
    expect(new Set(made.map(({ key }) => key.id)).size).toBe(50);
    expect(new Set(made.map(({ text }) => text.slice(17))).size).toBe(50);
  });
});

describe("rotateApiKey", () => {
  const rotate = async (id: string, overlapMs: number, now: number) => {
    const rotated = await rotateApiKey(env.DB, { id, overlapMs }, now);
    if (!rotated.ok) throw new Error(rotated.error.reason);
    return rotated.value;
  };

  it("keeps the key and ends the old secret with its overlap", async () => {
    const { key, text } = await make();
    const rotated = await rotate(key.id, 500, 2_000);
    expect(rotated.key).toEqual({ ...key, rotatedAt: 2_000, previousUntil: 2_500 });
    expect(rotated.text).not.toBe(text);
    expect(rotated.text.startsWith(`a2a_${key.id}_`)).toBe(true);
    expect((await find(text))?.secretUntil).toBe(2_500);
    expect((await find(rotated.text))?.secretUntil).toBeNull();
  });

  it("leaves a key with two secrets at most", async () => {
    const { key, text } = await make();
    const second = await rotate(key.id, 10_000, 2_000);
    const third = await rotate(key.id, 10_000, 3_000);
    expect(await find(text)).toBeUndefined();
    expect((await find(second.text))?.secretUntil).toBe(13_000);
    expect((await find(third.text))?.secretUntil).toBeNull();
  });

  it("lets no secret outlive its key", async () => {
    const { key, text } = await make({ expiresAt: 5_000 });
    const rotated = await rotate(key.id, 10_000, 2_000);
    expect((await find(text))?.secretUntil).toBe(5_000);
    expect((await find(rotated.text))?.secretUntil).toBe(5_000);
  });

  it("works for a key from before there were ids in texts", async () => {
    const id = crypto.randomUUID();
    await insert(hashOf("e"), { id });
    const { text } = await rotate(id, 0, 2_000);
    expect((await find(text))?.id).toBe(id);
    expect((await findApiKey(env.DB, hashOf("e")))?.secretUntil).toBe(2_000);
  });

  it("refuses what is not there, not the owner's, revoked or expired, and changes nothing", async () => {
    const [mine, expired, revoked] = [await make(), await make({ expiresAt: 1_500 }), await make()];
    await revokeApiKey(env.DB, { id: revoked.key.id }, 1_600);
    const problem = async (id: string, owner?: string) =>
      rotateApiKey(env.DB, { id, owner, overlapMs: 0 }, 2_000);
    expect(await problem("nothing")).toEqual({ ok: false, error: { reason: "not_found" } });
    expect(await problem(mine.key.id, "bob")).toEqual({ ok: false, error: { reason: "not_found" } });
    expect(await problem(expired.key.id)).toEqual({ ok: false, error: { reason: "expired" } });
    expect(await problem(revoked.key.id)).toEqual({ ok: false, error: { reason: "revoked" } });
    expect(await find(mine.text)).toEqual({ ...mine.key, secretUntil: null });
  });
});

describe("revokeApiKey", () => {
  it("says since when, once", async () => {
    const { key } = await make();
    expect(await revokeApiKey(env.DB, { id: key.id }, 2_000)).toEqual({ ...key, revokedAt: 2_000 });
    expect(await revokeApiKey(env.DB, { id: key.id }, 3_000)).toEqual({ ...key, revokedAt: 2_000 });
  });

  it("touches no other owner's key", async () => {
    const { key } = await make();
    expect(await revokeApiKey(env.DB, { id: key.id, owner: "bob" }, 2_000)).toBeUndefined();
    expect(await getApiKey(env.DB, { id: key.id, owner: "bob" })).toBeUndefined();
    expect(await getApiKey(env.DB, { id: key.id, owner: "alice" })).toEqual(key);
    expect(await getApiKey(env.DB, { id: key.id })).toEqual(key);
  });
});

describe("listApiKeys", () => {
  it("gives the newest first, page by page, of one owner or of all", async () => {
    const made: string[] = [];
    for (let i = 0; i < 7; i++) {
      // Two share a time.
      const { key } = await make({ owner: i % 2 === 0 ? "list-a" : "list-b" }, 1_000_000 + Math.floor(i / 2));
      made.push(key.id);
    }
    const walk = async (owner: string | undefined, limit: number) => {
      const ids: string[] = [];
      for (let after: readonly (string | number)[] | undefined; ; ) {
        const { rows, next } = await listApiKeys(env.DB, { owner }, { after, limit });
        ids.push(...rows.map(({ id }) => id));
        if (next === undefined) return ids;
        after = next;
      }
    };
    expect(await walk("list-a", 2)).toEqual([6, 4, 2, 0].map((i) => made[i]));
    expect(await walk("list-b", 1)).toEqual([5, 3, 1].map((i) => made[i]));
    expect(await walk("nobody", 1)).toEqual([]);
    const all = await walk(undefined, 3);
    expect(all.slice(0, 7).toSorted()).toEqual(made.toSorted());
    expect(new Set(all).size).toBe(all.length);
  });
});

describe("the audit", () => {
  beforeEach(async () => void (await env.DB.prepare("DELETE FROM audit_inbox").run()));

  const toldBy = "cli";
  const key = { owner: "a@b", roles: ["user"], scopes: [], createdBy: "cli" };
  const told = async () => (await readInbox(env.DB, 100)).map(({ body }) => JSON.parse(body));

  it("is told of a key that is made, rotated and revoked, if it does not know already", async () => {
    const { key: made, text } = await createApiKey(env.DB, { ...key, toldBy }, 1_000);
    const rotated = await rotateApiKey(env.DB, { id: made.id, overlapMs: 0, toldBy }, 2_000);
    await revokeApiKey(env.DB, { id: made.id, toldBy }, 3_000);
    const event = (kind: string, at: number) => ({
      ...{ kind, owner: "key::a%40b", actor: "cli", detail: { key: made.id, at } },
    });
    expect(await told()).toEqual([
      event("key.created", 1_000),
      event("key.rotated", 2_000),
      event("key.revoked", 3_000),
    ]);
    const rows = JSON.stringify(await readInbox(env.DB, 100));
    for (const secret of [text, rotated.ok ? rotated.value.text : text]) {
      expect(rows).not.toContain(secret);
      expect(rows).not.toContain(await sha256(secret));
    }

    const { key: other } = await createApiKey(env.DB, key, 4_000);
    await rotateApiKey(env.DB, { id: other.id, overlapMs: 0 }, 5_000);
    await revokeApiKey(env.DB, { id: other.id }, 6_000);
    expect(await told()).toHaveLength(3);
  });

  it("is told nothing of what was not done", async () => {
    const { key: made } = await createApiKey(env.DB, { ...key, expiresAt: 2_000 }, 1_000);
    await rotateApiKey(env.DB, { id: made.id, overlapMs: 0, toldBy }, 2_000);
    await rotateApiKey(env.DB, { id: "nobody", overlapMs: 0, toldBy }, 2_000);
    await revokeApiKey(env.DB, { id: "nobody", toldBy }, 2_000);
    await revokeApiKey(env.DB, { id: made.id, owner: "somebody", toldBy }, 2_000);
    await revokeApiKey(env.DB, { id: made.id }, 2_000);
    await revokeApiKey(env.DB, { id: made.id, toldBy }, 3_000);
    expect(await told()).toEqual([]);
  });
});
