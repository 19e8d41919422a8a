// What roles and scopes allow.

import { describe, expect, it } from "vitest";
import { requireAdminScope } from "../../src/auth/authorize.ts";
import {
  type AdminScope,
  adminScopeDescriptions,
  builtInRoles,
  isScopeName,
  scopeDescriptions,
  toGrants,
} from "../../src/auth/roles.ts";
import { A2AError } from "../../src/protocol/errors.ts";
import { operations } from "../../src/protocol/operations.ts";

const granted = (...names: string[]) => {
  const { scopes, adminScopes } = toGrants(names);
  return [...scopes, ...adminScopes];
};

const ofRole = (role: string) => granted(...(builtInRoles.get(role) ?? ["no such role"]));

describe("toGrants", () => {
  it.each([
    [["task:read"], ["task:read"]],
    [["task:*"], ["task:read", "task:write"]],
    [
      ["push:*", "push:read"],
      ["push:read", "push:write"],
    ],
    [["tool:*"], ["tool:approve"]],
    [["admin:*"], ["admin:read", "admin:write", "admin:keys"]],
    [
      ["admin:keys", "card:read"],
      ["card:read", "admin:keys"],
    ],
    [[], []],
  ])("%j allows %j", (names, scopes) => {
    expect(granted(...names)).toEqual(scopes);
  });

  it.each([
    "*",
    ":*",
    "*:*",
    "*:read",
    "task",
    "task:",
    "task:**",
    "task:read ",
    "TASK:READ",
    "Task:*",
    "task:*:read",
    "tasks:read",
    "task:read,task:write",
    "constructor",
    "__proto__:*",
    "toString",
    "",
    "openid",
    "user",
    "tаsk:read",
  ])("%j allows nothing, and is the name of no scope", (name) => {
    expect(granted(name)).toEqual([]);
    expect(isScopeName(name)).toBe(false);
  });
});

describe("the roles", () => {
  it("allow what their names say", () => {
    expect(ofRole("viewer")).toEqual(["task:read", "push:read", "card:read"]);
    expect(ofRole("user")).toEqual(["task:read", "task:write", "push:read", "push:write", "card:read"]);
    expect(ofRole("approver")).toEqual([...ofRole("user"), "tool:approve"]);
    expect(ofRole("operator")).toEqual(["admin:read", "admin:write"]);
    expect(ofRole("admin")).toEqual(["admin:read", "admin:write", "admin:keys"]);
  });

  it("are made of names that are scopes", () => {
    for (const names of builtInRoles.values()) expect(names.every(isScopeName)).toBe(true);
  });

  it("give no caller's role a right of operators, and no operator's role the tasks of anybody", () => {
    for (const role of ["viewer", "user", "approver"]) {
      expect(toGrants(builtInRoles.get(role) ?? []).adminScopes.size).toBe(0);
    }
    for (const role of ["operator", "admin"]) {
      expect(toGrants(builtInRoles.get(role) ?? []).scopes.size).toBe(0);
    }
  });

  it("reach every operation: a user may call each one, a viewer none that writes", () => {
    const [user, viewer] = [ofRole("user"), ofRole("viewer")];
    for (const [name, { scope }] of Object.entries(operations)) {
      expect(user, name).toContain(scope);
      expect(viewer.includes(scope), name).toBe(!scope.endsWith(":write"));
    }
  });
});

it("every scope has words for people", () => {
  const words = [...Object.values(scopeDescriptions), ...Object.values(adminScopeDescriptions)];
  expect(new Set(words).size).toBe(words.length);
});

describe("requireAdminScope", () => {
  const callerWith = (...adminScopes: AdminScope[]) => ({
    owner: "o",
    actor: "a",
    scopes: "all" as const,
    adminScopes: new Set(adminScopes),
  });

  it("lets pass who has the scope", () => {
    expect(() => requireAdminScope(callerWith("admin:keys"), "admin:keys")).not.toThrow();
  });

  it("refuses who has others, also all scopes of operations, and names what is missing", () => {
    try {
      requireAdminScope(callerWith("admin:read", "admin:write"), "admin:keys");
      expect.unreachable();
    } catch (error) {
      expect((error as A2AError).failure).toMatchObject({
        reason: "PERMISSION_DENIED",
        metadata: { scope: "admin:keys" },
      });
      expect(error).toBeInstanceOf(A2AError);
    }
  });
});
