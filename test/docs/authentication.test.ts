// What docs/authentication.md shows is what the server takes.

import { describe, expect, it } from "vitest";
import guide from "../../docs/authentication.md?raw";
import { adminScopeDescriptions, builtInRoles, scopeDescriptions, toGrants } from "../../src/auth/roles.ts";
import { parseIssuers } from "../../src/issuers.ts";

describe("docs/authentication.md", () => {
  it("shows an entry of JWT_ISSUERS that is taken, with every setting and a row for each", () => {
    const [, entry = ""] = /```json\n([\s\S]*?)```/.exec(guide) ?? [];
    expect(parseIssuers(`[${entry}]`, { httpsOnly: true })).toMatchObject({ ok: true });
    for (const setting of Object.keys(JSON.parse(entry) as object)) {
      expect(guide, setting).toMatch(new RegExp(`^\\| [^|]*\`${setting}\`[^|]* \\|`, "m"));
    }
  });

  it("names every scope, and every built-in role with what it allows", () => {
    for (const scope of Object.keys({ ...scopeDescriptions, ...adminScopeDescriptions })) {
      expect(guide).toContain(`\`${scope}\``);
    }
    const row = (role: string) => new RegExp(`^\\| \`${role}\` \\| (.*) \\|$`, "m").exec(guide)?.[1] ?? "";
    for (const [role, names] of builtInRoles) {
      const said = [
        ...row(role)
          .replace("those of `user`", row("user"))
          .matchAll(/`([^`]+)`/g),
      ];
      expect(toGrants(said.map(([, name = ""]) => name)), role).toEqual(toGrants(names));
    }
  });
});
