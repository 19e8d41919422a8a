// A receiver that never answers must not slow down the others.
//
// Two servers take the same tasks in alternating slices: two of three have a webhook at a good receiver. The third
// has none on the one server, and on the other one at an endpoint where every attempt ends in a time-out.

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
    alone: server,
    beside: server,
    receiver: { server: "receiver" },
    silent: { server: "silent" },
  });
  try {
    const receiver = createReceiver(running.receiver.origin);
    const silent = createReceiver(running.silent.origin);
    const slice = (target, neighbourUrl) => run(target, { receiver, neighbourUrl }, plan, report);
    for (const target of [running.alone, running.beside]) await slice(target, undefined);

    const times = { alone: [], beside: [] };
    for (let round = 0; round < plan.neighbourRounds; round++) {
      times.alone.push(await slice(running.alone, undefined));
      times.beside.push(await slice(running.beside, silent.url("never")));
    }
    addRows(report, plan, times, await silent.requests());
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
  const alone = typical(times.alone);
  const beside = typical(times.beside);
  const half = (rest) => typical(times.alone.filter((_, n) => n % 2 === rest)).p99;
  // What the same load differs by from itself is no neighbour's doing.
  const noiseMs = Math.max(CLOCK_MS, Math.abs(half(0) - half(1)) || 0);
  const good = Math.round((plan.pacedRate * 2) / 3);
  report.add({
    name: `Commit to receipt, ${good} tasks/s, alone`,
    unit: "p50 ms",
    values: { ours: alone.p50 },
  });
  report.add({ name: "", unit: "p99 ms", values: { ours: alone.p99 } });
  report.add({ name: "", unit: "noise of p99, ms", values: { ours: noiseMs } });
  report.add({
    name: "The same beside an endpoint that never answers",
    unit: "p50 ms",
    values: { ours: beside.p50 },
  });
  report.add({
    name: "",
    unit: "p99 ms",
    values: { ours: beside.p99 },
    targets: [
      {
        text: "≤ 1.1 × alone, or within its noise",
        holds: ({ ours }) => ours <= Math.max(1.1 * alone.p99, alone.p99 + noiseMs),
      },
    ],
  });
  report.add({ name: "", unit: "attempts there", values: { ours: attempts } });
}
