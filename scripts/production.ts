// What has to be true before a deployment. The vars are judged by the function the Worker itself uses, so a
// deployment that passes does not answer 500 because of its settings.
//
// Secrets cannot be read back. Their names are all that can be looked up, and only at Cloudflare.

import { loadConfig } from "../src/config.ts";
import { createSecrets, SECRET_NAMES, type SecretName } from "./local-secrets.ts";
import type { Project } from "./project.ts";

const PLACEHOLDER = /^[0-]*$/;

/** One line per problem of a project read for the environment `production`; none means it may be deployed. */
export function productionProblems(project: Project): string[] {
  const problems: string[] = [];
  for (const name of SECRET_NAMES) {
    if (name in project.vars)
      problems.push(`${name} is a secret: take it out of the vars and run \`npm run secrets\``);
  }
  const config = loadConfig({ ...project.vars, ...createSecrets() });
  if (!config.ok) problems.push(...config.error);
  else if (config.value.environment !== "production") problems.push('ENVIRONMENT must be "production"');
  if (project.d1_databases.length === 0) problems.push("the D1 database DB is missing");
  for (const { binding, database_name, database_id } of project.d1_databases) {
    if (PLACEHOLDER.test(database_id ?? "")) {
      problems.push(
        `database_id of ${binding} is the placeholder: run \`npx wrangler d1 create ${database_name}\` and put its id there`,
      );
    }
  }
  return problems;
}

/** The secrets that a Worker lacks, from what `wrangler secret list` printed; undefined: it printed no list. */
export function missingSecrets(printed: string): SecretName[] | undefined {
  // Warnings may stand before it, with brackets of their own.
  const list = /^\[(\]|\n[\s\S]*?^\])/m.exec(printed)?.[0];
  if (list === undefined) return undefined;
  const names = (JSON.parse(list) as { name: string }[]).map(({ name }) => name);
  return SECRET_NAMES.filter((name) => !names.includes(name));
}
