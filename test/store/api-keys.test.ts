// The table of API keys, on the real D1.

import { env } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import { findApiKey } from "../../src/store/api-keys.ts";

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
    expect(await findApiKey(env.DB, hashOf("a"))).toEqual({
      id: "k1",
      owner: "owner of a",
      expiresAt: 2,
      revokedAt: 3,
    });
    expect(await findApiKey(env.DB, hashOf("b"))).toEqual({
      id: "k2",
      owner: "owner of b",
      expiresAt: null,
      revokedAt: null,
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
});
