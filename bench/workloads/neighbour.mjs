// A receiver that never answers must not slow down the others.
//
// Three servers take the same tasks in alternating slices: two of three have a webhook at a good receiver. The third
// has none on the first server, one at another good receiver on the second, and on the last one at an endpoint where
// every attempt ends in a time-out. What the time-outs move is the last one against the second; what its webhooks are,
// whatever becomes of them, the second against the first.

import { setTimeout as delay } from "node:timers/promises";
import { createCalls } from "../a2a.mjs";
import { createClient, median, pace, percentiles } from "../client.mjs";
import { startContenders, stopServers } from "../servers.mjs";
import { countLost, createReceiver, deliveryTimes, WEBHOOK_VARS } from "../webhooks.mjs";

const CONNECTIONS = 100;
/** Long enough for a good receiver, short enough for the bad one to fail often. */
const TIMEOUT_SECONDS = "2";
/** Times are whole ms at both ends, so a difference below this says nothing. */
const CLOCK_MS = 2;

export async function neighbour(plan, report) {
  if (!plan.servers.includes("ours")) return;
  report.progress("a noisy neighbour");
  const server = { server: "ours", env: { ...WEBHOOK_VARS, WEBHOOK_TIMEOUT_SECONDS: TIMEOUT_SECONDS } };
  const running = await startContenders({
    without: server,
    healthy: server,
    silent: server,
    receiver: { server: "receiver" },
    good: { server: "receiver" },
    never: { server: "silent" },
  });
  try {
    const receiver = createReceiver(running.receiver.origin);
    const good = createReceiver(running.good.origin);
    const never = createReceiver(running.never.origin);
    const urls = { without: undefined, healthy: good.url("good"), silent: never.url("never") };
    const slice = (name, url = urls[name]) =>
      run(running[name], { receiver, neighbourUrl: url }, plan, report);
    for (const name of Object.keys(urls)) await slice(name, good.url("warm"));

    const times = { without: [], healthy: [], silent: [] };
    for (let round = 0; round < plan.neighbourRounds; round++) {
      for (const name of Object.keys(urls)) times[name].push(await slice(name));
    }
    addRows(report, plan, times, await never.requests());
  } finally {
    await stopServers(running);
  }
}

async function run(server, { receiver, neighbourUrl }, plan, report) {
  const client = createClient(server.origin, CONNECTIONS);
  const { sendEcho } = createCalls(client, { paths: server.paths, owner: "bench" });
  await receiver.reset();
  const ids = [];
  const call = async (n) => {
    if (n % 3 === 2) await sendEcho(n, neighbourUrl);
    else ids.push(await sendEcho(n, receiver.url("good")));
  };
  const count = Math.round((plan.pacedRate * plan.neighbourMs) / 1000);
  const { failed, errors } = await pace({ rate: plan.pacedRate, count, call });
  const { tasks, lost } = await receiver.notified(ids);
  await delay(plan.settleMs);
  client.close();
  report.countFailures("ours", failed, errors);
  countLost(report, "ours", lost);
  return deliveryTimes(tasks);
}

/** The median of the slices: a wait that the machine put into one of them is no neighbour's doing either. */
function typical(slices) {
  const each = slices.map(percentiles);
  return { p50: median(each.map(({ p50 }) => p50)), p99: median(each.map(({ p99 }) => p99)) };
}

function addRows(report, plan, times, attempts) {
  const without = typical(times.without);
  const healthy = typical(times.healthy);
  const silent = typical(times.silent);
  const half = (rest) => typical(times.healthy.filter((_, n) => n % 2 === rest)).p99;
  // What the same load differs by from itself is no neighbour's doing.
  const noiseMs = Math.max(CLOCK_MS, Math.abs(half(0) - half(1)) || 0);
  const add = (name, unit, ours, targets) => report.add({ name, unit, values: { ours }, targets });
  const others = Math.round((plan.pacedRate * 2) / 3);
  add(`Commit to receipt, ${others} tasks/s, no neighbour`, "p50 ms", without.p50);
  add("", "p99 ms", without.p99);
  add("The same beside a neighbour that answers", "p50 ms", healthy.p50);
  add("", "p99 ms", healthy.p99);
  add("", "noise of p99, ms", noiseMs);
  add("The same beside one that never answers", "p50 ms", silent.p50);
  add("", "p99 ms", silent.p99, [
    {
      text: "≤ 1.1 × beside one that answers, or within its noise",
      holds: ({ ours }) => ours <= Math.max(1.1 * healthy.p99, healthy.p99 + noiseMs),
    },
  ]);
  add("", "attempts there", attempts);
}
