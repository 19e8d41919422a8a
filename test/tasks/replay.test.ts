// Subscribers of one task: each sees the same events once, live or replayed, whatever the others do.

import { runInDurableObject } from "cloudflare:test";
import { describe, expect, it, vi } from "vitest";
import { type Client, createClient, eventually, type Frame, homeOf, kindOf } from "../support/client.ts";

vi.hoisted(() => vi.resetModules());
vi.mock("../../src/agents/registry.ts", async (original) => (await import("./stage.ts")).withStage(original));
const { act } = await import("./stage.ts");

const text = (value: string) => [{ text: value }];
const kinds = (frames: Frame[]) => frames.map(({ event }) => kindOf(event));
const ids = (frames: Frame[]) => frames.map(({ id }) => Number(id));
const subscribers = (owner: string) => runInDurableObject(homeOf(owner), (home) => home.subscribers);
const noMore = (client: Client) => eventually(async () => (await subscribers(client.owner)) === 0);

const WORKING = "TASK_STATE_WORKING";
const COMPLETED = "TASK_STATE_COMPLETED";

describe("two subscribers", () => {
  it("see the same events with the same ids in the same order", async () => {
    const client = createClient({ agent: "conformance" });
    const first = await client.sendStream("stream:10:5");
    const [opening] = await first.until((event) => kindOf(event) === "task");
    const second = await client.subscribe(opening?.event.task?.id ?? "", opening?.id);
    const [a, b] = await Promise.all([first.rest(), second.rest()]);
    expect(a).toHaveLength(12);
    expect(b).toEqual(a);
  });

  it("do not wait for each other: one that never reads holds up nobody", async () => {
    const client = createClient({ agent: "conformance" });
    const lazy = await client.sendStream("stream:2000:0");
    const { id } = await eventually(async () => (await client.list()).tasks[0]);
    const eager = await (await client.subscribe(id, "0")).rest();
    expect(eager).toHaveLength(2_002);
    expect((await lazy.rest()).slice(1)).toEqual(eager);
  });

  it("are not disturbed when one leaves, and the home forgets who has left", async () => {
    const client = createClient({ agent: "conformance" });
    const stays = await client.sendStream("stream:12:10");
    const [opening] = await stays.until((event) => kindOf(event) === "task");
    const id = opening?.event.task?.id ?? "";
    const leaves = await client.subscribe(id);
    await leaves.next();
    expect(await subscribers(client.owner)).toBe(2);
    await leaves.leave();
    await eventually(async () => (await subscribers(client.owner)) === 1);
    expect(kinds(await stays.rest())).toEqual([WORKING, ...Array(12).fill("artifact"), COMPLETED]);
    await noMore(client);
  });

  it("may both leave: the task goes on to its end", async () => {
    const client = createClient({ agent: "conformance" });
    const stream = await client.sendStream("slow:100");
    const first = await stream.until((event) => kindOf(event) === WORKING);
    await stream.leave();
    await noMore(client);
    const id = first[0]?.event.task?.id ?? "";
    await eventually(async () => (await client.get(id)).status.state === COMPLETED);
  });

  it("are forgotten when their streams have ended, were refused, or were a Message", async () => {
    const client = createClient({ agent: "conformance" });
    await (await client.sendStream("hello")).rest();
    await (await client.sendStream("message")).rest();
    await (await client.sendStream("input")).rest();
    await client.error("SubscribeToTask", { id: "nothing" });
    expect(await subscribers(client.owner)).toBe(0);
  });
});

describe("replay while a writer runs", () => {
  it("has no gap and no duplicate, wherever a subscriber comes in", { timeout: 20_000 }, async () => {
    const client = createClient({ agent: "stage" });
    const says = act("writes irregularly", async (task) => {
      for (let i = 0; i < 400; i++) {
        await task.artifact({ artifactId: "a", parts: text(`${i}`), append: i > 0 });
        if (i % 7 === 0) await scheduler.wait(i % 3);
      }
    });
    const { id } = await client.start(says);
    const late = async (lastEventId: number) => {
      const ready = () => client.subscribe(id, `${lastEventId}`).catch(() => undefined);
      return (await eventually(ready)).rest();
    };
    const from = [0, 1, 3, 17, 60, 133, 200, 277, 350, 401];
    const streams = await Promise.all(from.map(late));
    for (const [index, frames] of streams.entries()) {
      const start = from[index] ?? 0;
      // Row 1 is the message, which is no event.
      const first = Math.max(start, 1) + 1;
      expect(ids(frames)).toEqual(Array.from({ length: 402 - first + 1 }, (_, i) => first + i));
    }
    await noMore(client);
  });

  it("continues over any number of reconnections", { timeout: 20_000 }, async () => {
    const client = createClient({ agent: "conformance" });
    const { id } = await client.start("stream:60:3");
    const seen: Frame[] = [];
    while (kinds(seen).at(-1) !== COMPLETED) {
      const stream = await client.subscribe(id, seen.at(-1)?.id ?? "0");
      for (let i = 0; i < 5; i++) {
        const frame = await stream.next();
        if (!frame) break;
        seen.push(frame);
      }
      await stream.leave();
    }
    expect(seen).toEqual(await (await client.subscribe(id, "0")).rest());
    expect(seen).toHaveLength(62);
    await noMore(client);
  });
});
