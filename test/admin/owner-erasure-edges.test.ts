// Erasures at their edges: names in other spellings, what was under way when an erasure came, and keys that are made in
// the middle of one. The whole of an erasure: owner-erasure.test.ts.

import { env, runDurableObjectAlarm, runInDurableObject, SELF } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { HomeOperator } from "../../src/admin/deps.ts";
import { fileDeadLetters } from "../../src/admin/filing.ts";
import { createApiKey, getApiKey } from "../../src/store/api-keys.ts";
import { trimSums } from "../../src/store/attempt-sums.ts";
import { saveAudit } from "../../src/store/audit.ts";
import { saveDeadLetters } from "../../src/store/dead-letters.ts";
import { REVOKED_MS } from "../../src/store/erasures.ts";
import { createRetryJob, type RetryFilter } from "../../src/store/retry-jobs.ts";
import { openSession } from "../../src/store/sessions.ts";
import { NOTHING_ERASED } from "../../src/tasks/erase.ts";
import { deadLetter } from "../store/rows.ts";
import { createClient, eventually, homeOf } from "../support/client.ts";
import { createOperator, startAfresh } from "./operator.ts";

beforeEach(startAfresh);
afterEach(() => void vi.restoreAllMocks());

const makeKey = (owner: string, now: number) =>
  createApiKey(env.DB, { owner, roles: ["user"], scopes: [], createdBy: "cli" }, now);

const asOperator = (owner: string) =>
  SELF.fetch(`https://agents.test/admin/v1/owners/${encodeURIComponent(owner)}:erase`, {
    method: "POST",
    headers: { authorization: `Bearer ${env.ADMIN_KEY}` },
  });

/** Erases through the front door until there is no more. */
async function eraseAll(owner: string): Promise<void> {
  for (let more = true; more; ) ({ more } = await (await asOperator(owner)).json<{ more: boolean }>());
}

describe("an owner's name in another spelling", () => {
  it.each([
    ["alice@example.com", "key::alice@example.com"],
    ["a:b", "key::a:b"],
    ["ä", "key::%c3%a4"],
  ])("is of nobody: keys of %j have other tasks than %j", async (name, other) => {
    const operator = createOperator();
    const { key } = await makeKey(name, Date.now() - 100_000);
    expect(await operator.refusal("POST", `/owners/${encodeURIComponent(other)}:erase`)).toMatchObject({
      status: 404,
    });
    expect(await getApiKey(env.DB, { id: key.id })).toMatchObject({ revokedAt: null });
    const listed = await operator.result("GET", `/api-keys?owner=${encodeURIComponent(other)}`);
    expect(listed).toMatchObject({ apiKeys: [] });
  });
});

describe("a dead letter that is being filed", () => {
  /** A home that keeps two; files them, with `meanwhile` between their way out of it and into D1. What D1 has then. */
  async function file(meanwhile: (owner: string, file: () => Promise<void>) => Promise<void>) {
    const client = createClient({ agent: "conformance" });
    const owner = `open::${client.owner}`;
    const { id: task } = await client.sendForTask("hello");
    const home = homeOf(client.owner);
    const ids = ["a", "b"].map((name) => `msg_${name}_${task}`);
    await runInDurableObject(home, (_, { storage }) => {
      for (const id of ids) {
        const { body: _, ...letter } = deadLetter({ id, owner, task });
        storage.sql.exec("INSERT INTO dead VALUES (?, ?, 1, ?)", id, task, JSON.stringify(letter));
      }
    });
    const operator = home as unknown as HomeOperator;
    const fileBy = (at: HomeOperator) =>
      fileDeadLetters({ db: env.DB, homeAt: () => at }, home.id.toString(), ids);
    const slow: Pick<HomeOperator, "deadLetters" | "deadFiled"> = {
      async deadLetters(asked) {
        const found = await operator.deadLetters(asked);
        expect(found).toHaveLength(2);
        await meanwhile(owner, () => fileBy(operator));
        return found;
      },
      deadFiled: (filed) => operator.deadFiled(filed),
    };
    await fileBy(slow as HomeOperator);
    const { results } = await env.DB.prepare("SELECT id FROM dead_letters WHERE owner = ?").bind(owner).all();
    return results.length;
  }

  it("while its owner is erased is not in the database afterwards", async () => {
    expect(await file((owner) => eraseAll(owner))).toBe(0);
  });

  it("and was filed by somebody else meanwhile stays", async () => {
    expect(await file((_, again) => again())).toBe(2);
  });
});

describe("credentials that come while an owner is erased", () => {
  let now = Date.now();
  const operator = createOperator({ now: () => now });
  const erase = () => operator.result<{ more: boolean }>("POST", "/owners/key%3A%3Aerin:erase");

  it("by an operator's hand are waited for as long as the first ones", async () => {
    await makeKey("erin", now);
    expect((await erase()).more).toBe(true);
    now += REVOKED_MS - 10_000;
    await makeKey("erin", now);
    expect((await erase()).more).toBe(true);
    now += REVOKED_MS - 10_000;
    expect((await erase()).more).toBe(true);
    now += 10_000;
    expect((await erase()).more).toBe(false);
  });

  it("in the middle of the last call are revoked and waited for by another", async () => {
    await env.DB.prepare("INSERT INTO owners VALUES ('key::erin', 0, 0)").run();
    let made: Promise<unknown> | undefined;
    const erasing = async () => {
      made ??= makeKey("erin", now);
      await made;
      return NOTHING_ERASED;
    };
    const during = createOperator({ now: () => now, home: { erase: erasing } });
    const answer = await during.result("POST", "/owners/key%3A%3Aerin:erase");
    expect(answer).toMatchObject({ apiKeys: 0, more: true });
    now += 1_000;
    expect(await erase()).toMatchObject({ more: true, retryAfterSeconds: REVOKED_MS / 1_000 });
    now += REVOKED_MS;
    expect(await erase()).toMatchObject({ apiKeys: 1, more: false });
  });

  it("months after an erasure that nobody went on with are waited for, sessions as well", async () => {
    const session = { owner: "key::erin", actor: "key:erin:k", key: "k", basis: "{}", scopes: "[]" };
    for (const hash of ["first", "second"]) {
      const times = { createdAt: now, expiresAt: now + 60_000, endsAt: now + 60_000 };
      await openSession(env.DB, { id: hash, hash, ...session, ...times }, { perOwner: 9, perMinute: 9 });
      expect((await erase()).more).toBe(true);
      now += 90 * 86_400_000;
    }
    now -= 90 * 86_400_000 - REVOKED_MS;
    expect((await erase()).more).toBe(false);
  });

  it("by tokens again and again put off nothing", async () => {
    const session = { owner: "key::erin", actor: "key:erin:k", key: "k", basis: "{}", scopes: "[]" };
    for (let i = 0; i < 4; i++) {
      const [id, hash] = [`s${i}`, `h${i}`];
      const times = { createdAt: now, expiresAt: now + 60_000, endsAt: now + 60_000 };
      await openSession(env.DB, { id, hash, ...session, ...times }, { perOwner: 9, perMinute: 9 });
      expect((await erase()).more).toBe(i < 3);
      now += REVOKED_MS / 3;
    }
  });
});

describe("a call of the erasure", () => {
  it.each([
    ["keys of requests", 450, "idempotency SELECT 'key ' || value, '', NULL, NULL, '{}', 9e15"],
    ["endpoints", 45, "validated SELECT 'o|https://' || value || '.example', 1"],
  ])("waits for nothing while it erases %s, whose number is in no answer", async (_, count, rows) => {
    const client = createClient({ agent: "conformance" });
    await client.sendForTask("hello");
    await runInDurableObject(homeOf(client.owner), (_, { storage }) => {
      const numbers = JSON.stringify(Array.from({ length: count }, (_, i) => i));
      storage.sql.exec(`INSERT INTO ${rows} FROM json_each(?)`, numbers);
    });
    const response = await asOperator(`open::${client.owner}`);
    expect(await response.json()).toMatchObject({ tasks: 1, more: false, retryAfterSeconds: 0 });
  });
});

describe("an endpoint", () => {
  it("forgets its URLs, too, when their configs are gone and so is the history", async () => {
    const client = createClient({ agent: "conformance" });
    const endpoint = env.ENDPOINTS.get(env.ENDPOINTS.idFromName(`open::${client.owner}|http://busy.test`));
    const remembered = () =>
      runInDurableObject(endpoint, (_, { storage }) => {
        const exists = storage.sql.exec("SELECT 1 FROM sqlite_master WHERE name = 'state'").toArray();
        return exists.length > 0 ? storage.sql.exec("SELECT * FROM state").toArray() : [];
      });
    vi.spyOn(globalThis, "fetch").mockImplementation(
      async () => new Response(null, { status: 503, headers: { "retry-after": "3600" } }),
    );
    const url = "http://busy.test/hook";
    const { id } = await client.sendForTask("hello", {
      configuration: { taskPushNotificationConfig: { id: "c", url } },
    });
    await eventually(async () => (await remembered()).length > 0);
    await client.result("DeleteTaskPushNotificationConfig", { taskId: id, id: "c" });
    await runDurableObjectAlarm(homeOf(client.owner));
    await eventually(async () => (await trimSums(env.DB, 9e15, 1_000)) > 0);
    await eraseAll(`open::${client.owner}`);
    expect(await remembered()).toEqual([]);
  });
});

describe("a retry job", () => {
  const retry = (id: string, filter: RetryFilter) =>
    createRetryJob(env.DB, { id, filter, actor: "operator::me", now: 1_000 });
  const isLeft = async (id: string) =>
    (await env.DB.prepare("SELECT 1 FROM retry_jobs WHERE id = ?").bind(id).first()) !== null;

  it.each<[string, RetryFilter, boolean]>([
    ["the owner", { owner: "open::gone" }, false],
    ["a task with a dead letter of the owner", { task: "letter" }, false],
    ["a config of such a task", { task: "letter", config: "c" }, false],
    ["a task of the owner that the audit knows", { task: "audited" }, false],
    ["a task of somebody else", { task: "other" }, true],
    ["somebody else with a task by the same id", { owner: "open::other", task: "letter" }, true],
    ["an origin that the owner was notified at", { origin: "https://hooks.example" }, true],
    ["nothing", {}, true],
  ])("that names %s: %j is left: %j", async (_, filter, left) => {
    await saveDeadLetters(env.DB, [
      deadLetter({ id: "msg_1", owner: "open::gone", task: "letter" }),
      deadLetter({ id: "msg_2", owner: "open::other", task: "other" }),
    ]);
    const body = JSON.stringify({ kind: "task.created", owner: "open::gone", task: "audited" });
    await saveAudit(env.DB, [{ chain: "gone", n: 1, at: 1, since: 0, body, hash: "" }]);
    await retry("job", filter);
    await eraseAll("open::gone");
    expect(await isLeft("job")).toBe(left);
  });
});
