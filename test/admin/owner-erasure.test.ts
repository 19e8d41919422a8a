// The erasure of one owner's data through the front door, on real homes, endpoints, Workflows and D1: nothing of the
// owner is left but the audit, nothing comes back, nobody else loses anything, and it does not matter where it is cut off.

import { abortAllDurableObjects, env, evictDurableObject, runInDurableObject, SELF } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { JobHome } from "../../src/agents/job.ts";
import type { AuditEntry, AuditEvent } from "../../src/audit/entry.ts";
import { createApiKey, getApiKey } from "../../src/store/api-keys.ts";
import { saveAttempts } from "../../src/store/attempts.ts";
import { saveDeadLetters } from "../../src/store/dead-letters.ts";
import { openSession } from "../../src/store/sessions.ts";
import { type Erased, NOTHING_ERASED } from "../../src/tasks/erase.ts";
import type { HomeObject } from "../../src/tasks/home.ts";
import { followChain } from "../audit/chains.ts";
import { attemptRow, deadLetter } from "../store/rows.ts";
import { createClient, eventually, homeOf, kindOf, newOwner } from "../support/client.ts";
import { query, ring } from "../support/home.ts";
import { instanceStatus, jobIdOf } from "../support/jobs.ts";
import { createOperator, startAfresh } from "./operator.ts";

beforeEach(startAfresh);
afterEach(() => void vi.restoreAllMocks());

type Answer = {
  apiKeys: number;
  sessions: number;
  tasks: number;
  pushConfigs: number;
  memories: number;
  deliveries: number;
  deadLetters: number;
  more: boolean;
  retryAfterSeconds: number;
};

const NOTHING = {
  apiKeys: 0,
  sessions: 0,
  tasks: 0,
  pushConfigs: 0,
  memories: 0,
  deliveries: 0,
  deadLetters: 0,
};

const asOperator = (owner: string, verb: "erase" | "export") =>
  SELF.fetch(`https://agents.test/admin/v1/owners/${encodeURIComponent(owner)}:${verb}`, {
    method: verb === "erase" ? "POST" : "GET",
    headers: { authorization: `Bearer ${env.ADMIN_KEY}` },
  });

/** Erases until there is no more; what was erased in all. */
async function eraseAll(owner: string): Promise<Answer> {
  const total: Answer = { ...NOTHING, more: true, retryAfterSeconds: 0 };
  while (total.more) {
    const response = await asOperator(owner, "erase");
    const answer = await response.json<Answer>();
    if (!response.ok) throw new Error(`answered ${JSON.stringify(answer)}`);
    for (const key of Object.keys(NOTHING) as (keyof typeof NOTHING)[]) total[key] += answer[key];
    total.more = answer.more;
  }
  return total;
}

const TABLES = [
  "attempts",
  "dead_letters",
  "push_configs",
  "endpoints",
  "endpoint_hours",
  "owners",
  "sessions",
];

/** How many rows of each table of D1 name the owner. */
async function rowsOf(owner: string): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const table of TABLES) {
    const select = env.DB.prepare(`SELECT count(*) AS count FROM ${table} WHERE owner = ?`).bind(owner);
    counts[table] = (await select.first<{ count: number }>())?.count ?? -1;
  }
  const homes = env.DB.prepare("SELECT count(*) AS count FROM homes WHERE name LIKE ?").bind(`${owner}/%`);
  counts.homes = (await homes.first<{ count: number }>())?.count ?? -1;
  return counts;
}

const NO_ROWS = Object.fromEntries([...TABLES, "homes"].map((table) => [table, 0]));

const registered = (owner: string) => eventually(async () => (await rowsOf(owner)).homes === 1);

/** What a home holds besides its audit and its own bookkeeping. */
async function contentOf(name: string): Promise<string[]> {
  const tables = await query<{ name: string }>(
    name,
    "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' AND name NOT LIKE '\\_cf%' ESCAPE '\\'",
  );
  const full: string[] = [];
  for (const { name: table } of tables) {
    if (["audit", "schema_version"].includes(table)) continue;
    for (const row of await query(name, `SELECT * FROM ${table}`))
      full.push(`${table} ${JSON.stringify(row)}`);
  }
  return full;
}

const ofErased = (name: string) => [
  `due ${JSON.stringify({ kind: "erased", key: `open::${name}/0`, at: Number.MAX_SAFE_INTEGER })}`,
];

/** The audit of a home, in D1 and not there yet, checked from its first entry on; what it tells. */
async function auditOf(name: string): Promise<AuditEvent[]> {
  const home = homeOf(name);
  const { head, entries: own } = await home.auditTail(0);
  const { results } = await env.DB.prepare(
    "SELECT chain, n, at, since, body, hash FROM audit WHERE chain = ?",
  )
    .bind(home.id.toString())
    .all<AuditEntry>();
  const entries = [...new Map([...results, ...own].map((entry) => [entry.n, entry])).values()];
  entries.sort((a, b) => a.n - b.n);
  expect(await followChain(entries)).toBe(head.hash);
  return entries.map(({ body }) => JSON.parse(body) as AuditEvent);
}

/** A receiver that answers with a status; what is POSTed to it. */
function receive(origin: string, status: number): string[] {
  const received: string[] = [];
  vi.spyOn(globalThis, "fetch").mockImplementation(async (input, init) => {
    const request = new Request(input as RequestInfo, init);
    if (!request.url.startsWith(origin)) return new Response(null);
    received.push(await request.text());
    return new Response(null, { status });
  });
  return received;
}

describe("an erasure", () => {
  it("leaves nothing of an owner but the audit, and nothing of others is touched", async () => {
    const name = newOwner();
    const owner = `open::${name}`;
    const received = receive("http://erased.test", 500);
    const client = createClient({ owner: name, agent: "conformance" });
    const url = "http://erased.test/hook";
    const running = await client.start("slow:60000");
    const asking = await client.sendForTask("input", {
      configuration: { taskPushNotificationConfig: { id: "pending", url } },
    });
    const ended = await client.sendForTask("hello", {
      configuration: {
        taskPushNotificationConfig: { id: "dying", url, retry: { delaysSeconds: [1] } },
      },
    });
    const jobs = createClient({ owner: name, agent: "long-running" });
    const job = await jobs.start("Run a job of 100 steps");
    const interview = createClient({ owner: name, agent: "interview" });
    const asked = await interview.sendForTask("hello");
    await interview.sendForTask({ says: "Ada", taskId: asked.id });
    const message = { ...{ messageId: "m", role: "ROLE_USER" }, parts: [{ text: "hello" }] };
    await client.result("SendMessage", { message }, { "idempotency-key": "k" });
    const other = createClient({ agent: "conformance" });
    const kept = await other.sendForTask("input", {
      configuration: { taskPushNotificationConfig: { id: "c", url: "http://kept.test/hook" } },
    });
    await saveAttempts(env.DB, [attemptRow({ owner, home: "elsewhere" }), attemptRow({ owner: "open::x" })]);
    await saveDeadLetters(env.DB, [
      deadLetter({ id: "msg_1", owner }),
      deadLetter({ id: "msg_2", owner: "open::x" }),
    ]);
    await env.DB.prepare(
      "INSERT INTO retry_jobs VALUES ('j', 'done', ?, 0, '', 0, 0, 0, 0, 0, 0, 0, 'a', NULL)",
    )
      .bind(JSON.stringify({ owner }))
      .run();
    await registered(owner);
    await registered(`open::${other.owner}`);
    await eventually(async () => received.length >= 2);
    const instance = await jobIdOf(name, job.id);
    await eventually(async () => (await instanceStatus(name, instance)) !== "unknown");
    const before = (await auditOf(name)).length;

    const erased = await eraseAll(owner);
    const sent = received.length;
    expect(erased).toMatchObject({ tasks: 6, pushConfigs: 2, memories: 1, more: false });
    expect(erased.deliveries).toBeGreaterThan(1);
    expect(erased.deadLetters).toBeGreaterThan(0);

    expect(await contentOf(name)).toEqual(ofErased(name));
    expect(await rowsOf(owner)).toEqual(NO_ROWS);
    expect(await env.DB.prepare("SELECT * FROM retry_jobs").all()).toMatchObject({ results: [] });
    for (const { id } of [running, asking, ended, asked]) {
      expect((await client.error("GetTask", { id })).data[0]?.reason).toBe("TASK_NOT_FOUND");
      expect((await client.error("SubscribeToTask", { id })).data[0]?.reason).toBe("TASK_NOT_FOUND");
      const list = await client.error("ListTaskPushNotificationConfigs", { taskId: id });
      expect(list.data[0]?.reason).toBe("TASK_NOT_FOUND");
    }
    expect((await client.list()).tasks).toEqual([]);
    expect((await client.list()).totalSize).toBe(0);
    expect((await asOperator(owner, "export")).status).toBe(404);
    expect((await asOperator(owner, "erase")).status).toBe(404);

    // It is ended, or has found out by itself that nobody listens.
    await eventually(async () => /terminated|complete/.test(await instanceStatus(name, instance)));
    const home = homeOf(name) as unknown as JobHome;
    const status = { kind: "status", state: "TASK_STATE_WORKING" } as const;
    expect(await home.jobReport(job.id, instance, { key: "late", emission: status, ending: false })).toBe(
      false,
    );
    expect(await home.jobStart(job.id, instance)).toBeNull();
    await scheduler.wait(1_500);
    expect(received).toHaveLength(sent);
    expect(await contentOf(name)).toEqual(ofErased(name));

    const events = (await auditOf(name)).slice(before);
    const counted = Object.groupBy(events, ({ kind, actor }) => `${kind} by ${actor}`);
    expect(Object.keys(counted).toSorted()).toEqual([
      "config.deleted by operator::admin-key",
      "task.canceled by operator::admin-key",
    ]);
    // All that had not ended.
    expect(
      events
        .filter(({ kind }) => kind === "task.canceled")
        .map(({ task }) => task)
        .toSorted(),
    ).toEqual([running, asking, job, asked].map(({ id }) => id).toSorted());

    expect((await other.get(kept.id)).status.state).toBe("TASK_STATE_INPUT_REQUIRED");
    expect(await other.result("ListTaskPushNotificationConfigs", { taskId: kept.id })).toMatchObject({
      configs: [{ id: "c" }],
    });
    expect(await rowsOf("open::x")).toMatchObject({ attempts: 1, dead_letters: 1, endpoint_hours: 1 });
    expect(await rowsOf(`open::${other.owner}`)).toMatchObject({ homes: 1, owners: 1 });
  });

  it("tells who follows a task of its end", async () => {
    const client = createClient({ agent: "conformance" });
    const stream = await client.sendStream("slow:60000");
    const first = await stream.next();
    const waiting = client.sendForTask("slow:60001");
    await eventually(async () => (await client.list()).totalSize === 2);
    const subscription = await client.subscribe(first?.event.task?.id ?? "");
    await eraseAll(`open::${client.owner}`);
    for (const followed of [stream, subscription]) {
      expect((await followed.rest()).map(({ event }) => kindOf(event)).at(-1)).toBe("TASK_STATE_CANCELED");
    }
    expect((await waiting).status.state).toBe("TASK_STATE_CANCELED");
  });

  it("is gone on with by the next call when it was cut off, wherever", async () => {
    const client = createClient({ agent: "conformance" });
    const owner = `open::${client.owner}`;
    const url = "http://pieces.test/hook";
    receive("http://pieces.test", 500);
    for (let i = 0; i < 120; i++) {
      const push = { configuration: { taskPushNotificationConfig: { id: "c", url } } };
      await client.sendForTask(i % 3 === 0 ? "input" : "hello", i % 10 === 0 ? push : {});
    }
    await registered(owner);
    const home = () => homeOf(client.owner) as unknown as { erase(erasure: object): Promise<Erased> };
    const erasure = { name: `${owner}/0`, by: { owner, actor: "operator::me" } };
    expect(await home().erase(erasure)).toEqual({
      tasks: 50,
      configs: expect.any(Number),
      memories: 0,
      more: true,
      isStuck: false,
    });
    await abortAllDurableObjects();
    const [cut] = await Promise.allSettled([home().erase(erasure), abortAllDurableObjects()]);
    expect(cut).toBeDefined();
    const left = (await client.list()).totalSize;
    expect(left).toBeLessThanOrEqual(70);
    await evictDurableObject(homeOf(client.owner));
    expect(await eraseAll(owner)).toMatchObject({ tasks: left });
    expect(await contentOf(client.owner)).toEqual(ofErased(client.owner));
    expect(await rowsOf(owner)).toEqual(NO_ROWS);
    await auditOf(client.owner);
    expect(await home().erase(erasure)).toEqual(NOTHING_ERASED);
  });

  it("ends with a home that sleeps, and that lives again when its owner returns", async () => {
    const client = createClient({ agent: "conformance" });
    const owner = `open::${client.owner}`;
    await client.sendForTask("hello");
    await registered(owner);
    await eraseAll(owner);
    // The audit is shipped, and then there is nothing to wake up for.
    await eventually(async () => !(await ring(client.owner)));
    expect(await rowsOf(owner)).toEqual(NO_ROWS);
    const shipped = await auditOf(client.owner);
    const verified = await SELF.fetch(
      `https://agents.test/admin/v1/audit/chains/${homeOf(client.owner).id}:verify`,
      { headers: { authorization: `Bearer ${env.ADMIN_KEY}` } },
    );
    expect(await verified.json()).toMatchObject({ break: null, nextPageToken: "" });
    await evictDurableObject(homeOf(client.owner));
    await ring(client.owner);
    const task = await client.sendForTask("hello");
    await registered(owner);
    expect(await rowsOf(owner)).toMatchObject({ homes: 1, owners: 1 });
    expect(await client.get(task.id)).toMatchObject({ id: task.id });
    expect(
      (await query<{ kind: string }>(client.owner, "SELECT kind FROM due")).map(({ kind }) => kind),
    ).toEqual(["trim"]);
    const lines = new TextDecoder()
      .decode(await (await asOperator(owner, "export")).arrayBuffer())
      .trim()
      .split("\n");
    expect(JSON.parse(lines.at(-1) ?? "")).toEqual({ kind: "end", counts: { task: 1 } });
    expect((await auditOf(client.owner)).length).toBe(shipped.length + 1);
    expect(await eraseAll(owner)).toMatchObject({ tasks: 1 });
    expect(await rowsOf(owner)).toEqual(NO_ROWS);
  });

  it("of a home that never existed leaves nothing behind", async () => {
    const name = newOwner();
    const response = await asOperator(`open::${name}`, "erase");
    expect(response.status).toBe(404);
    const made = await query(name, "SELECT name FROM sqlite_master WHERE name NOT LIKE '\\_cf%' ESCAPE '\\'");
    expect(made).toEqual([]);
    expect(await rowsOf(`open::${name}`)).toEqual(NO_ROWS);
  });

  it("waits for what cannot be told to D1, and forgets nothing of it meanwhile", async () => {
    const client = createClient({ agent: "conformance" });
    const owner = `open::${client.owner}`;
    const url = "http://kept-back.test/hook";
    receive("http://kept-back.test", 200);
    vi.spyOn(console, "warn").mockImplementation(() => {});
    await client.sendForTask("hello", { configuration: { taskPushNotificationConfig: { id: "c", url } } });
    await registered(owner);
    const broken = vi.fn(() => {
      throw new Error("D1 is down");
    });
    await runInDurableObject(homeOf(client.owner), async (home: HomeObject) => {
      const { DB } = (home as unknown as { env: Env }).env;
      vi.spyOn(DB, "batch").mockImplementation(broken);
      const erasure = { name: `${owner}/0`, by: { owner, actor: "operator::me" } };
      expect(await home.erase(erasure)).toMatchObject({ tasks: 1, more: true });
      // Its endpoint.
      expect(await home.erase(erasure)).toEqual({ ...NOTHING_ERASED, more: true });
      expect(await home.erase(erasure)).toEqual({ ...NOTHING_ERASED, more: true, isStuck: true });
    });
    expect(broken).toHaveBeenCalled();
    vi.mocked(broken).mockRestore();
    vi.restoreAllMocks();
    await eraseAll(owner);
    expect(await rowsOf(owner)).toEqual(NO_ROWS);
  });
});

describe("credentials", () => {
  let now = Date.now();
  const operator = createOperator({ now: () => now });
  const erase = (owner: string) =>
    operator.result<Answer>("POST", `/owners/${encodeURIComponent(owner)}:erase`);
  const makeKey = (name: string) =>
    createApiKey(env.DB, { owner: name, roles: ["user"], scopes: [], createdBy: "cli" }, now - 5_000);

  it("are revoked at once, and gone when none of them can be in use any more", async () => {
    const { key } = await makeKey("alice");
    const { key: bobs } = await makeKey("bob");
    const session = {
      ...{ owner: "key::alice", actor: "key::alice", key: key.id, basis: "{}", scopes: "[]" },
    };
    const times = { createdAt: now, expiresAt: now + 3_600_000, endsAt: now + 3_600_000 };
    await openSession(env.DB, { id: "s", hash: "h", ...session, ...times }, { perOwner: 9, perMinute: 9 });
    expect(await erase("key::alice")).toEqual({ ...NOTHING, more: true, retryAfterSeconds: 120 });
    expect(await getApiKey(env.DB, { id: key.id })).toMatchObject({ revokedAt: now });
    expect(await env.DB.prepare("SELECT expires_at FROM sessions").first()).toEqual({ expires_at: 0 });
    now += 60_000;
    expect(await erase("key::alice")).toEqual({ ...NOTHING, more: true, retryAfterSeconds: 60 });
    now += 60_000;
    expect(await erase("key::alice")).toEqual({
      ...{ ...NOTHING, apiKeys: 1, sessions: 1 },
      ...{ more: false, retryAfterSeconds: 0 },
    });
    expect(await rowsOf("key::alice")).toEqual(NO_ROWS);
    expect(await getApiKey(env.DB, { id: key.id })).toBeUndefined();
    expect(await env.DB.prepare("SELECT count(*) AS count FROM erasures").first()).toEqual({ count: 0 });
    expect(await operator.refusal("POST", "/owners/key%3A%3Aalice:erase")).toMatchObject({ status: 404 });
    expect(await getApiKey(env.DB, { id: bobs.id })).toMatchObject({ revokedAt: null });
  });

  it("that were revoked long ago are waited for no more", async () => {
    const { key } = await makeKey("carol");
    await env.DB.prepare("UPDATE api_keys SET revoked_at = ? WHERE id = ?")
      .bind(now - 121_000, key.id)
      .run();
    expect(await erase("key::carol")).toMatchObject({ apiKeys: 1, more: false });
  });

  it("of an operator need both the scope that changes data and the one that revokes keys", async () => {
    await makeKey("dora");
    for (const [scopes, missing] of [
      [["admin:write"], "admin:keys"],
      [["admin:keys"], "admin:write"],
    ] as const) {
      const made = { owner: "ops", roles: [], scopes, createdBy: "cli" };
      const { text } = await createApiKey(env.DB, made, now);
      const response = await operator.send("/admin/v1/owners/key%3A%3Adora:erase", {
        method: "POST",
        headers: { authorization: `Bearer ${text}` },
      });
      expect(response.status).toBe(403);
      expect(await response.text()).toContain(missing);
    }
  });
});

describe("a call", () => {
  const path = "/owners/open%3A%3Ao:erase";
  const known = () =>
    env.DB.prepare("INSERT INTO owners (owner, homes, created_at) VALUES ('open::o', 0, 0)").run();
  const some = { tasks: 50, configs: 1, memories: 2, more: true, isStuck: false };

  it("goes to every home that may be, as often as there is more", async () => {
    await known();
    let left = 3;
    const erasing = async (): Promise<Erased> => {
      left -= 1;
      return left > 0 ? some : NOTHING_ERASED;
    };
    const operator = createOperator({ home: { erase: erasing } });
    expect(await operator.result("POST", path)).toMatchObject({
      tasks: 100,
      pushConfigs: 2,
      memories: 4,
      more: false,
    });
    expect(Object.keys(operator.homes)).toHaveLength(64);
    expect(operator.homes["open::o/63"]).toEqual([
      ["erase", { name: "open::o/63", by: { owner: "open::o", actor: "operator::admin-key" } }],
    ]);
  });

  it("does not last longer than ten seconds, and says that there is more", async () => {
    await known();
    let now = Date.now();
    const erasing = async (): Promise<Erased> => {
      now += 4_000;
      return some;
    };
    const operator = createOperator({ now: () => now, home: { erase: erasing } });
    expect(await operator.result("POST", path)).toMatchObject({
      tasks: 150,
      more: true,
      retryAfterSeconds: 0,
    });
  });

  it("comes back later for what cannot be erased now, and lets nothing go before", async () => {
    await known();
    await saveAttempts(env.DB, [attemptRow({ owner: "open::o" })]);
    const operator = createOperator({
      home: { erase: async () => ({ ...NOTHING_ERASED, more: true, isStuck: true }) },
    });
    expect(await operator.result("POST", path)).toEqual({ ...NOTHING, more: true, retryAfterSeconds: 5 });
    expect(Object.keys(operator.homes)).toHaveLength(64);
    expect(await rowsOf("open::o")).toMatchObject({ attempts: 1, owners: 1 });
    const gone = Object.assign(new Error("gone"), { retryable: true });
    const unreachable = createOperator({ home: { erase: () => Promise.reject(gone) } });
    expect(await unreachable.refusal("POST", path)).toMatchObject({ status: 503 });
  });

  it("has the endpoints of the owner forget, as far as anything was sent to them", async () => {
    await known();
    const origins = Array.from({ length: 45 }, (_, i) => `https://hook-${i}.example`);
    await saveAttempts(
      env.DB,
      origins.map((origin, n) => attemptRow({ owner: "open::o", origin, n: n + 1 })),
    );
    const operator = createOperator();
    expect(await operator.result("POST", path)).toMatchObject({ deliveries: 45, more: false });
    expect(operator.endpoints).toEqual(
      Object.fromEntries(origins.map((origin) => [`open::o|${origin}`, [["erase"]]])),
    );
    expect(await rowsOf("open::o")).toEqual(NO_ROWS);
  });

  it("leaves the name of an owner who has returned meanwhile", async () => {
    await env.DB.prepare("INSERT INTO owners (owner, homes, created_at) VALUES ('open::o', 1, 0)").run();
    expect(await createOperator().result("POST", path)).toMatchObject({ more: false });
    expect(await rowsOf("open::o")).toMatchObject({ owners: 1 });
  });
});
