// The tables `push_configs` and `endpoints`: which configs there are in all homes, and how many each endpoint has.
// Homes ship them; what a config says beyond this, and its secrets, stays in its home.

import { toJsonChunks } from "./json-chunks.ts";
import { type Condition, equal, type Found, type Page, readPage, type Walk } from "./keyset.ts";

/** A config is known by its home, its task and its own id. */
export type ConfigKey = {
  /** Durable Object id. */
  home: string;
  task: string;
  config: string;
};

export type ConfigState = "active" | "paused" | "disabled";

/** Times in ms. */
export type ConfigRow = ConfigKey & {
  owner: string;
  agent: string;
  /** Scheme, host and port. */
  origin: string;
  /** The URL without its query. */
  target: string;
  state: ConfigState;
  /** Why it is not active. */
  reason: string | null;
  createdAt: number;
  updatedAt: number;
};

export type ConfigFilter = {
  owner?: string | undefined;
  origin?: string | undefined;
  task?: string | undefined;
  state?: ConfigState | undefined;
};

export type Endpoint = { owner: string; origin: string; active: number; paused: number; disabled: number };

const changing = ["owner", "agent", "origin", "target", "state", "reason", "created_at", "updated_at"];

const SAVE = `INSERT INTO push_configs (home, task, config, ${changing.join(", ")})
  SELECT value ->> 'home', value ->> 'task', value ->> 'config', value ->> 'owner', value ->> 'agent',
    value ->> 'origin', value ->> 'target', value ->> 'state', value ->> 'reason', value ->> 'createdAt',
    value ->> 'updatedAt'
  FROM json_each(?1) WHERE true
  ON CONFLICT (home, task, config) DO UPDATE SET
    ${changing.map((column) => `${column} = excluded.${column}`).join(", ")}
  WHERE excluded.updated_at >= updated_at`;

const COLUMNS =
  "home, task, config, owner, agent, origin, target, state, reason, created_at AS createdAt, updated_at AS updatedAt";

/** Saves configs, new or changed; one that is older (`updatedAt`) than what is stored changes nothing. */
export async function saveConfigs(db: D1Database, rows: readonly ConfigRow[]): Promise<void> {
  if (rows.length > 0) await db.batch(toJsonChunks(rows).map((chunk) => db.prepare(SAVE).bind(chunk)));
}

/** Forgets configs; those that are not there are forgotten already. */
export async function deleteConfigs(db: D1Database, keys: readonly ConfigKey[]): Promise<void> {
  if (keys.length === 0) return;
  const named = keys.map(({ home, task, config }) => ({ home, task, config }));
  await db.batch(
    toJsonChunks(named).map((chunk) =>
      db
        .prepare(
          `DELETE FROM push_configs WHERE (home, task, config) IN (
             SELECT value ->> 'home', value ->> 'task', value ->> 'config' FROM json_each(?1))`,
        )
        .bind(chunk),
    ),
  );
}

export async function findConfig(db: D1Database, key: ConfigKey): Promise<ConfigRow | undefined> {
  const row = await db
    .prepare(`SELECT ${COLUMNS} FROM push_configs WHERE home = ? AND task = ? AND config = ?`)
    .bind(key.home, key.task, key.config)
    .first<ConfigRow>();
  return row ?? undefined;
}

/** Configs, in the order of home, task and id. */
export function searchConfigs(db: D1Database, filter: ConfigFilter, page: Page): Promise<Found<ConfigRow>> {
  return readPage<ConfigRow>(db, configsWalk(filter), page, (row) => [row.home, row.task, row.config]);
}

/** How configs are found: exported for the tests, which ask the database about it. */
export function configsWalk({ owner, origin, task, state }: ConfigFilter): Walk {
  const inactive: Condition = { column: "state", test: "<> 'active'" };
  const scopes = [...equal("task", task), ...equal("origin", origin), ...equal("owner", owner)];
  const states = equal("state", state);
  const [narrow = state === "active" ? undefined : states[0]] = scopes;
  return {
    table: "push_configs",
    index: narrow && `push_configs_by_${narrow.column}`,
    order: ["home", "task", "config"],
    descending: false,
    columns: COLUMNS,
    key: ["home", "task", "config"],
    // A list of everything begins before every home, so that it is searched for like any other.
    within: narrow
      ? [narrow, ...(narrow.column === "state" ? [inactive] : [])]
      : [{ column: "home", test: "> ?", value: "" }],
    checks: [...scopes, ...states].filter((condition) => condition !== narrow),
  };
}

export async function findEndpoint(
  db: D1Database,
  owner: string,
  origin: string,
): Promise<Endpoint | undefined> {
  const row = await db
    .prepare("SELECT owner, origin, active, paused, disabled FROM endpoints WHERE owner = ? AND origin = ?")
    .bind(owner, origin)
    .first<Endpoint>();
  return row ?? undefined;
}

export type EndpointFilter = { owner?: string | undefined; origin?: string | undefined };

/** Endpoints that have configs, in the order of owner and origin. */
export function searchEndpoints(
  db: D1Database,
  filter: EndpointFilter,
  page: Page,
): Promise<Found<Endpoint>> {
  return readPage<Endpoint>(db, endpointsWalk(filter), page, ({ owner, origin }) => [owner, origin]);
}

/** How endpoints are found: exported for the tests. */
export function endpointsWalk({ owner, origin }: EndpointFilter): Walk {
  const byOrigin = origin !== undefined && owner === undefined;
  const within = [...equal("owner", owner), ...equal("origin", origin)];
  return {
    table: "endpoints",
    index: byOrigin ? "endpoints_by_origin" : undefined,
    order: ["owner", "origin"],
    descending: false,
    columns: "owner, origin, active, paused, disabled",
    key: ["owner", "origin"],
    within: within.length > 0 ? within : [{ column: "owner", test: "> ?", value: "" }],
    checks: [],
  };
}
