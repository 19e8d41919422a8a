// The chain of a home: what is written, in which transaction, and that neither a death nor a failed write leaves a
// hole or a fork in it.

import { runInDurableObject } from "cloudflare:test";
import { describe, expect, it, vi } from "vitest";
import type { AuditEntry, AuditEvent } from "../../src/audit/entry.ts";
import { type Client, createClient, eventually, homeOf, newOwner, toMessage } from "../support/client.ts";
import { countCosts, crash, query } from "../support/home.ts";
import { checkChain, eventsOf } from "./chains.ts";

vi.hoisted(() => vi.resetModules());
vi.mock("../../src/agents/registry.ts", async (original) =>
  (await import("../tasks/stage.ts")).withStage(original),
);
const { act, forever } = await import("../tasks/stage.ts");

const ask = act("ask", (task) => task.inputRequired("?"));
const authorize = act("authorize", (task) => task.authRequired("May I?"));
const end = act("end", () => {});
const hang = act("hang", async (task) => {
  await task.working();
  await forever;
});
const hangOnce = act("hang once", async (task, run) => {
  await task.working();
  if (run === 1) await forever;
});
const reply = act("reply", (task) => task.reply("no task"));
const poison = act("poison", (task) => task.artifact({ parts: [{ text: "poison" }] }));

const staged = () => createClient({ agent: "stage" });

const kinds = async (owner: string) => (await eventsOf(owner)).map(({ kind }) => kind);

describe("the audit of a home", () => {
  it("says who made, continued and canceled a task", async () => {
    const client = staged();
    const { id } = await client.sendForTask(ask);
    await client.sendForTask({ says: authorize, taskId: id });
    await client.sendForTask({ says: ask, taskId: id });
    await client.cancel(id);
    const who = { owner: `open::${client.owner}`, actor: `open::${client.owner}`, agent: "stage", task: id };
    expect(await eventsOf(client.owner)).toEqual([
      { kind: "task.created", ...who },
      { kind: "task.continued", ...who, detail: { state: "TASK_STATE_INPUT_REQUIRED" } },
      { kind: "task.continued", ...who, detail: { state: "TASK_STATE_AUTH_REQUIRED" } },
      { kind: "task.canceled", ...who },
    ] satisfies AuditEvent[]);
  });

  it("costs one row more in the transaction of what it tells, and no transaction", async () => {
    const client = staged();
    const { id } = await client.sendForTask(ask);
    const registering = "SELECT 1 FROM due WHERE kind = 'register'";
    await eventually(async () => (await query(client.owner, registering)).length === 0);
    const costs = await countCosts(client.owner);
    await client.cancel(id);
    // The task with three list indexes on both sides, the status, and the entry.
    const { rows, transactions } = await costs();
    expect({ rows, transactions }).toEqual({ rows: 6, transactions: 1 });
  });

  it("holds nothing of what was read, refused, or answered without a task", async () => {
    const client = staged();
    const { id } = await client.sendForTask(end);
    await client.get(id);
    await client.list();
    await (await client.subscribe(id, "0")).rest();
    await client.send(reply);
    for (const [name, params] of [
      ["CancelTask", { id }],
      ["CancelTask", { id: "0-unknown" }],
      ["SendMessage", { message: { ...toMessage("x"), taskId: id } }],
      ["SendMessage", { message: { ...toMessage("x"), contextId: "other", taskId: id } }],
    ] as const) {
      await client.error(name, params);
    }
    expect(await kinds(client.owner)).toEqual(["task.created"]);
  });

  it("makes no database for an owner who has never written", async () => {
    const client = staged();
    await client.send(reply);
    const tail = await homeOf(client.owner).auditTail(0);
    expect(tail).toEqual({ head: { n: 0, at: 0, hash: "0".repeat(64) }, entries: [] });
    expect(await query(client.owner, "SELECT name FROM sqlite_master WHERE name = 'audit'")).toEqual([]);
  });

  it("says it once however often a request comes with its Idempotency-Key", async () => {
    const client = staged();
    const headers = { "idempotency-key": "k" };
    await Promise.all([1, 2, 3].map(() => client.send({ says: end, messageId: "m" }, { headers })));
    await client.send({ says: end, messageId: "m" }, { headers });
    expect(await kinds(client.owner)).toEqual(["task.created"]);
  });

  it("says it once however often a turn runs, and goes on with its chain after a kill and an eviction", async () => {
    const client = staged();
    const { id } = await client.start(hangOnce);
    await crash();
    expect((await client.sendForTask({ says: end })).status.state).toBe("TASK_STATE_COMPLETED");
    await client.get(id);
    await crash();
    await client.sendForTask({ says: end });
    expect(await kinds(client.owner)).toEqual(Array(3).fill("task.created"));
    await checkChain(client.owner, 3);
  });

  it("tells of a cancellation under a running turn, and of none that came too late", async () => {
    const client = staged();
    const { id } = await client.start(hang);
    await client.cancel(id);
    await client.error("CancelTask", { id });
    expect(await kinds(client.owner)).toEqual(["task.created", "task.canceled"]);
  });

  it("tells of a message that waits for the turn that runs", async () => {
    const client = staged();
    const { id } = await client.start(hang);
    await client.start({ says: end, taskId: id });
    await client.cancel(id);
    expect(await eventsOf(client.owner)).toMatchObject([
      { kind: "task.created" },
      { kind: "task.continued", detail: { state: "TASK_STATE_WORKING" } },
      { kind: "task.canceled" },
    ]);
  });

  it("tells of the tasks of durable agents alike", async () => {
    const client = createClient({ agent: "long-running" });
    const { id } = await client.start("a job of 30 steps");
    await client.cancel(id);
    expect(await kinds(client.owner)).toEqual(["task.created", "task.canceled"]);
    await checkChain(client.owner, 2);
  });

  it("keeps its times in order when the clock goes back", async () => {
    const owner = newOwner();
    const client = createClient({ agent: "stage", owner });
    await client.sendForTask(end);
    await runInDurableObject(homeOf(owner), (_, { storage }) => {
      storage.sql.exec("UPDATE audit SET at = at + 60000");
    });
    await crash();
    await client.sendForTask(end);
    const [first, second] = await query<{ at: number; since: number }>(owner, "SELECT at, since FROM audit");
    expect(second).toEqual({ at: first?.at, since: first?.at });
  });
});

describe("a write that fails", () => {
  /** A client whose home's journal takes no poison. */
  async function poisonable(): Promise<Client> {
    const client = staged();
    await client.sendForTask(end);
    await runInDurableObject(homeOf(client.owner), (_, state) => {
      state.storage.sql.exec(
        `CREATE TRIGGER poison BEFORE INSERT ON journal WHEN NEW.kind = 'artifact' AND NEW.body LIKE '%poison%'
         BEGIN SELECT RAISE(ABORT, 'poisoned'); END`,
      );
    });
    return client;
  }

  it("leaves no entry, no hole and no fork, also among forty requests that share a commit", async () => {
    const client = await poisonable();
    const answers = await Promise.all(
      Array.from({ length: 40 }, (_, i) =>
        client.answer("SendMessage", { message: toMessage(i % 4 === 1 ? poison : end) }),
      ),
    );
    expect(answers.filter(({ error }) => error)).toHaveLength(10);
    await checkChain(client.owner, 31);
    await crash();
    await client.sendForTask(end);
    await checkChain(client.owner, 32);
  });

  it("of the entry itself refuses what it would have told", async () => {
    const client = await poisonable();
    await runInDurableObject(homeOf(client.owner), (_, state) => {
      state.storage.sql.exec(
        "CREATE TRIGGER deaf BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'deaf'); END",
      );
    });
    expect((await client.error("SendMessage", { message: toMessage(end) })).code).toBe(-32603);
    expect((await client.list()).totalSize).toBe(1);
    await runInDurableObject(homeOf(client.owner), (_, state) => {
      state.storage.sql.exec("DROP TRIGGER deaf");
    });
    await client.sendForTask(end);
    await checkChain(client.owner, 2);
  });
});

describe("two entries in one turn of the event loop", () => {
  it("follow each other, each in a transaction of its own", async () => {
    const client = staged();
    await Promise.all(Array.from({ length: 100 }, () => client.sendForTask(end)));
    await checkChain(client.owner, 100);
  });

  it("of which the second is rolled back, leave the first as the head", async () => {
    const client = staged();
    await client.sendForTask(end);
    await runInDurableObject(homeOf(client.owner), async (home, { storage }) => {
      const before = await home.auditTail(0);
      const { AuditChain } = await import("../../src/audit/chain.ts");
      const chain = new AuditChain(storage.sql, before.entries[0]?.chain ?? "");
      const write = (change: () => void) =>
        storage.transactionSync(() => {
          change();
          chain.flush();
        });
      write(() => chain.append({ kind: "task.created" }, 1));
      const kept = chain.head;
      expect(() =>
        write(() => {
          chain.append({ kind: "task.canceled" }, 1);
          throw new Error("rolled back");
        }),
      ).toThrow("rolled back");
      chain.forget();
      expect(chain.head).toEqual(kept);
      write(() => chain.append({ kind: "task.continued" }, 1));
      expect(chain.head.n).toBe(3);
    });
    await crash();
    await checkChain(client.owner, 3);
  });
});

describe("an entry", () => {
  it("is text of a few hundred bytes", async () => {
    const client = staged();
    await client.sendForTask(end);
    const { entries } = await homeOf(client.owner).auditTail(0);
    expect(entries.map(({ body }: AuditEntry) => body.length)[0]).toBeLessThan(400);
  });
});
