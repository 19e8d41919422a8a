// Every door of the server, from the tables that make them: operations over each binding and version, operators'
// routes, sessions, metrics. Whoever has no credential, one that has ended or one that lacks the scope is turned away,
// and nothing is stored for them anywhere.

import { env, listDurableObjectIds } from "cloudflare:test";
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { createAuthentication } from "../src/auth/authenticate.ts";
import { type AdminScope, adminScopeDescriptions, scopeDescriptions } from "../src/auth/roles.ts";
import { type OperationName, operations, type Scope } from "../src/protocol/operations.ts";
import { createApiKey, revokeApiKey } from "../src/store/api-keys.ts";
import { adminRoutes, createOperator } from "./admin/operator.ts";
import { toMessage } from "./support/client.ts";
import { configWith } from "./support/operations.ts";
import { serveWith } from "./support/server.ts";

beforeEach(() => {
  for (const level of ["info", "warn"] as const) vi.spyOn(console, level).mockImplementation(() => {});
});
afterEach(() => void vi.restoreAllMocks());

const TASK = "0-01900000-0000-7000-8000-000000000000";

const params: Record<OperationName, Record<string, unknown>> = {
  SendMessage: { message: toMessage("hello") },
  SendStreamingMessage: { message: toMessage("hello") },
  GetTask: { id: TASK },
  ListTasks: {},
  CancelTask: { id: TASK },
  SubscribeToTask: { id: TASK },
  CreateTaskPushNotificationConfig: { taskId: TASK, id: "c", url: "https://example.com/hook" },
  GetTaskPushNotificationConfig: { taskId: TASK, id: "c" },
  ListTaskPushNotificationConfigs: { taskId: TASK },
  DeleteTaskPushNotificationConfig: { taskId: TASK, id: "c" },
  GetExtendedAgentCard: {},
};

type Door = {
  name: string;
  verb: string;
  path: string;
  body?: unknown;
  /** What it takes to be let in; undefined: any credential. */
  scope?: Scope | AdminScope;
  headers?: Record<string, string>;
};

const fill = (path: string, values: Record<string, unknown> = {}) =>
  path.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(String(values[name] ?? "x")));

const names = Object.keys(operations) as OperationName[];

const doors: Door[] = [
  ...names.flatMap((name) => {
    const { rest, legacy, scope } = operations[name];
    const rpc = (method: string) => ({ jsonrpc: "2.0", id: 1, method, params: params[name] });
    return [
      ...["", "/enterprise"].flatMap((agent) => [
        ...rest.map(({ verb, path }) => ({
          ...{ name, verb, path: agent + fill(path, params[name]), scope },
          ...(verb === "POST" && { body: params[name] }),
        })),
        { name, verb: "POST", path: `${agent}/`, body: rpc(name), scope },
        // What has another form in an older version is turned away before it is read.
        { name, verb: "POST", path: `${agent}/`, body: rpc(legacy), headers: { "a2a-version": "0.3" } },
      ]),
      ...rest.map(({ verb, path }) => ({
        ...{ name, verb, headers: { "a2a-version": "0.3" } },
        path: `/v1${name === "GetExtendedAgentCard" ? "/card" : fill(path, params[name])}`,
      })),
    ];
  }),
  ...["tasks/send", "tasks/sendSubscribe", "tasks/get", "tasks/cancel"].map((method) => ({
    ...{ name: method, verb: "POST", path: "/", headers: { "a2a-version": "" } },
    body: { jsonrpc: "2.0", id: 1, method, params: { id: "chosen", message: {} } },
  })),
  ...adminRoutes.map(({ verb, path, scope }) => ({ name: path, verb, path: fill(path), scope })),
  { name: "metrics", verb: "GET", path: "/metrics", scope: "admin:read" },
  { name: "session", verb: "POST", path: "/a2a/auth" },
  { name: "logout", verb: "DELETE", path: "/a2a/auth" },
  { name: "sessions", verb: "GET", path: "/a2a/auth/sessions" },
  { name: "extend", verb: "POST", path: "/a2a/auth/sessions/x:extend" },
  { name: "revoke", verb: "DELETE", path: "/a2a/auth/sessions/x" },
];

// Operators' paths may hold more than callers see; all of it is one table.
const serve = serveWith({ authModes: ["api-key"] }, { admin: createOperator().admin });

async function knock({ verb, path, body, headers }: Door, credential: Record<string, string>) {
  const response = await serve(
    new Request(`https://agents.test${path}`, {
      method: verb,
      headers: {
        "a2a-version": "1.0",
        ...headers,
        ...credential,
        ...(body !== undefined && { "content-type": "application/json" }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    }),
  );
  return { status: response.status, text: await response.text(), headers: response.headers };
}

/** All that is stored: every row of the database, and which objects there are. */
async function everything(): Promise<string> {
  const { results: tables } = await env.DB.prepare(
    "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '\\_cf%' ESCAPE '\\' ORDER BY name",
  ).all<{ name: string }>();
  const rows = await Promise.all(
    tables.map(async ({ name }) => [name, (await env.DB.prepare(`SELECT * FROM ${name}`).all()).results]),
  );
  const objects = [
    ...(await listDurableObjectIds(env.HOMES)),
    ...(await listDurableObjectIds(env.ENDPOINTS)),
  ];
  return JSON.stringify([rows, objects.map(String)]);
}

const bearer = (text: string) => ({ authorization: `Bearer ${text}` });

const makeKey = async (scopes: readonly string[], expiresAt: number | null = null) =>
  createApiKey(env.DB, { owner: "mallory", roles: [], scopes, createdBy: "cli", expiresAt }, Date.now());

const credentials: Record<string, Record<string, string>> = {};

beforeAll(async () => {
  const all = ["task:*", "push:*", "card:read", "tool:approve", "admin:*"];
  const [expired, revoked, live] = [
    await makeKey(all, Date.now() - 1),
    await makeKey(all),
    await makeKey(all),
  ];
  await revokeApiKey(env.DB, { id: revoked.key.id }, Date.now());
  const config = configWith({ authModes: ["api-key"] });
  const { authenticate, sessions } = createAuthentication({ config, db: env.DB });
  const caller = await authenticate(new Request("https://a.test", { headers: bearer(live.text) }));
  const opened = caller.ok ? await sessions.open(caller.value, {}) : caller;
  if (!opened.ok) throw new Error(opened.error.message);
  await env.DB.prepare("UPDATE sessions SET expires_at = 1").run();
  Object.assign(credentials, {
    none: {},
    unknown: bearer("a2a_0123456789ab_0123456789012345678901234567890123456789012"),
    "another scheme": { authorization: `Basic ${btoa(`x:${live.text}`)}` },
    expired: bearer(expired.text),
    revoked: bearer(revoked.text),
    "a session that has ended": bearer(opened.value.token),
    "somebody's name": { "x-dev-owner": "mallory" },
    "a forged token": bearer("eyJhbGciOiJub25lIn0.eyJzdWIiOiJtYWxsb3J5In0."),
  });
});

it("there are more than a hundred doors", () => {
  expect(doors.length).toBeGreaterThan(100);
  expect(new Set(doors.map(({ path }) => path)).size).toBeGreaterThan(60);
});

describe.each([
  ...["none", "unknown", "another scheme", "expired", "revoked"],
  ...["a session that has ended", "somebody's name", "a forged token"],
])("with %s", (name) => {
  it("every door is closed with 401, and nothing is stored", async () => {
    const before = await everything();
    for (const door of doors) {
      const { status, headers } = await knock(door, credentials[name] ?? {});
      expect([door.verb, door.path, status]).toEqual([door.verb, door.path, 401]);
      expect(headers.get("www-authenticate"), door.path).toContain("Bearer");
    }
    expect(await everything()).toBe(before);
  });
});

describe("with every scope but the one", () => {
  const scopes = [...Object.keys(scopeDescriptions), ...Object.keys(adminScopeDescriptions)];

  it.each(scopes)("%s, the doors of that scope are closed with 403, and nothing is stored", async (scope) => {
    const { text } = await makeKey(scopes.filter((other) => other !== scope));
    const before = await everything();
    const closed = doors.filter((door) => door.scope === scope);
    // No operation asks for it: agents do (test/auth/approvals.test.ts).
    expect(closed.length > 0).toBe(scope !== "tool:approve");
    for (const door of closed) {
      const { status, text: answer } = await knock(door, bearer(text));
      expect([door.verb, door.path, status]).toEqual([door.verb, door.path, 403]);
      expect(answer, door.path).toContain(scope);
    }
    expect(await everything()).toBe(before);
  });
});

describe("while the database is down", () => {
  const outages: [string, () => Error][] = [
    ["overloaded", () => new Error("D1_ERROR: D1 DB is overloaded. Requests queued for too long.")],
    ["not reached", () => Object.assign(new Error("Network connection lost."), { retryable: true })],
  ];

  it.each(outages)(
    "(%s), no door answers that it is a bug, and those that need it say 503",
    async (_, fail) => {
      const logged = vi.spyOn(console, "error").mockImplementation(() => {});
      const { text } = await makeKey([...Object.keys(scopeDescriptions), "admin:*"]);
      const credentialOf = ({ path }: Door) =>
        bearer(path.startsWith("/admin") ? configWith().adminKey : text);
      // A credential that is known needs no database; one that is not is another matter.
      await knock({ name: "warm", verb: "GET", path: "/a2a/auth/sessions" }, bearer(text));
      const down = () => {
        throw fail();
      };
      vi.spyOn(env.DB, "prepare").mockImplementation(down);
      vi.spyOn(env.DB, "batch").mockImplementation(down);
      const unavailable: string[] = [];
      for (const door of doors) {
        const { status, text: answer, headers } = await knock(door, credentialOf(door));
        const name = `${door.verb} ${door.path}`;
        expect([name, status === 503 ? "503" : status < 500]).toEqual([name, status === 503 ? "503" : true]);
        if (status !== 503) continue;
        unavailable.push(name);
        expect(headers.get("retry-after"), name).toMatch(/^[1-9]$/);
        expect(answer, name).not.toMatch(/D1|Network/);
      }
      expect(unavailable).toEqual(
        expect.arrayContaining([
          ...["POST /a2a/auth", "GET /a2a/auth/sessions", "POST /a2a/auth/sessions/x:extend"],
          ...["DELETE /a2a/auth/sessions/x", "GET /admin/v1/audit", "GET /admin/v1/api-keys"],
          ...[
            "GET /admin/v1/retention",
            "GET /admin/v1/flags",
            "GET /admin/v1/configs",
            "GET /admin/v1/owners",
          ],
        ]),
      );
      // Operators see why.
      expect(logged.mock.calls.join()).toContain(fail().message);
    },
  );
});
