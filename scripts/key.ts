// `npm run key -- --owner alice`: makes an API key, prints it once, and stores its hash in D1. Local by default
// (the state of `npm start` and `npm run serve`); `--remote` for the deployed database.

import "./quiet.ts";
import { createHash, randomBytes, randomUUID } from "node:crypto";
import { parseArgs } from "node:util";
import { command, Refusal } from "./command.ts";
import { withLocalDatabases } from "./migrations.ts";
import { readProject, wrangler } from "./project.ts";
import { readSettings } from "./settings.ts";

const USAGE = "Usage: npm run key -- --owner NAME [--label TEXT] [--days N] [--remote]";
/** Both go into an SQL text, so neither may hold what has a meaning there. */
const NAME = /^[A-Za-z0-9._@:-]{1,128}$/;

command(async () => {
  const { owner, label = "", days, remote = false } = readArguments();
  if (owner === undefined || !NAME.test(owner)) throw new Refusal(`${USAGE}\nNAME must match ${NAME}.`);
  if (label !== "" && !NAME.test(label)) throw new Refusal(`${USAGE}\nTEXT must match ${NAME}.`);
  if (days !== undefined && !/^[1-9]\d{0,4}$/.test(days))
    throw new Refusal(`${USAGE}\nN must be a number of days.`);

  const key = `a2a_${randomBytes(32).toString("base64url")}`;
  const hash = createHash("sha256").update(key).digest("hex");
  const now = Date.now();
  const expiresAt = days === undefined ? "NULL" : now + Number(days) * 86_400_000;
  const insert = `INSERT INTO api_keys (id, hash, owner, label, created_at, expires_at)
    VALUES ('${randomUUID()}', '${hash}', '${owner}', '${label}', ${now}, ${expiresAt})`;
  await (remote ? executeRemote(insert) : executeLocal(insert));
  console.log(
    `${key}\n\nKeep it: only its hash is stored. Clients send it as "Authorization: Bearer <key>".`,
  );
});

function readArguments() {
  try {
    const text = { type: "string" } as const;
    const options = { owner: text, label: text, days: text, remote: { type: "boolean" } } as const;
    return parseArgs({ options }).values;
  } catch (error) {
    throw new Refusal(`${(error as Error).message}\n${USAGE}`);
  }
}

async function executeLocal(sql: string): Promise<void> {
  const project = readProject();
  const { stateDir } = readSettings(project, process.env);
  await withLocalDatabases(project, stateDir, async (runtime) => {
    await (await runtime.getD1Database("DB")).prepare(sql).run();
  });
}

async function executeRemote(sql: string): Promise<void> {
  const { code, output } = await wrangler(
    ["d1", "execute", "DB", "--remote", "--env", "production", "--yes", "--command", sql],
    "collect",
  );
  if (code !== 0) throw new Refusal(output.trim());
}
