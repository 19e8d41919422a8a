// The secrets of local servers and of production: made once, kept from others' eyes, rotated, and never lost.

import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  createSecrets,
  ensureSecrets,
  rotated,
  rotateLocal,
  type Secrets,
  secretsFile,
} from "../../scripts/local-secrets.ts";
import { missingSecrets } from "../../scripts/production.ts";
import { readProject } from "../../scripts/project.ts";
import { loadConfig } from "../../src/config.ts";
import { parseKeyRing } from "../../src/keys/ring.ts";
import { open, seal } from "../../src/keys/sealing.ts";
import { parseSigningKeys, publicJwks, signEd25519 } from "../../src/keys/signing-keys.ts";
import { run } from "./run.ts";
import { createStateDir, removeStateDir, startServer } from "./server.ts";

let stateDir: string;
beforeEach(async () => {
  stateDir = await createStateDir();
});
afterEach(() => removeStateDir(stateDir));

function ringOf({ ENCRYPTION_KEYS }: Secrets) {
  const ring = parseKeyRing(ENCRYPTION_KEYS);
  if (!ring.ok) throw new Error(ring.error);
  return ring.value;
}

function signingKeysOf({ SIGNING_KEYS }: Secrets) {
  const keys = parseSigningKeys(SIGNING_KEYS);
  if (!keys.ok) throw new Error(keys.error);
  return keys.value;
}

const stored = async () => JSON.parse(await readFile(secretsFile(stateDir), "utf8")) as Secrets;

describe("ensureSecrets", () => {
  test("makes secrets that work, once, for their owner's eyes only", async () => {
    const secrets = await ensureSecrets(stateDir, {});
    expect(loadConfig({ ...readProject().vars, ...secrets }).ok).toBe(true);
    const ring = ringOf(secrets);
    expect(await open(ring, await seal(ring, "x", "c"), "c")).toEqual({ ok: true, value: "x" });
    expect(await signEd25519(signingKeysOf(secrets), new Uint8Array([1]))).toHaveLength(1);
    expect(secrets.ADMIN_KEY.length).toBeGreaterThanOrEqual(32);

    expect(await ensureSecrets(stateDir, {})).toEqual(secrets);
    expect(await stored()).toEqual(secrets);
    if (process.platform !== "win32") expect((await stat(secretsFile(stateDir))).mode & 0o777).toBe(0o600);
  });

  test("gives all who start at once the same, and leaves nothing behind", async () => {
    const all = await Promise.all(Array.from({ length: 20 }, () => ensureSecrets(stateDir, {})));
    expect(new Set(all.map((secrets) => JSON.stringify(secrets))).size).toBe(1);
    expect(await readdir(stateDir)).toEqual(["secrets.json"]);
  });

  test("makes the folder, and different secrets in each", async () => {
    const [a, b] = await Promise.all(["a", "b/c"].map((name) => ensureSecrets(join(stateDir, name), {})));
    for (const name of ["ENCRYPTION_KEYS", "SIGNING_KEYS", "ADMIN_KEY"] as const) {
      expect(a?.[name]).not.toBe(b?.[name]);
    }
  });

  test("takes what the environment sets instead, and makes no file where it sets all", async () => {
    const given = createSecrets();
    expect(await ensureSecrets(stateDir, { ...given })).toEqual(given);
    expect(await readdir(stateDir)).toEqual([]);
    const mixed = await ensureSecrets(stateDir, { ADMIN_KEY: given.ADMIN_KEY });
    expect(mixed).toEqual({ ...(await stored()), ADMIN_KEY: given.ADMIN_KEY });
    expect((await stored()).ADMIN_KEY).not.toBe(given.ADMIN_KEY);
  });

  test.each([
    "",
    "{",
    "null",
    "[]",
    '{"ADMIN_KEY":"x"}',
    '{"ENCRYPTION_KEYS":1,"SIGNING_KEYS":"","ADMIN_KEY":""}',
  ])("refuses a file that holds %j, and does not replace it", async (text) => {
    await writeFile(secretsFile(stateDir), text);
    await expect(ensureSecrets(stateDir, {})).rejects.toThrow(/secrets\.json must be a JSON object with /);
    expect(await readFile(secretsFile(stateDir), "utf8")).toBe(text);
  });
});

describe("rotation", () => {
  test("of the encryption key opens what was sealed before, and seals with the new one", async () => {
    const before = await ensureSecrets(stateDir, {});
    const sealed = await seal(ringOf(before), "kept", "c");
    await rotateLocal(stateDir, "ENCRYPTION_KEYS");
    await rotateLocal(stateDir, "ENCRYPTION_KEYS");
    const after = ringOf(await stored());
    expect(after.current).toBe("3");
    expect(await open(after, sealed, "c")).toEqual({ ok: true, value: "kept" });
    expect(await seal(after, "new", "c")).toMatch(/^3\./);
  });

  test("of the signing key publishes both, the new one first", async () => {
    const [old] = publicJwks(signingKeysOf(await ensureSecrets(stateDir, {}))).keys;
    await rotateLocal(stateDir, "SIGNING_KEYS");
    const { keys } = publicJwks(signingKeysOf(await stored()));
    expect(keys).toHaveLength(2);
    expect(keys[1]).toEqual(old);
  });

  test("of the admin's key replaces it, and nothing else", async () => {
    const before = await ensureSecrets(stateDir, {});
    await rotateLocal(stateDir, "ADMIN_KEY");
    const { ADMIN_KEY, ...others } = await stored();
    expect(ADMIN_KEY).not.toBe(before.ADMIN_KEY);
    expect({ ...others, ADMIN_KEY: before.ADMIN_KEY }).toEqual(before);
  });

  test("counts on from the highest version, whatever the others are called", () => {
    const key = (version: string) => `${version}:${Buffer.alloc(32).toString("base64")}`;
    expect(rotated("ENCRYPTION_KEYS", [key("7"), key("12"), key("march")].join(", "))).toMatch(/^13:/);
    expect(rotated("ENCRYPTION_KEYS", key("march"))).toMatch(/^1:/);
  });

  test("refuses what cannot be rotated", () => {
    expect(() => rotated("ENCRYPTION_KEYS", "hush")).toThrow(/^ENCRYPTION_KEYS, key 1 must be .*\.$/);
    expect(() => rotated("SIGNING_KEYS", "[]")).toThrow("SIGNING_KEYS must be a JSON array of 1 to 8");
    let full = createSecrets().SIGNING_KEYS;
    for (let n = 1; n < 8; n += 1) full = rotated("SIGNING_KEYS", full);
    expect(() => rotated("SIGNING_KEYS", full)).toThrow("remove the oldest first");
  });
});

describe("npm run secrets", () => {
  const command = (args: string[], env: Record<string, string> = {}) =>
    run(process.execPath, ["scripts/secrets.ts", ...args], { STATE_DIR: stateDir, ...env });

  /** The value below each command. */
  function printed(output: string): Record<string, string> {
    const found = output.matchAll(/^npx wrangler secret put ([A-Z_]+) --env production\n(.+)$/gm);
    return Object.fromEntries([...found].map(([, name, value]) => [name, value]));
  }

  test("prints secrets for production with the commands that set them, and keeps nothing", async () => {
    const { code, output } = await command([]);
    expect(code).toBe(0);
    const secrets = printed(output);
    expect(Object.keys(secrets)).toEqual(["ENCRYPTION_KEYS", "SIGNING_KEYS", "ADMIN_KEY"]);
    expect(loadConfig({ ...readProject("production").vars, ...secrets }).ok).toBe(true);
    expect(signingKeysOf(secrets as Secrets).published).toHaveLength(1);
    expect(ringOf(secrets as Secrets).current).toBe("1");
    expect(await readdir(stateDir)).toEqual([]);
    expect(printed((await command([])).output)).not.toEqual(secrets);
  });

  test("rotates the local ones", async () => {
    const before = await ensureSecrets(stateDir, {});
    const { code, output } = await command(["--rotate", "encryption"]);
    expect(code).toBe(0);
    expect(output).toContain(secretsFile(stateDir));
    const after = await stored();
    expect(after.ENCRYPTION_KEYS).toMatch(/^2:.+,1:/);
    expect(after.SIGNING_KEYS).toBe(before.SIGNING_KEYS);
    // It is not shown: nobody needs to see it.
    expect(output).not.toContain(after.ENCRYPTION_KEYS.slice(2, 40));
  });

  test("prints the successor of one that it is given", async () => {
    const { SIGNING_KEYS } = createSecrets();
    const { output } = await command(["--rotate", "signing"], { SIGNING_KEYS });
    const next = printed(output).SIGNING_KEYS ?? "";
    expect(JSON.parse(next)[1]).toEqual(JSON.parse(SIGNING_KEYS)[0]);
    expect(await readdir(stateDir)).toEqual([]);
  });

  test.each([[["--rotate", "all"]], [["--rotate"]], [["--rotate", "toString"]], [["now"]]])(
    "refuses %j in words",
    async (args) => {
      const { code, output } = await command(args);
      expect(code).toBe(1);
      expect(output).toContain("Usage: npm run secrets");
      expect(output).not.toContain("    at ");
    },
  );
});

test("npm start says where the operator's key is, and serves the public half of what signs", async () => {
  const server = await startServer({ mode: "start", stateDir });
  try {
    await expect.poll(server.output).toContain("Ctrl-C");
    const secrets = await stored();
    expect(server.output()).toMatch(/ADMIN_KEY in \S+secrets\.json$/m);
    expect(server.output()).not.toContain(secrets.ADMIN_KEY);
    const jwks = await fetch(`${server.url}/.well-known/jwks.json`).then((answer) => answer.json());
    expect(jwks).toEqual(publicJwks(signingKeysOf(secrets)));
  } finally {
    await server.kill9();
  }
});

describe("missingSecrets", () => {
  const list = (...names: string[]) =>
    JSON.stringify(
      names.map((name) => ({ name, type: "secret_text" })),
      null,
      "  ",
    );
  test.each([
    [list(), ["ENCRYPTION_KEYS", "SIGNING_KEYS", "ADMIN_KEY"]],
    [list("ADMIN_KEY", "OTHER"), ["ENCRYPTION_KEYS", "SIGNING_KEYS"]],
    [list("ADMIN_KEY", "ENCRYPTION_KEYS", "SIGNING_KEYS"), []],
    [`▲ [WARNING] something [1]\n\n${list("ADMIN_KEY", "ENCRYPTION_KEYS")}\n`, ["SIGNING_KEYS"]],
    ["✘ [ERROR] no such thing", undefined],
    ["", undefined],
  ])("reads %j", (output, missing) => {
    expect(missingSecrets(output)).toEqual(missing);
  });
});
