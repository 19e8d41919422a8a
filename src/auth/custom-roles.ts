// The roles that operators have defined, as authentication asks for them.
//
// What a role is made of is remembered for 25 s, and the callers who have it for 30 s more: a change is in force
// everywhere within a minute.

import { createMemory } from "../lib/memory.ts";
import { findRole } from "../store/roles.ts";
import type { CustomRoles } from "./roles.ts";

const REMEMBER_MS = 25_000;
const REMEMBER_ROLES = 1_000;

export function createCustomRoles(db: D1Database, now: () => number): CustomRoles {
  const memory = createMemory({
    load: (name: string) => findRole(db, name),
    keepMs: REMEMBER_MS,
    maxKeys: REMEMBER_ROLES,
    now,
  });
  return async (name) => (await memory.get(name))?.scopes;
}
