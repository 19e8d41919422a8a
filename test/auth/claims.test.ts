// What is read in the claims of a verified token.

import { describe, expect, it } from "vitest";
import { type Claims, readIdentity } from "../../src/auth/claims.ts";
import { parseIssuers } from "../../src/issuers.ts";

function issuerWith(more: object = {}) {
  const entry = { issuer: "https://id.example.com", audience: "a2a", ...more };
  const parsed = parseIssuers(JSON.stringify([entry]), { httpsOnly: true });
  const [issuer] = parsed.ok ? parsed.value : [];
  if (!issuer) throw new Error("no issuer");
  return issuer;
}

const read = (claims: Claims, more?: object) => readIdentity(claims, issuerWith(more));
const identity = (claims: Claims, more?: object) => {
  const result = read({ sub: "alice", ...claims }, more);
  if (!result.ok) throw new Error(result.error);
  return result.value;
};

describe("the owner", () => {
  it("is the subject, or what another claim names", () => {
    expect(identity({ org_id: "org-1" })).toMatchObject({ owner: "alice", subject: "alice" });
    expect(identity({ org_id: "org-1" }, { ownerClaim: "org_id" })).toMatchObject({
      owner: "org-1",
      subject: "alice",
    });
    const nested = { "https://a2a.example/claims": { workspace: { id: "w" } } };
    const ownerClaim = ["https://a2a.example/claims", "workspace", "id"];
    expect(identity(nested, { ownerClaim }).owner).toBe("w");
  });

  it.each<[unknown]>([
    [undefined],
    [""],
    [null],
    [1],
    [["a"]],
    [{}],
    ["x".repeat(256)],
    ["\ud800"],
    ["a\udfff"],
  ])("is not %j", (value) => {
    expect(read({ sub: value })).toEqual({ ok: false, error: "no_subject" });
    expect(read({ sub: "alice", org_id: value }, { ownerClaim: "org_id" })).toEqual({
      ok: false,
      error: "no_owner",
    });
  });

  it("is never what every object has", () => {
    for (const ownerClaim of [
      "constructor",
      ["constructor", "name"],
      "__proto__",
      "toString",
      ["sub", "length"],
    ]) {
      expect(read({ sub: "alice" }, { ownerClaim })).toEqual({ ok: false, error: "no_owner" });
    }
  });
});

describe("the roles", () => {
  const mapped = {
    rolesClaim: ["realm_access", "roles"],
    rolesMap: { staff: ["user", "approver"], boss: "admin" },
  };

  it("are those that are mapped, each once", () => {
    const roles = ["staff", "boss", "staff", "admin", "user", "constructor", 7];
    expect(identity({ realm_access: { roles } }, mapped).roles).toEqual(["user", "approver", "admin"]);
  });

  it("may be one text with spaces", () => {
    expect(identity({ realm_access: { roles: "other staff" } }, mapped).roles).toEqual(["user", "approver"]);
  });

  it("are none without a claim for them, whatever the token says", () => {
    expect(identity({ roles: ["admin"], role: "admin", groups: ["admin"] }).roles).toEqual([]);
    expect(identity({ realm_access: null }, mapped).roles).toEqual([]);
    expect(identity({ realm_access: { roles: { admin: true } } }, mapped).roles).toEqual([]);
  });
});

describe("the scopes", () => {
  it.each<[Claims, string[]]>([
    [{ scope: "openid task:read  task:read" }, ["openid", "task:read"]],
    [{ scp: ["task:read", "x"] }, ["task:read", "x"]],
    [{ scp: "task:read", scope: ["push:read"] }, ["push:read", "task:read"]],
    [{ scope: 1, scp: { "task:read": true } }, []],
    [{ scope: [1, null, "", "a"] }, ["a"]],
    [{}, []],
  ])("of %j are %j", (claims, scopes) => {
    expect(identity(claims).scopes).toEqual(scopes);
  });

  it("may stand elsewhere, and then nowhere else", () => {
    expect(
      identity({ permissions: ["task:read"], scope: "task:write" }, { scopeClaim: "permissions" }).scopes,
    ).toEqual(["task:read"]);
  });

  it("are a thousand at most", () => {
    expect(identity({ scope: `${"a ".repeat(500)}${"b ".repeat(500)}c` }).scopes).toEqual(["a", "b"]);
  });
});
