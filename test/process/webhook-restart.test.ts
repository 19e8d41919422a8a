// What pends when a server ends goes on with the next one; and what the release before webhooks has left behind can
// be given webhooks.
//
// test/fixtures/state-0.1.tar.gz is the state folder of 0.1 (commit 97158d7, `npm run serve`) after two messages to
// the conformance agent, `stream:3:10` and `input`.

import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, expect, test } from "vitest";
import { call, type Task } from "./client.ts";
import { type Receiver, startReceiver } from "./receiver-server.ts";
import { run } from "./run.ts";
import { createStateDir, root } from "./server.ts";
import { type Stage, startStage } from "./webhook-stage.ts";

const vars = { WEBHOOK_RETRY_SECONDS: "0,4,1,1", WEBHOOK_TIMEOUT_SECONDS: "3" };
let stage: Stage | undefined;
let receiver: Receiver | undefined;

afterEach(async () => {
  await stage?.close();
  await receiver?.close();
});

test.each(["stop", "kill9"] as const)("retries that pend survive a restart (%s)", async (end) => {
  const stateDir = await createStateDir();
  let status = 500;
  receiver = await startReceiver((response) => response.writeHead(status).end());
  stage = await startStage(vars, { stateDir });
  const config = { id: "main", url: receiver.url, secret: "a secret for this test only" };
  const task = await stage.send("hello", config);
  await expect.poll(() => receiver?.received.length).toBe(1);
  await expect.poll(async () => (await stage?.health(task.id, "main"))?.attempt).toBe(1);
  const { nextAttemptAt = "" } = await stage.health(task.id, "main");
  await stage.server[end]();
  status = 204;
  await sleep(500);
  expect(receiver.received).toHaveLength(1);

  stage = await startStage(vars, { stateDir });
  expect(await stage.health(task.id, "main")).toMatchObject({ dead: 0 });
  const history = await stage.settled(task.id, "main");
  const [first, again, next] = receiver.received;
  expect(again?.headers).toMatchObject({
    "webhook-id": first?.headers["webhook-id"],
    "webhook-sequence": "1",
    "webhook-attempt": "2",
  });
  expect(again?.body).toEqual(first?.body);
  expect(again?.at).toBeGreaterThanOrEqual(Date.parse(nextAttemptAt));
  expect(next?.headers).toMatchObject({ "webhook-sequence": "2", "webhook-attempt": "1" });
  expect(history.map(({ attempts }) => attempts.map((attempt) => attempt.status))).toEqual([
    [500, 204],
    [204],
  ]);
});

test("what pends is sent in one go, however long nobody calls its sender", { timeout: 200_000 }, async () => {
  const stateDir = await createStateDir();
  receiver = await startReceiver((response) => void setTimeout(() => response.writeHead(204).end(), 900));
  stage = await startStage(vars, { stateDir });
  const lanes = ["a", "b"].map((id) => ({ id, url: `${receiver?.origin}/${id}` }));
  const tasks = await Promise.all(lanes.map((config) => stage?.send("stream:95:0", config)));
  await expect.poll(() => receiver?.received.length).toBeGreaterThan(2);
  await stage.server.kill9();

  // From now on only the queue rings, and once.
  const again = receiver.received.length;
  stage = await startStage(vars, { stateDir });
  for (const [index, { id }] of lanes.entries()) {
    const pending = async () => (await stage?.health(tasks[index]?.id ?? "", id))?.pending;
    await expect.poll(pending, { timeout: 150_000, interval: 1_000 }).toBe(0);
  }
  const after = receiver.received.slice(again);
  expect(after.filter(({ answered }) => answered !== 204)).toHaveLength(0);
  const ids = after.map(({ headers }) => headers["webhook-id"]);
  expect(new Set(ids).size).toBe(ids.length);
});

test("tasks of 0.1 can be given webhooks", async () => {
  const stateDir = await createStateDir();
  const fixture = join(root, "test/fixtures/state-0.1.tar.gz");
  expect(await run("tar", ["xzf", fixture, "-C", stateDir])).toMatchObject({ code: 0 });
  receiver = await startReceiver();
  // The fixture grows older than tasks are usually kept.
  stage = await startStage({ ...vars, TASK_RETENTION_DAYS: "3650" }, { stateDir });
  const { url } = stage;
  type Page = { tasks: Task[] };
  const { tasks } = await call<Page>({ url, method: "ListTasks", params: { includeArtifacts: true } });
  const [question, ended] = tasks;
  expect(tasks).toHaveLength(2);
  expect(ended).toMatchObject({
    id: "0-01a1fd33-6a54-7abe-94aa-c80c3c1b8d33",
    status: { state: "TASK_STATE_COMPLETED" },
    artifacts: [{ parts: [{ text: "chunk-1 " }, { text: "chunk-2 " }, { text: "chunk-3 " }] }],
  });
  expect(question?.status.state).toBe("TASK_STATE_INPUT_REQUIRED");

  const config = { id: "main", url: receiver.url };
  for (const { id } of tasks) await stage.configure(id, config);
  const message = {
    ...{ messageId: "new", taskId: question?.id, role: "ROLE_USER" },
    parts: [{ text: "the answer" }],
  };
  await call({ url, method: "SendMessage", params: { message } });
  const fresh = await stage.send("hello", config);
  await stage.settled(question?.id ?? "", "main");
  await stage.settled(fresh.id, "main");
  expect(await stage.health(ended?.id ?? "", "main")).toMatchObject({
    state: "active",
    pending: 0,
    delivered: 0,
  });
  const events = receiver.received.map(({ body }) => JSON.parse(body.toString()) as Event);
  const states = events.flatMap(({ statusUpdate }) =>
    statusUpdate?.taskId === question?.id ? statusUpdate?.status.state : [],
  );
  expect(states).toEqual(["TASK_STATE_WORKING", "TASK_STATE_COMPLETED"]);
  expect(events.some(({ statusUpdate }) => statusUpdate?.taskId === fresh.id)).toBe(true);
});

type Event = { statusUpdate?: { taskId: string; status: { state: string } } };
