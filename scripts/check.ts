// `npm run check`: everything that must hold before a commit, in the order of what fails fastest. It stops at
// the first failure, names it, and writes no file but the coverage report.

import "./quiet.ts";
import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { experimental_generateTypes } from "wrangler";
import { command, Refusal } from "./command.ts";
import { toReference } from "./configuration.ts";
import { root } from "./project.ts";

const TYPES = "src/env.d.ts";
const REFERENCE = "docs/configuration.md";

const steps: [name: string, run: () => Promise<boolean>][] = [
  ["generated types", typesAreFresh],
  ["configuration reference", referenceIsFresh],
  ["types", () => tool("tsc", "--noEmit")],
  ["types of scripts and process tests", () => tool("tsc", "--noEmit", "--project", "scripts")],
  ["lint and format", () => tool("biome", "ci", ".")],
  ["tests with coverage", () => tool("vitest", "run", "--coverage")],
];

command(async () => {
  for (const [name, run] of steps) {
    console.log(`\n# ${name}`);
    if (!(await run())) throw new Refusal(`\ncheck failed: ${name}`);
  }
});

/** Compares the content, because `wrangler types --check` looks at the hash in the first line only. */
async function typesAreFresh(): Promise<boolean> {
  process.chdir(root);
  // No env files: a developer's own secrets are not part of what is committed.
  const fresh = await experimental_generateTypes({
    includeRuntime: false,
    strictVars: false,
    path: TYPES,
    envFile: [],
  });
  if (fresh.content === (await readFile(join(root, TYPES), "utf8"))) return true;
  console.error(`${TYPES} is not what wrangler.toml gives: run \`npm run types\`.`);
  return false;
}

/** The test says so too; this says it first, and what to do. */
async function referenceIsFresh(): Promise<boolean> {
  const [toml, written] = await Promise.all(
    ["wrangler.toml", REFERENCE].map((file) => readFile(join(root, file), "utf8")),
  );
  if (toReference(toml ?? "") === written) return true;
  console.error(`${REFERENCE} is not what src/config.ts and wrangler.toml give: run \`npm run docs\`.`);
  return false;
}

/** Runs a tool of node_modules/.bin, which npm puts on the path, and tells whether it succeeded. */
function tool(name: string, ...args: string[]): Promise<boolean> {
  const child = spawn(name, args, {
    cwd: root,
    stdio: ["ignore", "inherit", "inherit"],
    // On Windows the tools are scripts, which only a shell can start.
    shell: process.platform === "win32",
  });
  return new Promise((settle, fail) => {
    child.on("error", fail);
    child.on("close", (code) => settle(code === 0));
  });
}
