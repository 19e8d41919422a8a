// Roles: the built-in ones, and those that operators define as sets of scopes.

import type { Operator } from "../auth/operator.ts";
import { builtInRoles, isScopeName, toGrants } from "../auth/roles.ts";
import { A2AError } from "../protocol/errors.ts";
import { deleteRole, findRole, listRoles, MAX_ROLES, type Role, saveRole } from "../store/roles.ts";
import { type AdminDeps, notFound } from "./deps.ts";
import { invalid, names, required, text } from "./fields.ts";
import { RoleAnswer, RoleList } from "./identity-answers.ts";
import { type AnyRoute, route } from "./routes.ts";
import { toTime } from "./schemas.ts";

const ROLE_NAME = /^[a-z][a-z0-9-]{0,63}$/;
const MAX_SCOPES = 32;

export const roleName = {
  ...text("The role's name: lower-case letters, digits and hyphens, a letter first.", 64),
  required: true as const,
};

export const scopeNames = names("Scopes such as `task:read`, or all of an area: `push:*`.", {
  max: MAX_SCOPES,
  isName: isScopeName,
  otherwise: "is no scope of this server",
});

export const roleRoutes: readonly AnyRoute[] = [
  route({
    verb: "GET",
    path: "/admin/v1/roles",
    scope: "admin:keys",
    summary: "List the roles, built-in ones first",
    fields: {},
    answer: RoleList,
    async handle({ db }) {
      return { roles: [...builtIn, ...(await listRoles(db)).map(toRole)] };
    },
  }),
  route({
    verb: "POST",
    path: "/admin/v1/roles",
    scope: "admin:keys",
    summary: "Define a role, or define it anew",
    description: `Who has the role has what it allows within a minute. There are at most ${MAX_ROLES} beside the built-in ones.`,
    fields: { name: roleName, scopes: required(scopeNames) },
    answer: RoleAnswer,
    async handle({ db, now }, { values: { name, scopes }, operator }) {
      if (!ROLE_NAME.test(name)) throw invalid("name", `must match ${ROLE_NAME.source}`);
      if (builtInRoles.has(name))
        throw invalid("name", "is that of a built-in role, which cannot be changed");
      requireNoMore(operator, scopes);
      const role = await saveRole(db, { name, scopes }, now());
      if (role) return toRole(role);
      throw new A2AError("UNSUPPORTED_OPERATION", {
        message: `There are ${MAX_ROLES} roles: delete one first`,
      });
    },
  }),
  route({
    verb: "DELETE",
    path: "/admin/v1/roles/{name}",
    scope: "admin:keys",
    summary: "Delete a role; who has it has nothing by it within a minute",
    fields: {},
    answer: RoleAnswer,
    async handle({ db }, { path: { name = "" } }) {
      if (builtInRoles.has(name)) {
        throw new A2AError("UNSUPPORTED_OPERATION", { message: "A built-in role cannot be deleted" });
      }
      const role = await deleteRole(db, name);
      if (!role) throw notFound("role");
      return toRole(role);
    },
  }),
];

/**
 * Refuses to give what the operator has not: whoever may make keys could otherwise make one that may do more than
 * they. What callers may do in their own tasks is for every operator with `admin:keys` to give.
 */
export function requireNoMore({ adminScopes }: Operator, scopes: Iterable<string>): void {
  for (const scope of toGrants(scopes).adminScopes) {
    if (adminScopes.has(scope)) continue;
    const message = `Nobody can give ${scope} who has it not`;
    throw new A2AError("PERMISSION_DENIED", { message, metadata: { scope } });
  }
}

/** The scopes of roles as they are now; INVALID_PARAMS for one that is not there: somebody might define it later. */
export async function scopesOfRoles({ db }: AdminDeps, roles: readonly string[]): Promise<string[]> {
  const all = await Promise.all(
    roles.map(async (name, i) => {
      const scopes = builtInRoles.get(name) ?? (await findRole(db, name))?.scopes;
      if (!scopes) throw invalid(`roles[${i}]`, "is no role of this server");
      return scopes;
    }),
  );
  return all.flat();
}

const builtIn: RoleAnswer[] = [...builtInRoles].map(([name, scopes]) => ({
  ...{ name, builtIn: true, scopes: [...scopes], createdAt: null, updatedAt: null },
}));

function toRole({ name, scopes, createdAt, updatedAt }: Role): RoleAnswer {
  const times = { createdAt: toTime(createdAt), updatedAt: toTime(updatedAt) };
  return { name, builtIn: false, scopes: [...scopes], ...times };
}
