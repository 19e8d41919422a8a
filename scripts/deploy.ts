// `npm run deploy`: checks the production settings, then migrates the database, sees whether the secrets are set, and
// deploys.
//
// `-- --dry-run` stops before anything leaves this machine; `-- --config FILE` takes another wrangler.toml.

import "./quiet.ts";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { command, Refusal } from "./command.ts";
import { SECRET_NAMES } from "./local-secrets.ts";
import { missingSecrets, productionProblems } from "./production.ts";
import { readProject, root, wrangler } from "./project.ts";

command(async () => {
  const { dryRun, file } = readArguments();
  const problems = productionProblems(readProject("production", file));
  if (problems.length > 0) {
    throw new Refusal(problems.map((problem) => `[env.production] ${problem}`).join("\n"));
  }
  const target = ["--env", "production", "--config", file];
  if (dryRun) return run(["deploy", "--dry-run", ...target]);
  // The database first: the new code may need the new tables, and the old code does not mind them.
  await run(["d1", "migrations", "apply", "DB", "--remote", ...target]);
  await requireSecrets(target);
  await run(["deploy", ...target]);
});

/** Without its secrets the Worker would answer every request with 500. */
async function requireSecrets(target: string[]): Promise<void> {
  const { code, output } = await wrangler(["secret", "list", ...target], "collect");
  const isNew = code !== 0 && /Worker .* not found/.test(output);
  const missing = isNew ? SECRET_NAMES : missingSecrets(output);
  if (missing === undefined || (code !== 0 && !isNew)) {
    throw new Refusal(`${output.trim()}\nwrangler secret failed with exit code ${code}.`);
  }
  if (missing.length > 0) {
    throw new Refusal(`${missing.join(", ")} must be set first: run \`npm run secrets\` and what it says.`);
  }
}

function readArguments(): { dryRun: boolean; file: string } {
  try {
    const { values } = parseArgs({
      options: { "dry-run": { type: "boolean", default: false }, config: { type: "string" } },
    });
    return { dryRun: values["dry-run"], file: resolve(values.config ?? join(root, "wrangler.toml")) };
  } catch (error) {
    throw new Refusal(`${(error as Error).message}\nUsage: npm run deploy [-- --dry-run] [--config FILE]`);
  }
}

async function run(args: string[]): Promise<void> {
  const { code } = await wrangler(args, "show");
  if (code !== 0) throw new Refusal(`wrangler ${args[0]} failed with exit code ${code}.`);
}
