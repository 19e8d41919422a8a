// A receiver beside one that never answers: it gets everything, and nothing waits for the other's timeout. The times
// are printed; on a machine that does other things as well they are no measure.

import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Receiver, startReceiver } from "./receiver-server.ts";
import { type Stage, startStage } from "./webhook-stage.ts";

const TIMEOUT_MS = 5_000;
const TASKS = 100;
/** Each has a breaker of its own, so that there are time-outs all the time. */
const HANGING_URLS = 20;

let stage: Stage;
let good: Receiver;
let bad: Receiver;

beforeAll(async () => {
  const vars = { WEBHOOK_RETRY_SECONDS: "0,1,1,1,1,1", WEBHOOK_TIMEOUT_SECONDS: String(TIMEOUT_MS / 1_000) };
  stage = await startStage(vars);
  good = await startReceiver((response, { url }) => {
    // One of its URLs never answers.
    if (!url.startsWith("/hanging")) response.writeHead(204).end();
  });
  bad = await startReceiver(() => {});
});

afterAll(async () => {
  await stage.close();
  await good.close();
  await bad.close();
});

const ending = (url: string) => ({ url, events: ["completed"] });

/** How long (ms) the good receiver's notifications took from their commit, in order. */
async function measure(name: string, beside?: (count: number) => string): Promise<number[]> {
  const { pathname } = new URL(`${good.url}/${encodeURIComponent(name)}`);
  for (let count = 0; count < TASKS; count++) {
    if (beside) await stage.send("hello", ending(beside(count)));
    await stage.send("hello", ending(`${good.origin}${pathname}`));
    await sleep(5);
  }
  const arrived = () => good.received.filter(({ url }) => url === pathname);
  await expect.poll(() => arrived().length, { timeout: 20_000 }).toBe(TASKS);
  const times = arrived().map(({ at, body }) => {
    const { statusUpdate } = JSON.parse(body.toString()) as {
      statusUpdate: { status: { timestamp: string } };
    };
    return at - Date.parse(statusUpdate.status.timestamp);
  });
  const sorted = times.toSorted((a, b) => a - b);
  const quantile = (share: number) => sorted[Math.ceil(share * sorted.length) - 1];
  console.log(`${name}: p50 ${quantile(0.5)} ms, p99 ${quantile(0.99)} ms`);
  return sorted;
}

test("nobody waits for a receiver that never answers", async () => {
  const alone = await measure("alone");
  const beside = await measure("beside", (count) => `${bad.origin}/${count % HANGING_URLS}`);
  expect(bad.received.length).toBeGreaterThan(5);
  const hanging = await measure("beside one at its own origin", () => `${good.origin}/hanging`);
  expect(good.received.some(({ url }) => url.startsWith("/hanging"))).toBe(true);
  for (const times of [alone, beside, hanging]) expect(times.at(-1)).toBeLessThan(TIMEOUT_MS);
});
