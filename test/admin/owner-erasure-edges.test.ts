// Erasures at their edges: names in other spellings, what was under way when an erasure came, and keys that are made in
// the middle of one. The whole of an erasure: owner-erasure.test.ts.

import { env } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createApiKey, getApiKey } from "../../src/store/api-keys.ts";
import { createOperator, startAfresh } from "./operator.ts";

beforeEach(startAfresh);
afterEach(() => void vi.restoreAllMocks());

const makeKey = (owner: string, now: number) =>
  createApiKey(env.DB, { owner, roles: ["user"], scopes: [], createdBy: "cli" }, now);

describe("an owner's name in another spelling", () => {
  it.each([
    ["alice@example.com", "key::alice@example.com"],
    ["a:b", "key::a:b"],
    ["ä", "key::%c3%a4"],
  ])("is of nobody: keys of %j have other tasks than %j", async (name, other) => {
    const operator = createOperator();
    const { key } = await makeKey(name, Date.now() - 100_000);
    expect(await operator.refusal("POST", `/owners/${encodeURIComponent(other)}:erase`)).toMatchObject({
      status: 404,
    });
    expect(await getApiKey(env.DB, { id: key.id })).toMatchObject({ revokedAt: null });
    const listed = await operator.result("GET", `/api-keys?owner=${encodeURIComponent(other)}`);
    expect(listed).toMatchObject({ apiKeys: [] });
  });
});
