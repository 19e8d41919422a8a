// Agents that await for ever: the watchdog ends their turn, and nobody else notices them.

import { evictDurableObject } from "cloudflare:test";
import { describe, expect, it, vi } from "vitest";
import { createClient, eventually, homeOf, textOf } from "../support/client.ts";
import { advance, alarmOf, ring } from "../support/home.ts";

vi.hoisted(() => vi.resetModules());
vi.mock("../../src/agents/registry.ts", async (original) => (await import("./stage.ts")).withStage(original));
const { act, forever } = await import("./stage.ts");

describe("an agent that awaits for ever", () => {
  it("is failed by the watchdog when its turn has lasted too long, and its signal fires", async () => {
    let reason: unknown;
    const says = act("hangs", async (task) => {
      await task.working("Soon");
      task.signal.addEventListener("abort", () => {
        reason = task.signal.reason;
      });
      await forever;
    });
    const client = createClient({ agent: "stage" });
    const waiting = client.sendForTask(says);
    const { id } = await eventually(async () => (await client.list()).tasks[0]);
    advance(599_000);
    await ring(client.owner);
    expect((await client.get(id)).status.state).toBe("TASK_STATE_WORKING");
    advance(2_000);
    await ring(client.owner);
    const task = await waiting;
    expect(task.status.state).toBe("TASK_STATE_FAILED");
    expect(textOf(task.status.message)).toBe("The agent did not finish its turn within 600 s.");
    expect(reason).toMatchObject({ name: "AbortError" });
  });

  it("before its first act makes a failed task too, so that its caller is answered", async () => {
    const begun = Promise.withResolvers<void>();
    const says = act("hangs silently", () => {
      begun.resolve();
      return forever;
    });
    const client = createClient({ agent: "stage" });
    await client.list();
    await client.sendForTask(act("is quick", (task) => task.complete()));
    const waiting = client.sendForTask(says);
    await begun.promise;
    advance(601_000);
    await ring(client.owner);
    const task = await waiting;
    expect(task.status.state).toBe("TASK_STATE_FAILED");
    expect(task.history?.map(textOf)[0]).toBe(says);
  });

  it("is watched also when it is an owner's first, before anything was written", async () => {
    const begun = Promise.withResolvers<void>();
    const says = act("hangs as the first", () => {
      begun.resolve();
      return forever;
    });
    const client = createClient({ agent: "stage" });
    const waiting = client.sendForTask(says);
    await begun.promise;
    await eventually(async () => (await alarmOf(client.owner)) !== null);
    advance(601_000);
    await ring(client.owner);
    expect((await waiting).status.state).toBe("TASK_STATE_FAILED");
  });

  it("keeps no other task waiting", async () => {
    const client = createClient({ agent: "stage" });
    const hanging = await Promise.all(
      Array.from({ length: 20 }, () => client.start(act("hangs too", () => forever))),
    );
    const quick = await client.sendForTask(act("is quick too", (task) => task.complete("here")));
    expect(quick.status.state).toBe("TASK_STATE_COMPLETED");
    expect((await client.list()).totalSize).toBe(21);
    for (const { id } of hanging) expect((await client.cancel(id)).status.state).toBe("TASK_STATE_CANCELED");
  });

  it("does not keep its object in memory once its turn has been ended", { timeout: 15_000 }, async () => {
    const client = createClient({ agent: "stage" });
    // A promise of its own: one that was made outside would keep the object in memory by itself.
    const hangs = act("hangs for good", async (task) => {
      await task.working();
      await new Promise(() => {});
    });
    const [failed, canceled] = [await client.start(hangs), await client.start(hangs)];
    await client.cancel(canceled.id);
    advance(601_000);
    await ring(client.owner);
    expect((await client.get(failed.id)).status.state).toBe("TASK_STATE_FAILED");
    const evicted = evictDurableObject(homeOf(client.owner)).then(() => true);
    expect(await Promise.race([evicted, scheduler.wait(10_000)])).toBe(true);
  });
});
