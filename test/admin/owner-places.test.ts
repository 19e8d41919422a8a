// An erasure and an export of an owner, place by place: what is in the list of owner-places is all that there is, what
// it says is erased was there for two owners and is there for one, and what it says is exported has its lines.

import { env, runDurableObjectAlarm, runInDurableObject, SELF } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createApiKey } from "../../src/store/api-keys.ts";
import { saveDeadLetters } from "../../src/store/dead-letters.ts";
import { REVOKED_MS } from "../../src/store/erasures.ts";
import { createRetryJob } from "../../src/store/retry-jobs.ts";
import { deadLetter } from "../store/rows.ts";
import { createClient, eventually } from "../support/client.ts";
import { advance } from "../support/home.ts";
import { serveWith } from "../support/server.ts";
import { startAfresh } from "./operator.ts";
import { kindsOf, others, type Place, places } from "./owner-places.ts";

beforeEach(async () => {
  await startAfresh();
  for (const level of ["warn", "error"] as const) vi.spyOn(console, level).mockImplementation(() => {});
});
afterEach(() => void vi.restoreAllMocks());

const serve = serveWith({ authModes: ["api-key"] });
const BUSY = "http://busy.test";
const PAUSED = "http://paused.test";

/** One receiver wants nothing for an hour, the other one echoes challenges and gets nothing else. */
const receive = () =>
  vi.spyOn(globalThis, "fetch").mockImplementation(async (input, init) => {
    const { url } = new Request(input as RequestInfo, init);
    const challenge = new URL(url).searchParams.get("challenge");
    if (url.startsWith(PAUSED)) return new Response(challenge);
    return new Response(null, { status: 503, headers: { "retry-after": "3600" } });
  });

const homeOf = (owner: string) => env.HOMES.get(env.HOMES.idFromName(`${owner}/0`));
const endpointOf = (owner: string, origin: string) =>
  env.ENDPOINTS.get(env.ENDPOINTS.idFromName(`${owner}|${origin}`));

type Row = Record<string, SqlStorageValue>;

const rowsIn = (object: DurableObjectStub, sql: string): Promise<Row[]> =>
  runInDurableObject(object, (_, { storage }) => storage.sql.exec(sql).toArray());

const TABLES = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT GLOB 'sqlite_*'";

/** The tables of an object, which keeps nothing beside them. */
async function tablesOf(object: DurableObjectStub): Promise<unknown[]> {
  expect(await runInDurableObject(object, async (_, { storage }) => (await storage.list()).size)).toBe(0);
  const tables = await rowsIn(object, `${TABLES} AND name NOT GLOB '_cf_*' ORDER BY name`);
  return tables.map(({ name }) => name);
}

/** What both endpoints of an owner remember, by the names of the list. */
async function rememberedOf(owner: string): Promise<string[]> {
  const all = [BUSY, PAUSED].map((origin) => rowsIn(endpointOf(owner, origin), "SELECT * FROM state"));
  return (await Promise.all(all)).flat().flatMap(({ key, value }) => {
    if (key === "origin") return Object.keys(JSON.parse(String(value)) as object);
    return [String(key).split(" ", 1)[0] ?? ""];
  });
}

const erasedIn = (list: Record<string, Place>) =>
  Object.entries(list).flatMap(([name, place]) => ("erased" in place ? [[name, place.erased] as const] : []));

/** How many rows of an owner there are in each place that is erased. */
async function countOf(owner: string): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const [table, where] of erasedIn(places.database)) {
    const select = env.DB.prepare(`SELECT count(*) AS count FROM ${table} WHERE ${where}`).bind(owner);
    counts[`database ${table}`] = (await select.first<{ count: number }>())?.count ?? -1;
  }
  for (const [table, where] of erasedIn(places.home)) {
    const [row] = await rowsIn(homeOf(owner), `SELECT count(*) AS count FROM ${table} WHERE ${where}`);
    counts[`home ${table}`] = Number(row?.count);
  }
  const remembered = await rememberedOf(owner);
  for (const [name] of erasedIn(places.endpoint)) {
    counts[`endpoint ${name}`] = remembered.filter((one) => one === name).length;
  }
  return counts;
}

const emptyOf = async (owner: string) =>
  Object.entries(await countOf(owner)).flatMap(([place, count]) => (count > 0 ? [] : [place]));

/** Brings something of an owner to every place where it stays; as callers do, as far as they can. */
async function fill(name: string): Promise<string> {
  const owner = `key::${name}`;
  const made = { owner: name, roles: ["user"], scopes: [], createdBy: "cli" };
  const { text } = await createApiKey(env.DB, made, Date.now());
  const clientOf = (agent: string) =>
    createClient({ agent, headers: { authorization: `Bearer ${text}` }, fetch: serve });
  const client = clientOf("conformance");
  const session = { method: "POST", headers: { authorization: `Bearer ${text}` } };
  expect((await serve(new Request("https://agents.test/a2a/auth", session))).status).toBe(201);

  const paused = endpointOf(owner, PAUSED);
  await paused.challengeNow(`${PAUSED}/hook`);
  await paused.pause();
  await paused.resume();
  await paused.pause();
  for (const origin of [BUSY, PAUSED]) {
    const taskPushNotificationConfig = { id: "c", url: `${origin}/hook` };
    await client.sendForTask("input", { configuration: { taskPushNotificationConfig } });
  }
  await endpointOf(owner, BUSY).challengeNow(`${BUSY}/hook`);
  await client.result(
    "SendMessage",
    { message: { messageId: "m", role: "ROLE_USER", parts: [{ text: "hello" }] } },
    { "idempotency-key": "k" },
  );
  const interview = clientOf("interview");
  const asked = await interview.sendForTask("hello");
  await interview.sendForTask({ says: "Ada", taskId: asked.id });
  await clientOf("long-running").start("Run a job of 100 steps");

  await saveDeadLetters(env.DB, [deadLetter({ id: `msg_${name}`, owner })]);
  const filter = { id: `job-${name}`, filter: { owner }, actor: "operator::me", now: 1_000 };
  await createRetryJob(env.DB, filter);
  await env.DB.prepare("INSERT INTO erasures VALUES (?, ?)").bind(owner, Date.now()).run();
  await eventually(async () => {
    // The clock may be ahead of the one that rings alarms.
    await runDurableObjectAlarm(homeOf(owner));
    const empty = (await emptyOf(owner)).filter((place) => !MOMENTARY.includes(place));
    return empty.length === 0 && (await rememberedOf(owner)).includes("pausedHomes");
  }, 100);
  return owner;
}

/** What is on its way into the database, and of a batch that is being sent. */
const MOMENTARY = ["home batches", "home dead", "home outbox"];

/** Brings something there, for a moment. */
async function fillMomentary(owner: string): Promise<void> {
  await runInDurableObject(homeOf(owner), (_, { storage: { sql } }) => {
    sql.exec("INSERT OR IGNORE INTO batches VALUES ('b', '[]')");
    sql.exec("INSERT OR IGNORE INTO dead VALUES ('d', 'task', 1, '{}')");
    // Below the numbers that the home counts in memory.
    sql.exec(`INSERT OR IGNORE INTO outbox VALUES (-1, 'counters', '{"counters":{}}')`);
  });
}

const asOperator = (owner: string, verb: "erase" | "export") =>
  SELF.fetch(`https://agents.test/admin/v1/owners/${encodeURIComponent(owner)}:${verb}`, {
    method: verb === "erase" ? "POST" : "GET",
    headers: { authorization: `Bearer ${env.ADMIN_KEY}` },
  });

async function exportOf(owner: string): Promise<string[]> {
  const text = new TextDecoder().decode(await (await asOperator(owner, "export")).arrayBuffer());
  return text.trim().split("\n");
}

describe("the list of places", { timeout: 60_000 }, () => {
  it("has every binding that something can be kept by", () => {
    const [own = ""] = env.TEST_WRANGLER_TOML.split("[env.production]");
    const bindings = [...own.matchAll(/^(?:binding|name) = "([A-Z_]+)"$/gm)].map(([, name]) => name);
    expect(bindings.toSorted()).toEqual([...Object.keys(others), "DB", "ENDPOINTS", "HOMES"].toSorted());
  });

  it("has every table", async () => {
    receive();
    const owner = await fill("ann");
    const { results } = await env.DB.prepare(
      `${TABLES} AND name NOT GLOB '_cf_*' AND name <> 'd1_migrations' ORDER BY name`,
    ).all<{ name: string }>();
    expect(results.map(({ name }) => name)).toEqual(Object.keys(places.database).toSorted());
    expect(await tablesOf(homeOf(owner))).toEqual(Object.keys(places.home).toSorted());
    expect(await tablesOf(endpointOf(owner, BUSY))).toEqual(["state"]);
    expect((await rememberedOf(owner)).toSorted()).toEqual(Object.keys(places.endpoint).toSorted());
    for (const [binding, { tables }] of Object.entries(others)) {
      if (tables === undefined) continue;
      const namespace = env[binding as "AUDIT" | "LIMITS" | "METRICS"];
      const object = namespace.get(namespace.idFromName("x") as never) as DurableObjectStub;
      expect(await tablesOf(object)).toEqual(tables);
    }
  });
});

describe("an erasure", { timeout: 60_000 }, () => {
  it("leaves no row of its owner in any place that is erased, and those of another owner", async () => {
    receive();
    const [gone, kept] = await Promise.all([fill("bea"), fill("cid")]);
    const before = await countOf(kept);
    // The home may ship in between.
    await eventually(async () => {
      await fillMomentary(gone);
      return (await emptyOf(gone)).length === 0;
    });
    for (let more = true; more; advance(REVOKED_MS)) {
      const erased = await asOperator(gone, "erase");
      expect(erased.status, await erased.clone().text()).toBe(200);
      ({ more } = await erased.json<{ more: boolean }>());
    }
    const left = Object.entries(await countOf(gone)).filter(([, count]) => count > 0);
    expect(left).toEqual([]);
    const stays = Object.entries(places.endpoint).filter(([, place]) => "stays" in place);
    expect((await rememberedOf(gone)).toSorted()).toEqual(stays.map(([name]) => name).toSorted());

    const after = await countOf(kept);
    const lost = Object.keys(before).filter((place) => (after[place] ?? 0) < (before[place] ?? 0));
    expect(lost.filter((place) => !MOMENTARY.includes(place))).toEqual([]);
  });
});

describe("an export", { timeout: 60_000 }, () => {
  it("has lines of every kind that the list names, and of no other, and none of another owner", async () => {
    receive();
    const [owner, other] = await Promise.all([fill("dan"), fill("eve")]);
    const lines = await exportOf(owner);
    const kinds = new Set(lines.map((line) => (JSON.parse(line) as { kind: string }).kind));
    const listed = Object.values(places).flatMap(kindsOf);
    expect([...kinds].toSorted()).toEqual([...new Set([...listed, "end"])].toSorted());
    expect(lines.filter((line) => line.includes(other))).toEqual([]);
    expect(lines.filter((line) => line.includes("msg_eve"))).toEqual([]);
  });
});
