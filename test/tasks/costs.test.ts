// What an operation costs, exactly counted: requests to objects, queries of D1, rows and transactions are what
// the platform charges and what bounds throughput.

import { env, runInDurableObject } from "cloudflare:test";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { execute } from "../../src/operations/index.ts";
import { createApiKey } from "../../src/store/api-keys.ts";
import { type Client, createClient, eventually, homeOf, newOwner, ORIGIN } from "../support/client.ts";
import { countCosts, query } from "../support/home.ts";
import { createIssuer, serveIssuers } from "../support/issuer.ts";
import { configWith, keyDeps } from "../support/operations.ts";
import { serveWith } from "../support/server.ts";

vi.resetModules();
const { default: worker } = await import("../../src/index.ts");

/** Calls of objects by the Worker, such as "send", in order. */
const calls: string[] = [];
const d1 = vi.spyOn(Object.getPrototypeOf(env.DB) as D1Database, "prepare");

function countCalls<T extends object>(stub: T): T {
  return new Proxy(stub, {
    get(target, name) {
      const member: unknown = Reflect.get(target, name);
      if (typeof member !== "function") return member;
      return (...args: unknown[]) => {
        calls.push(String(name));
        return Reflect.apply(member, target, args);
      };
    },
  });
}

const HOMES = new Proxy(env.HOMES, {
  get(target, name) {
    if (name === "get") return (id: DurableObjectId) => countCalls(target.get(id));
    return (Reflect.get(target, name) as (...args: unknown[]) => unknown).bind(target);
  },
});

const context = { waitUntil() {}, passThroughOnException() {}, props: {} } as unknown as ExecutionContext;
const fetch = async (request: Request) => worker.fetch(request as never, { ...env, HOMES }, context);

/** A client of a home that has had its first write, and whose alarm has told D1 of it. */
async function warm(agent?: string) {
  const client = createClient({ ...(agent && { agent }), fetch });
  await client.sendForTask("first");
  const waiting = "SELECT 1 FROM due WHERE kind = 'register'";
  await eventually(async () => (await query(client.owner, waiting)).length === 0);
  const costs = await countCosts(client.owner);
  calls.length = 0;
  d1.mockClear();
  return { client, costs };
}

beforeEach(() => {
  calls.length = 0;
});

describe("a completed echo SendMessage", () => {
  it("costs one object request, no D1 query, one transaction and 8 rows with their index rows", async () => {
    const { client, costs } = await warm();
    const task = await client.sendForTask("hello");
    expect(task.status.state).toBe("TASK_STATE_COMPLETED");
    expect(calls).toEqual(["send"]);
    expect(d1).not.toHaveBeenCalled();
    // The task with three list indexes, a message, an artifact and a status in the journal, and the audit.
    expect(await costs()).toMatchObject({ rows: 8, transactions: 1, alarms: 0 });
  });

  it("costs no more when a hundred come at once, in as many transactions as requests", async () => {
    const { client, costs } = await warm();
    await Promise.all(Array.from({ length: 100 }, (_, i) => client.sendForTask(`hello ${i}`)));
    expect(calls).toHaveLength(100);
    expect(d1).not.toHaveBeenCalled();
    expect(await costs()).toMatchObject({ rows: 800, transactions: 100, alarms: 0 });
  });

  it("is as cheap when streamed", async () => {
    const { client, costs } = await warm();
    const stream = await client.sendStream("hello");
    expect(await stream.rest()).toHaveLength(3);
    expect(calls).toEqual(["stream"]);
    expect(await costs()).toMatchObject({ rows: 8, transactions: 1, alarms: 0 });
  });

  it("costs one row more with an Idempotency-Key", async () => {
    const { client, costs } = await warm();
    await client.sendForTask("hello", { headers: { "idempotency-key": "key-1" } });
    expect((await costs()).rows).toBe(9);
  });
});

describe("a SendMessage with a credential that is known", () => {
  it.each(["an API key", "a token", "a session"])(
    "costs with %s what it costs without: one object request, no D1 query",
    async (kind) => {
      const issuer = await createIssuer();
      const fetched = serveIssuers(issuer);
      const verify = vi.spyOn(crypto.subtle, "verify");
      const config = configWith({ ...issuer.config, authModes: ["api-key", "jwt"] });
      const deps = { ...keyDeps(config), config, homes: HOMES, now: Date.now };
      const fetch = serveWith(config, { execute: (name, call) => execute(deps, name, call) });
      const key = { owner: "known", roles: ["user"], scopes: [], createdBy: "cli" };
      const { text } = await createApiKey(env.DB, key, Date.now());
      const bearer = async () => {
        if (kind === "a token") return issuer.sign();
        if (kind === "an API key") return text;
        const headers = { authorization: `Bearer ${text}` };
        const made = await fetch(new Request(`${ORIGIN}/a2a/auth`, { method: "POST", headers }));
        return (await made.json<{ session: string }>()).session;
      };
      const client = createClient({ headers: { authorization: `Bearer ${await bearer()}` }, fetch });
      await client.sendForTask("first");
      // Its home tells D1 of itself by its alarm, which is none of the message's costs.
      const owner = kind === "a token" ? "jwt:https%3A%2F%2Fid.test%2F:alice" : "key::known";
      const home = env.HOMES.get(env.HOMES.idFromName(`${owner}/0`));
      const waiting = "SELECT 1 FROM due WHERE kind = 'register'";
      await eventually(async () =>
        runInDurableObject(home, (_, { storage }) => storage.sql.exec(waiting).toArray().length === 0),
      );
      for (const spy of [d1, fetched, verify]) spy.mockClear();
      calls.length = 0;
      for (let i = 0; i < 3; i++) await client.sendForTask("hello");
      expect(calls).toEqual(["send", "send", "send"]);
      for (const spy of [d1, fetched, verify]) expect(spy).not.toHaveBeenCalled();
      for (const spy of [fetched, verify]) spy.mockRestore();
    },
  );
});

describe("reads", () => {
  it("write nothing: GetTask, ListTasks, SubscribeToTask, and what they refuse", async () => {
    const { client, costs } = await warm("conformance");
    const { id } = await client.sendForTask("input");
    const { rowsRead: _, ...before } = await costs();
    calls.length = 0;
    await client.get(id);
    await client.list({ includeArtifacts: true });
    const stream = await client.subscribe(id);
    await stream.next();
    await stream.leave();
    await client.error("GetTask", { id: "0-unknown" });
    await client.error("CancelTask", { id: "0-unknown" });
    expect(calls).toEqual(["get", "list", "subscribe", "get", "cancel"]);
    expect(d1).not.toHaveBeenCalled();
    expect(await costs()).toMatchObject(before);
  });

  it("make no database for an owner who has never written", async () => {
    const client = createClient({ fetch });
    expect(await client.list()).toEqual({ tasks: [], nextPageToken: "", pageSize: 50, totalSize: 0 });
    const id = "0-018f0000-0000-7000-8000-000000000000";
    for (const method of ["GetTask", "CancelTask", "SubscribeToTask"]) {
      expect((await client.error(method, { id })).code).toBe(-32001);
    }
    const followUp = { messageId: "m", role: "ROLE_USER", taskId: id, parts: [{ text: "x" }] };
    expect((await client.error("SendMessage", { message: followUp })).code).toBe(-32001);
    const tables = await query(
      client.owner,
      "SELECT name FROM sqlite_master WHERE name NOT LIKE '\\_cf%' ESCAPE '\\'",
    );
    expect(tables).toEqual([]);
  });

  it("make no database when a new owner is answered with a Message", async () => {
    const client = createClient({ agent: "conformance", fetch });
    expect(await client.send("message")).toHaveProperty("message");
    const tables = await query(
      client.owner,
      "SELECT name FROM sqlite_master WHERE name NOT LIKE '\\_cf%' ESCAPE '\\'",
    );
    expect(tables).toEqual([]);
  });
});

describe("a task of many chunks, each written by itself", () => {
  const CHUNKS = 300;

  it.each([
    ["a sender who waits for its end", (client: Client, says: string) => client.sendForTask(says)],
    ["a stream", async (client: Client, says: string) => (await client.sendStream(says)).rest()],
  ])("costs %s a few rows read for each of them, not all of them each time", async (_, follow) => {
    const { client, costs } = await warm("conformance");
    const before = (await costs()).rowsRead;
    await follow(client, `stream:${CHUNKS}:1`);
    expect((await costs()).rowsRead - before).toBeLessThan(CHUNKS * 20);
  });
});

describe("a home of many tasks", () => {
  it("asks none of those that run whether it has something to write, when a caller comes", async () => {
    const { Turn } = await import("../../src/tasks/turn.ts");
    const settled = vi.spyOn(Turn.prototype, "settleWrites");
    const { client } = await warm("conformance");
    const configuration = { returnImmediately: true };
    for (let n = 0; n < 20; n++) await client.send("slow:60000", { configuration });
    settled.mockClear();
    await client.list({ pageSize: 10 });
    await client.sendForTask("hello");
    expect(settled).toHaveBeenCalledTimes(0);
  });

  it("reads no more rows for a message, a task and a page than a home of few", {
    timeout: 20_000,
  }, async () => {
    const { client, costs } = await warm();
    const measure = async () => {
      const before = (await costs()).rowsRead;
      const { id } = await client.sendForTask("hello");
      await client.get(id);
      await client.list({ pageSize: 10 });
      await client.list({ pageSize: 10, status: "TASK_STATE_COMPLETED" });
      return (await costs()).rowsRead - before;
    };
    await Promise.all(Array.from({ length: 20 }, () => client.send("one of few")));
    await measure();
    const few = await measure();
    await Promise.all(Array.from({ length: 300 }, () => client.send("one of many")));
    expect(await measure()).toBe(few);
  });
});

describe("the counting of these tests", () => {
  it("counts index rows and outermost transactions", async () => {
    const owner = newOwner();
    const costs = await countCosts(owner);
    await runInDurableObject(homeOf(owner), (_, { storage }) => {
      storage.sql.exec("CREATE TABLE counted (a TEXT PRIMARY KEY, b TEXT) WITHOUT ROWID");
      storage.sql.exec("CREATE INDEX counted_by_b ON counted (b)");
    });
    const { rows } = await costs();
    await runInDurableObject(homeOf(owner), (_, { storage }) => {
      storage.transactionSync(() =>
        storage.transactionSync(() => storage.sql.exec("INSERT INTO counted VALUES (1, 2)")),
      );
    });
    expect(await costs()).toMatchObject({ rows: rows + 2, transactions: 1, alarms: 0 });
  });
});
