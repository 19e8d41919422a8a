// What has to be true before a deployment. The vars are judged by the function the Worker itself uses, so a
// deployment that passes does not answer 500 because of its settings.

import { loadConfig } from "../src/config.ts";
import type { Project } from "./project.ts";

const PLACEHOLDER = /^[0-]*$/;

/** One line per problem of a project read for the environment `production`; none means it may be deployed. */
export function productionProblems(project: Project): string[] {
  const problems: string[] = [];
  const config = loadConfig(project.vars);
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
