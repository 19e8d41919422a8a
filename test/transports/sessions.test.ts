// Sessions through the front door: the whole server with AUTH_MODE=api-key. What a session is, is tested in
// test/auth/sessions.test.ts; here is who gets one, how it is presented, and where a token must never be seen.

import { createScheduledController, env } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createAuthentication } from "../../src/auth/authenticate.ts";
import { createStrangers } from "../../src/auth/strangers.ts";
import type { Config } from "../../src/config.ts";
import worker from "../../src/index.ts";
import { createApiKey, revokeApiKey, rotateApiKey } from "../../src/store/api-keys.ts";
import { createClient, ORIGIN, readStream } from "../support/client.ts";
import { configWith } from "../support/operations.ts";
import { serveWith } from "../support/server.ts";

const TOKEN = /^a2as_[A-Za-z0-9_-]{43}$/;

afterEach(() => void vi.restoreAllMocks());
beforeEach(async () => void (await env.DB.prepare("DELETE FROM sessions").run()));

const make = async (more: Partial<Parameters<typeof createApiKey>[1]> = {}) => {
  const owner = crypto.randomUUID();
  return createApiKey(env.DB, { owner, roles: ["user"], scopes: [], createdBy: "cli", ...more }, Date.now());
};

type Json = Record<string, unknown>;
type Opened = { session: string; id: string; scopes: string[]; expiresAt: string; extendableUntil: string };

function serve(settings: Partial<Config> = {}) {
  const fetch = serveWith({ authModes: ["api-key"], sessionRatePerMinute: 1_000, ...settings });
  const send = (path: string, init: RequestInit = {}) => fetch(new Request(`${ORIGIN}${path}`, init));
  const post = (path: string, headers: Record<string, string>, body?: unknown) =>
    send(path, {
      method: "POST",
      headers: { ...headers, ...(body !== undefined && { "content-type": "application/json" }) },
      ...(body !== undefined && { body: typeof body === "string" ? body : JSON.stringify(body) }),
    });
  const open = async (headers: Record<string, string>, body?: unknown): Promise<Opened> => {
    const response = await post("/a2a/auth", headers, body);
    if (response.status !== 201) throw new Error(`${response.status} ${await response.text()}`);
    return response.json<Opened>();
  };
  return { fetch, send, post, open };
}

const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

async function refusal(response: Response) {
  const { error } = await response.json<{
    error: { code: number; message: string; details: { reason?: string; fieldViolations?: Json[] }[] };
  }>();
  const reason = error.details.find(({ reason }) => reason)?.reason;
  const fields = error.details.flatMap(({ fieldViolations = [] }) =>
    fieldViolations.map(({ field }) => field),
  );
  return { status: response.status, reason, fields, message: error.message };
}

describe("POST /a2a/auth", () => {
  it("answers 201 with a token, which no cache keeps and no page frames", async () => {
    const { text } = await make();
    const { post } = serve();
    const response = await post("/a2a/auth", bearer(text));
    expect(response.status).toBe(201);
    expect(response.headers.get("content-type")).toBe("application/json");
    expect(response.headers.get("cache-control")).toBe("no-store");
    expect(response.headers.get("referrer-policy")).toBe("no-referrer");
    expect(response.headers.get("location")).toBeNull();
    expect(response.headers.get("set-cookie")).toBeNull();
    const opened = await response.json<Opened>();
    expect(opened.session).toMatch(TOKEN);
    expect(Object.keys(opened).toSorted()).toEqual([
      "createdAt",
      "expiresAt",
      "extendableUntil",
      "id",
      "scopes",
      "session",
    ]);
    const lastsMs = Date.parse(opened.expiresAt) - Date.now();
    expect(lastsMs).toBeGreaterThan(3_590_000);
    expect(lastsMs).toBeLessThanOrEqual(3_600_000);
  });

  it.each([
    ["Authorization", (key: string) => [bearer(key)]],
    ["X-API-Key", (key: string) => [{ "x-api-key": key }]],
    ["apiKey in the body", (key: string) => [{}, { apiKey: key }]],
    ["token in the body", (key: string) => [{}, { token: key }]],
  ] as [string, (key: string) => [Record<string, string>, unknown?]][])(
    "takes a credential from %s",
    async (_, from) => {
      const { text } = await make();
      const { open, send } = serve();
      const { session } = await open(...from(text));
      expect((await send("/tasks", { headers: bearer(session) })).status).toBe(200);
    },
  );

  it("gives less if less is asked for", async () => {
    const { text } = await make();
    const { open, send, post } = serve();
    const body = { scopes: ["task:read"], expiresInSeconds: 60 };
    const { session, scopes, expiresAt } = await open(bearer(text), body);
    expect(scopes).toEqual(["task:read"]);
    expect(Date.parse(expiresAt) - Date.now()).toBeLessThanOrEqual(60_000);
    expect((await send("/tasks", { headers: bearer(session) })).status).toBe(200);
    const message = { messageId: "1", role: "ROLE_USER", parts: [{ text: "x" }] };
    expect(await refusal(await post("/message:send", bearer(session), { message }))).toMatchObject({
      status: 403,
      reason: "PERMISSION_DENIED",
    });
  });

  it.each([
    ["no credential", {}, undefined, 401, []],
    ["an empty body", {}, {}, 401, []],
    ["a wrong key", bearer("a2a_0123456789abcdefghij"), undefined, 401, []],
    ["a wrong key in the body", {}, { apiKey: "a2a_0123456789abcdefghij" }, 401, []],
    ["a key that is none", {}, { apiKey: "hunter2" }, 401, []],
    ["two in the body", {}, { apiKey: "a2a_0123456789abcdefghij", token: "t" }, 400, ["token"]],
    ["a key with a line break", {}, { apiKey: "a2a_x\r\nx-dev-owner: y" }, 400, ["apiKey"]],
    ["a key that is a number", {}, { apiKey: 7 }, 400, ["apiKey"]],
    ["a key without end", {}, { token: "x".repeat(20_000) }, 400, ["token"]],
    ["a body without end", {}, { token: "x".repeat(40_000) }, 413, []],
    ["a token of its own choice", {}, { session: `a2as_${"A".repeat(43)}` }, 400, ["session"]],
    ["an id of its own choice", {}, { id: "1" }, 400, ["id"]],
    ["the owner of somebody else", {}, { owner: "key::bob" }, 400, ["owner"]],
    ["a misspelt field", {}, { scope: "task:read" }, 400, ["scope"]],
    ["no JSON", {}, "{", 400, []],
    ["a list", {}, "[]", 400, []],
    ["null", {}, "null", 400, []],
  ] as [string, Record<string, string>, unknown, number, string[]][])(
    "makes nothing for %s",
    async (_, headers, body, status, fields) => {
      const { post } = serve();
      const response = await post("/a2a/auth", headers, body);
      expect(await refusal(response)).toMatchObject({ status, fields });
      if (status === 401) expect(response.headers.get("www-authenticate")).toMatch(/^Bearer/);
      expect(await env.DB.prepare("SELECT count(*) AS n FROM sessions").first("n")).toBe(0);
    },
  );

  it.each([
    [{ expiresInSeconds: 0 }, "expiresInSeconds"],
    [{ expiresInSeconds: 3_601 }, "expiresInSeconds"],
    [{ expiresInSeconds: 1.5 }, "expiresInSeconds"],
    [{ expiresInSeconds: "60" }, "expiresInSeconds"],
    [{ expiresInSeconds: null }, "expiresInSeconds"],
    [{ scopes: "task:read" }, "scopes"],
    [{ scopes: [1] }, "scopes"],
    [{ scopes: Array(33).fill("task:read") }, "scopes"],
    [{ scopes: [] }, "scopes"],
    [{ scopes: ["task:read", "nothing"] }, "scopes[1]"],
    [{ constructor: 1 }, "constructor"],
  ])("names what is wrong with %j", async (body, field) => {
    const { text } = await make();
    const refused = await refusal(await serve().post("/a2a/auth", bearer(text), body));
    expect(refused).toMatchObject({ status: 400, reason: "INVALID_PARAMS", fields: [field] });
  });

  it("takes one credential: not one in a header and one in the body", async () => {
    const { text } = await make();
    const refused = await refusal(await serve().post("/a2a/auth", bearer(text), { apiKey: text }));
    expect(refused).toMatchObject({ status: 400, reason: "INVALID_REQUEST" });
    expect(refused.message).not.toContain(text);
  });

  it("gives a session no session, however it is presented", async () => {
    const { text } = await make();
    const { post, open } = serve();
    const { session } = await open(bearer(text));
    for (const [headers, body] of [
      [bearer(session), undefined],
      [{}, { token: session }],
    ] as const) {
      expect(await refusal(await post("/a2a/auth", headers, body))).toMatchObject({
        status: 403,
        reason: "PERMISSION_DENIED",
      });
    }
    // A key's header takes keys only.
    expect((await post("/a2a/auth", { "x-api-key": session })).status).toBe(401);
  });

  it("refuses a flood of extensions, whichever session of a credential asks for them", async () => {
    const { text } = await make();
    const { post, open } = serve({ sessionRatePerMinute: 2 });
    const { session, id } = await open(bearer(text));
    const statuses: number[] = [];
    for (let i = 0; i < 9; i++) {
      const response = await post(`/a2a/auth/sessions/${id}:extend`, bearer(i % 2 ? text : session));
      statuses.push(response.status);
      if (response.status === 429) expect(Number(response.headers.get("retry-after"))).toBeGreaterThan(0);
    }
    // One of the eight a minute was the opening.
    expect(statuses).toEqual([...Array(7).fill(200), 429, 429]);
    const { text: other } = await make();
    const theirs = await open(bearer(other));
    expect((await post(`/a2a/auth/sessions/${theirs.id}:extend`, bearer(other))).status).toBe(200);
  });

  it("refuses a flood: of one credential, and of one address whatever it presents", async () => {
    const { text } = await make();
    const { post, open } = serve({ sessionRatePerMinute: 2 });
    await open(bearer(text));
    await open(bearer(text));
    const refused = await post("/a2a/auth", bearer(text));
    expect(refused.status).toBe(429);
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(50);
    const guess = (address: string) =>
      post("/a2a/auth", { "cf-connecting-ip": address, ...bearer("a2a_0123456789abcdefghij") });
    const statuses: number[] = [];
    for (let i = 0; i < 10; i++) statuses.push((await guess("192.0.2.1")).status);
    expect(statuses).toEqual([...Array(8).fill(401), 429, 429]);
    const shed = await guess("192.0.2.1");
    expect(Number(shed.headers.get("retry-after"))).toBeGreaterThan(0);
    expect((await guess("192.0.2.2")).status).toBe(401);
    const { text: colleague } = await make();
    const at = { "cf-connecting-ip": "192.0.2.1" };
    expect((await post("/a2a/auth", { ...at, ...bearer(colleague) })).status).toBe(201);
    expect((await post("/a2a/auth", at)).status).toBe(429);
  });

  it("in open mode makes one of whoever says who they are, which speaks for them and nobody else", async () => {
    const { open, send } = serve({ authModes: ["open"] });
    const client = createClient({ agent: "echo", owner: "erin" });
    const { id } = await client.sendForTask("hello");
    const { session } = await open({ "x-dev-owner": "erin" });
    const { session: others } = await open({});
    expect((await send(`/echo/tasks/${id}?session=${session}`)).status).toBe(200);
    expect((await send(`/echo/tasks/${id}?session=${others}`)).status).toBe(404);
    expect((await send(`/tasks?session=a2as_${"x".repeat(43)}`)).status).toBe(401);
    expect((await send("/tasks", { headers: bearer("a2as_short") })).status).toBe(401);
    // A deployment that has been closed knows nobody who was let in before.
    expect((await serve().send("/tasks", { headers: bearer(session) })).status).toBe(401);
  });
});

describe("a session", () => {
  async function start(settings?: Partial<Config>) {
    const key = await make();
    const server = serve(settings);
    const opened = await server.open(bearer(key.text));
    const client = createClient({
      agent: "conformance",
      headers: bearer(opened.session),
      fetch: server.fetch,
    });
    return { key, ...server, ...opened, client };
  }

  it("gives every operation over both bindings, to the tasks of its credential's owner", async () => {
    const { key, client, fetch } = await start();
    const keyed = createClient({ agent: "conformance", headers: bearer(key.text), fetch });
    const { id } = await client.sendForTask("input");
    expect((await keyed.get(id)).id).toBe(id);
    expect((await client.list()).tasks.map((task) => task.id)).toEqual([id]);
    expect((await client.cancel(id)).status.state).toBe("TASK_STATE_CANCELED");
  });

  it("streams to a client that can only GET a URL, as an EventSource does, and again after it was cut", async () => {
    const { client, session, send } = await start();
    const { id } = await client.sendForTask("input");
    const url = `/conformance/tasks/${id}:subscribe?session=${session}`;
    const subscribe = async (headers: Record<string, string> = {}) => {
      const response = await send(url, { headers: { accept: "text/event-stream", ...headers } });
      expect(response.status).toBe(200);
      expect(response.headers.get("content-type")).toBe("text/event-stream");
      return readStream(response, (data) => JSON.parse(data));
    };
    const stream = await subscribe();
    const first = await stream.next();
    expect(first?.event.task?.id).toBe(id);
    await stream.leave();
    await client.cancel(id);
    const again = await subscribe({ "last-event-id": first?.id ?? "" });
    const last = (await again.rest()).at(-1);
    expect(last?.event.statusUpdate?.status.state).toBe("TASK_STATE_CANCELED");
  });

  it.each(["GET", "HEAD"])("is taken from the query of a %s", async (method) => {
    const { session, send } = await start();
    expect((await send(`/tasks?session=${session}`, { method })).status).toBe(200);
    expect((await send(`/tasks?%73ession=${session}`, { method })).status).toBe(200);
  });

  it("is refused in the query of anything else, with a word about what to do", async () => {
    const { session, send, post, client } = await start();
    const { id } = await client.sendForTask("input");
    const query = `?session=${session}`;
    const message = { messageId: "1", role: "ROLE_USER", parts: [{ text: "x" }] };
    const requests = [
      post(`/${query}`, {}, { jsonrpc: "2.0", id: 1, method: "SendMessage", params: { message } }),
      post(`/message:send${query}`, {}, { message }),
      post(`/conformance/tasks/${id}:cancel${query}`, {}),
      post(`/conformance/tasks/${id}:subscribe${query}`, {}),
      post(`/message:send${query}`, bearer(session), { message }),
      post(`/a2a/auth${query}`, {}),
      send(`/a2a/auth${query}`, { method: "DELETE" }),
    ];
    for (const [i, response] of (await Promise.all(requests)).entries()) {
      const text = await response.text();
      expect(text, `${i}`).toContain("for GET requests only");
      expect(text, `${i}`).toContain("Authorization: Bearer");
      expect(text, `${i}`).not.toContain(session);
      expect([200, 400], `${i}`).toContain(response.status);
    }
    expect((await client.list()).tasks.map((task) => task.id)).toEqual([id]);
    expect((await client.get(id)).status.state).toBe("TASK_STATE_INPUT_REQUIRED");
  });

  it("is refused beside another credential, and twice", async () => {
    const { session, key, send } = await start();
    for (const [path, headers] of [
      [`/tasks?session=${session}`, bearer(key.text)],
      [`/tasks?session=${session}`, { "x-api-key": key.text }],
      [`/tasks?session=${session}&session=${session}`, {}],
    ] as [string, Record<string, string>][]) {
      expect(await refusal(await send(path, { headers }))).toMatchObject({
        status: 400,
        reason: "INVALID_REQUEST",
      });
    }
  });

  it.each([
    ["", 401],
    ["a2as_", 401],
    ["x", 401],
    ["%00", 401],
  ])("is not %j", async (token, status) => {
    const { send } = await start();
    expect((await send(`/tasks?session=${token}`)).status).toBe(status);
  });

  it("is not what a key in the query would be", async () => {
    const { send, key } = await start();
    expect((await send(`/tasks?session=${key.text}`)).status).toBe(401);
  });

  it("is gone after a logout, for good, and logging out twice is refused like any other use", async () => {
    const { session, send, key } = await start();
    const logout = await send("/a2a/auth", { method: "DELETE", headers: bearer(session) });
    expect(logout.status).toBe(204);
    for (const replay of [
      send("/tasks", { headers: bearer(session) }),
      send(`/tasks?session=${session}`),
      send("/a2a/auth", { method: "DELETE", headers: bearer(session) }),
    ]) {
      expect((await replay).status).toBe(401);
    }
    // A credential that is no session has nothing to log out of.
    const refused = await send("/a2a/auth", { method: "DELETE", headers: bearer(key.text) });
    expect(await refusal(refused)).toMatchObject({ status: 400, reason: "INVALID_REQUEST" });
  });

  it("ends with its key: revoked, or rotated without overlap", async () => {
    for (const end of [
      (id: string) => revokeApiKey(env.DB, { id }, Date.now()),
      (id: string) => rotateApiKey(env.DB, { id, overlapMs: 0 }, Date.now()),
    ]) {
      const { session, key } = await start();
      await end(key.key.id);
      // Another isolate, that remembers nothing.
      expect((await serve().send("/tasks", { headers: bearer(session) })).status).toBe(401);
    }
  });

  it("lives on while the secret that it was made from overlaps the new one, and not longer", async () => {
    const { session, key } = await start();
    const { id } = key.key;
    await rotateApiKey(env.DB, { id, overlapMs: 600_000 }, Date.now());
    expect((await serve().send("/tasks", { headers: bearer(session) })).status).toBe(200);
    await rotateApiKey(env.DB, { id, overlapMs: 600_000 }, Date.now());
    expect((await serve().send("/tasks", { headers: bearer(session) })).status).toBe(401);
  });

  it.each(["revoked", "of a key that was revoked", "without the scope"])(
    "%s follows no task any more after a minute, also on a stream that is open, and over either binding",
    async (how) => {
      // Before the server is made, which takes its clock then.
      const clock = vi.spyOn(Date, "now");
      const { session, id, key, send, client, fetch } = await start();
      const keyed = createClient({
        agent: "conformance",
        headers: bearer((await make({ owner: key.key.owner })).text),
        fetch,
      });
      const task = await client.sendForTask("input");
      const rest = await send(`/conformance/tasks/${task.id}:subscribe?session=${session}`);
      const rpc = await client.rpc("SubscribeToTask", { id: task.id });
      const readers = [rest, rpc].map((response) => readStream(response, (data) => JSON.parse(data)));
      for (const reader of readers) expect(await reader.next()).toBeDefined();
      if (how === "revoked") {
        await send(`/a2a/auth/sessions/${id}`, { method: "DELETE", headers: bearer(session) });
      } else if (how === "without the scope") {
        await env.DB.prepare("UPDATE api_keys SET roles = '', scopes = 'task:write'").run();
      } else await revokeApiKey(env.DB, { id: key.key.id }, Date.now());
      clock.mockReturnValue(Date.now() + 60_000);
      if (how === "without the scope") {
        await env.DB.prepare("UPDATE api_keys SET roles = 'user' WHERE id <> ?").bind(key.key.id).run();
      }
      await keyed.cancel(task.id);
      for (const reader of readers) {
        const { event } = (await reader.next()) ?? {};
        expect(JSON.stringify(event)).toMatch(/UNAUTHENTICATED|PERMISSION_DENIED/);
        expect(await reader.next()).toBeUndefined();
      }
    },
  );

  it.each([
    ["asks for too much without a credential", { failuresPerMinute: 2, guesses: 0 }],
    ["guesses", { failuresPerMinute: 0, guesses: 2 }],
  ])("follows no tasks any more either when somebody at its address %s", async (_, limits) => {
    const clock = vi.spyOn(Date, "now");
    const { text, key } = await make();
    const strangers = createStrangers({ ...limits, now: Date.now, counted: () => {} });
    const config = configWith({ authModes: ["api-key"] });
    const { authenticate } = createAuthentication({ config, db: env.DB, strangers });
    const fetch = serveWith({}, { authenticate });
    const send = (path: string, headers: Record<string, string>) =>
      fetch(new Request(`${ORIGIN}${path}`, { headers }));
    const client = createClient({ agent: "conformance", headers: bearer(text), fetch });
    const follow = async () => {
      const { id } = await client.sendForTask("input");
      const response = await send(`/conformance/tasks/${id}:subscribe`, bearer(text));
      const reader = readStream(response, (data) => JSON.parse(data));
      await reader.next();
      return { id, reader };
    };
    const followed = [await follow(), await follow()];
    await revokeApiKey(env.DB, { id: key.id }, Date.now());
    clock.mockReturnValue(Date.now() + 60_000);
    for (let i = 0; i < 4; i++) {
      await send("/tasks", limits.guesses === 0 ? {} : bearer(`a2a_${"x".repeat(20)}${i}`));
    }
    const { text: others } = await make({ owner: key.owner });
    const keyed = createClient({ agent: "conformance", headers: bearer(others), fetch: serve().fetch });
    for (const { id, reader } of followed) {
      await keyed.cancel(id);
      expect(JSON.stringify((await reader.next())?.event)).toMatch(/UNAUTHENTICATED/);
    }
  });

  it("goes on with its streams when it cannot be looked up for a moment", async () => {
    const clock = vi.spyOn(Date, "now");
    const { session, client } = await start();
    const task = await client.sendForTask("input");
    const config = configWith({ authModes: ["api-key"] });
    const { authenticate } = createAuthentication({ config, db: env.DB });
    const asked = vi.fn(authenticate);
    const elsewhere = serveWith({}, { authenticate: asked });
    const url = `${ORIGIN}/conformance/tasks/${task.id}:subscribe?session=${session}`;
    const reader = readStream(await elsewhere(new Request(url)), (data) => JSON.parse(data));
    await reader.next();
    clock.mockReturnValue(Date.now() + 20_000);
    asked.mockRejectedValue(new Error("D1_ERROR: overloaded"));
    await client.cancel(task.id);
    expect((await reader.next())?.event.statusUpdate?.status.state).toBe("TASK_STATE_CANCELED");
    expect(asked).toHaveBeenCalledTimes(2);
  });

  it("survives the isolate that made it", async () => {
    const { session } = await start();
    expect((await serve().send("/tasks", { headers: bearer(session) })).status).toBe(200);
  });
});

describe("the cron", () => {
  it("deletes sessions that are over, and no others", async () => {
    const { text } = await make();
    const { open } = serve();
    const [ended, live] = [await open(bearer(text)), await open(bearer(text))];
    await env.DB.prepare("UPDATE sessions SET expires_at = 0, created_at = 1 WHERE id = ?")
      .bind(ended.id)
      .run();
    await worker.scheduled(createScheduledController(), env);
    const { results } = await env.DB.prepare("SELECT id FROM sessions").all();
    expect(results).toEqual([{ id: live.id }]);
  });
});

describe("the list", () => {
  it("shows the live ones of the credential, marks the one that asks, and shows no token", async () => {
    const { text } = await make();
    const { open, send } = serve();
    const [one, two] = [await open(bearer(text)), await open(bearer(text), { scopes: ["task:read"] })];
    const list = async (headers: Record<string, string>) => {
      const response = await send("/a2a/auth/sessions", { headers });
      expect(response.headers.get("cache-control")).toBe("no-store");
      const shown = await response.text();
      for (const { session } of [one, two]) expect(shown).not.toContain(session.slice(5));
      return (JSON.parse(shown) as { sessions: Json[] }).sessions;
    };
    const known = await list(bearer(text));
    expect(known.map(({ id, current }) => [id, current])).toEqual([
      [two.id, false],
      [one.id, false],
    ]);
    expect((await list(bearer(one.session))).map(({ id, current }) => [id, current])).toEqual([
      [two.id, false],
      [one.id, true],
    ]);
    await send(`/a2a/auth/sessions/${two.id}`, { method: "DELETE", headers: bearer(text) });
    expect((await list(bearer(text))).map(({ id }) => id)).toEqual([one.id]);
  });

  it("is not for nobody", async () => {
    expect((await serve().send("/a2a/auth/sessions")).status).toBe(401);
  });
});

describe("extending", () => {
  it("answers with the new end, by the credential and by the session itself", async () => {
    const { text } = await make();
    const { open, post } = serve();
    const { id, session, expiresAt } = await open(bearer(text), { expiresInSeconds: 60 });
    const longer = await post(`/a2a/auth/sessions/${id}:extend`, bearer(session), { expiresInSeconds: 600 });
    expect(longer.status).toBe(200);
    const extended = await longer.json<Opened>();
    expect(Date.parse(extended.expiresAt)).toBeGreaterThan(Date.parse(expiresAt) + 500_000);
    expect(extended).not.toHaveProperty("session");
    const full = await post(`/a2a/auth/sessions/${id}%3Aextend`, bearer(text));
    expect(Date.parse((await full.json<Opened>()).expiresAt)).toBeGreaterThan(Date.now() + 3_500_000);
  });

  it.each([[{ scopes: ["admin:*"] }], [{ token: "x" }], [{ expiresInSeconds: 3_601 }], [{ until: 1 }]])(
    "cannot be asked for %j",
    async (body) => {
      const { text } = await make();
      const { open, post } = serve();
      const { id } = await open(bearer(text));
      const refused = await post(`/a2a/auth/sessions/${id}:extend`, bearer(text), body);
      expect(await refusal(refused)).toMatchObject({ status: 400, reason: "INVALID_PARAMS" });
    },
  );
});

describe("sessions of others", () => {
  it("look missing on every path, like those that never were", async () => {
    const { open, send, post } = serve();
    const owner = crypto.randomUUID();
    const [mine, same, other] = [await make({ owner }), await make({ owner }), await make()];
    const { id, session } = await open(bearer(mine.text));
    const { session: foreign } = await open(bearer(other.text));
    for (const stranger of [same.text, other.text, foreign]) {
      const answers = new Set<string>();
      for (const asked of [id, crypto.randomUUID(), "x", "%00", id.toUpperCase()]) {
        const headers = bearer(stranger);
        answers.add(await (await post(`/a2a/auth/sessions/${asked}:extend`, headers)).text());
        answers.add(await (await send(`/a2a/auth/sessions/${asked}`, { method: "DELETE", headers })).text());
      }
      expect(answers.size).toBe(1);
      expect([...answers][0]).toContain("There is no such session.");
      const shown = await (await send("/a2a/auth/sessions", { headers: bearer(stranger) })).text();
      expect(shown).not.toContain(id);
    }
    expect((await send("/tasks", { headers: bearer(session) })).status).toBe(200);
  });
});

describe("paths", () => {
  it.each([
    ["GET", "/a2a/auth", "POST, DELETE, OPTIONS"],
    ["POST", "/a2a/auth/sessions", "HEAD, GET, OPTIONS"],
    ["GET", "/a2a/auth/sessions/1", "DELETE, OPTIONS"],
    ["GET", "/a2a/auth/sessions/1:extend", "POST, OPTIONS"],
  ])("answers 405 to %s %s and names what it has", async (method, path, allow) => {
    const { send } = serve();
    const response = await send(path, { method });
    expect(response.status).toBe(405);
    expect(response.headers.get("allow")).toBe(allow);
    expect(response.headers.get("content-type")).toBe("application/json");
    const options = await send(path, { method: "OPTIONS" });
    expect([options.status, options.headers.get("allow")]).toEqual([204, allow]);
  });

  it.each([
    "/a2a",
    "/a2a/",
    "/a2a/x",
    "/a2a/auth/",
    "/a2a/auth/sessions/",
    "/a2a/auth/sessions/1/2",
    "/a2a/auth/1",
    "/a2a/auth/sessions/:extend",
  ])("answers 404 at %s", async (path) => {
    for (const method of ["GET", "POST", "DELETE"]) {
      const refused = await refusal(await serve().send(path, { method }));
      expect(refused).toMatchObject({ status: 404, reason: "NOT_FOUND" });
    }
  });
});

describe("a token", () => {
  it("is seen by nobody but who got it: not in the log, the database or any answer", async () => {
    const lines: string[] = [];
    for (const level of ["debug", "info", "warn", "error", "log"] as const) {
      vi.spyOn(console, level).mockImplementation((line) => void lines.push(String(line)));
    }
    const { text } = await make();
    const { open, send, post } = serve();
    const { session, id } = await open(bearer(text));
    const query = `?session=${session}`;
    const message = { messageId: "1", role: "ROLE_USER", parts: [{ text: "x" }] };
    const responses = [
      await send(`/tasks${query}`),
      await send(`/tasks${query}&pageSize=x&status=y`),
      await send(`/nobody/tasks${query}`),
      await send(`/tasks/nothing:subscribe${query}`),
      await send(`/tasks${query}&A2A-Version=9.9`),
      await send(`/.well-known/agent-card.json${query}`),
      await send(`/enterprise/extendedAgentCard${query}`),
      await send(`/${query}`),
      await send(`/health${query}`),
      await send(`/metrics${query}`),
      await send(`/a2a/auth/sessions${query}`),
      await send(`/a2a/auth${query}`),
      await send(`/tasks${query}`, { method: "DELETE" }),
      await send(`/tasks${query}x`),
      await post(`/message:send${query}`, {}, { message }),
      await post("/message:send", bearer(session), { message }),
      await post("/a2a/auth", {}, { token: session }),
      await post("/a2a/auth", { "x-api-key": session }),
      await post("/a2a/auth", {}, { token: `${session}!` }),
      await post("/a2a/auth", {}, { [session]: 1, apiKey: [text] }),
      await post(`/a2a/auth/sessions/${id}:extend`, bearer(session)),
      await send("/a2a/auth", { method: "DELETE", headers: bearer(session) }),
      await send("/a2a/auth", { method: "DELETE", headers: bearer(session) }),
    ];
    const secrets = [session.slice(5, 25), text.slice(-30)];
    const seen = async (where: string, what: string) => {
      for (const secret of secrets) expect(what, where).not.toContain(secret);
    };
    for (const response of responses) {
      await seen(response.url, JSON.stringify([...response.headers]));
      expect(response.headers.get("referrer-policy")).toBe("no-referrer");
      const body = await response.text();
      // A field that is not known is named, as far as a name goes; that is what was sent, to whom sent it.
      if (!body.includes("is not a field of this request")) await seen(response.url, body);
    }
    await seen("the log", lines.join("\n"));
    const { results: tables } = await env.DB.prepare(
      "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '\\_cf%' ESCAPE '\\'",
    ).all<{ name: string }>();
    expect(tables.length).toBeGreaterThan(10);
    for (const { name } of tables) {
      const { results } = await env.DB.prepare(`SELECT * FROM ${name}`).all();
      await seen(name, JSON.stringify(results));
    }
  });
});
