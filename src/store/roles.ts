// The table `roles`: sets of scopes that operators have given a name.

/** Times in ms. */
export type Role = { name: string; scopes: readonly string[]; createdAt: number; updatedAt: number };

type Row = Omit<Role, "scopes"> & { scopes: string };

const COLUMNS = "name, scopes, created_at AS createdAt, updated_at AS updatedAt";

/** As many as fit into one answer. */
export const MAX_ROLES = 200;

/** Defines a role, or defines it anew; undefined: there are as many as there may be. */
export async function saveRole(
  db: D1Database,
  { name, scopes }: Pick<Role, "name" | "scopes">,
  now: number,
): Promise<Role | undefined> {
  const row = await db
    .prepare(
      `INSERT INTO roles (name, scopes, created_at, updated_at)
       SELECT ?1, ?2, ?3, ?3
       WHERE (SELECT count(*) FROM roles) < ?4 OR EXISTS (SELECT 1 FROM roles WHERE name = ?1)
       ON CONFLICT (name) DO UPDATE SET scopes = ?2, updated_at = ?3 RETURNING ${COLUMNS}`,
    )
    .bind(name, JSON.stringify(scopes), now, MAX_ROLES)
    .first<Row>();
  return row === null ? undefined : toRole(row);
}

export async function findRole(db: D1Database, name: string): Promise<Role | undefined> {
  const row = await db.prepare(`SELECT ${COLUMNS} FROM roles WHERE name = ?`).bind(name).first<Row>();
  return row === null ? undefined : toRole(row);
}

/** All roles, by name. */
export async function listRoles(db: D1Database): Promise<Role[]> {
  const { results } = await db.prepare(`SELECT ${COLUMNS} FROM roles ORDER BY name`).all<Row>();
  return results.map(toRole);
}

/** Deletes a role; as it was, undefined if there was none. */
export async function deleteRole(db: D1Database, name: string): Promise<Role | undefined> {
  const row = await db
    .prepare(`DELETE FROM roles WHERE name = ? RETURNING ${COLUMNS}`)
    .bind(name)
    .first<Row>();
  return row === null ? undefined : toRole(row);
}

function toRole(row: Row): Role {
  return { ...row, scopes: JSON.parse(row.scopes) as string[] };
}
