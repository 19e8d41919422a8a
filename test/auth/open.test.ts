// AUTH_MODE=open: everybody is anonymous, or whom X-Dev-Owner names.

import { env } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import { createAuthentication } from "../../src/auth/authenticate.ts";
import { toOwner } from "../../src/auth/caller.ts";
import { createClient } from "../support/client.ts";
import { configWith } from "../support/operations.ts";

const authenticate = createAuthentication({
  config: configWith({ authModes: ["open"] }),
  db: env.DB,
}).authenticate;
const as = (name: string) =>
  authenticate(new Request("https://a.test", { headers: { "x-dev-owner": name } }));

describe("X-Dev-Owner", () => {
  it.each(["a", "alice", "x".repeat(128), "a/b", "a:b", "%2F", "~!@#$%^&*()", "'", "anonymous"])(
    "names an owner: %s",
    async (name) => {
      expect(await as(name)).toEqual({
        ok: true,
        value: {
          owner: toOwner("open", "", name),
          actor: toOwner("open", "", name),
          scopes: "all",
          adminScopes: new Set(),
          basis: { kind: "open", expiresAt: null },
        },
      });
    },
  );

  it.each(["", " ", "a b", "a\tb", "x".repeat(129), "a, b"])(
    "refuses %j, and says so by its name",
    async (name) => {
      expect(await as(name)).toMatchObject({
        ok: false,
        error: { reason: "INVALID_PARAMS", violations: [{ field: "X-Dev-Owner" }] },
      });
    },
  );

  it("that is absent is anonymous, who is the owner named so", async () => {
    const named = createClient({ owner: "anonymous", agent: "conformance" });
    const { id } = await named.sendForTask("input");
    const response = await named.request(`/tasks/${id}`, { headers: { "x-dev-owner": "anonymous" } });
    expect(response.status).toBe(200);
    const { value } = (await authenticate(new Request("https://a.test"))) as { value: { owner: string } };
    expect(value.owner).toBe("open::anonymous");
  });

  it("keeps the tasks of two owners apart", async () => {
    const [alice, bob] = [createClient({ owner: "alice" }), createClient({ owner: "bob" })];
    const { id } = await alice.sendForTask("hello");
    expect((await alice.list()).totalSize).toBe(1);
    expect((await bob.list()).totalSize).toBe(0);
    expect((await bob.error("GetTask", { id })).code).toBe(-32001);
  });
});

describe("toOwner", () => {
  it("makes owners that no other kind, issuer and subject make", () => {
    const parts = ["", "a", "b", "a:b", ":", "::", "a/0", "/", "%3A", "%", "open", "key", "é", "a\u0000b"];
    const made = new Map<string, string>();
    for (const kind of ["open", "key"] as const) {
      for (const issuer of parts) {
        for (const subject of parts) {
          const owner = toOwner(kind, issuer, subject);
          expect(made.get(owner), owner).toBeUndefined();
          made.set(owner, `${kind}|${issuer}|${subject}`);
          // A home is `owner/shard`: a slash of the owner's own would let one name another's home.
          expect(owner).not.toContain("/");
        }
      }
    }
    expect(made.size).toBe(2 * parts.length ** 2);
  });
});
