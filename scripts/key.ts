// `npm run key -- --owner alice`: makes an API key and prints it once; `list`, `rotate ID` and `revoke ID` do what they
// say. Local by default (the state of `npm start` and `npm run serve`); `--remote` for the deployed database.

import "./quiet.ts";
import { parseArgs } from "node:util";
import { builtInRoles, isScopeName } from "../src/auth/roles.ts";
import {
  type ApiKey,
  createApiKey,
  type IssuedKey,
  listApiKeys,
  revokeApiKey,
  rotateApiKey,
} from "../src/store/api-keys.ts";
import { command, Refusal } from "./command.ts";
import { withLocalDatabases } from "./migrations.ts";
import { readProject } from "./project.ts";
import { remoteDatabase } from "./remote-database.ts";
import { readSettings } from "./settings.ts";

const USAGE = `Usage: npm run key -- --owner NAME [--roles A,B] [--scopes C,D] [--label TEXT] [--days N]
       npm run key -- list [--owner NAME]
       npm run key -- rotate ID [--hours N]   the old secret stays valid for N hours, 24 if not given
       npm run key -- revoke ID
Each with --remote for the deployed database. Roles: ${[...builtInRoles.keys()].join(", ")}; user if none is given.`;

const NAME = /^[A-Za-z0-9._@:-]{1,128}$/;
const ROLE = /^[a-z][a-z0-9-]{0,63}$/;
const HOUR_MS = 3_600_000;
/** How the audit names whoever runs this. */
const CLI = "cli";

command(async () => {
  const { verb, id, options } = readArguments();
  if (options.help) return console.log(USAGE);
  const run = {
    create: () => create(options),
    list: () => list(options.owner),
    rotate: () => rotate(id, hoursOf(options.hours)),
    revoke: () => revoke(id),
  }[verb];
  // What is wrong with the arguments is found before a database is opened.
  const act = run();
  if (options.remote) return act(remoteDatabase());
  const project = readProject();
  const { stateDir } = readSettings(project, process.env);
  await withLocalDatabases(project, stateDir, async (runtime) => {
    await act((await runtime.getD1Database("DB")) as unknown as D1Database);
  });
});

type Options = ReturnType<typeof readArguments>["options"];
type Act = (db: D1Database) => Promise<void>;

function create(options: Options): Act {
  const { owner, label = "" } = options;
  if (owner === undefined) refuse("--owner must be given.");
  if (!NAME.test(owner)) refuse(`--owner must match ${NAME}.`);
  if (label !== "" && !NAME.test(label)) refuse(`--label must match ${NAME}.`);
  const scopes = namesOf(options.scopes, isScopeName, "--scopes must be scopes such as task:read or push:*");
  const roles = namesOf(options.roles, (name) => ROLE.test(name), `--roles must match ${ROLE}`);
  if (roles.length + scopes.length === 0) roles.push("user");
  const days = options.days === undefined ? undefined : whole("--days", options.days, 1, 36_500);
  return async (db) => {
    const now = Date.now();
    const expiresAt = days === undefined ? null : now + days * 24 * HOUR_MS;
    tell(
      await createApiKey(db, { owner, label, roles, scopes, createdBy: CLI, toldBy: CLI, expiresAt }, now),
    );
  };
}

function list(owner: string | undefined): Act {
  return async (db) => {
    for (let after: (string | number)[] | undefined; ; ) {
      const { rows, next } = await listApiKeys(db, { owner }, { after, limit: 100 });
      for (const key of rows) console.log(describe(key));
      if (next === undefined) return;
      after = [...next];
    }
  };
}

function rotate(id: string, hours: number): Act {
  return async (db) => {
    const rotated = await rotateApiKey(db, { id, overlapMs: hours * HOUR_MS, toldBy: CLI }, Date.now());
    if (!rotated.ok) throw new Refusal(`The key ${id} cannot be rotated: ${rotated.error.reason}.`);
    tell(rotated.value);
  };
}

function revoke(id: string): Act {
  return async (db) => {
    if ((await revokeApiKey(db, { id, toldBy: CLI }, Date.now())) === undefined)
      throw new Refusal(`No key ${id}.`);
    console.log(`The key ${id} is revoked. It may work for 30 s yet.`);
  };
}

function tell({ key, text }: IssuedKey): void {
  console.log(`${text}

Keep it: only its hash is stored. Clients send it as "Authorization: Bearer <key>".
${describe(key)}`);
}

function describe({ id, owner, roles, scopes, label, expiresAt, revokedAt }: ApiKey): string {
  const day = (ms: number) => new Date(ms).toISOString().slice(0, 16);
  return [
    `${id}  owner ${owner}`,
    [...roles, ...scopes].join(",") || "no rights",
    ...(label === "" ? [] : [label]),
    ...(revokedAt === null ? [] : [`revoked ${day(revokedAt)}`]),
    ...(expiresAt === null ? [] : [`expires ${day(expiresAt)}`]),
  ].join("  ");
}

function readArguments() {
  try {
    const text = { type: "string" } as const;
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: {
        ...{ owner: text, label: text, roles: text, scopes: text, days: text, hours: text },
        remote: { type: "boolean" },
        help: { type: "boolean", short: "h" },
      },
    });
    const [verb = "create", id = "", ...more] = positionals;
    if (verb !== "create" && verb !== "list" && verb !== "rotate" && verb !== "revoke") {
      return refuse(`There is no ${verb}.`);
    }
    const wantsId = verb === "rotate" || verb === "revoke";
    if (wantsId !== (id !== "") || more.length > 0)
      return refuse(`${verb} takes ${wantsId ? "one id" : "no id"}.`);
    return { verb, id, options: values } as const;
  } catch (error) {
    return refuse(error instanceof Refusal ? error.message : (error as Error).message);
  }
}

function namesOf(text: string | undefined, isName: (name: string) => boolean, problem: string): string[] {
  const names = (text ?? "").split(",").filter((name) => name !== "");
  return names.every(isName) ? names : refuse(`${problem}, separated by commas.`);
}

function hoursOf(text: string | undefined): number {
  return text === undefined ? 24 : whole("--hours", text, 0, 8_760);
}

function whole(option: string, text: string, min: number, max: number): number {
  const value = Number(text);
  return /^\d{1,6}$/.test(text) && value >= min && value <= max
    ? value
    : refuse(`${option} must be a whole number from ${min} to ${max}.`);
}

function refuse(problem: string): never {
  throw new Refusal(`${problem}\n${USAGE}`);
}
