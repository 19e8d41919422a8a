// What is hard about erasing a home: turns that no row knows of, jobs that cannot be ended, an owner who comes back in
// the middle. The whole of it, through the front door: test/admin/owner-erasure.test.ts.

import { env, runInDurableObject } from "cloudflare:test";
import { afterEach, describe, expect, it, vi } from "vitest";
import { type Erased, NOTHING_ERASED } from "../../src/tasks/erase.ts";
import type { HomeObject } from "../../src/tasks/home.ts";
import { createClient, eventually, homeOf } from "../support/client.ts";
import { query, ring } from "../support/home.ts";
import { instanceStatus, jobIdOf, withJobs } from "../support/jobs.ts";

vi.hoisted(() => vi.resetModules());
vi.mock("../../src/agents/registry.ts", async (original) => (await import("./stage.ts")).withStage(original));
const { act, forever } = await import("./stage.ts");

afterEach(() => void vi.restoreAllMocks());

const end = act("end", (task) => task.complete("!"));
const ask = act("ask", (task) => task.inputRequired("?"));
let thinking = 0;
const think = act("think", async () => {
  thinking += 1;
  await forever;
});

const staged = () => createClient({ agent: "stage" });
const eraseOnce = (owner: string) => {
  const home = homeOf(owner) as unknown as { erase(erasure: object): Promise<Erased> };
  return home.erase({ name: `open::${owner}/0`, by: { owner: `open::${owner}`, actor: "operator::me" } });
};

async function eraseAll(owner: string): Promise<number> {
  for (let tasks = 0; ; ) {
    const erased = await eraseOnce(owner);
    tasks += erased.tasks;
    if (!erased.more) return tasks;
  }
}

const rows = async (owner: string) =>
  (await query<{ count: number }>(owner, "SELECT count(*) AS count FROM tasks"))[0]?.count;
const homesOf = async (owner: string) =>
  (
    await env.DB.prepare("SELECT name FROM homes WHERE id = ?")
      .bind(homeOf(owner).id.toString())
      .all<{ name: string }>()
  ).results;

describe("an erasure of a home", () => {
  it("stops turns of which nothing is stored yet, so that they make no task later", async () => {
    const client = staged();
    await client.sendForTask(end);
    const waiting = client.sendForTask(think);
    await eventually(async () => thinking === 1);
    expect(await rows(client.owner)).toBe(1);
    expect(await eraseAll(client.owner)).toBe(2);
    expect((await waiting).status.state).toBe("TASK_STATE_CANCELED");
    expect(await rows(client.owner)).toBe(0);
  });

  it("stops the first turn of an owner, too, of whom nothing is stored at all", async () => {
    const client = staged();
    const before = thinking;
    const waiting = client.sendForTask(think);
    await eventually(async () => thinking === before + 1);
    expect(await eraseAll(client.owner)).toBe(1);
    expect((await waiting).status.state).toBe("TASK_STATE_CANCELED");
    expect(await rows(client.owner)).toBe(0);
  });

  it("keeps a task until its job is terminated, and no other", async () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    const client = staged();
    await client.sendForTask(ask);
    const jobs = createClient({ owner: client.owner, agent: "long-running" });
    const { id } = await jobs.start("Run a job of 100 steps");
    const job = await jobIdOf(client.owner, id);
    await eventually(async () => (await instanceStatus(client.owner, job)) !== "unknown");
    await withJobs(client.owner, (workflow) => {
      vi.spyOn(workflow, "get").mockRejectedValue(new Error("Workflows are down"));
    });
    expect(await eraseOnce(client.owner)).toEqual({ ...NOTHING_ERASED, tasks: 1, more: true });
    expect(await eraseOnce(client.owner)).toEqual({ ...NOTHING_ERASED, more: true, isStuck: true });
    expect((await jobs.get(id)).status.state).toBe("TASK_STATE_CANCELED");
    vi.restoreAllMocks();
    expect(await eraseAll(client.owner)).toBe(1);
    // It is ended, or has found out by itself that nobody listens.
    await eventually(async () => /terminated|complete/.test(await instanceStatus(client.owner, job)));
  });

  it("takes what comes meanwhile, and leaves a home alone whose owner returns at its end", async () => {
    const client = staged();
    await client.sendForTask(end);
    await eventually(async () => (await homesOf(client.owner)).length === 1);
    const [erased, during] = await Promise.all([
      eraseAll(client.owner),
      client.answer("SendMessage", {
        message: { messageId: "m", role: "ROLE_USER", parts: [{ text: end }] },
      }),
    ]);
    expect(erased).toBeGreaterThan(0);
    expect(during).toBeDefined();
    await eraseAll(client.owner);
    // While D1 forgets the home, a task comes.
    const again = await runInDurableObject(homeOf(client.owner), (home: HomeObject) => {
      const { DB } = (home as unknown as { env: Env }).env;
      const prepare = DB.prepare.bind(DB);
      let sent: Promise<unknown> | undefined;
      vi.spyOn(DB, "prepare").mockImplementation((sql) => {
        if (sql.startsWith("DELETE FROM homes")) sent ??= client.sendForTask(end);
        return prepare(sql);
      });
      return async () => sent;
    });
    const last = await eraseOnce(client.owner);
    await await again();
    vi.restoreAllMocks();
    expect(last.tasks).toBe(0);
    await ring(client.owner);
    await eventually(async () => (await homesOf(client.owner))[0]?.name === `open::${client.owner}/0`);
    expect(await rows(client.owner)).toBe(1);
  });

  it("forgets a reply, and its Idempotency-Key, that never made a task", async () => {
    const client = staged();
    const reply = act("reply", (task) => task.reply("no task"));
    const message = { messageId: "m", role: "ROLE_USER", parts: [{ text: reply }] };
    const send = () => client.result("SendMessage", { message }, { "idempotency-key": "k" });
    await send();
    await eraseAll(client.owner);
    expect(await query(client.owner, "SELECT * FROM idempotency")).toEqual([]);
    await eventually(async () => (await homesOf(client.owner)).length === 0);
    await send();
    await ring(client.owner);
    await eventually(async () => (await homesOf(client.owner)).length === 1);
  });
});
