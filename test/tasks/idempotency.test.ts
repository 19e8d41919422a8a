// The Idempotency-Key: a request that is sent again with it happens once, and is answered as the first time.

import { describe, expect, it, vi } from "vitest";
import { type Client, createClient, eventually, kindOf, textOf } from "../support/client.ts";
import { advance, crash, query, ring } from "../support/home.ts";

vi.hoisted(() => vi.resetModules());
vi.mock("../../src/agents/registry.ts", async (original) => (await import("./stage.ts")).withStage(original));
const { act, runsOf } = await import("./stage.ts");

const HOUR_MS = 3_600_000;
const ask = act("ask", (task) => task.inputRequired("?"));
const end = act("end", (task) => task.complete("!"));
let messages = 0;
const replies = act("reply", (task) => {
  messages += 1;
  return task.reply(`reply ${messages}`);
});

const params = (says: string, more: object = {}, configuration?: object) => ({
  message: { messageId: "m", role: "ROLE_USER", parts: [{ text: says }], ...more },
  ...(configuration && { configuration }),
});
const withKey = (key: string) => ({ "idempotency-key": key });
const send = (client: Client, says: string, key: string, more: object = {}) =>
  client.result<{ task?: { id: string }; message?: object }>("SendMessage", params(says, more), withKey(key));
const count = async (client: Client) => (await client.list()).totalSize;

describe("the same key with the same request", () => {
  it("is the same task, run once", async () => {
    const client = createClient({ agent: "stage" });
    const first = await send(client, end, "k");
    expect(await send(client, end, "k")).toEqual(first);
    expect(await count(client)).toBe(1);
    expect(runsOf(end, first.task?.id ?? "")).toBe(1);
  });

  it("ten times at once is one task, while its agent thinks and after", async () => {
    const gate = Promise.withResolvers<void>();
    const says = act("thinks first", async (task) => {
      await gate.promise;
      await task.complete("thought");
    });
    const client = createClient({ agent: "stage" });
    const sent = Array.from({ length: 10 }, () => send(client, says, "k"));
    await scheduler.wait(50);
    gate.resolve();
    const answers = await Promise.all(sent);
    expect(new Set(answers.map(({ task }) => task?.id)).size).toBe(1);
    expect(new Set(answers.map((answer) => JSON.stringify(answer))).size).toBe(1);
    expect(await count(client)).toBe(1);
    expect(runsOf(says, answers[0]?.task?.id ?? "")).toBe(1);
  });

  it("waits for the end of the task like the first, and returns the task as it is now", async () => {
    const client = createClient({ agent: "conformance" });
    const [first, second] = await Promise.all([send(client, "slow:80", "k"), send(client, "slow:80", "k")]);
    expect(first).toMatchObject({ task: { status: { state: "TASK_STATE_COMPLETED" } } });
    expect(second).toEqual(first);
  });

  it("is answered at once when it was answered before, though the task works on a later message", async () => {
    const client = createClient({ agent: "stage" });
    const hangs = act("hangs", () => new Promise(() => {}));
    const first = await send(client, ask, "first");
    const id = first.task?.id ?? "";
    await send(client, ask, "second", { taskId: id });
    await client.send({ says: hangs, taskId: id }, { configuration: { returnImmediately: true } });
    const again = Promise.all([send(client, ask, "first"), send(client, ask, "second", { taskId: id })]);
    const answers = await Promise.race([again, scheduler.wait(3_000)]);
    expect(answers).toMatchObject([{ task: { id } }, { task: { id } }]);
    await client.cancel(id);
    await again;
  });

  it("answers at once with returnImmediately, with the same task", async () => {
    const client = createClient({ agent: "conformance" });
    const now = () =>
      client.result<{ task: { id: string } }>(
        "SendMessage",
        params("slow:60000", {}, { returnImmediately: true }),
        withKey("k"),
      );
    const first = await now();
    expect((await now()).task.id).toBe(first.task.id);
    expect(await count(client)).toBe(1);
  });

  it("is a Message again when it was one, and the agent is not asked again", async () => {
    const client = createClient({ agent: "stage" });
    const [first, second] = await Promise.all([send(client, replies, "k"), send(client, replies, "k")]);
    expect(first).toHaveProperty("message");
    expect(second).toEqual(first);
    await crash();
    expect(await send(client, replies, "k")).toEqual(first);
    expect(await send(client, replies, "other")).not.toEqual(first);
    expect(await count(client)).toBe(0);
  });

  it("is one follow-up, not two", async () => {
    const client = createClient({ agent: "stage" });
    const { id } = await client.sendForTask(ask);
    const first = await send(client, ask, "k", { taskId: id });
    expect(await send(client, ask, "k", { taskId: id })).toEqual(first);
    expect((await client.get(id)).history?.map(textOf)).toEqual(["ask", "?", "ask", "?"]);
  });

  it("is one follow-up also while the task is at work", async () => {
    const gate = Promise.withResolvers<void>();
    const says = act("asks when let", async (task) => {
      await task.working();
      await gate.promise;
      await task.inputRequired("?");
    });
    const client = createClient({ agent: "stage" });
    const { id } = await client.start(says);
    const sent = [send(client, end, "k", { taskId: id }), send(client, end, "k", { taskId: id })];
    await eventually(async () => (await client.get(id)).history?.length === 2);
    gate.resolve();
    await Promise.all(sent);
    expect((await client.get(id)).history?.map(textOf)).toEqual([says, "end", "?", "!"]);
  });

  it("is known after the object has died", async () => {
    const client = createClient({ agent: "stage" });
    const first = await send(client, end, "k");
    await crash();
    expect(await send(client, end, "k")).toEqual(first);
  });

  it("may be spelled otherwise: the parsed request counts", async () => {
    const client = createClient();
    const first = await send(client, "hello", "k", { metadata: { a: 1, b: 2 } });
    const respelled = {
      message: {
        role: 1,
        parts: [{ text: "hello" }],
        metadata: { a: 1, b: 2 },
        message_id: "m",
        unknown: true,
      },
    };
    expect(await client.result("SendMessage", respelled, withKey("k"))).toEqual(first);
  });
});

describe("the same key with another request", () => {
  it.each<[string, object]>([
    ["text", params("other")],
    ["messageId", params(end, { messageId: "other" })],
    ["context", params(end, { contextId: "other" })],
    ["configuration", params(end, {}, { historyLength: 1 })],
    ["metadata", { ...params(end), metadata: { x: 1 } }],
  ])("(another %s) is refused, and nothing is stored", async (_, other) => {
    const client = createClient({ agent: "stage" });
    const first = await send(client, end, "k");
    const error = await client.error("SendMessage", other, withKey("k"));
    expect(error.code).toBe(-32602);
    expect(JSON.stringify(error.data)).toContain('"field":"Idempotency-Key"');
    expect(await count(client)).toBe(1);
    expect(await send(client, end, "k")).toEqual(first);
  });

  it("is refused also while the first is being answered", async () => {
    const gate = Promise.withResolvers<void>();
    const begun = Promise.withResolvers<void>();
    const says = act("thinks", async (task) => {
      begun.resolve();
      await gate.promise;
      await task.complete();
    });
    const client = createClient({ agent: "stage" });
    const first = send(client, says, "k");
    await begun.promise;
    expect((await client.error("SendMessage", params(end), withKey("k"))).code).toBe(-32602);
    gate.resolve();
    expect(await first).toHaveProperty("task");
    expect(await count(client)).toBe(1);
  });

  it("may come when the first was refused: a refusal is not kept", async () => {
    const client = createClient({ agent: "stage" });
    const refused = params(end, { taskId: "unknown" });
    expect((await client.error("SendMessage", refused, withKey("k"))).code).toBe(-32001);
    expect(await send(client, end, "k")).toHaveProperty("task");
  });
});

describe("a stream with a key", () => {
  it("that comes second joins the first one's task, and both see all that follows", async () => {
    const client = createClient({ agent: "conformance" });
    const stream = (says: string) => client.stream("SendStreamingMessage", params(says), withKey("k"));
    const first = await stream("stream:6:20");
    const begun = await first.until((event) => kindOf(event) === "artifact");
    const second = await stream("stream:6:20");
    const [a, b] = await Promise.all([first.rest(), second.rest()]);
    expect(b[0]?.event.task?.id).toBe(begun[0]?.event.task?.id);
    const after = Number(b[0]?.id);
    expect(b.slice(1)).toEqual([...begun, ...a].filter(({ id }) => Number(id) > after));
    expect(await count(client)).toBe(1);
  });

  it("to a task that has ended is that task, and closes", async () => {
    const client = createClient({ agent: "conformance" });
    const stream = async () =>
      (await client.stream("SendStreamingMessage", params("hello"), withKey("k"))).rest();
    const first = await stream();
    const second = await stream();
    expect(second).toHaveLength(1);
    expect(second[0]?.event.task).toEqual(await client.get(first[0]?.event.task?.id ?? ""));
  });
});

describe("a key", () => {
  it("belongs to its owner, agent and operation", async () => {
    const mine = createClient({ agent: "stage" });
    const ids = new Set<unknown>();
    ids.add((await send(mine, end, "k")).task?.id);
    ids.add((await send(createClient({ agent: "stage" }), end, "k")).task?.id);
    ids.add((await send(createClient({ agent: "conformance", owner: mine.owner }), end, "k")).task?.id);
    const stream = await mine.stream("SendStreamingMessage", params(end), withKey("k"));
    ids.add((await stream.rest())[0]?.event.task?.id);
    expect(ids.size).toBe(4);
  });

  it("is forgotten after 24 hours, and not before", async () => {
    const client = createClient({ agent: "stage" });
    const first = await send(client, end, "k");
    advance(23 * HOUR_MS);
    expect(await send(client, end, "k")).toEqual(first);
    advance(2 * HOUR_MS);
    const second = await send(client, end, "k");
    expect(second.task?.id).not.toBe(first.task?.id);
    expect(await send(client, end, "k")).toEqual(second);
  });

  it("leaves no row behind when the day is over", async () => {
    const client = createClient({ agent: "stage" });
    await send(client, end, "k1");
    await send(client, replies, "k2");
    expect(await query(client.owner, "SELECT key FROM idempotency")).toHaveLength(2);
    advance(25 * HOUR_MS);
    await ring(client.owner);
    expect(await query(client.owner, "SELECT key FROM idempotency")).toEqual([]);
    expect(await count(client)).toBe(1);
  });

  it.each(["", " ", "a b", "x".repeat(256)])("of another form is refused: %j", async (key) => {
    const client = createClient({ agent: "stage" });
    const error = await client.error("SendMessage", params(end), withKey(key));
    expect(JSON.stringify(error.data)).toContain('"field":"Idempotency-Key"');
    expect(await count(client)).toBe(0);
  });
});
