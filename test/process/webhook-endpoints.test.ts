// Receivers that say when, or whether at all, they want more: pauses, 410, redirects, connections that come and go;
// and the others beside them, who must not notice.

import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, test } from "vitest";
import { answerWith, type Receiver, startReceiver } from "./receiver-server.ts";
import { startPlainReceiver } from "./webhook-plain-receiver.ts";
import { type Stage, startStage } from "./webhook-stage.ts";

const TIMEOUT_MS = 3_000;
const open: { close(): Promise<unknown> }[] = [];
let stage: Stage;

beforeAll(async () => {
  const vars = { WEBHOOK_RETRY_SECONDS: "0,1,1,1", WEBHOOK_TIMEOUT_SECONDS: String(TIMEOUT_MS / 1_000) };
  stage = await startStage(vars);
});

afterAll(async () => {
  await Promise.all(open.map(({ close }) => close()));
  await stage.close();
});

async function receive(...it: Parameters<typeof startReceiver>): Promise<Receiver> {
  const receiver = await startReceiver(...it);
  open.push(receiver);
  return receiver;
}

/** Only the end of a task. */
const ending = (url: string) => ({ id: "main", url, events: ["completed"] });

const sequences = ({ received }: Receiver) =>
  received.map(({ headers }) => Number(headers["webhook-sequence"]));

const inSeconds = (value: string) => value;
const asDate = (value: string) => new Date(Date.now() + Number(value) * 1_000).toUTCString();

describe.concurrent("webhooks", () => {
  test.for([
    [429, "seconds", inSeconds],
    [429, "a date", asDate],
    [503, "seconds", inSeconds],
    [503, "a date", asDate],
  ] as const)(
    "%i with Retry-After in %s holds back all that goes to the URL, and nothing else",
    async ([status, _form, form], { expect }) => {
      const receiver = await receive((response, _received, count) => {
        if (count === 1) response.writeHead(status, { "retry-after": form("4") }).end();
        else response.writeHead(204).end();
      });
      const task = await stage.send("hello", ending(receiver.url));
      await expect.poll(() => receiver.received.length).toBe(1);
      const pausedAt = receiver.received[0]?.at ?? 0;
      await sleep(200);
      const second = await stage.send("hello", ending(receiver.url));
      const elsewhere = await stage.send("hello", ending(`${receiver.origin}/elsewhere`));
      await stage.settled(elsewhere.id, "main");
      expect(receiver.received.map(({ url }) => url)).toEqual([new URL(receiver.url).pathname, "/elsewhere"]);
      const history = [
        ...(await stage.settled(task.id, "main")),
        ...(await stage.settled(second.id, "main")),
      ];
      // A date has whole seconds.
      for (const { at } of receiver.received.slice(2))
        expect(at - pausedAt).toBeGreaterThanOrEqual(form === asDate ? 3_000 : 4_000);
      // Who only waited has lost no attempt.
      expect(history.map(({ attempts }) => attempts.map((attempt) => attempt.status))).toEqual([
        [status, 204],
        [204],
      ]);
    },
  );

  test("500 with Retry-After holds back its own notification alone", async ({ expect }) => {
    const receiver = await receive((response, _received, count) => {
      if (count === 1) response.writeHead(500, { "retry-after": "4" }).end();
      else response.writeHead(204).end();
    });
    const task = await stage.send("hello", ending(receiver.url));
    await expect.poll(() => receiver.received.length).toBe(1);
    const failedAt = receiver.received[0]?.at ?? 0;
    const second = await stage.send("hello", ending(receiver.url));
    await stage.settled(second.id, "main");
    await stage.settled(task.id, "main");
    const [, other, again] = receiver.received;
    expect((other?.at ?? 0) - failedAt).toBeLessThan(3_000);
    expect((again?.at ?? 0) - failedAt).toBeGreaterThanOrEqual(4_000);
  });

  test("410 ends it until the config is set again; then the backlog comes, in order, under its ids", async ({
    expect,
  }) => {
    let isGone = true;
    const receiver = await receive((response) =>
      response.writeHead(isGone ? 410 : 204).end("nobody lives here"),
    );
    const config = { id: "main", url: receiver.url };
    const task = await stage.send("slow:1500", config);
    await expect.poll(async () => (await stage.health(task.id, "main")).state).toBe("disabled");
    // The other events come while it is disabled.
    await expect.poll(async () => (await stage.health(task.id, "main")).pending, { timeout: 10_000 }).toBe(3);
    await sleep(2_000);
    expect(receiver.received).toHaveLength(1);
    const health = await stage.health(task.id, "main");
    expect(health).toMatchObject({
      state: "disabled",
      reason: "The receiver answered 410 Gone.",
      lastStatus: 410,
      delivered: 0,
      dead: 0,
    });
    isGone = false;
    await stage.configure(task.id, config);
    const history = await stage.settled(task.id, "main");
    expect(sequences(receiver)).toEqual([1, 1, 2, 3]);
    expect(receiver.received[1]?.headers["webhook-id"]).toBe(receiver.received[0]?.headers["webhook-id"]);
    expect(receiver.received[1]?.body).toEqual(receiver.received[0]?.body);
    expect(history.map(({ attempts }) => attempts.at(-1)?.outcome)).toEqual(Array(3).fill("delivered"));
    expect(await stage.health(task.id, "main")).toMatchObject({ state: "active", pending: 0, delivered: 3 });
  });

  test.for([301, 302, 303, 307, 308])("%i is not followed", async (status, { expect }) => {
    const target = await receive();
    const receiver = await receive(answerWith(status, { location: target.url }));
    const task = await stage.send("hello", ending(receiver.url));
    const [history] = await stage.settled(task.id, "main");
    expect(history?.attempts.map((attempt) => attempt.status)).toEqual(Array(4).fill(status));
    expect(history?.deadLetter?.reason).toBe(`4 attempts failed; the last answered ${status}`);
    expect(target.connections()).toBe(0);
  });

  test("a dead letter keeps the beginning of the answer, for the operator", async ({ expect }) => {
    const receiver = await receive(answerWith(400, {}, `unknown field "x"${" ".repeat(100_000)}`));
    const task = await stage.send("hello", { ...ending(receiver.url), retry: { delaysSeconds: [1] } });
    const [history] = await stage.settled(task.id, "main");
    for (const { response } of history?.attempts ?? []) {
      expect(response).toMatch(/^unknown field "x"/);
      expect(response?.length).toBeLessThanOrEqual(4_096);
    }
    expect(await stage.operator.deadLetters({ task: task.id })).toMatchObject([
      { state: "dead", status: 400, attempts: 2, reason: "2 attempts failed; the last answered 400" },
    ]);
  });

  test("a notification that died does not stop those behind it", async ({ expect }) => {
    const receiver = await receive((response, { headers }) =>
      response.writeHead(headers["webhook-sequence"] === "1" ? 400 : 204).end(),
    );
    const config = { id: "main", url: receiver.url, retry: { delaysSeconds: [1] } };
    const task = await stage.send("slow:100", config);
    const history = await stage.settled(task.id, "main");
    expect(sequences(receiver)).toEqual([1, 1, 2, 3]);
    expect(history.map(({ deadLetter }) => deadLetter?.status)).toEqual([400, undefined, undefined]);
  });

  test("connections that end between requests cost at most an attempt", async ({ expect }) => {
    const receiver = await receive((response) => {
      response.writeHead(204).end();
      setTimeout(() => response.socket?.destroy(), 20);
    });
    const tasks: string[] = [];
    for (let i = 0; i < 10; i++) {
      tasks.push((await stage.send("hello", ending(receiver.url))).id);
      await expect.poll(() => receiver.received.length, { timeout: 10_000 }).toBe(i + 1);
    }
    const histories = await Promise.all(tasks.map((task) => stage.settled(task, "main")));
    for (const { attempts } of histories.flat()) {
      expect(attempts.at(-1)?.outcome).toBe("delivered");
      expect(attempts.length).toBeLessThanOrEqual(2);
    }
  });

  test("a deletion is answered when nothing is under way, and nothing comes after it", async ({ expect }) => {
    const receiver = await receive((response) => void setTimeout(() => response.writeHead(204).end(), 2_000));
    const config = { id: "main", url: receiver.url };
    const sent = Array.from({ length: 8 }, () => stage.send("stream:3:10", config));
    const tasks = await Promise.all(sent);
    // More than can be sent at once: the others have been claimed, and wait.
    await expect.poll(() => receiver.received.length).toBeGreaterThanOrEqual(3);
    await Promise.all(tasks.map(({ id }) => stage.remove(id, "main")));
    const count = receiver.received.length;
    // That a connection was closed is read a moment later.
    await sleep(100);
    expect(receiver.received.map(({ isOver }) => isOver)).toEqual(Array(count).fill(true));
    expect(receiver.received.map(({ answered }) => answered)).toEqual(Array(count).fill(undefined));
    await sleep(2_500);
    expect(receiver.received).toHaveLength(count);
  });

  test("a receiver that dies and returns gets everything, in order", async ({ expect }) => {
    const receiver = await receive();
    const config = { id: "main", url: receiver.url, retry: { delaysSeconds: Array(20).fill(1) } };
    const task = await stage.send("stream:20:200", config);
    await expect.poll(() => receiver.received.length).toBeGreaterThan(2);
    await receiver.close();
    await sleep(2_500);
    await receiver.reopen();
    const history = await stage.settled(task.id, "main");
    expect(history.filter(({ attempts }) => attempts.at(-1)?.outcome === "delivered")).toHaveLength(22);
    const taken = receiver.received.filter(({ answered }) => answered === 204);
    const first = taken.map(({ headers }) => Number(headers["webhook-sequence"]));
    expect([...new Set(first)]).toEqual(Array.from({ length: 22 }, (_, index) => index + 1));
  });

  test("a plain receiver that takes one request at a time, by Content-Length, with its Authorization", async ({
    expect,
  }) => {
    const receiver = await startPlainReceiver("Bearer s3cr3t:with/every+thing= in it");
    open.push(receiver);
    const authentication = { scheme: "Bearer", credentials: "s3cr3t:with/every+thing= in it" };
    const config = { id: "main", url: receiver.url, token: "t0ken", authentication };
    const task = await stage.send("stream:3:50", config);
    await stage.settled(task.id, "main");
    expect(receiver.problems).toEqual([]);
    const kinds = receiver.bodies.map((body) => Object.keys(JSON.parse(body)));
    expect(kinds).toEqual([["statusUpdate"], ...Array(3).fill(["artifactUpdate"]), ["statusUpdate"]]);

    // It has ended: a config is taken all the same, hears nothing, and may be deleted twice.
    const before = receiver.bodies.length;
    expect(await stage.configure(task.id, { ...config, id: "later" })).toMatchObject({
      id: "later",
      taskId: task.id,
      authentication: { scheme: "Bearer", credentials: "[redacted]" },
    });
    expect(await stage.health(task.id, "later")).toMatchObject({ state: "active", pending: 0 });
    expect(await stage.remove(task.id, "later")).toEqual({});
    expect(await stage.remove(task.id, "later")).toEqual({});
    await expect(stage.health(task.id, "later")).rejects.toThrow(/not found/i);
    await sleep(500);
    expect(receiver.bodies).toHaveLength(before);
  });
});
