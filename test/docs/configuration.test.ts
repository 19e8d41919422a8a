// docs/configuration.md is what the schema and wrangler.toml give, and says of every setting what it takes.

import { env } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import reference from "../../docs/configuration.md?raw";
import { toReference } from "../../scripts/configuration.ts";
import { describeSettings, loadConfig } from "../../src/config.ts";

const toml = env.TEST_WRANGLER_TOML;
const sectionOf = (name: string) =>
  reference.split(/^### /m).find((text) => text.startsWith(`\`${name}\`\n`)) ?? "";

describe("docs/configuration.md", () => {
  it("is fresh: if not, run `npm run docs`", () => {
    expect(reference).toBe(toReference(toml));
  });

  it.each(describeSettings())(
    "says of $name what it does, what it takes and what production insists on",
    (setting) => {
      const section = sectionOf(setting.name);
      expect(section.toLowerCase()).toContain(setting.takes.toLowerCase());
      expect(section).toMatch(setting.isSecret ? /npm run secrets/ : /\. Default: /);
      expect(section.includes(`It ${setting.production}.`)).toBe(setting.production !== undefined);
    },
  );

  it("says in words what a wrong value is told", () => {
    for (const { name, takes, isSecret } of describeSettings()) {
      // Any text is a URI, and issuers say more of what is wrong.
      if (isSecret || name === "REQUIRED_EXTENSIONS" || name === "JWT_ISSUERS") continue;
      const loaded = loadConfig({ ...env, [name]: "a/b, c d" });
      const problems = loaded.ok ? [] : loaded.error;
      // An agent of this name is looked for by the registry.
      if (name !== "DEFAULT_AGENT") expect(problems).toContain(`${name} must be ${takes}`);
    }
  });

  it("holds no secret and no range that only it knows", () => {
    for (const secret of [env.ADMIN_KEY, env.SIGNING_KEYS, env.ENCRYPTION_KEYS])
      expect(reference).not.toContain(secret);
  });

  it("cannot be made while a var has no comment, or is not set for production", () => {
    const bare = toml.replace(/^# .+\n(?=STREAMING = )/m, "");
    expect(() => toReference(bare)).toThrow(/STREAMING/);
    const onlyHere = toml.replace(/^STREAMING = .*$/gm, (line, at: number) =>
      at > toml.indexOf("[env.production.vars]") ? "" : line,
    );
    expect(() => toReference(onlyHere)).toThrow(/STREAMING/);
    expect(() => toReference(toml.replace(/^# ADMIN_KEY.*$/m, ""))).toThrow(/ADMIN_KEY/);
  });
});
