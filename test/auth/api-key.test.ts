// AUTH_MODE=api-key end to end: the real app, operations, homes and D1; only the time is the test's own.

import { env } from "cloudflare:test";
import { describe, expect, it, vi } from "vitest";
import { createAuthentication } from "../../src/auth/authenticate.ts";
import { logRefusal, type Refusal } from "../../src/auth/refusal.ts";
import { sha256 } from "../../src/lib/bytes.ts";
import { createApiKey, revokeApiKey, rotateApiKey } from "../../src/store/api-keys.ts";
import { type Client, createClient } from "../support/client.ts";
import { configWith } from "../support/operations.ts";
import { serveWith } from "../support/server.ts";

const DAY_MS = 86_400_000;

type KeyRow = {
  key?: string;
  owner?: string;
  expiresAt?: number | null;
  revokedAt?: number | null;
  roles?: string[];
  scopes?: string[];
};

const newKey = () => `a2a_${crypto.randomUUID().replaceAll("-", "")}`;

/** Stores a key as it was made before keys had ids, and returns it. */
async function store(row: KeyRow = {}) {
  const { key = newKey(), owner = "alice", expiresAt = null, revokedAt = null } = row;
  const { roles = ["approver"], scopes = [] } = row;
  await env.DB.prepare(
    "INSERT INTO api_keys (id, hash, owner, created_at, expires_at, revoked_at, roles, scopes) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
  )
    .bind(
      crypto.randomUUID(),
      await sha256(key),
      owner,
      Date.now(),
      expiresAt,
      revokedAt,
      roles.join(" "),
      scopes.join(" "),
    )
    .run();
  return key;
}

/** Makes a key as it is made today. */
const make = (more: Partial<Parameters<typeof createApiKey>[1]> = {}) =>
  createApiKey(
    env.DB,
    { owner: "alice", roles: ["user"], scopes: [], createdBy: "cli", ...more },
    Date.now(),
  );

const revoke = async (key: string, at: number) =>
  env.DB.prepare("UPDATE api_keys SET revoked_at = ? WHERE hash = ?")
    .bind(at, await sha256(key))
    .run();

/** The whole server in api-key mode, with a clock of its own and D1 counted. */
function serve() {
  const clock = { now: Date.now() };
  const prepare = vi.fn((sql: string) => env.DB.prepare(sql));
  const db = { prepare } as unknown as D1Database;
  const refusals: Refusal[] = [];
  const fetch = serveWith(
    { authModes: ["api-key"] },
    { authenticate: authenticateBy(db, () => clock.now, refusals) },
  );
  const client = (headers: Record<string, string>, agent = "conformance"): Client =>
    createClient({ agent, headers, fetch });
  return { clock, prepare, client, fetch, refusals };
}

function authenticateBy(db: D1Database, now: () => number = Date.now, refusals: Refusal[] = []) {
  const onRefusal = (refusal: Refusal) => void refusals.push(refusal);
  return createAuthentication({ config: configWith({ authModes: ["api-key"] }), db, now, onRefusal })
    .authenticate;
}

const bearer = (key: string) => ({ authorization: `Bearer ${key}` });

describe("a key", () => {
  it.each([
    ["Authorization: Bearer", (key: string) => ({ authorization: `Bearer ${key}` })],
    ["authorization in other letters", (key: string) => ({ AUTHORIZATION: `bEARER   ${key}` })],
    ["X-API-Key", (key: string) => ({ "x-api-key": key })],
    ["X-API-Key beside another scheme", (key: string) => ({ authorization: "Basic eDp5", "x-api-key": key })],
  ])("is taken from %s", async (_, headers) => {
    const { client } = serve();
    const task = await client(headers(await store())).sendForTask("hello");
    expect(task.status.state).toBe("TASK_STATE_COMPLETED");
  });

  it("gives every operation over both bindings to its owner", async () => {
    const { client } = serve();
    const mine = client(bearer(await store()));
    const { id } = await mine.sendForTask("input");
    expect((await mine.get(id)).id).toBe(id);
    expect((await mine.list()).tasks.map((task) => task.id)).toContain(id);
    const rest = await mine.request(`/tasks/${id}`);
    expect(await rest.json()).toMatchObject({ id });
    const stream = await mine.subscribe(id);
    expect((await stream.next())?.event.task?.id).toBe(id);
    await stream.leave();
    expect((await mine.cancel(id)).status.state).toBe("TASK_STATE_CANCELED");
  });

  it("shares its tasks with the owner's other keys, and with nobody else's", async () => {
    const { client } = serve();
    const [one, two, other] = [await store(), await store(), await store({ owner: "bob" })];
    const { id } = await client(bearer(one)).sendForTask("input");
    expect((await client(bearer(two)).get(id)).id).toBe(id);
    expect((await client(bearer(other)).error("GetTask", { id })).code).toBe(-32001);
    expect((await client(bearer(other)).list()).tasks.map((task) => task.id)).not.toContain(id);
  });

  it("of the owner anonymous never meets the anonymous of open mode (design.md, rule 12)", async () => {
    const open = createClient({ owner: "anonymous", agent: "conformance" });
    const theirs = await open.sendForTask("input");
    const { client } = serve();
    const keyed = client(bearer(await store({ owner: "anonymous" })));
    const mine = await keyed.sendForTask("input");
    expect((await keyed.error("GetTask", { id: theirs.id })).code).toBe(-32001);
    expect((await open.error("GetTask", { id: mine.id })).code).toBe(-32001);
    expect((await keyed.list()).totalSize).toBe(1);
    expect((await open.list()).totalSize).toBe(1);
  });

  it.each([
    "open::anonymous",
    "anonymous/0",
    "a:b",
    "key::alice",
    "%61lice",
    "ALICE",
    "alice ",
    "ünïcode\u{1F600}",
    "",
  ])("of the owner %j is an owner of its own", async (owner) => {
    const { client } = serve();
    const mine = client(bearer(await store({ owner })));
    const others = [
      client(bearer(await store({ owner: "alice" }))),
      client(bearer(await store({ owner: "anonymous" }))),
    ];
    const { id } = await mine.sendForTask("hello");
    for (const other of others) expect((await other.error("GetTask", { id })).code).toBe(-32001);
    expect((await mine.get(id)).id).toBe(id);
  });

  it("cannot be talked into another owner by X-Dev-Owner", async () => {
    const { client } = serve();
    const key = await store({ owner: "carol" });
    const { id } = await client(bearer(key)).sendForTask("hello");
    const disguised = createClient({
      owner: "mallory",
      agent: "conformance",
      headers: bearer(key),
      fetch: serve().fetch,
    });
    expect((await disguised.get(id)).id).toBe(id);
    const keyless = createClient({ owner: "carol", agent: "conformance", fetch: serve().fetch });
    expect((await keyless.rpc("GetTask", { id })).status).toBe(401);
  });
});

describe("no valid key", () => {
  const wrong: [string, () => Promise<Record<string, string>>][] = [
    ["none", async () => ({})],
    ["one that nobody has", async () => bearer(newKey())],
    ["an expired one", async () => bearer(await store({ expiresAt: Date.now() - DAY_MS }))],
    ["a revoked one", async () => bearer(await store({ revokedAt: Date.now() }))],
    ["one revoked in the future", async () => bearer(await store({ revokedAt: Date.now() + DAY_MS }))],
    ["one with another letter at the end", async () => bearer(`${(await store()).slice(0, -1)}~`)],
    ["one that is longer", async () => bearer(`${await store()}a`)],
    ["one in other letters", async () => bearer((await store({ key: `${newKey()}abc` })).toUpperCase())],
    ["one that is cut", async () => bearer((await store()).slice(0, -1))],
    ["its hash instead of it", async () => bearer(await sha256(await store()))],
    ["its hash in the form of one", async () => bearer(`a2a_${await sha256(await store())}`)],
    ["another scheme", async () => ({ authorization: `Basic ${btoa(`x:${await store()}`)}` })],
    ["no scheme", async () => ({ authorization: await store() })],
    ["two of them", async () => bearer(`${await store()} ${await store()}`)],
    ["one with a comma", async () => bearer(`${await store()},${await store()}`)],
    ["an empty one", async () => ({ authorization: "Bearer " })],
    ["an empty X-API-Key", async () => ({ "x-api-key": "" })],
    ["a quote", async () => bearer("a2a_' OR '1'='1' -- aaaaaaaaaaa")],
    ["one of another form", async () => bearer(await store({ key: `sk-${crypto.randomUUID()}` }))],
    [
      "a bearer that is wrong beside an X-API-Key that is right",
      async () => ({ ...bearer(newKey()), "x-api-key": await store() }),
    ],
  ];

  it.each(wrong)("(%s) is refused by JSON-RPC with 401 and a challenge", async (_, headers) => {
    const { client } = serve();
    const response = await client(await headers()).rpc("ListTasks");
    expect(response.status).toBe(401);
    expect(response.headers.get("www-authenticate")).toMatch(/^Bearer\b/);
    expect(await response.json()).toMatchObject({
      jsonrpc: "2.0",
      error: { data: [{ reason: "UNAUTHENTICATED" }] },
    });
  });

  it.each(wrong)("(%s) is refused by HTTP+JSON with 401 and a challenge", async (_, headers) => {
    const { client } = serve();
    const response = await client(await headers()).request("/tasks");
    expect(response.status).toBe(401);
    expect(response.headers.get("www-authenticate")).toMatch(/^Bearer\b/);
    expect(await response.json()).toMatchObject({ error: { code: 401, status: "UNAUTHENTICATED" } });
  });

  it("is told the same whatever is wrong with the key, and nothing of it", async () => {
    const { client } = serve();
    const answers = new Set<string>();
    for (const [name, headers] of wrong.slice(1)) {
      // A client that speaks another scheme has given no credential, and is told what to give.
      if (name === "another scheme") continue;
      const sent = await headers();
      const body = await (await client(sent).rpc("ListTasks")).text();
      const secrets = Object.values(sent).map((value) => value.replace(/^Bearer /, ""));
      for (const secret of secrets.filter((value) => value !== "")) expect(body).not.toContain(secret);
      answers.add(body);
    }
    expect(answers.size).toBe(1);
  });

  it("is refused before anything is looked at: a foreign, a missing and an impossible task answer alike", async () => {
    const { client } = serve();
    const { id } = await client(bearer(await store())).sendForTask("hello");
    const answers = new Set<string>();
    for (const task of [id, id.replace(/.$/, "x"), "nothing"]) {
      answers.add(await (await client({}).request(`/tasks/${task}`)).text());
    }
    expect(answers.size).toBe(1);
  });

  it("is no hindrance to what is public", async () => {
    const { client } = serve();
    const stranger = client({});
    for (const path of ["/.well-known/agent-card.json", "/../health", "/../ready", "/../"]) {
      expect((await stranger.request(path)).status, path).toBe(200);
    }
  });

  it("gets no extended card (§3.1.11)", async () => {
    const { client } = serve();
    expect((await client({}, "enterprise").rpc("GetExtendedAgentCard")).status).toBe(401);
    const card = await client(bearer(await store()), "enterprise").result<{ skills: unknown[] }>(
      "GetExtendedAgentCard",
    );
    expect(card.skills.length).toBeGreaterThan(3);
  });
});

describe("a key of today", () => {
  it("names its id, which is in its text and no secret", async () => {
    const { key, text } = await make();
    expect(text).toMatch(/^a2a_[0-9a-z]{12}_[A-Za-z0-9_-]{43}$/);
    expect(text.split("_")[1]).toBe(key.id);
    const { client } = serve();
    expect((await client(bearer(text)).rpc("ListTasks")).status).toBe(200);
  });

  it("is the actor, for the owner that all its fellows have", async () => {
    const authenticate = authenticateBy(env.DB);
    const { key, text } = await make({ owner: "team/7" });
    const request = new Request("https://a.test", { headers: { "x-api-key": text } });
    expect(await authenticate(request)).toMatchObject({
      ok: true,
      value: { owner: "key::team%2F7", actor: `key:team%2F7:${key.id}` },
    });
  });

  it("may stand in both headers, if it is the same", async () => {
    const [{ text }, other] = [await make(), await make()];
    const { client, refusals } = serve();
    expect((await client({ ...bearer(text), "x-api-key": text }).rpc("ListTasks")).status).toBe(200);
    expect((await client({ ...bearer(text), "x-api-key": other.text }).rpc("ListTasks")).status).toBe(401);
    expect(refusals).toEqual([{ reason: "conflicting" }]);
  });

  it.each([
    ["viewer", ["ListTasks"], ["SendMessage", "CreateTaskPushNotificationConfig"]],
    ["user", ["ListTasks", "SendMessage"], []],
    ["operator", [], ["ListTasks", "SendMessage"]],
    ["nobody", [], ["ListTasks", "SendMessage"]],
    ["", [], ["ListTasks", "SendMessage"]],
  ])("with the role %j may do what the role says", async (role, may, mayNot) => {
    const { text } = await make({ roles: role === "" ? [] : [role] });
    const mine = serve().client(bearer(text));
    const params = {
      message: { messageId: "m", role: "ROLE_USER", parts: [{ text: "hello" }] },
      taskId: "0-x",
    };
    for (const method of may) expect((await mine.rpc(method, params)).status, method).toBe(200);
    for (const method of mayNot)
      expect((await mine.rpc(method, { ...params, url: "https://a.example" })).status, method).toBe(403);
  });

  it("with scopes beside its roles may do both, and learns which scope it lacks", async () => {
    const { text } = await make({ roles: ["viewer"], scopes: ["task:write"] });
    const mine = serve().client(bearer(text));
    const { id } = await mine.sendForTask("hello");
    expect((await mine.get(id)).id).toBe(id);
    const refused = await mine.rpc("DeleteTaskPushNotificationConfig", { taskId: id, id: "c" });
    expect(refused.status).toBe(403);
    expect(refused.headers.get("www-authenticate")).toBe(
      'Bearer realm="a2a", error="insufficient_scope", scope="push:write"',
    );
  });

  it("may be rotated: the old secret works until its overlap ends, the new one at once and on", async () => {
    const { client, clock } = serve();
    const { key, text } = await make();
    const rotated = await rotateApiKey(env.DB, { id: key.id, overlapMs: 60_000 }, clock.now);
    if (!rotated.ok) throw new Error(rotated.error.reason);
    const [old, fresh] = [client(bearer(text)), client(bearer(rotated.value.text))];
    const { id } = await old.sendForTask("hello");
    expect((await fresh.get(id)).id).toBe(id);
    clock.now += 59_999;
    expect((await old.rpc("ListTasks")).status).toBe(200);
    clock.now += 1;
    expect((await old.rpc("ListTasks")).status).toBe(401);
    expect((await fresh.rpc("ListTasks")).status).toBe(200);
  });

  it("that is revoked is refused with all its secrets, after 30 s at most", async () => {
    const { client, clock, refusals } = serve();
    const { key, text } = await make();
    const rotated = await rotateApiKey(env.DB, { id: key.id, overlapMs: 600_000 }, clock.now);
    if (!rotated.ok) throw new Error(rotated.error.reason);
    const both = [client(bearer(text)), client(bearer(rotated.value.text))];
    for (const one of both) expect((await one.rpc("ListTasks")).status).toBe(200);
    await revokeApiKey(env.DB, { id: key.id }, clock.now);
    clock.now += 30_000;
    for (const one of both) expect((await one.rpc("ListTasks")).status).toBe(401);
    const refusal = { reason: "revoked", kind: "api-key", name: key.id };
    expect(refusals).toEqual([refusal, refusal]);
  });

  it("has the rights of a custom role, which built-in names cannot be", async () => {
    const customRoles = vi.fn(async (role: string) => (role === "poster" ? ["task:write"] : undefined));
    const authenticate = createAuthentication({
      config: configWith({ authModes: ["api-key"] }),
      db: env.DB,
      customRoles,
    }).authenticate;
    const { text } = await make({ roles: ["poster", "viewer", "gone"] });
    const caller = await authenticate(new Request("https://a.test", { headers: bearer(text) }));
    if (!caller.ok) throw new Error("refused");
    expect([...caller.value.scopes]).toEqual(["task:read", "task:write", "push:read", "card:read"]);
    expect(customRoles.mock.calls.map(([role]) => role)).toEqual(["poster", "gone"]);
  });
});

describe("what is told of a refusal, beside the caller's one sentence", () => {
  it.each<[string, () => Promise<Record<string, string>>, Refusal]>([
    ["nothing", async () => ({}), { reason: "missing" }],
    ["Basic", async () => ({ authorization: "Basic eDp5" }), { reason: "unsupported_scheme" }],
    ["no form", async () => bearer("secret"), { reason: "malformed" }],
    ["an empty header", async () => ({ authorization: "" }), { reason: "malformed" }],
    ["an old form", async () => bearer(newKey()), { reason: "unknown_key", kind: "api-key" }],
    [
      "an unknown key",
      async () => bearer(`a2a_0123456789ab_${"x".repeat(43)}`),
      { reason: "unknown_key", kind: "api-key", name: "0123456789ab" },
    ],
  ])("%s has its reason, and never the credential", async (_, headers, refusal) => {
    const { client, refusals } = serve();
    expect((await client(await headers()).rpc("ListTasks")).status).toBe(401);
    expect(refusals).toEqual([refusal]);
  });

  it("an expired key is named", async () => {
    const { client, refusals } = serve();
    const { key, text } = await make({ expiresAt: Date.now() - 1 });
    expect((await client(bearer(text)).rpc("ListTasks")).status).toBe(401);
    expect(refusals).toEqual([{ reason: "expired", kind: "api-key", name: key.id }]);
  });

  it("is logged, but for who brought no credential", () => {
    const logged = vi.spyOn(console, "info").mockImplementation(() => {});
    logRefusal({ reason: "missing" });
    logRefusal({ reason: "unsupported_scheme" });
    expect(logged).not.toHaveBeenCalled();
    logRefusal({ reason: "revoked", kind: "api-key", name: "k" });
    expect(logged.mock.calls.map(([line]) => JSON.parse(line as string))).toEqual([
      { level: "info", message: "a credential was refused", reason: "revoked", kind: "api-key", name: "k" },
    ]);
    logged.mockRestore();
  });
});

describe("the challenge of a 401", () => {
  const challengeFor = async (headers: Record<string, string>) =>
    (await serve().client(headers).rpc("ListTasks")).headers.get("www-authenticate");

  it("lists the ways to send a key, without an error where no credential was given (RFC 6750 §3.1)", async () => {
    const silent = 'Bearer realm="a2a", ApiKey realm="a2a", header="X-API-Key"';
    expect(await challengeFor({})).toBe(silent);
    expect(await challengeFor({ authorization: "Basic eDp5" })).toBe(silent);
  });

  it("says invalid_token where one was given", async () => {
    for (const headers of [bearer(newKey()), bearer("x"), { "x-api-key": "" }]) {
      expect(await challengeFor(headers)).toBe(
        'Bearer realm="a2a", error="invalid_token", ApiKey realm="a2a", header="X-API-Key"',
      );
    }
  });
});

describe("the memory of keys", () => {
  it("spares D1 while a key is known, for 30 s", async () => {
    const { client, prepare, clock } = serve();
    const mine = client(bearer(await store()));
    for (let i = 0; i < 5; i++) await mine.list();
    expect(prepare).toHaveBeenCalledTimes(1);
    clock.now += 29_999;
    await mine.list();
    expect(prepare).toHaveBeenCalledTimes(1);
    clock.now += 1;
    await mine.list();
    expect(prepare).toHaveBeenCalledTimes(2);
  });

  it("spares D1 also for a key that is none, and for what has not its form altogether", async () => {
    const { client, prepare } = serve();
    const guessing = client(bearer(newKey()));
    for (let i = 0; i < 5; i++) expect((await guessing.rpc("ListTasks")).status).toBe(401);
    expect(prepare).toHaveBeenCalledTimes(1);
    for (const form of [
      "a2a_short",
      `a2a_${"x".repeat(129)}`,
      "password",
      `a2a_${"x".repeat(20)}!`,
      `b2a_${"x".repeat(20)}`,
    ]) {
      expect((await client(bearer(form)).rpc("ListTasks")).status).toBe(401);
    }
    expect(prepare).toHaveBeenCalledTimes(1);
  });

  it("lets a revoked key work for no longer than 30 s", async () => {
    const { client, clock } = serve();
    const key = await store();
    const mine = client(bearer(key));
    await mine.list();
    await revoke(key, clock.now);
    clock.now += 30_000;
    expect((await mine.rpc("ListTasks")).status).toBe(401);
  });

  it("lets no key work past its own end, known or not", async () => {
    const { client, clock, prepare } = serve();
    const mine = client(bearer(await store({ expiresAt: clock.now + 1_000 })));
    expect((await mine.rpc("ListTasks")).status).toBe(200);
    clock.now += 999;
    expect((await mine.rpc("ListTasks")).status).toBe(200);
    clock.now += 1;
    expect((await mine.rpc("ListTasks")).status).toBe(401);
    expect(prepare).toHaveBeenCalledTimes(1);
  });

  it("finds a key that was made after it had been guessed, within 30 s", async () => {
    const { client, clock } = serve();
    const key = newKey();
    const mine = client(bearer(key));
    expect((await mine.rpc("ListTasks")).status).toBe(401);
    await store({ key });
    clock.now += 30_000;
    expect((await mine.rpc("ListTasks")).status).toBe(200);
  });

  it("does not take a key that cannot be looked up for a wrong one, nor remember that it could not", async () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    const { client, prepare, refusals } = serve();
    const mine = client(bearer(await store()));
    prepare.mockImplementationOnce(() => {
      throw new Error("D1_ERROR: overloaded at db.internal");
    });
    const response = await mine.rpc("ListTasks");
    expect([response.status, response.headers.get("retry-after")]).toEqual([503, "5"]);
    expect(await response.text()).not.toContain("db.internal");
    expect(refusals).toEqual([{ reason: "lookup_failed", kind: "api-key" }]);
    expect((await mine.answer("ListTasks")).result).toBeDefined();
    vi.restoreAllMocks();
  });

  it("is bounded, whatever is tried", async () => {
    const queries: string[] = [];
    const db = {
      prepare: () => ({ bind: (hash: string) => ({ first: async () => void queries.push(hash) }) }),
    } as unknown as D1Database;
    const authenticate = authenticateBy(db, () => 0);
    const attempt = (key: string) => authenticate(new Request("https://a.test", { headers: bearer(key) }));
    const first = newKey();
    await attempt(first);
    await attempt(first);
    expect(queries).toHaveLength(1);
    for (let i = 0; i < 10_000; i++) await attempt(`a2a_${String(i).padStart(32, "0")}`);
    await attempt(first);
    expect(queries).toHaveLength(10_002);
  }, 30_000);

  it("is not emptied of keys by guesses: a known key costs no query after ten thousand of them", async () => {
    const { text } = await make();
    const prepare = vi.fn((sql: string) => env.DB.prepare(sql));
    let guessing = false;
    const db = {
      prepare: (sql: string) => (guessing ? { bind: () => ({ first: async () => null }) } : prepare(sql)),
    } as unknown as D1Database;
    const authenticate = authenticateBy(db, () => 0);
    const attempt = (key: string) => authenticate(new Request("https://a.test", { headers: bearer(key) }));
    expect((await attempt(text)).ok).toBe(true);
    guessing = true;
    for (let i = 0; i < 10_001; i++) await attempt(`a2a_${String(i).padStart(32, "0")}`);
    guessing = false;
    expect((await attempt(text)).ok).toBe(true);
    expect(prepare).toHaveBeenCalledTimes(1);
  }, 30_000);

  it("never holds a key itself: the database is asked for its hash", async () => {
    const asked: unknown[] = [];
    const db = {
      prepare: () => ({
        bind: (...values: unknown[]) => ({ first: async () => void asked.push(...values) }),
      }),
    } as unknown as D1Database;
    const key = newKey();
    await authenticateBy(db)(new Request("https://a.test", { headers: bearer(key) }));
    expect(asked).toEqual([await sha256(key)]);
    expect(asked[0]).toMatch(/^[0-9a-f]{64}$/);
  });
});

describe("createAuthenticate", () => {
  it("follows AUTH_MODE", async () => {
    const request = new Request("https://a.test");
    const open = createAuthentication({
      config: configWith({ authModes: ["open"] }),
      db: env.DB,
    }).authenticate;
    expect(await open(request)).toEqual({
      ok: true,
      value: {
        ...{ owner: "open::anonymous", actor: "open::anonymous", scopes: "all", adminScopes: new Set() },
        basis: { kind: "open", expiresAt: null },
      },
    });
    const keyed = createAuthentication({
      config: configWith({ authModes: ["api-key"] }),
      db: env.DB,
    }).authenticate;
    expect(await keyed(request)).toMatchObject({ ok: false, error: { reason: "UNAUTHENTICATED" } });
  });
});
