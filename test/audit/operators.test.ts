// The audit as operators use it: found, exported, verified, trimmed. Whoever can change the table is found out.

import { env, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import guide from "../../docs/audit.md?raw";
import { trimAuditHistory } from "../../src/admin/audit.ts";
import { type AuditTail, EMPTY_TAIL } from "../../src/audit/chain.ts";
import { type AuditEntry, type AuditEvent, follow, type Head, NOTHING } from "../../src/audit/entry.ts";
import { auditWalk, saveAudit } from "../../src/store/audit.ts";
import { toStatements } from "../../src/store/keyset.ts";
import { createOperator } from "../admin/operator.ts";
import { createClient, eventually, homeOf } from "../support/client.ts";
import { advance, ring } from "../support/home.ts";
import { configWith } from "../support/operations.ts";
import { verifyLines } from "./verifier.js";
import verifierSource from "./verifier.js?raw";

const DAY = 86_400_000;
const START = Date.parse("2026-11-01T00:00:00Z");
const CHAIN = "home-1";

/** A chain of so many entries, a day apart. */
function chainOf(length: number, chain = CHAIN): AuditEntry[] {
  const entries: AuditEntry[] = [];
  let head: Head = NOTHING;
  for (let i = 0; i < length; i++) {
    const kind = i % 5 === 4 ? "config.created" : i % 2 ? "task.canceled" : "task.created";
    const event: AuditEvent = { kind, owner: `o${i % 3}`, actor: `a${i % 2}`, task: `0-${i % 4}` };
    const entry = follow(chain, head, event, START + i * DAY);
    entries.push(entry);
    head = entry;
  }
  return entries;
}

const tailOf = (entries: readonly AuditEntry[], kept = 0) => ({
  async auditTail(n: number): Promise<AuditTail> {
    const head = entries.at(-1);
    return head
      ? { head, entries: kept === 0 ? [] : entries.slice(-kept).filter((entry) => entry.n > n) }
      : EMPTY_TAIL;
  },
});

type Report = { ok: boolean; from: number; to: number; break: object | null; nextPageToken: string };

const verify = (entries: readonly AuditEntry[], options: { kept?: number; now?: number } = {}) => {
  const { kept = 0, now = START + 20 * DAY } = options;
  const operator = createOperator({ home: tailOf(entries, kept), now: () => now });
  return operator.result<Report>("GET", `/audit/chains/${CHAIN}:verify`);
};

const run = (sql: string, ...values: unknown[]) =>
  env.DB.prepare(sql)
    .bind(...values)
    .run();

beforeEach(async () => {
  for (const table of ["audit", "audit_anchors", "homes"]) await run(`DELETE FROM ${table}`);
  await run("INSERT INTO homes VALUES (?, 'open::o/0', NULL, 0)", CHAIN);
});

describe("verifying a chain", () => {
  const entries = chainOf(12);

  beforeEach(() => saveAudit(env.DB, entries));

  it("finds that it ends where its object says", async () => {
    expect(await verify(entries)).toEqual({
      chain: CHAIN,
      ok: true,
      from: 1,
      to: 12,
      break: null,
      nextPageToken: "",
    });
  });

  it("goes on with what the object has not shipped yet", async () => {
    await run("DELETE FROM audit WHERE n > 7");
    expect(await verify(entries, { kept: 5 })).toMatchObject({ ok: true, to: 12 });
  });

  it.each([
    ["at", "at + 1"],
    ["since", "since + 1"],
    ["body", "replace(body, 'a0', 'a1')"],
    ["hash", "replace(hash, substr(hash, 1, 1), 'x')"],
    ["n", "n + 100"],
    ["chain", "'home-2'"],
  ])("finds that %s of an entry was changed, whichever entry it is", async (field, value) => {
    for (const { n } of entries) {
      const before = await env.DB.prepare("SELECT * FROM audit WHERE n = ?").bind(n).first();
      await run(`UPDATE audit SET ${field} = ${value} WHERE n = ?`, n);
      const isChanged =
        (await env.DB.prepare(
          "SELECT 1 FROM audit WHERE n = ? AND chain = ? AND at = ? AND since = ? AND body = ? AND hash = ?",
        )
          .bind(n, CHAIN, before?.at, before?.since, before?.body, before?.hash)
          .first()) === null;
      if (isChanged) expect((await verify(entries)).ok, `${field} of ${n}`).toBe(false);
      await run("DELETE FROM audit");
      await saveAudit(env.DB, entries);
    }
  });

  it("finds the entry where it breaks", async () => {
    await run("UPDATE audit SET body = replace(body, 'task.created', 'task.forgot') WHERE n = 7");
    expect(await verify(entries)).toMatchObject({ ok: false, to: 0, break: { n: 7, reason: "changed" } });
  });

  it.each([
    [1, 1],
    [6, 6],
    [11, 11],
  ])("finds that entry %i was taken out", async (n, found) => {
    await run("DELETE FROM audit WHERE n = ?", n);
    expect(await verify(entries)).toMatchObject({ ok: false, break: { n: found, reason: "missing" } });
  });

  it("finds that its end was cut off", async () => {
    await run("DELETE FROM audit WHERE n > 9");
    expect(await verify(entries)).toMatchObject({ ok: false, break: { n: 10, reason: "missing" } });
  });

  it("finds a chain that is sound in itself and another than was written", async () => {
    const forged: AuditEntry[] = [];
    for (const { at, body } of entries) {
      const event = JSON.parse(body.replace("o1", "o2")) as AuditEvent;
      forged.push(follow(CHAIN, forged.at(-1) ?? NOTHING, event, at));
    }
    await run("DELETE FROM audit");
    await saveAudit(env.DB, forged);
    expect(await verify(entries)).toMatchObject({ ok: false, break: { n: 12, reason: "not_the_head" } });
    await saveAudit(env.DB, [
      follow(CHAIN, forged.at(-1) ?? NOTHING, { kind: "task.created" }, START + 12 * DAY),
    ]);
    expect(await verify(entries)).toMatchObject({ ok: false, break: { n: 13, reason: "not_the_head" } });
  });

  it("goes through ten thousand entries and more, request by request", { timeout: 60_000 }, async () => {
    const many = chainOf(10_300);
    await run("DELETE FROM audit");
    for (let i = 0; i < many.length; i += 2_000) await saveAudit(env.DB, many.slice(i, i + 2_000));
    const operator = createOperator({ home: tailOf(many), now: () => START });
    const first = await operator.result<Report>("GET", `/audit/chains/${CHAIN}:verify`);
    expect(first).toMatchObject({ ok: true, from: 1, to: 10_000 });
    const token = `pageToken=${first.nextPageToken}`;
    const second = await operator.result<Report>("GET", `/audit/chains/${CHAIN}:verify?${token}`);
    expect(second).toMatchObject({ ok: true, from: 10_001, to: 10_300, nextPageToken: "" });
  });

  it("refuses chains that are not there, and tokens of its own making only", async () => {
    const operator = createOperator();
    expect((await operator.refusal("GET", "/audit/chains/nobody:verify")).status).toBe(404);
    for (const token of ["x", "W10", "WzEsMl0"]) {
      const refused = await operator.refusal("GET", `/audit/chains/${CHAIN}:verify?pageToken=${token}`);
      expect(refused).toMatchObject({ status: 400, fields: ["pageToken"] });
    }
  });
});

describe("trimming", () => {
  const entries = chainOf(12);
  const config = configWith({ auditRetentionMs: 10 * DAY });
  const trimAt = (now: number) => trimAuditHistory({ db: env.DB, config, now: () => now });

  beforeEach(() => saveAudit(env.DB, entries));

  it("leaves a chain that verifies from its first kept entry", async () => {
    for (const days of [14, 15, 18]) {
      const now = START + days * DAY;
      await trimAt(now);
      const operator = createOperator({ home: tailOf(entries), config, now: () => now });
      const report = await operator.result<Report>("GET", `/audit/chains/${CHAIN}:verify`);
      expect(report).toMatchObject({ ok: true, from: days - 9, to: 12 });
    }
  });

  it("of all of it leaves what the next entry follows", async () => {
    const now = START + 60 * DAY;
    await trimAt(now);
    const next = follow(CHAIN, entries.at(-1) ?? NOTHING, { kind: "task.created" }, now);
    await saveAudit(env.DB, [next]);
    const operator = createOperator({ home: tailOf([...entries, next]), config, now: () => now });
    const report = await operator.result<Report>("GET", `/audit/chains/${CHAIN}:verify`);
    expect(report).toMatchObject({ ok: true, from: 13, to: 13 });
  });

  it("by somebody else, before the time, is found, though the anchor fits", async () => {
    await run("INSERT INTO audit_anchors SELECT chain, n, hash FROM audit WHERE n = 8");
    await run("DELETE FROM audit WHERE n <= 8");
    const operator = createOperator({ home: tailOf(entries), config, now: () => START + 12 * DAY });
    const report = await operator.result<Report>("GET", `/audit/chains/${CHAIN}:verify`);
    expect(report).toMatchObject({ ok: false, break: { n: 9, reason: "trimmed_early" } });
  });
});

describe("the whole of a chain, deleted before the time and behind an anchor that fits,", () => {
  const entries = chainOf(12);
  const now = START + 12 * DAY;
  const config = configWith({ auditRetentionMs: 10 * DAY });

  it.each([
    ["is found by where its object says that it ended", 0, 12],
    ["is found by what its object has not shipped", 3, 9],
  ])("%s", async (_, kept, shipped) => {
    await saveAudit(env.DB, entries.slice(0, shipped));
    await run("INSERT INTO audit_anchors SELECT chain, n, hash FROM audit WHERE n = ?", shipped);
    await run("DELETE FROM audit");
    const operator = createOperator({ home: tailOf(entries, kept), config, now: () => now });
    const report = await operator.result<Report>("GET", `/audit/chains/${CHAIN}:verify`);
    expect(report).toMatchObject({ ok: false, break: { n: shipped + 1, reason: "trimmed_early" } });
  });

  it("is none that is missed when it was the time", async () => {
    await saveAudit(env.DB, entries);
    const later = START + 60 * DAY;
    await trimAuditHistory({ db: env.DB, config, now: () => later });
    const operator = createOperator({ home: tailOf(entries), config, now: () => later });
    const report = await operator.result<Report>("GET", `/audit/chains/${CHAIN}:verify`);
    expect(report).toMatchObject({ ok: true, from: 13, to: 12 });
  });
});

describe("searching", () => {
  const entries = chainOf(40);
  const operator = createOperator();

  beforeEach(() => saveAudit(env.DB, entries));

  const matches = (event: Record<string, unknown>, filter: Record<string, string>) =>
    Object.entries(filter).every(([name, value]) => event[name] === value);

  it.each<Record<string, string>>([
    {},
    { owner: "o1" },
    { actor: "a1", owner: "o2" },
    { kind: "task.created" },
    { kind: "config.created", actor: "a0" },
    { task: "0-3", kind: "task.canceled" },
    { owner: "nobody" },
  ])("by %j agrees with reading them all, page by page", async (filter) => {
    const expected = entries
      .filter(({ body }) => matches(JSON.parse(body) as never, filter))
      .map(({ n }) => n);
    const found: number[] = [];
    let token = "";
    do {
      const query = new URLSearchParams({ ...filter, pageSize: "7", ...(token && { pageToken: token }) });
      const page = await operator.result<{ entries: { n: number }[]; nextPageToken: string }>(
        "GET",
        `/audit?${query}`,
      );
      found.push(...page.entries.map(({ n }) => n));
      token = page.nextPageToken;
    } while (token !== "");
    expect(found).toEqual(expected.toReversed());
  });

  it("by time takes in the beginning and leaves out the end", async () => {
    const query = new URLSearchParams({ from: "2026-11-03T00:00:00Z", to: "2026-11-05T00:00:00Z" });
    const page = await operator.result<{ entries: { at: string }[] }>("GET", `/audit?${query}`);
    expect(page.entries.map(({ at }) => at)).toEqual([
      "2026-11-04T00:00:00.000Z",
      "2026-11-03T00:00:00.000Z",
    ]);
  });

  it.each<Record<string, string>>([
    {},
    { owner: "o" },
    { actor: "a" },
    { kind: "config.created" },
    { kind: "task.created" },
    { task: "t" },
  ])("by %j goes along an index, in its order", async (filter) => {
    for (const oldestFirst of [true, false]) {
      const [statement] = toStatements(auditWalk(filter, oldestFirst), { limit: 10 });
      const { results } = await env.DB.prepare(`EXPLAIN QUERY PLAN ${statement?.sql}`)
        .bind(...(statement?.bindings ?? []))
        .all<{ detail: string }>();
      const plan = results.map(({ detail }) => detail).join("\n");
      expect(plan).toMatch(/SEARCH audit USING (COVERING )?INDEX audit_by_/);
      expect(plan).not.toContain("TEMP B-TREE");
    }
  });
});

describe("the verifier of the documentation", () => {
  it("is the one that these tests use", () => {
    const [, shown] = /```js\n([\s\S]*?)```/.exec(guide) ?? [];
    expect(verifierSource).toContain(`export ${shown}`);
  });
});

describe("exporting", () => {
  const entries = [...chainOf(30), ...chainOf(7, "home-2")];
  const operator = createOperator();
  const lines = async (query = "") => {
    const response = await operator.send(`/admin/v1/audit:export${query}`);
    expect(response.headers.get("content-type")).toBe("application/x-ndjson");
    return (await response.text()).split("\n").slice(0, -1);
  };

  beforeEach(() => saveAudit(env.DB, entries));

  it("gives lines that somebody else can verify, to the head of each chain", async () => {
    const heads = await verifyLines(await lines());
    expect(heads).toEqual({ [CHAIN]: entries[29]?.hash, "home-2": entries[36]?.hash });
  });

  it("gives lines of which none can be changed, left out or swapped unnoticed", async () => {
    const all = await lines();
    for (let i = 0; i < all.length; i++) {
      const line = all[i] ?? "";
      await expect(
        verifyLines(all.with(i, line.replace("task.", "tusk.").replace("config.", "c."))),
      ).rejects.toThrow();
    }
    const heads = JSON.stringify(await verifyLines(all));
    for (let i = 0; i < all.length; i++) {
      // What is cut off from the end of a chain shows by its head.
      const found = verifyLines(all.toSpliced(i, 1)).then((ends) => JSON.stringify(ends) !== heads);
      expect(await found.catch(() => true), `without line ${i}`).toBe(true);
    }
  });

  it("goes on after the last line that was read", async () => {
    const all = await lines();
    const { at, chain, n } = JSON.parse(all[10] ?? "") as AuditEntry;
    expect(await lines(`?after=${at}/${chain}/${n}`)).toEqual(all.slice(11));
    const last = JSON.parse(all.at(-1) ?? "") as AuditEntry;
    expect(await lines(`?after=${last.at}/${last.chain}/${last.n}`)).toEqual([]);
    expect((await operator.refusal("GET", "/audit:export?after=1/2")).fields).toEqual(["after"]);
  });

  it("gives what is searched for", async () => {
    expect(await lines("?owner=o1&task=0-1&kind=task.canceled")).toEqual(
      (await lines()).filter(
        (line) => /"o1"/.test(line) && /"0-1"/.test(line) && /task\.canceled/.test(line),
      ),
    );
  });

  it("is streamed over more pages than one", async () => {
    await run("DELETE FROM audit");
    const many = chainOf(1_200);
    await saveAudit(env.DB, many);
    expect(await lines()).toHaveLength(1_200);
  });
});

describe("an operator's request", () => {
  it("is recorded before it is done: actor, route and ids, and no field that may be a secret", async () => {
    const operator = createOperator();
    const body = { name: "alice", label: "se-cret", roles: ["user"] };
    const made = await operator.result<{ id: string }>("POST", "/api-keys", body);
    const actor = "operator::admin-key";
    const route = { verb: "POST", path: "/admin/v1/api-keys" };
    expect(operator.audited).toEqual([
      { kind: "operator.request", actor, detail: { ...route, name: "alice", roles: "user" } },
      { kind: "operator.made", actor, detail: { ...route, id: made.id } },
    ]);
    await operator.result("POST", `/api-keys/${made.id}:revoke`);
    expect(operator.audited.at(-1)).toMatchObject({
      detail: { path: "/admin/v1/api-keys/{id}:revoke", id: made.id },
    });
    await operator.result("GET", "/api-keys");
    await operator.refusal("POST", "/api-keys", { nonsense: 1 });
    expect(operator.audited).toHaveLength(3);
  });

  it("is refused, and nothing is done, while it cannot be recorded", async () => {
    const audit = {
      async record() {
        throw new Error("the disk is full");
      },
      auditTail: async () => EMPTY_TAIL,
    };
    const operator = createOperator({ audit });
    expect((await operator.refusal("POST", "/api-keys", { name: "bob" })).status).toBe(503);
    const keys = await operator.result<{ apiKeys: object[] }>("GET", "/api-keys?owner=key::bob");
    expect(keys.apiKeys).toEqual([]);
  });
});

describe("the whole server", () => {
  const admin = (path: string, init: RequestInit = {}) => {
    const headers = { authorization: `Bearer ${env.ADMIN_KEY}`, "content-type": "application/json" };
    return createClient({ headers }).request(path, init);
  };
  const object = () => env.AUDIT.get(env.AUDIT.idFromName("admin"));

  beforeAll(async () => {
    await admin("/admin/v1/roles", {
      method: "POST",
      body: JSON.stringify({ name: "r", scopes: ["task:read"] }),
    });
  });

  it("records operators in the chain of administration, which is shipped, found and verified", async () => {
    const { entries } = await object().auditTail(0);
    expect(entries.map(({ body }) => JSON.parse(body))).toMatchObject([
      {
        kind: "operator.request",
        actor: "operator::admin-key",
        detail: { path: "/admin/v1/roles", name: "r" },
      },
    ]);
    advance(10_000);
    await runDurableObjectAlarm(object());
    const report = await (await admin("/admin/v1/audit/chains/admin:verify")).json<Report>();
    expect(report).toMatchObject({ ok: true });
    expect((await object().auditTail(0)).head.n).toBe(report.to);
    const found = await (await admin("/admin/v1/audit?kind=operator.request")).json<{ entries: object[] }>();
    expect(found.entries.length).toBeGreaterThan(0);
  });

  it("verifies the chain of a home, shipped or not", async () => {
    const client = createClient();
    await client.sendForTask("one");
    await ring(client.owner);
    await client.sendForTask("two");
    const path = `/admin/v1/audit/chains/${homeOf(client.owner).id}:verify`;
    expect(await (await admin(path)).json<Report>()).toMatchObject({ ok: true, to: 2 });
    advance(10_000);
    await ring(client.owner);
    await client.sendForTask("three");
    expect(await (await admin(path)).json<Report>()).toMatchObject({ ok: true, to: 3 });
    await run("DELETE FROM audit WHERE n = 2 AND chain = ?", homeOf(client.owner).id.toString());
    expect(await (await admin(path)).json<Report>()).toMatchObject({ ok: false });
  });

  it("counts who wants a session with a scope that its credential has not", async () => {
    const client = createClient({ headers: { "content-type": "application/json" } });
    const body = JSON.stringify({ scopes: ["admin:write"] });
    expect((await client.request("/a2a/auth", { method: "POST", body })).status).toBe(403);
    const counted = await eventually(
      () =>
        runInDurableObject(object(), (_, { storage }) =>
          storage.sql
            .exec<{ counts: string }>("SELECT counts FROM minutes")
            .toArray()
            .flatMap(({ counts }) => JSON.parse(counts) as { who: string }[])
            .find(({ who }) => who === `open::${client.owner}`),
        ),
      100,
    );
    expect(counted).toMatchObject({ kind: "authorization.refused", reason: "admin:write", count: 1 });
  });

  it("writes for a flood of strangers a hundred entries a minute, and says how many they were", async () => {
    const counts = Array.from({ length: 5_000 }, (_, i) => ({
      kind: "authentication.refused" as const,
      who: `10.${i >> 8}.${i & 255}.0/24`,
      reason: "unknown_key",
      count: 2,
    }));
    const before = (await object().auditTail(0)).head.n;
    for (let i = 0; i < counts.length; i += 500) await object().refused(counts.slice(i, i + 500));
    expect((await object().auditTail(0)).head.n).toBe(before);
    await runInDurableObject(object(), (_, { storage }) => {
      expect(storage.sql.exec("SELECT * FROM minutes").toArray().length).toBeLessThan(3);
    });
    advance(130_000);
    await runDurableObjectAlarm(object());
    await runDurableObjectAlarm(object());
    const { head } = await object().auditTail(0);
    expect(head.n - before).toBeLessThan(2 * 102);
    const query =
      "SELECT sum(body ->> '$.detail.count') AS sum FROM audit WHERE kind = 'authentication.refused'";
    advance(10_000);
    await runDurableObjectAlarm(object());
    expect(await env.DB.prepare(query).first("sum")).toBe(10_000);
  });
});
