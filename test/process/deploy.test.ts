// `npm run deploy` looks before it leaps: what is wrong with the production settings is told before anything
// leaves the machine. Cloudflare's API is a server of our own here, which counts who comes.

import { readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { type Run, run } from "./run.ts";
import { createStateDir, removeStateDir, root } from "./server.ts";

const PLACEHOLDER = 'database_id = "00000000-0000-0000-0000-000000000000"';
const REAL = 'database_id = "6f1c9c1e-2b5b-4e0a-9a52-0a8f6a3f9d10"';

let requests: string[] = [];
/** What the account looks like: nothing may be done in it, or the database may be used and the Worker is so far. */
let account: "closed" | { secrets: string[] | "no Worker" } = "closed";
const api = createServer((request, response) => {
  requests.push(`${request.method} ${request.url}`);
  const answer = (status: number, result: unknown, errors: object[] = []) => {
    response.writeHead(status, { "content-type": "application/json" });
    response.end(JSON.stringify({ success: status < 400, errors, messages: [], result }));
  };
  if (account !== "closed" && request.url?.endsWith("/query")) {
    return answer(200, [{ success: true, results: [], meta: {} }]);
  }
  if (account !== "closed" && request.url?.endsWith("/secrets")) {
    return account.secrets === "no Worker"
      ? answer(404, null, [{ code: 10_007, message: "workers.api.error.script_not_found" }])
      : answer(
          200,
          account.secrets.map((name) => ({ name, type: "secret_text" })),
        );
  }
  response.writeHead(403, { "content-type": "application/json" });
  response.end(
    JSON.stringify({ success: false, errors: [{ code: 10_000, message: "Authentication error" }] }),
  );
});
api.on("connect", (request, socket) => {
  requests.push(`CONNECT ${request.url}`);
  socket.destroy();
});
let folder: string;

beforeAll(() => new Promise<void>((settle) => api.listen(0, "127.0.0.1", settle)));
afterAll(() => new Promise((settle) => api.close(settle)));

beforeEach(async () => {
  requests = [];
  account = "closed";
  folder = await createStateDir();
});

afterEach(() => removeStateDir(folder));

/** Deploys with the project's own wrangler.toml after `change`, which is written outside the project. */
async function deploy(change: (toml: string) => string, ...flags: string[]): Promise<Run> {
  const toml = (await readFile(join(root, "wrangler.toml"), "utf8"))
    .replace('main = "src/index.ts"', `main = ${JSON.stringify(join(root, "src/index.ts"))}`)
    .replaceAll(
      'migrations_dir = "migrations"',
      `migrations_dir = ${JSON.stringify(join(root, "migrations"))}`,
    );
  const file = join(folder, "wrangler.toml");
  await writeFile(file, change(toml));
  const url = `http://127.0.0.1:${(api.address() as AddressInfo).port}`;
  return run("npm", ["run", "deploy", "--", "--config", file, ...flags], {
    CLOUDFLARE_API_BASE_URL: url,
    CLOUDFLARE_API_TOKEN: "not-a-token",
    CLOUDFLARE_ACCOUNT_ID: "0123456789abcdef0123456789abcdef",
    // Whatever else wants to go out would have to pass here.
    HTTP_PROXY: url,
    HTTPS_PROXY: url,
    NO_PROXY: "127.0.0.1",
  });
}

const good = (toml: string) => toml.replaceAll(/^database_id = .*$/gm, REAL);

test("--dry-run bundles the Worker with the production settings and asks nobody", async () => {
  const { code, output } = await deploy(good, "--dry-run");
  expect(output).toContain('env.ENVIRONMENT ("production")');
  expect(output).toContain("--dry-run: exiting now.");
  expect(code).toBe(0);
  expect(requests).toEqual([]);
});

test.each([
  ["AUTH_MODE", 'AUTH_MODE = "api-key"', 'AUTH_MODE = "open"'],
  ["DEFAULT_AGENT", 'DEFAULT_AGENT = "echo"', 'DEFAULT_AGENT = "conformance"'],
  ["ENVIRONMENT", 'ENVIRONMENT = "production"', 'ENVIRONMENT = "development"'],
  ["HOME_SHARDS", 'HOME_SHARDS = "4"', 'HOME_SHARDS = "4000"'],
  ["database_id", REAL, PLACEHOLDER],
])("a wrong %s is refused before anything is sent", async (name, right, wrong) => {
  const { code, output } = await deploy((toml) => {
    const production = good(toml).indexOf("[env.production]");
    return good(toml).slice(0, production) + good(toml).slice(production).replace(right, wrong);
  });
  expect(output).toMatch(new RegExp(`^\\[env\\.production\\] ${name}\\b`, "m"));
  expect(output).not.toContain("    at ");
  expect(code).toBe(1);
  expect(requests).toEqual([]);
});

test("every problem has a line of its own", async () => {
  const { output } = await deploy((toml) =>
    good(toml).replaceAll(REAL, PLACEHOLDER).replace('HOME_SHARDS = "4"', 'HOME_SHARDS = "4000"'),
  );
  expect(output.match(/^\[env\.production\] .+$/gm)).toHaveLength(2);
});

test("the database is migrated before the Worker is deployed, which does not happen when that fails", async () => {
  const { code, output } = await deploy(good);
  expect(requests.length).toBeGreaterThan(0);
  expect(requests.join("\n")).toMatch(/\/d1\//);
  expect(requests.join("\n")).not.toMatch(/\/workers\/scripts/);
  expect(output).toContain("wrangler d1 failed with exit code 1.");
  expect(code).toBe(1);
});

test.each([
  ["a Worker without secrets", [], "ENCRYPTION_KEYS, SIGNING_KEYS, ADMIN_KEY"],
  ["a Worker without some", ["ADMIN_KEY", "ENCRYPTION_KEYS"], "SIGNING_KEYS"],
  ["no Worker yet", "no Worker", "ENCRYPTION_KEYS, SIGNING_KEYS, ADMIN_KEY"],
] as const)("%s is told which are missing, and is not deployed", async (_, secrets, missing) => {
  account = { secrets: secrets === "no Worker" ? secrets : [...secrets] };
  const { code, output } = await deploy(good);
  expect(output).toContain(`${missing} must be set first: run \`npm run secrets\` and what it says.`);
  expect(code).toBe(1);
  expect(
    requests.filter(
      (request) => !/ \/accounts\/\w+\/(d1\/|workers\/scripts\/[\w-]+\/secrets$)/.test(request),
    ),
  ).toEqual([]);
});

test("a Worker that has its secrets is deployed", async () => {
  account = { secrets: ["ADMIN_KEY", "ENCRYPTION_KEYS", "SIGNING_KEYS"] };
  const { code, output } = await deploy(good);
  // The account allows no more than that, so it ends there.
  expect(requests.join("\n")).toMatch(/\/workers\/services\/a2a-edge-production/);
  expect(output).toContain("wrangler deploy failed with exit code 1.");
  expect(code).toBe(1);
});

test("a secret among the vars is refused before anything is sent", async () => {
  const { code, output } = await deploy((toml) =>
    good(toml).replace(
      "[env.production.vars]",
      '[env.production.vars]\nADMIN_KEY = "0123456789abcdef0123456789abcdef"',
    ),
  );
  expect(output).toMatch(/^\[env\.production\] ADMIN_KEY is a secret: take it out of the vars/m);
  expect(output).not.toContain("0123456789abcdef0123456789abcdef");
  expect(code).toBe(1);
  expect(requests).toEqual([]);
});
