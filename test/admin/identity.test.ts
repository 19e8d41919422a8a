// Who gets in, as operators decide it: keys, roles, sessions, owners, on the real D1 and the real authentication. And
// what no operator can do: give what they have not.

import { env } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { toOwner } from "../../src/auth/caller.ts";
import { createApiKey, getApiKey } from "../../src/store/api-keys.ts";
import { reportHome } from "../../src/store/homes.ts";
import { ownerOfKeys } from "../../src/store/owners.ts";
import { MAX_ROLES } from "../../src/store/roles.ts";
import { openSession } from "../../src/store/sessions.ts";
import { createClient, ORIGIN } from "../support/client.ts";
import { serveWith } from "../support/server.ts";
import { createOperator, startAfresh } from "./operator.ts";

beforeEach(startAfresh);
afterEach(() => void vi.restoreAllMocks());

type Json = Record<string, unknown>;
type Key = { id: string; owner: string; secret: string; roles: string[]; scopes: string[] } & Json;

const bearer = (text: string) => ({ authorization: `Bearer ${text}` });

/** A server of callers beside the API, that remembers nothing yet. */
function callers() {
  const fetch = serveWith({ authModes: ["api-key"] });
  return {
    client: (secret: string) => createClient({ agent: "echo", headers: bearer(secret), fetch }),
    status: async (secret: string) =>
      (await fetch(new Request(`${ORIGIN}/tasks`, { headers: bearer(secret) }))).status,
    open: async (secret: string, body: object = {}) => {
      const headers = { ...bearer(secret), "content-type": "application/json" };
      const init = { method: "POST", headers, body: JSON.stringify(body) };
      const response = await fetch(new Request(`${ORIGIN}/a2a/auth`, init));
      return response.json<{ session: string; id: string }>();
    },
  };
}

const operator = createOperator();
const makeKey = (body: object) => operator.result<Key>("POST", "/api-keys", { name: "alice", ...body });

/** What an operator with these scopes is answered. */
async function asOperator(scopes: string[]) {
  const { text } = await createApiKey(
    env.DB,
    { owner: "ops", roles: [], scopes, createdBy: "cli" },
    Date.now(),
  );
  return async (verb: string, path: string, body?: object): Promise<{ status: number; body: Json }> => {
    const response = await operator.send(`/admin/v1${path}`, {
      method: verb,
      headers: { ...bearer(text), ...(body && { "content-type": "application/json" }) },
      ...(body && { body: JSON.stringify(body) }),
    });
    return { status: response.status, body: await response.json<Json>() };
  };
}

describe("API keys", () => {
  it("are made with a secret that opens the server, and is shown this once", async () => {
    const key = await makeKey({ label: "ci" });
    expect(key).toMatchObject({
      owner: "key::alice",
      name: "alice",
      roles: ["user"],
      scopes: [],
      label: "ci",
    });
    expect(key.createdBy).toBe("operator::admin-key");
    expect((await callers().client(key.secret).sendForTask("hello")).status.state).toBe(
      "TASK_STATE_COMPLETED",
    );
    const { secret, ...shown } = key;
    expect(await operator.result("GET", `/api-keys/${key.id}`)).toEqual(shown);
    expect(await operator.result("GET", "/api-keys")).toEqual({ apiKeys: [shown], nextPageToken: "" });
    expect(secret).toMatch(/^a2a_/);
  });

  it("have the rights and the end that were asked for", async () => {
    const expiresAt = new Date(Date.now() + 60_000).toISOString();
    const key = await makeKey({ roles: ["viewer"], scopes: ["push:*"], expiresAt });
    expect(key).toMatchObject({ roles: ["viewer"], scopes: ["push:*"], expiresAt });
    const error = await callers()
      .client(key.secret)
      .error("SendMessage", {
        message: { messageId: "1", role: "ROLE_USER", parts: [{ text: "x" }] },
      });
    expect(error.data[0]).toMatchObject({ reason: "PERMISSION_DENIED", metadata: { scope: "task:write" } });
  });

  it("are listed by owner, newest first, page by page", async () => {
    for (const name of ["alice", "bob", "a:b@c"]) for (let i = 0; i < 3; i++) await makeKey({ name });
    const list = (query: string) =>
      operator.result<{ apiKeys: Key[]; nextPageToken: string }>("GET", `/api-keys?${query}`);
    const owner = encodeURIComponent("key::a%3Ab%40c");
    const first = await list(`owner=${owner}&pageSize=2`);
    expect(first.apiKeys.map((key) => key.owner)).toEqual(Array(2).fill("key::a%3Ab%40c"));
    const rest = await list(`owner=${owner}&pageSize=2&pageToken=${first.nextPageToken}`);
    expect(rest).toMatchObject({ apiKeys: [{}], nextPageToken: "" });
    for (const other of ["jwt:x:alice", "key::carol", "key::%ff", "alice"]) {
      expect((await list(`owner=${encodeURIComponent(other)}`)).apiKeys).toEqual([]);
    }
    expect((await list("")).apiKeys).toHaveLength(9);
  });

  it("get another secret, and the one before ends when it is said to", async () => {
    const { id, secret } = await makeKey({});
    const rotated = await operator.result<Key>("POST", `/api-keys/${id}:rotate`, { overlapSeconds: 0 });
    expect([await callers().status(secret), await callers().status(rotated.secret)]).toEqual([401, 200]);
    const again = await operator.result<Key>("POST", `/api-keys/${id}:rotate`);
    expect(Date.parse(String(again.previousSecretUntil))).toBeGreaterThan(Date.now() + 86_000_000);
    expect([await callers().status(rotated.secret), await callers().status(again.secret)]).toEqual([
      200, 200,
    ]);
  });

  it("are revoked with their sessions, for good", async () => {
    const { id, secret } = await makeKey({});
    const { session } = await callers().open(secret);
    expect(await callers().status(session)).toBe(200);
    const revoked = await operator.result("POST", `/api-keys/${id}:revoke`);
    expect(await operator.result("POST", `/api-keys/${id}:revoke`)).toEqual(revoked);
    expect([await callers().status(secret), await callers().status(session)]).toEqual([401, 401]);
    expect(await operator.result("GET", "/sessions")).toEqual({ sessions: [], nextPageToken: "" });
    expect(await operator.refusal("POST", `/api-keys/${id}:rotate`)).toMatchObject({
      status: 400,
      message: expect.stringContaining("revoked"),
    });
  });

  it.each([
    [{ name: "" }, "name"],
    [{ name: "x".repeat(129) }, "name"],
    [{ roles: ["nobody"] }, "roles[0]"],
    [{ roles: ["user", "constructor"] }, "roles[1]"],
    [{ roles: "user" }, "roles"],
    [{ roles: [7] }, "roles"],
    [{ roles: ["user", "user"] }, "roles"],
    [{ roles: Array.from({ length: 17 }, (_, i) => `r${i}`) }, "roles"],
    [{ scopes: ["task:everything"] }, "scopes"],
    [{ scopes: ["*"] }, "scopes"],
    [{ expiresAt: "2020-01-01T00:00:00Z" }, "expiresAt"],
    [{ expiresAt: "tomorrow" }, "expiresAt"],
    [{ secret: "a2a_chosen" }, "secret"],
    [{ id: "chosen" }, "id"],
    [{ createdBy: "somebody" }, "createdBy"],
  ])("are not made with %j", async (body, field) => {
    const refused = await operator.refusal("POST", "/api-keys", { name: "alice", ...body });
    expect(refused).toMatchObject({ status: 400, reason: "INVALID_PARAMS", fields: [field] });
    expect((await operator.result<{ apiKeys: Key[] }>("GET", "/api-keys")).apiKeys).toEqual([]);
  });

  it.each(["GET /api-keys/nothing", "POST /api-keys/nothing:rotate", "POST /api-keys/nothing:revoke"])(
    "that are not there are missing: %s",
    async (request) => {
      const [verb, path] = request.split(" ") as ["GET" | "POST", string];
      expect(await operator.refusal(verb, path)).toMatchObject({ status: 404, reason: "NOT_FOUND" });
    },
  );
});

describe("nobody gives what they have not", () => {
  const attempts: [what: string, scopes: string[], body: object, denied: string][] = [
    ["a scope", ["admin:keys"], { scopes: ["admin:write"] }, "admin:write"],
    ["all scopes of operators", ["admin:keys", "admin:read"], { scopes: ["admin:*"] }, "admin:write"],
    ["a built-in role", ["admin:keys"], { roles: ["operator"] }, "admin:read"],
    ["the highest role", ["admin:keys", "admin:write"], { roles: ["user", "admin"] }, "admin:read"],
    ["a role that was defined by others", ["admin:keys"], { roles: ["boss"] }, "admin:write"],
  ];

  it.each(attempts)("by a key with %s", async (_, scopes, body, scope) => {
    await operator.result("POST", "/roles", { name: "boss", scopes: ["admin:write", "task:read"] });
    const ask = await asOperator(scopes);
    const refused = await ask("POST", "/api-keys", { name: "ops", ...body });
    expect(refused.status).toBe(403);
    expect(JSON.stringify(refused.body)).toContain(scope);
    const { results } = await env.DB.prepare("SELECT id FROM api_keys WHERE created_by <> 'cli'").all();
    expect(results).toEqual([]);
  });

  it("by a role, new or old", async () => {
    await operator.result("POST", "/roles", { name: "mine", scopes: ["task:read"] });
    const ask = await asOperator(["admin:keys"]);
    for (const name of ["new", "mine"]) {
      expect((await ask("POST", "/roles", { name, scopes: ["admin:read"] })).status).toBe(403);
      expect((await ask("POST", "/roles", { name, scopes: ["task:read", "admin:*"] })).status).toBe(403);
    }
    const { roles } = await operator.result<{ roles: Json[] }>("GET", "/roles");
    expect(roles.filter(({ builtIn }) => !builtIn)).toMatchObject([{ name: "mine", scopes: ["task:read"] }]);
  });

  it("by rotating a key that has more, which would hand it over", async () => {
    const ask = await asOperator(["admin:keys"]);
    const boss = await makeKey({ roles: ["admin"] });
    await operator.result("POST", "/roles", { name: "boss", scopes: ["admin:write"] });
    const other = await makeKey({ roles: ["boss"] });
    for (const { id, secret } of [boss, other]) {
      const refused = await ask("POST", `/api-keys/${id}:rotate`);
      expect(refused.status).toBe(403);
      expect(JSON.stringify(refused.body)).not.toContain("a2a_");
      expect((await getApiKey(env.DB, { id }))?.rotatedAt).toBeNull();
      expect(await callers().status(secret)).not.toBe(401);
    }
    // Callers' keys are theirs to rotate.
    expect((await ask("POST", `/api-keys/${(await makeKey({})).id}:rotate`)).status).toBe(200);
  });

  it("by a role that is not there yet, for others to fill", async () => {
    const ask = await asOperator(["admin:keys"]);
    expect((await ask("POST", "/api-keys", { name: "ops", roles: ["later"] })).status).toBe(400);
  });

  it("but who has it gives it, under their name", async () => {
    const ask = await asOperator(["admin:*"]);
    const made = await ask("POST", "/api-keys", { name: "ops", roles: ["admin"] });
    expect(made.status).toBe(201);
    expect(made.body.createdBy).toMatch(/^key:ops:/);
  });

  it("and who may not decide who gets in decides nothing and sees nothing of it", async () => {
    const { id } = await makeKey({});
    const ask = await asOperator(["admin:read", "admin:write", "task:*"]);
    for (const request of [
      ...[
        "GET /api-keys",
        `GET /api-keys/${id}`,
        `POST /api-keys/${id}:rotate`,
        `POST /api-keys/${id}:revoke`,
      ],
      ...[
        "GET /roles",
        "DELETE /roles/x",
        "GET /sessions",
        "POST /sessions/x:revoke",
        "POST /sessions:revoke",
      ],
      ...["POST /api-keys", "POST /roles"],
    ]) {
      const [verb = "", path = ""] = request.split(" ");
      const refused = await ask(verb, path);
      expect([request, refused.status]).toEqual([request, 403]);
      expect(JSON.stringify(refused.body)).toContain("admin:keys");
    }
  });
});

describe("roles", () => {
  it("are the built-in ones and those that were defined", async () => {
    const made = await operator.result("POST", "/roles", { name: "poster", scopes: ["task:write"] });
    expect(made).toMatchObject({ name: "poster", builtIn: false, scopes: ["task:write"] });
    const { roles } = await operator.result<{ roles: Json[] }>("GET", "/roles");
    expect(roles.map(({ name, builtIn }) => [name, builtIn])).toEqual([
      ...["viewer", "user", "approver", "operator", "admin"].map((name) => [name, true]),
      ["poster", false],
    ]);
  });

  it("mean what they mean now: defined anew, deleted", async () => {
    await operator.result("POST", "/roles", { name: "reader", scopes: ["task:read"] });
    const { secret } = await makeKey({ roles: ["reader"] });
    const { session } = await callers().open(secret);
    expect([await callers().status(secret), await callers().status(session)]).toEqual([200, 200]);
    await operator.result("POST", "/roles", { name: "reader", scopes: ["push:read"] });
    expect([await callers().status(secret), await callers().status(session)]).toEqual([403, 403]);
    await operator.result("POST", "/roles", { name: "reader", scopes: ["task:*"] });
    expect(await callers().status(session)).toBe(200);
    expect(await operator.result("DELETE", "/roles/reader")).toMatchObject({ name: "reader" });
    expect(await callers().status(secret)).toBe(403);
    expect(await operator.refusal("DELETE", "/roles/reader")).toMatchObject({ status: 404 });
  });

  it("change for those who are known already within a minute", async () => {
    const clock = vi.spyOn(Date, "now");
    const start = Date.now();
    await operator.result("POST", "/roles", { name: "reader", scopes: ["task:read"] });
    const { secret } = await makeKey({ roles: ["reader"] });
    const on = callers();
    expect(await on.status(secret)).toBe(200);
    await operator.result("DELETE", "/roles/reader");
    expect(await on.status(secret)).toBe(200);
    clock.mockReturnValue(start + 60_000);
    expect(await on.status(secret)).toBe(403);
  });

  it.each([
    [{ name: "user" }, "name"],
    [{ name: "Admin" }, "name"],
    [{ name: "__proto__" }, "name"],
    [{ name: "a/b" }, "name"],
    [{ name: "" }, "name"],
    [{ name: "a".repeat(65) }, "name"],
    [{ scopes: ["nothing"] }, "scopes"],
    [{ scopes: ["task:read", "task:read"] }, "scopes"],
    [{ scopes: Array(33).fill("task:read") }, "scopes"],
    [{ scopes: undefined }, "scopes"],
  ])("are not defined with %j", async (body, field) => {
    const refused = await operator.refusal("POST", "/roles", { name: "r", scopes: ["task:read"], ...body });
    expect(refused).toMatchObject({ status: 400, fields: [field] });
  });

  it("that are built in stay", async () => {
    expect(await operator.refusal("DELETE", "/roles/admin")).toMatchObject({ status: 400 });
  });

  it(`are ${MAX_ROLES} at most, of which each can be defined anew`, async () => {
    const names = JSON.stringify(Array.from({ length: MAX_ROLES }, (_, i) => `r${i}`));
    await env.DB.prepare(
      "INSERT INTO roles (name, scopes, created_at, updated_at) SELECT value, '[]', 1, 1 FROM json_each(?)",
    )
      .bind(names)
      .run();
    const define = { scopes: ["task:read"] };
    expect(await operator.refusal("POST", "/roles", { name: "more", ...define })).toMatchObject({
      status: 400,
    });
    await operator.result("POST", "/roles", { name: "r7", ...define });
    expect((await operator.result<{ roles: Json[] }>("GET", "/roles")).roles).toHaveLength(MAX_ROLES + 5);
  });
});

describe("sessions", () => {
  async function start() {
    const [alice, bob] = [await makeKey({}), await makeKey({ name: "bob" })];
    const on = callers();
    const opened = [await on.open(alice.secret), await on.open(bob.secret), await on.open(alice.secret)];
    return { alice, bob, opened, ids: opened.map(({ id }) => id) };
  }

  it("are listed, without tokens, of all, of an owner and of a key", async () => {
    const { alice, bob, opened, ids } = await start();
    const list = async (query: string) => {
      const { sessions } = await operator.result<{ sessions: Json[] }>("GET", `/sessions?${query}`);
      for (const { session } of opened) expect(JSON.stringify(sessions)).not.toContain(session.slice(5));
      return sessions.map(({ id }) => id);
    };
    expect(await list("")).toEqual(ids.toReversed());
    expect(await list("owner=key::alice")).toEqual([ids[2], ids[0]]);
    expect(await list(`apiKey=${bob.id}`)).toEqual([ids[1]]);
    expect(await list(`apiKey=${bob.id}&owner=key::alice`)).toEqual([]);
    const { sessions } = await operator.result<{ sessions: Json[] }>("GET", `/sessions?apiKey=${alice.id}`);
    expect(sessions[0]).toMatchObject({ owner: "key::alice", actor: `key:alice:${alice.id}` });
  });

  it("are revoked one by one", async () => {
    const { opened, ids } = await start();
    expect(await operator.result("POST", `/sessions/${ids[0]}:revoke`)).toEqual({ revoked: 1 });
    const statuses = await Promise.all(opened.map(({ session }) => callers().status(session)));
    expect(statuses).toEqual([401, 200, 200]);
    for (const id of [ids[0], "nothing"]) {
      expect(await operator.refusal("POST", `/sessions/${id}:revoke`)).toMatchObject({ status: 404 });
    }
  });

  it("are revoked all of an owner, or all of a key, and never all of everybody", async () => {
    const { bob, opened } = await start();
    expect(await operator.result("POST", "/sessions:revoke", { owner: "key::alice" })).toEqual({
      revoked: 2,
    });
    expect(await operator.result("POST", "/sessions:revoke", { apiKey: bob.id })).toEqual({ revoked: 1 });
    expect(await operator.result("POST", "/sessions:revoke", { apiKey: bob.id })).toEqual({ revoked: 0 });
    for (const { session } of opened) expect(await callers().status(session)).toBe(401);
    for (const body of [undefined, {}, { owner: "key::alice", apiKey: bob.id }, { owner: "" }]) {
      expect(await operator.refusal("POST", "/sessions:revoke", body)).toMatchObject({ status: 400 });
    }
  });

  it("are thousands, and found page by page", async () => {
    const now = Date.now();
    const row = { actor: "a", key: null, basis: "{}", scopes: "[]", createdAt: now, endsAt: now + 60_000 };
    const limits = { perOwner: 10_000, perMinute: 10_000 };
    for (let i = 0; i < 2_000; i += 100) {
      await Promise.all(
        Array.from({ length: 100 }, (_, n) => {
          const id = `id-${String(i + n).padStart(5, "0")}`;
          const expiresAt = (i + n) % 4 === 0 ? now + 60_000 : now - 1;
          return openSession(env.DB, { ...row, id, hash: id, owner: `o${n}`, expiresAt }, limits);
        }),
      );
    }
    const ids: unknown[] = [];
    for (let token = ""; ; ) {
      const page = await operator.result<{ sessions: Json[]; nextPageToken: string }>(
        "GET",
        `/sessions?pageSize=100${token && `&pageToken=${token}`}`,
      );
      ids.push(...page.sessions.map(({ id }) => id));
      token = page.nextPageToken;
      if (token === "") break;
    }
    expect(ids).toHaveLength(500);
    expect(new Set(ids).size).toBe(500);
  }, 60_000);
});

describe("owners", () => {
  it("are those who have a home, a key or a session, with how much they have", async () => {
    for (const [id, name] of [
      ["h1", "key::alice/0"],
      ["h2", "key::alice/1"],
      ["h3", "open::anonymous/0"],
    ] as const) {
      await reportHome(env.DB, { id, name, dueAt: undefined });
      await reportHome(env.DB, { id, name: undefined, dueAt: 5 });
    }
    const { secret } = await makeKey({});
    await makeKey({ name: "b@c:d/e" });
    await operator.result("POST", `/api-keys/${(await makeKey({})).id}:revoke`);
    await callers().open(secret);
    const { owners } = await operator.result<{ owners: Json[] }>("GET", "/owners");
    expect(owners.map(({ owner, homes, apiKeys, sessions }) => [owner, homes, apiKeys, sessions])).toEqual([
      ["key::alice", 2, 1, 1],
      ["key::b%40c%3Ad%2Fe", 0, 1, 0],
      ["open::anonymous", 1, 0, 0],
    ]);
    const one = await operator.result("GET", `/owners/${encodeURIComponent("key::alice")}`);
    expect(one).toEqual(owners[0]);
    expect(await operator.refusal("GET", "/owners/key%3A%3Anobody")).toMatchObject({ status: 404 });
    await env.DB.prepare("DELETE FROM homes WHERE id = 'h1'").run();
    expect(await operator.result("GET", "/owners/key%3A%3Aalice")).toMatchObject({ homes: 1 });
  });

  it("are found by the beginning of their names, page by page", async () => {
    for (let i = 0; i < 5; i++) await makeKey({ name: `n${i}` });
    await reportHome(env.DB, { id: "h", name: "jwt:x:y/0", dueAt: undefined });
    const list = (query: string) =>
      operator.result<{ owners: Json[]; nextPageToken: string }>("GET", `/owners?${query}`);
    const first = await list("prefix=key::n&pageSize=3");
    const rest = await list(`prefix=key::n&pageSize=3&pageToken=${first.nextPageToken}`);
    expect([...first.owners, ...rest.owners].map(({ owner }) => owner)).toEqual(
      [0, 1, 2, 3, 4].map((i) => `key::n${i}`),
    );
    expect(rest.nextPageToken).toBe("");
    expect((await list("prefix=jwt:")).owners).toHaveLength(1);
    expect((await list("prefix=%25")).owners).toEqual([]);
  });

  it("are named alike by the store and by authentication", () => {
    for (const name of ["alice", "a:b", "a/b", "ü%", "a b", "'"]) {
      expect(ownerOfKeys(name)).toBe(toOwner("key", "", name));
    }
  });
});

describe("secrets", () => {
  it("are in no log, no table and no answer but the ones that make them", async () => {
    const lines: string[] = [];
    for (const level of ["debug", "info", "warn", "error", "log"] as const) {
      vi.spyOn(console, level).mockImplementation((line) => void lines.push(String(line)));
    }
    const made = await makeKey({ roles: ["admin", "user"], label: "x" });
    const rotated = await operator.result<Key>("POST", `/api-keys/${made.id}:rotate`);
    const { session } = await callers().open(rotated.secret, { scopes: ["task:read", "admin:read"] });
    const secrets = [made.secret, rotated.secret, session, operator.deps.config.adminKey];
    const answers: string[] = [];
    const verbs = ["GET", "POST", "DELETE"] as const;
    for (const path of ["/api-keys", `/api-keys/${made.id}`, "/roles", "/roles/x", "/sessions", "/owners"]) {
      for (const verb of verbs) {
        for (const secret of secrets) {
          const body = verb === "POST" ? { body: JSON.stringify({ name: secret, [secret]: 1 }) } : {};
          const headers = { ...bearer(secret), "content-type": "application/json" };
          const response = await operator.send(`/admin/v1${path}`, { method: verb, headers, ...body });
          // What is not known of a body is named: that is what was sent, to whom sent it.
          if (verb !== "POST") answers.push(await response.text());
        }
      }
    }
    await operator.result("POST", `/api-keys/${made.id}:revoke`);
    const stored: unknown[] = [];
    for (const table of ["api_keys", "sessions", "roles", "owners", "homes"]) {
      stored.push((await env.DB.prepare(`SELECT * FROM ${table}`).all()).results);
    }
    const seen = [...lines, ...answers, JSON.stringify(stored)].join("\n");
    expect(lines.length).toBeGreaterThan(2);
    for (const secret of secrets) expect(seen).not.toContain(secret.slice(-24));
  });
});
