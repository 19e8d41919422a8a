// The way of entries to D1: all of them, each once, whatever fails on it, and the head stays behind.

import { env, runInDurableObject } from "cloudflare:test";
import { describe, expect, it, vi } from "vitest";
import { AuditChain } from "../../src/audit/chain.ts";
import type { AuditEntry } from "../../src/audit/entry.ts";
import { AuditShipping } from "../../src/audit/shipping.ts";
import { saveAudit } from "../../src/store/audit.ts";
import { migrate } from "../../src/tasks/schema.ts";
import { createClient, homeOf, newOwner } from "../support/client.ts";
import { advance, crash, query, ring } from "../support/home.ts";
import { followChain } from "./chains.ts";

const CHAIN = "SELECT chain, n, at, since, body, hash FROM audit WHERE chain = ? ORDER BY n";

async function stored(chain: string): Promise<AuditEntry[]> {
  const { results } = await env.DB.prepare(CHAIN).bind(chain).all<AuditEntry>();
  return results;
}

describe("a home", () => {
  it("ships its entries ten seconds later, and keeps the newest, which the next one follows", async () => {
    const client = createClient();
    await client.sendForTask("one");
    const { id } = await client.sendForTask("two");
    const home = homeOf(client.owner).id.toString();
    await ring(client.owner);
    expect(await stored(home)).toEqual([]);
    advance(10_000);
    await ring(client.owner);
    expect(await query(client.owner, "SELECT n, shipped FROM audit")).toEqual([{ n: 2, shipped: 1 }]);
    await crash();
    await client.sendForTask("three");
    advance(10_000);
    await ring(client.owner);
    const entries = await stored(home);
    expect(entries).toHaveLength(3);
    await followChain(entries);
    const found = "SELECT kind, owner, actor, task FROM audit WHERE task = ?";
    expect(await env.DB.prepare(found).bind(id).first()).toEqual({
      kind: "task.created",
      owner: `open::${client.owner}`,
      actor: `open::${client.owner}`,
      task: id,
    });
    expect(await query(client.owner, "SELECT n, shipped FROM audit")).toEqual([{ n: 3, shipped: 1 }]);
  });

  it("that has shipped everything sets no alarm for it", async () => {
    const client = createClient();
    await client.sendForTask("one");
    advance(10_000);
    await ring(client.owner);
    await ring(client.owner);
    const at = await runInDurableObject(homeOf(client.owner), (_, { storage }) => storage.getAlarm());
    expect(at ?? 0).toBeGreaterThan(Date.now() + 3_600_000);
  });
});

/** A chain on a storage of its own. */
async function onChain(use: (chain: AuditChain, storage: DurableObjectStorage) => Promise<void>) {
  const owner = newOwner();
  await runInDurableObject(homeOf(owner), async (_, { storage }) => {
    migrate(storage);
    await use(new AuditChain(storage.sql, owner), storage);
  });
}

function shippingOf(
  chain: AuditChain,
  storage: DurableObjectStorage,
  archive: (entries: readonly AuditEntry[]) => Promise<void>,
) {
  const write = (change: () => void) => storage.transactionSync(change);
  return new AuditShipping({ chain, now: () => 0, write, archive, ring: () => {} });
}

describe("shipments", () => {
  it("bring ten thousand entries over, each once and in order", { timeout: 60_000 }, () =>
    onChain(async (chain, storage) => {
      storage.transactionSync(() => {
        for (let i = 0; i < 10_000; i++) chain.append({ kind: "task.created", task: `0-${i}` }, i);
      });
      const shipping = shippingOf(chain, storage, (entries) => saveAudit(env.DB, entries));
      for (let now = 0; shipping.wakesAt !== undefined; now += 100) await shipping.run(now);
      const entries = await stored(chain.name);
      expect(entries).toHaveLength(10_000);
      expect(await followChain(entries)).toBe(chain.head.hash);
      expect(storage.sql.exec("SELECT n FROM audit").toArray()).toEqual([{ n: 10_000 }]);
    }),
  );

  it("are made again, later each time, while D1 is down, and lose nothing", () =>
    onChain(async (chain, storage) => {
      const warn = vi.spyOn(console, "warn").mockImplementation(() => {});
      for (let i = 0; i < 3; i++) chain.append({ kind: "task.created" }, i);
      const shipped: number[][] = [];
      let isDown = true;
      const shipping = shippingOf(chain, storage, async (entries) => {
        shipped.push(entries.map(({ n }) => n));
        if (isDown) throw new Error("D1 is down");
      });
      const pauses: number[] = [];
      let now = 0;
      for (let i = 0; i < 8; i++) {
        await shipping.run(now);
        pauses.push((shipping.wakesAt ?? 0) - now);
        now = shipping.wakesAt ?? 0;
        await shipping.run(now - 1);
      }
      expect(pauses).toEqual([5_000, 10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000]);
      expect(warn).toHaveBeenCalledTimes(8);
      chain.append({ kind: "task.canceled" }, now);
      isDown = false;
      await shipping.run(now);
      expect(shipped.at(-1)).toEqual([1, 2, 3, 4]);
      expect(shipping.wakesAt).toBeUndefined();
    }));

  it("made twice, one of them late, change nothing", () =>
    onChain(async (chain, storage) => {
      for (let i = 0; i < 4; i++) chain.append({ kind: "task.created" }, i);
      const [first, ...rest] = chain.unshipped(10);
      if (!first) throw new Error("there is no entry");
      await saveAudit(env.DB, [first]);
      await saveAudit(env.DB, [first, ...rest]);
      await saveAudit(env.DB, [{ ...first, body: '{"kind":"forged"}' }]);
      expect(await stored(chain.name)).toEqual([first, ...rest]);
      storage.transactionSync(() => chain.shipped(3));
      storage.transactionSync(() => chain.shipped(2));
      expect(chain.unshipped(10).map(({ n }) => n)).toEqual([4]);
      const again = new AuditChain(storage.sql, chain.name);
      expect(again.unshipped(10)).toEqual(chain.unshipped(10));
      expect([again.head, again.waiting]).toEqual([chain.head, 1]);
    }));

  it.each([
    ["task.created", 5],
    ["config.created", 6],
  ] as const)("of an entry of kind %s cost %i rows in D1, its indexes included", async (kind, rows) => {
    const batch = vi.spyOn(env.DB, "batch");
    const body = JSON.stringify({ kind, owner: "o", actor: "a", task: "t" });
    await saveAudit(env.DB, [{ chain: `counted ${kind}`, n: 1, at: 1, since: 0, body, hash: "" }]);
    const [answered] = batch.mock.results;
    const [result] = (answered?.value === undefined ? [] : await answered.value) as D1Result[];
    batch.mockRestore();
    // The row, and its time, owner, actor and task; kinds that every message makes have no index.
    expect(result?.meta.rows_written).toBe(rows);
  });
});
