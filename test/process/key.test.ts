// `npm run key`: keys are made, listed, rotated and revoked, in a local database and through wrangler's command line.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { remoteDatabase, withValues } from "../../scripts/remote-database.ts";
import { createApiKey, findApiKey, listApiKeys, rotateApiKey } from "../../src/store/api-keys.ts";
import { readInbox } from "../../src/store/audit-inbox.ts";
import { run } from "./run.ts";
import { createStateDir, removeStateDir, startServer } from "./server.ts";

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

    // The server tells the audit of all of it.
    const ADMIN_KEY = "an-admin-key-of-a-test-0123456789";
    const server = await startServer({ mode: "serve", stateDir, vars: { ADMIN_KEY, CRON_SECONDS: "1" } });
    const kinds = async () => {
      const url = `${server.url}/admin/v1/audit?actor=cli&owner=${encodeURIComponent("key::alice")}`;
      const response = await fetch(url, { headers: { authorization: `Bearer ${ADMIN_KEY}` } });
      const { entries } = (await response.json()) as { entries: { kind: string; detail: { key: string } }[] };
      return entries.map(({ kind, detail }) => [kind, detail.key]);
    };
    const told = [
      ["key.revoked", id],
      ["key.rotated", id],
      ["key.created", id],
    ];
    await expect.poll(kinds, { timeout: 60_000, interval: 1_000 }).toEqual(told);
    await server.stop();
  },
  TIMEOUT_MS,
);

test("says how it is used", async () => {
  expect(await key("--help")).toMatchObject({ code: 0, output: expect.stringMatching(/^Usage: /) });
});

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
  const said = { owner: "it's ? mine; or not", roles: ["user"], scopes: [], createdBy: "cli" };
  const toldBy = "cli";
  const made = await createApiKey(db, { ...said, toldBy }, 1_000);
  expect(made.key).toMatchObject(said);
  const rotated = await rotateApiKey(db, { id: made.key.id, overlapMs: 5, toldBy }, 2_000);
  expect(rotated).toMatchObject({ ok: true, value: { key: { previousUntil: 2_005 } } });
  const { rows } = await listApiKeys(db, { owner: said.owner }, { limit: 10 });
  expect(rows).toEqual([rotated.ok && rotated.value.key]);
  expect(await findApiKey(db, "0".repeat(64))).toBeUndefined();
  const inbox = await readInbox(db, 10);
  expect(inbox.map(({ body }) => JSON.parse(body))).toMatchObject([
    { kind: "key.created", detail: { key: made.key.id, at: 1_000 } },
    { kind: "key.rotated", detail: { key: made.key.id, at: 2_000 } },
  ]);
});

test("a batch by wrangler's command line is done as a whole or not at all", async () => {
  const db = remoteDatabase(["--local", "--persist-to", stateDir]);
  const insert = db.prepare("INSERT INTO flags VALUES (?, 0, 0, '')");
  await expect(db.batch([insert.bind("once"), insert.bind("twice"), insert.bind("twice")])).rejects.toThrow();
  const found = await db.prepare("SELECT count(*) AS count FROM flags WHERE name = ?").bind("once").first();
  expect(found).toEqual({ count: 0 });
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
