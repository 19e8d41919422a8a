// `npm run key`: keys are made, listed, rotated and revoked, in a local database and through wrangler's command line.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { remoteDatabase, withValues } from "../../scripts/remote-database.ts";
import { createApiKey, findApiKey, listApiKeys, rotateApiKey } from "../../src/store/api-keys.ts";
import { run } from "./run.ts";
import { createStateDir, removeStateDir } from "./server.ts";

let stateDir: string;
beforeAll(async () => {
  stateDir = await createStateDir();
});
afterAll(() => removeStateDir(stateDir));

const key = (...args: string[]) => run("npm", ["run", "-s", "key", "--", ...args], { STATE_DIR: stateDir });
// Each of them loads wrangler, which takes seconds on a busy machine.
const TIMEOUT_MS = 300_000;

test(
  "makes, lists, rotates and revokes keys, and shows no secret again",
  async () => {
    const made = await key(
      "--owner",
      "alice",
      "--roles",
      "viewer,approver",
      "--scopes",
      "task:*",
      "--days",
      "3",
    );
    const [text = "", id = ""] = /^a2a_([0-9a-z]{12})_\S{43}$/m.exec(made.output) ?? [];
    expect((await key("--owner", "bob")).code).toBe(0);

    const all = await key("list");
    expect(all.output).toContain(`${id}  owner alice  viewer,approver,task:*  expires `);
    expect(all.output).toMatch(/owner bob {2}user$/m);
    expect(all.output).not.toContain(text);
    expect((await key("list", "--owner", "alice")).output.trim().split("\n")).toHaveLength(1);

    const rotated = await key("rotate", id, "--hours", "1");
    expect(rotated.output).toMatch(new RegExp(`^a2a_${id}_`, "m"));
    expect(rotated.output).not.toContain(text);
    expect((await key("revoke", id)).code).toBe(0);
    expect((await key("list")).output).toContain("revoked ");
    expect(await key("rotate", id)).toMatchObject({ code: 1, output: expect.stringContaining("revoked") });
  },
  TIMEOUT_MS,
);

describe("refuses with a sentence and the usage", () => {
  test.each([
    [[], "--owner"],
    [["--owner", "a", "--scopes", "task:fly"], "--scopes"],
    [["--owner", "a", "--days", "0"], "--days"],
    [["rotate"], "one id"],
    [["burn"], "burn"],
  ])("%j", async (args, names) => {
    const { code, output } = await key(...args);
    expect(code).toBe(1);
    expect(output).toContain(names);
    expect(output).toContain("Usage: ");
  });

  test("a key that is not there", async () => {
    expect(await key("revoke", "nothing")).toMatchObject({ code: 1, output: "No key nothing.\n" });
  });
});

test("wrangler's command line serves as the database", async () => {
  const db = remoteDatabase(["--local", "--persist-to", stateDir]);
  const said = { owner: "it's ? mine", roles: ["user"], scopes: [], createdBy: "cli" };
  const made = await createApiKey(db, said, 1_000);
  expect(made.key).toMatchObject(said);
  const rotated = await rotateApiKey(db, { id: made.key.id, overlapMs: 5 }, 2_000);
  expect(rotated).toMatchObject({ ok: true, value: { key: { previousUntil: 2_005 } } });
  const { rows } = await listApiKeys(db, { owner: said.owner }, { limit: 10 });
  expect(rows).toEqual([rotated.ok && rotated.value.key]);
  expect(await findApiKey(db, "0".repeat(64))).toBeUndefined();
});

describe("withValues", () => {
  test("writes numbers, texts and NULL where their places are", () => {
    expect(withValues("a = ? AND b = ? OR c = ?2 OR d = ?10", [1, "it's ?1", ..."3456789", null])).toBe(
      "a = 1 AND b = 'it''s ?1' OR c = 'it''s ?1' OR d = NULL",
    );
  });

  test.each([[1.5], [Number.NaN], [{}], [undefined], ["\0"]])("refuses %j", (value) => {
    expect(() => withValues("?", [value])).toThrow();
  });
});
