// `npm run docs`: writes docs/configuration.md anew.

import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { command } from "./command.ts";
import { toReference } from "./configuration.ts";
import { root } from "./project.ts";

command(async () => {
  const wranglerToml = await readFile(join(root, "wrangler.toml"), "utf8");
  await writeFile(join(root, "docs/configuration.md"), toReference(wranglerToml));
});
