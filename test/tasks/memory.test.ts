// What agents remember: JSON values by key, for one conversation of one agent of one owner, written with the end
// of the turn that set them.

import { describe, expect, it, vi } from "vitest";
import type { Message } from "../../src/protocol/message.ts";
import { type Client, createClient, eventually, textOf } from "../support/client.ts";
import { crash, query } from "../support/home.ts";

vi.hoisted(() => vi.resetModules());
vi.mock("../../src/agents/registry.ts", async (original) => (await import("./stage.ts")).withStage(original));
const { act, forever } = await import("./stage.ts");

const recall = act("recall", (task) =>
  task.complete(
    JSON.stringify(["a", "b", "__proto__", "constructor"].map((key) => task.memory.get(key) ?? null)),
  ),
);
const remember = (key: string, value: unknown) =>
  act(`remember ${key} ${typeof value} ${String(value).slice(0, 10)}`, async (task) => {
    task.memory.set(key, value);
    await task.complete();
  });

async function recalled(client: Client, contextId = "ctx"): Promise<unknown[]> {
  const task = await client.sendForTask({ says: recall, contextId });
  return JSON.parse(textOf(task.status.message) ?? "");
}
const send = (client: Client, says: string, contextId = "ctx") => client.sendForTask({ says, contextId });

describe("memory", () => {
  it("is there for the next task of the conversation, also after a crash, and nowhere else", async () => {
    const client = createClient({ agent: "stage" });
    await send(client, remember("a", { deep: [1, "x"] }));
    expect(await recalled(client)).toEqual([{ deep: [1, "x"] }, null, null, null]);
    await crash();
    expect(await recalled(client)).toEqual([{ deep: [1, "x"] }, null, null, null]);
    expect(await recalled(client, "another")).toEqual([null, null, null, null]);
    expect(await recalled(createClient({ agent: "stage" }))).toEqual([null, null, null, null]);
  });

  it("is kept key by key when turns of one conversation overlap", async () => {
    const client = createClient({ agent: "stage" });
    const gate = Promise.withResolvers<void>();
    const slow = act("remembers a slowly", async (task) => {
      await task.working();
      task.memory.set("a", 1);
      await gate.promise;
      await task.complete();
    });
    const pending = send(client, slow);
    await send(client, remember("b", 2));
    gate.resolve();
    await pending;
    expect(await recalled(client)).toEqual([1, 2, null, null]);
  });

  it("forgets what is set to undefined, and takes every key as a key", async () => {
    const client = createClient({ agent: "stage" });
    for (const key of ["a", "b", "__proto__", "constructor"]) await send(client, remember(key, key));
    await send(client, remember("b", undefined));
    expect(await recalled(client)).toEqual(["a", null, "__proto__", "constructor"]);
  });

  it("is not kept of a turn that was canceled before its end or died with its object", async () => {
    const client = createClient({ agent: "stage" });
    const dies = act("remembers and dies", async (task) => {
      task.memory.set("a", "lost");
      await task.working();
      await forever;
    });
    const { id } = await client.sendForTask(
      { says: dies, contextId: "ctx" },
      { configuration: { returnImmediately: true } },
    );
    await eventually(async () => (await client.get(id)).status.state === "TASK_STATE_WORKING");
    await crash();
    expect(await recalled(client)).toEqual([null, null, null, null]);
  });

  it("is kept of a turn that only replied", async () => {
    const client = createClient({ agent: "stage" });
    const replies = act("remembers and replies", async (task) => {
      task.memory.set("a", "replied");
      await task.reply("noted");
    });
    expect(await client.send({ says: replies, contextId: "ctx" })).toHaveProperty("message");
    expect(await recalled(client)).toEqual(["replied", null, null, null]);
    expect(await query(client.owner, "SELECT id FROM tasks")).toHaveLength(1);
  });

  it("is what it was when it was set", async () => {
    const client = createClient({ agent: "stage" });
    const changes = act("changes what it has set", async (task) => {
      const value = { n: 1 };
      task.memory.set("a", value);
      value.n = 2;
      await task.complete();
    });
    await send(client, changes);
    expect(await recalled(client)).toEqual([{ n: 1 }, null, null, null]);
  });
});

describe("memory that cannot be kept", () => {
  const huge = "x".repeat(3_000_000);
  const circle: Record<string, unknown> = {};
  circle.self = circle;

  it.each<[string, unknown]>([
    ["of three megabytes, beyond a row", huge],
    ["that is a BigInt", 1n],
    ["that refers to itself", circle],
    ["that is a function", () => 1],
    ["that is a symbol", Symbol("x")],
  ])("%s fails the task, or is forgotten, and nobody waits for ever", async (name, value) => {
    const client = createClient({ agent: "stage" });
    const ends = act(`ends with memory ${name}`, async (task) => {
      task.memory.set("a", value);
      await task.complete("done");
    });
    const { state } = (await send(client, ends)).status;
    expect(state).toMatch(/FAILED|COMPLETED/);
    // Compared first, since a failed comparison of such a text would print it.
    expect((await recalled(client))[0] === null).toBe(true);
  });

  it.each<[string, unknown]>([
    ["of three megabytes, beyond a row", huge],
    ["that is a BigInt", 1n],
  ])("%s with a reply: its caller gets an answer", async (name, value) => {
    const client = createClient({ agent: "stage" });
    const replies = act(`replies with memory ${name}`, async (task) => {
      task.memory.set("a", value);
      await task.reply("noted");
    });
    const message: Message = { messageId: "m", role: "ROLE_USER", parts: [{ text: replies }] };
    const { result, error } = await client.answer("SendMessage", { message });
    if (error) expect(error.code).toBeLessThan(0);
    else expect(result).toMatchObject({ task: { status: { state: "TASK_STATE_FAILED" } } });
  });

  it("that grew too large by many keys fails the turn that made it so, and keeps what there was", async () => {
    const client = createClient({ agent: "stage" });
    await send(client, remember("a", "kept"));
    let states: string[] = [];
    for (let i = 0; i < 4; i++) {
      const says = act(`adds ${i}`, async (task) => {
        task.memory.set(`key ${i}`, "x".repeat(700_000));
        await task.complete();
      });
      states = [...states, (await send(client, says)).status.state];
    }
    expect([states.at(0), states.at(-1)]).toEqual(["TASK_STATE_COMPLETED", "TASK_STATE_FAILED"]);
    expect((await recalled(client))[0]).toBe("kept");
  });

  it("of three megabytes is forgotten when its task is canceled (§3.1.5)", async () => {
    const client = createClient({ agent: "stage" });
    const hangs = act("hangs with a huge memory", async (task) => {
      task.memory.set("a", huge);
      await task.working();
      await forever;
    });
    const { id } = await client.start({ says: hangs, contextId: "ctx" });
    expect((await client.cancel(id)).status.state).toBe("TASK_STATE_CANCELED");
    expect((await recalled(client))[0] === null).toBe(true);
  });
});
