// What is told in the database comes into the chain of administration: all of it, each once, in order, and nothing that
// is not told there.

import { createScheduledController, env, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { AuditObject } from "../../src/audit/audit-object.ts";
import type { AuditEntry, AuditEvent } from "../../src/audit/entry.ts";
import worker from "../../src/index.ts";
import { createClient, eventually } from "../support/client.ts";
import { advance, crash } from "../support/home.ts";
import { followChain } from "./chains.ts";

const object = () => env.AUDIT.get(env.AUDIT.idFromName("admin"));
const cron = () => worker.scheduled(createScheduledController(), env);
const waiting = () => env.DB.prepare("SELECT count(*) FROM audit_inbox").first<number>("count(*)");

/** Has the cron tell the object, and rings its alarm if it has not rung by itself. */
async function collected(): Promise<void> {
  await cron();
  await ringUntil(async () => (await waiting()) === 0);
}

function ringUntil(isDone: () => Promise<boolean>): Promise<true> {
  return eventually(async () => {
    if (await isDone()) return true;
    await runDurableObjectAlarm(object());
    return undefined;
  });
}

/** What the entries after this one tell; the whole chain is checked. */
async function since(n: number): Promise<AuditEvent[]> {
  const { results: all } = await env.DB.prepare(
    "SELECT chain, n, at, since, body, hash FROM audit WHERE chain = 'admin' ORDER BY n",
  ).all<AuditEntry>();
  for (;;) {
    const { head, entries } = await object().auditTail(all.at(-1)?.n ?? 0);
    all.push(...entries);
    if ((all.at(-1)?.n ?? 0) === head.n) break;
  }
  await followChain(all);
  return all.slice(n).map(({ body }) => JSON.parse(body) as AuditEvent);
}

const headNow = async () => (await object().auditTail(0)).head.n;

async function tell(...bodies: unknown[]): Promise<void> {
  const insert = env.DB.prepare("INSERT INTO audit_inbox VALUES (?, ?, ?)");
  await env.DB.batch(
    bodies.map((body, i) =>
      insert.bind(i, crypto.randomUUID(), typeof body === "string" ? body : JSON.stringify(body)),
    ),
  );
}

const opened = (session: string) => ({
  ...{ kind: "session.opened", owner: "o", actor: "a", detail: { session, at: 1 } },
});

beforeEach(async () => void (await env.DB.prepare("DELETE FROM audit_inbox").run()));
afterEach(() => void vi.restoreAllMocks());

describe("the audit of sessions", () => {
  it("has who opened, extended and revoked one, and no token", async () => {
    const client = createClient({ headers: { "content-type": "application/json" } });
    const before = await headNow();
    const post = (path: string) => client.request(path, { method: "POST", body: "{}" });
    const { session, id } = await (await post("/a2a/auth")).json<{ session: string; id: string }>();
    expect((await post(`/a2a/auth/sessions/${id}:extend`)).status).toBe(200);
    const headers = { authorization: `Bearer ${session}` };
    const left = await createClient({ headers }).request("/a2a/auth", { method: "DELETE" });
    expect(left.status).toBe(204);

    await collected();
    const owner = `open::${client.owner}`;
    const detail = { session: id, at: expect.closeTo(Date.now(), -5) };
    const events = await since(before);
    expect(events).toEqual([
      { kind: "session.opened", owner, actor: owner, detail },
      { kind: "session.extended", owner, actor: owner, detail },
      { kind: "session.revoked", owner, actor: `${owner}/${id}`, detail },
    ]);
    expect(JSON.stringify(events)).not.toContain(session);

    advance(10_000);
    await runDurableObjectAlarm(object());
    const admin = createClient({ headers: { authorization: `Bearer ${env.ADMIN_KEY}` } });
    const found = await admin.request(
      `/admin/v1/audit?owner=${encodeURIComponent(owner)}&kind=session.opened`,
    );
    expect(await found.json()).toMatchObject({ entries: [{ kind: "session.opened", owner }] });
    const report = await admin.request("/admin/v1/audit/chains/admin:verify");
    expect(await report.json()).toMatchObject({ ok: true });
  });

  it("is none of what was refused", async () => {
    const extended = await createClient().request("/a2a/auth/sessions/x:extend", { method: "POST" });
    expect(extended.status).toBe(404);
    expect(await waiting()).toBe(0);
  });
});

describe("the chain of administration", () => {
  it("is not woken while nothing is told", async () => {
    const collect = vi.spyOn(
      (await import("../../src/audit/audit-object.ts")).AuditObject.prototype,
      "collect",
    );
    await cron();
    expect(collect).not.toHaveBeenCalled();
    await tell(opened("s"));
    await cron();
    expect(collect).toHaveBeenCalledTimes(1);
    await collected();
  });

  it("takes over what is told once, though the database could not delete it and the object died", async () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    const before = await headNow();
    await tell(opened("s1"), opened("s2"));
    await runInDurableObject(object(), async (instance: AuditObject) => {
      const broken = {
        prepare(sql: string) {
          if (sql.startsWith("DELETE")) throw new Error("D1 is down");
          return env.DB.prepare(sql);
        },
      };
      Object.assign(instance, { env: { ...env, DB: broken } });
      await instance.collect();
    });
    await ringUntil(async () => (await since(before)).length === 2);
    expect(await waiting()).toBe(2);
    await crash();
    await tell(opened("s3"));
    await collected();
    expect((await since(before)).map(({ detail }) => detail?.session)).toEqual(["s1", "s2", "s3"]);
    const marks = await runInDurableObject(object(), (_, { storage }) =>
      storage.sql.exec("SELECT * FROM collected").toArray(),
    );
    expect(marks).toEqual([]);
  });

  it("takes over a great many in order, some with each alarm", async () => {
    const before = await headNow();
    const names = Array.from({ length: 1_200 }, (_, i) => `s${i}`);
    await tell(...names.map(opened));
    await collected();
    expect((await since(before)).map(({ detail }) => detail?.session)).toEqual(names);
  });

  it.each([
    ["no JSON", "{"],
    ["null", "null"],
    ["a list", "[]"],
    [
      "what operators do",
      { kind: "operator.request", owner: "o", actor: "a", detail: { session: "s", at: 1 } },
    ],
    ["what tasks do", { kind: "task.created", owner: "o", actor: "a", detail: { session: "s", at: 1 } }],
    ["a session of nobody", { ...opened("s"), owner: undefined }],
    ["what nobody did", { ...opened("s"), actor: 7 }],
    ["no detail", { ...opened("s"), detail: undefined }],
    ["no id", { ...opened("s"), detail: { at: 1 } }],
    ["no time", { ...opened("s"), detail: { session: "s" } }],
    ["an id without end", opened("s".repeat(20_000))],
  ])("drops %s, says so in the log, and goes on with the next", async (_, body) => {
    const logged = vi.spyOn(console, "error").mockImplementation(() => {});
    const before = await headNow();
    await tell(body, { ...opened("good"), more: "x", detail: { session: "good", at: 1, token: "t" } });
    await collected();
    expect(await since(before)).toEqual([opened("good")]);
    expect(logged).toHaveBeenCalledTimes(1);
  });
});
