// Roles and scopes: the names that credentials carry, and what they allow.
//
// Scopes of operations and scopes of operators are of two types, so that no operation can ask for one of the others,
// and nobody becomes an operator by a set that was made for callers.

import type { Scope } from "../protocol/operations.ts";

/** What an operator may do: look, change, and decide who gets in (keys, roles, sessions). */
export type AdminScope = "admin:read" | "admin:write" | "admin:keys";

export type Grants = { scopes: ReadonlySet<Scope>; adminScopes: ReadonlySet<AdminScope> };

/** What each scope allows, in words for people who grant it. */
export const scopeDescriptions = {
  "task:read": "Read, list and follow tasks",
  "task:write": "Send messages and cancel tasks",
  "push:read": "Read push notification configs",
  "push:write": "Create and delete push notification configs",
  "card:read": "Read the extended agent card",
  "tool:approve": "Approve what an agent asks approval for",
} as const satisfies Record<Scope, string>;

export const adminScopeDescriptions = {
  "admin:read": "Read what operators read",
  "admin:write": "Change what operators change",
  "admin:keys": "Manage keys, roles and sessions",
} as const satisfies Record<AdminScope, string>;

/** The roles there always are, with their scopes; `area:*` is every scope of an area. */
export const builtInRoles: ReadonlyMap<string, readonly string[]> = new Map([
  ["viewer", ["task:read", "push:read", "card:read"]],
  ["user", ["task:*", "push:*", "card:read"]],
  ["approver", ["task:*", "push:*", "card:read", "tool:approve"]],
  ["operator", ["admin:read", "admin:write"]],
  ["admin", ["admin:*"]],
]);

const scopes = Object.keys(scopeDescriptions) as Scope[];
const adminScopes = Object.keys(adminScopeDescriptions) as AdminScope[];

/** What callers may do, all of it. */
export const everyScope: ReadonlySet<Scope> = new Set(scopes);

/** Whether a name is that of a scope, or of all scopes of an area. */
export function isScopeName(name: string): boolean {
  return [...scopes, ...adminScopes].some((scope) => covers(name, scope));
}

/** What the scopes of these names allow. A name that is not ours allows nothing: tokens are full of such. */
export function toGrants(names: Iterable<string>): Grants {
  const named = [...names];
  const granted = <S extends string>(all: readonly S[]): ReadonlySet<S> =>
    new Set(all.filter((scope) => named.some((name) => covers(name, scope))));
  return { scopes: granted(scopes), adminScopes: granted(adminScopes) };
}

function covers(name: string, scope: string): boolean {
  return name === scope || name === `${scope.slice(0, scope.indexOf(":"))}:*`;
}

/** The scopes of a role that is not built in; undefined: there is no such role. */
export type CustomRoles = (role: string) => Promise<readonly string[] | undefined>;

/** What roles and scopes allow together. A role that is not known allows nothing. */
export async function grantsOf(
  { roles, scopes }: { roles: readonly string[]; scopes: readonly string[] },
  customRoles: CustomRoles,
): Promise<Grants> {
  const ofRoles = await Promise.all(roles.map((role) => builtInRoles.get(role) ?? customRoles(role)));
  return toGrants([...scopes, ...ofRoles.flatMap((names) => names ?? [])]);
}
