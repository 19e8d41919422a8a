// docs/configuration.md, made of what src/config.ts takes and what wrangler.toml says of each var. Nothing here reads
// or writes a file: `npm run docs` does, and a test compares.

import { describeSettings, type Setting } from "../src/config.ts";

const HEAD = `# Configuration

Made by \`npm run docs\` of the schema in [src/config.ts](../src/config.ts) and the comments in
[wrangler.toml](../wrangler.toml): change those, not this file.

Every setting is read once an isolate. A value that does not fit stops the server: every request answers 500, the log
names the setting, and \`npm run deploy\` says so before it deploys. \`npm start\` and \`npm run serve\` take each by its
name from the environment: \`DEFAULT_AGENT=interview npm start\`.
`;

/** The text of the reference. Throws if a setting has no value or no comment in wrangler.toml. */
export function toReference(wranglerToml: string): string {
  const development = varsOf(wranglerToml, "vars");
  const production = varsOf(wranglerToml, "env.production.vars");
  const settings = describeSettings();
  const vars = settings
    .filter(({ isSecret }) => !isSecret)
    .map((setting) => {
      const here = development.get(setting.name);
      const there = production.get(setting.name);
      if (here?.comment === undefined || there === undefined) {
        throw new Error(`wrangler.toml must have ${setting.name} with a comment, and again for production`);
      }
      const preset =
        here.value === there.value
          ? `Default: ${quote(here.value)}.`
          : `Default: ${quote(here.value)}; in production ${quote(there.value)}.`;
      return section(setting, here.comment, preset);
    });
  const secrets = settings
    .filter(({ isSecret }) => isSecret)
    .map((setting) => {
      const comment = new RegExp(`^# ${setting.name} +(.+)$`, "m").exec(wranglerToml)?.[1];
      if (comment === undefined)
        throw new Error(`wrangler.toml must say what the secret ${setting.name} does`);
      return section(
        setting,
        `${capital(comment)}.`,
        "Made by `npm start` for local servers, by `npm run secrets` for others.",
      );
    });
  return [HEAD, "## Vars\n", ...vars, "## Secrets\n", ...secrets].join("\n");
}

function section({ name, takes, production }: Setting, comment: string, preset: string): string {
  const rule = production === undefined ? "" : `\nIt ${production}.`;
  return `### \`${name}\`\n\n${comment}\n\n${capital(takes)}. ${preset}${rule}\n`;
}

type Var = { value: string; comment: string | undefined };

/** The vars under a heading with the comment before each; they are plain strings, one a line. */
function varsOf(wranglerToml: string, heading: string): Map<string, Var> {
  const [, after = ""] = wranglerToml.split(`\n[${heading}]\n`);
  const [table = ""] = after.split(/\n\[/);
  const found = table.matchAll(/((?:^# .+\n)*)^([A-Z_]+) = "(.*)"$/gm);
  return new Map(
    [...found].map(([, comments = "", name = "", value = ""]) => {
      const comment = comments.replace(/^# /gm, "").trim().replaceAll("\n", " ");
      return [name, { comment: comment === "" ? undefined : comment, value }];
    }),
  );
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function quote(value: string): string {
  return value === "" ? "empty" : `\`${value}\``;
}
