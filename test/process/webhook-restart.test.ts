// What pends when a server ends goes on with the next one: retries with their schedule, pauses, dead letters.

import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, expect, test } from "vitest";
import { type Receiver, startReceiver } from "./receiver-server.ts";
import { createStateDir } from "./server.ts";
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
