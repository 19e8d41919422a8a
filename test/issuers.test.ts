// JWT_ISSUERS: what may be said of an issuer, and what is said of an entry that is wrong.

import { describe, expect, it } from "vitest";
import { parseIssuers } from "../src/issuers.ts";

const least = { issuer: "https://id.example.com/", audience: "a2a" };

const parse = (entries: unknown, httpsOnly = false) => parseIssuers(JSON.stringify(entries), { httpsOnly });

const problems = (...args: Parameters<typeof parse>) => {
  const parsed = parse(...args);
  return parsed.ok ? [] : parsed.error;
};

describe("an issuer", () => {
  it("needs its name and an audience; the rest is the safe default", () => {
    expect(parse([least], true)).toEqual({
      ok: true,
      value: [
        {
          issuer: "https://id.example.com/",
          audiences: ["a2a"],
          jwksUrl: undefined,
          algorithms: ["RS256", "PS256", "ES256", "ES384", "EdDSA", "Ed25519"],
          ownerClaim: ["sub"],
          rolesClaim: undefined,
          scopeClaim: undefined,
          rolesMap: new Map(),
          defaultRoles: [],
          clockSkewSeconds: 30,
          type: undefined,
        },
      ],
    });
  });

  it("may have everything", () => {
    const all = {
      issuer: "https://id.example.com/realms/a2a",
      audience: ["a2a", "account"],
      jwksUrl: "https://id.example.com/keys?p=policy",
      algorithms: ["ES512"],
      ownerClaim: "org_id",
      rolesClaim: ["realm_access", "roles"],
      scopeClaim: "permissions",
      rolesMap: { "A2A Users": "user", staff: ["approver", "operator"] },
      defaultRoles: "viewer",
      clockSkewSeconds: 300,
      typ: "at+jwt",
    };
    expect(parse([all], true)).toMatchObject({
      ok: true,
      value: [
        {
          audiences: ["a2a", "account"],
          jwksUrl: all.jwksUrl,
          algorithms: ["ES512"],
          ownerClaim: ["org_id"],
          rolesClaim: ["realm_access", "roles"],
          scopeClaim: ["permissions"],
          rolesMap: new Map([
            ["A2A Users", ["user"]],
            ["staff", ["approver", "operator"]],
          ]),
          defaultRoles: ["viewer"],
          clockSkewSeconds: 300,
          type: "at+jwt",
        },
      ],
    });
  });

  it("may be none, or sixteen", () => {
    expect(problems([])).toEqual([]);
    const many = Array.from({ length: 17 }, (_, i) => ({ ...least, issuer: `https://${i}.example.com` }));
    expect(problems(many.slice(1))).toEqual([]);
    expect(problems(many)).toEqual(["JWT_ISSUERS must have at most 16 issuers"]);
  });
});

describe("what is wrong is named by its entry and field", () => {
  it.each(["", "{", "null", "{}", '"x"', "1"])("%j is no array", (json) => {
    expect(parseIssuers(json, { httpsOnly: false })).toEqual({
      ok: false,
      error: ["JWT_ISSUERS must be a JSON array of issuers"],
    });
  });

  it.each<[string, object]>([
    ["issuer", { issuer: undefined }],
    ["issuer", { issuer: "id.example.com" }],
    ["issuer", { issuer: "https://id.example.com/?tenant=1" }],
    ["issuer", { issuer: "https://id.example.com/#x" }],
    ["issuer", { issuer: "https://user@id.example.com/" }],
    ["issuer", { issuer: " https://id.example.com/" }],
    ["issuer", { issuer: `https://id.example.com/${"x".repeat(500)}` }],
    ["audience", { audience: undefined }],
    ["audience", { audience: [] }],
    ["audience[0]", { audience: "" }],
    ["audience[1]", { audience: ["a", 1] }],
    ["jwksUrl", { jwksUrl: "file:///etc/keys" }],
    ["jwksUrl", { jwksUrl: "" }],
    ["algorithms", { algorithms: [] }],
    ["algorithms[0]", { algorithms: ["HS256"] }],
    ["algorithms[1]", { algorithms: ["RS256", "none"] }],
    ["algorithms[0]", { algorithms: ["rs256"] }],
    ["ownerClaim", { ownerClaim: [] }],
    ["ownerClaim[0]", { ownerClaim: "" }],
    ["rolesClaim", { rolesClaim: 1, rolesMap: { a: "user" } }],
    ["rolesMap", { rolesClaim: "roles", rolesMap: ["user"] }],
    ["rolesMap.a[0]", { rolesClaim: "roles", rolesMap: { a: "task:read" } }],
    ["rolesClaim", { rolesClaim: "roles" }],
    ["rolesClaim", { rolesMap: { a: "user" } }],
    ["defaultRoles[0]", { defaultRoles: ["User"] }],
    ["clockSkewSeconds", { clockSkewSeconds: -1 }],
    ["clockSkewSeconds", { clockSkewSeconds: 301 }],
    ["clockSkewSeconds", { clockSkewSeconds: 0.5 }],
    ["clockSkewSeconds", { clockSkewSeconds: "30" }],
    ["typ", { typ: "" }],
  ])("%s of %j", (field, more) => {
    const found = problems([
      { ...least, issuer: "https://other.example.com" },
      { ...least, ...more },
    ]);
    expect(found).toHaveLength(1);
    expect(found[0]?.startsWith(`JWT_ISSUERS[1].${field} `), found[0]).toBe(true);
  });

  it("a name that is none of ours, for it may be a misspelt one of them", () => {
    expect(problems([{ ...least, audiance: "x" }])).toEqual([
      "JWT_ISSUERS[0] has audiance, which is no setting of an issuer",
    ]);
  });

  it("two entries of one issuer", () => {
    expect(problems([least, least])).toEqual(["JWT_ISSUERS[1].issuer must not be that of another entry"]);
  });

  it("plain http where that is not allowed, also for the keys", () => {
    const plain = { ...least, issuer: "http://a.example", jwksUrl: "http://a.example/keys" };
    expect(problems([plain])).toEqual([]);
    expect(problems([plain], true)).toHaveLength(2);
  });
});
