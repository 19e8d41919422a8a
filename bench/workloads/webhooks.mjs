// Many webhooks at once: tasks with a webhook of its own each, all open at the same moment, then all completed.
//
// Two servers of the same kind take the same tasks in alternating slices, one with webhooks and one without: what
// the first one needs more, in time, memory and processor, is what webhooks cost. A task lasts until all are open.

import { setTimeout as delay } from "node:timers/promises";
import { createCalls } from "../a2a.mjs";
import { createClient, pace, percentiles } from "../client.mjs";
import { warmUp as warmUpContenders } from "../compare.mjs";
import { cpuMilliseconds, residentMegabytes, watchMemory } from "../process-tree.mjs";
import { SERVERS, startContenders, stopServers } from "../servers.mjs";
import {
  countLost,
  createNotification,
  createReceiver,
  deliveryTimes,
  largestBacklog,
  WEBHOOK_VARS,
} from "../webhooks.mjs";

const CONNECTIONS = 200;
/** Sizes are multiples of this. */
const SLICE_TASKS = 100;
const LOOK_MS = 500;
/** The peer is there to compare with, and need not be taken to its limits. */
const MOST_OF_PEER = 1_000;
const FIGURES = ["p50", "p95", "p99"];

export async function webhooks(plan, report) {
  for (const name of ["ours", "memory"].filter((server) => plan.servers.includes(server))) {
    const sizes = plan.webhookSizes.filter((size) => name === "ours" || size <= MOST_OF_PEER);
    const server = { server: name, env: WEBHOOK_VARS };
    const running = await startContenders({
      hooked: server,
      plain: server,
      receiver: { server: "receiver" },
    });
    try {
      const receiver = createReceiver(running.receiver.origin);
      const alone = await measureReceiver(receiver, plan);
      const waves = [];
      const pair = { name, ...running, receiver };
      await warmUp(pair, plan);
      for (const size of sizes) {
        report.progress(`${name}: ${size.toLocaleString("en")} webhooks at once`);
        waves.push(await wave(pair, size, plan, report));
      }
      addTable(report, name, sizes, waves, alone, plan);
    } finally {
      await stopServers(running);
    }
  }
}

/** Compilers have seen the code, and the memory that the first tasks need is there. */
async function warmUp({ hooked, plain, receiver }, plan) {
  const contenders = [hooked, plain].map((server) => ({
    server,
    createCall: (client) => {
      const calls = createCalls(client, { paths: server.paths, owner: "bench" });
      const url = server === hooked ? receiver.url("warm") : undefined;
      return async () => void (await calls.sendAndReturn(1, url));
    },
  }));
  await warmUpContenders(contenders, plan);
  await delay(plan.aftermathMs);
}

/** What a notification takes when the load posts it itself, as often as the servers do. */
async function measureReceiver(receiver, plan) {
  await receiver.reset();
  const { origin, pathname } = new URL(receiver.url("alone"));
  const client = createClient(origin, CONNECTIONS);
  const ids = [];
  const rate = 2 * plan.webhookRate;
  const call = (n) => {
    ids.push(`alone-${n}`);
    const { headers, body } = createNotification(`alone-${n}`);
    return client.post(pathname, headers, body, () => {});
  };
  await pace({ rate, count: Math.round((rate * plan.pacedMs) / 1000), call });
  const { tasks } = await receiver.notified(ids);
  client.close();
  return percentiles(deliveryTimes(tasks));
}

async function wave({ name, hooked, plain, receiver }, size, plan, report) {
  const rate = plan.webhookRate;
  const lastsMs = Math.round((2 * size * 1000) / rate) + plan.togetherMs;
  const clients = [hooked, plain].map(({ origin }) => createClient(origin, CONNECTIONS));
  const [withHook, without] = clients.map((client) =>
    createCalls(client, { paths: hooked.paths, owner: "bench" }),
  );
  await receiver.reset();
  const before = [hooked, plain].map((server) => ({
    cpuMs: cpuMilliseconds(server),
    megabytes: residentMegabytes(server),
    memory: watchMemory(server),
  }));
  const looking = setInterval(() => {
    for (const { memory } of before) memory.look();
  }, LOOK_MS);

  const ids = [];
  const isHooked = (n) => Math.floor(n / SLICE_TASKS) % 2 === 0;
  const call = async (n) => {
    if (isHooked(n)) ids.push(await withHook.sendAndReturn(lastsMs, receiver.url(n)));
    else await without.sendAndReturn(lastsMs);
  };
  const { latencies, failed, errors } = await pace({ rate, count: 2 * size, call });
  const allOpenAt = Date.now();
  const { tasks, lost, notifications } = await receiver.notified(ids);
  await delay(plan.aftermathMs);
  clearInterval(looking);
  for (const client of clients) client.close();
  report.countFailures(name, failed, errors);
  countLost(report, name, lost);

  const [ofHooked, ofPlain] = before.map(({ cpuMs, megabytes, memory }, n) => ({
    cpuMs: cpuMilliseconds([hooked, plain][n]) - cpuMs,
    megabytes: memory.highest() - megabytes,
  }));
  return {
    open: tasks.filter(({ committedAt }) => committedAt >= allOpenAt).length,
    enqueue: percentiles(latencies.filter((_, n) => isHooked(n))),
    enqueuePlain: percentiles(latencies.filter((_, n) => !isHooked(n))),
    delivery: percentiles(deliveryTimes(tasks)),
    backlog: largestBacklog(tasks),
    lost,
    megabytes: ofHooked.megabytes,
    plainMegabytes: ofPlain.megabytes,
    cpuMs: (ofHooked.cpuMs - ofPlain.cpuMs) / notifications,
  };
}

function addTable(report, name, sizes, waves, alone, plan) {
  const rows = [];
  const add = (row, unit, value, target) => rows.push({ name: row, unit, values: waves.map(value), target });
  const ofOurs = (text, holds) => (name === "ours" ? { text, holds } : undefined);

  add("Webhooks open at the same moment", "count", ({ open }) => open);
  for (const [n, figure] of FIGURES.entries())
    add(n === 0 ? "SendMessage with a webhook" : "", `${figure} ms`, ({ enqueue }) => enqueue[figure]);
  add(
    "",
    "p95 ms, over the same without",
    ({ enqueue, enqueuePlain }) => enqueue.p95 - enqueuePlain.p95,
    ofOurs("< 10 ms", (value) => value < 10),
  );
  for (const [n, figure] of FIGURES.entries())
    add(n === 0 ? "Commit to receipt" : "", `${figure} ms`, ({ delivery }) => delivery[figure]);
  for (const [n, figure] of FIGURES.entries()) {
    add(n === 0 ? "Commit to receipt, less the receiver alone" : "", `${figure} ms`, ({ delivery }) =>
      Math.max(0, delivery[figure] - alone[figure]),
    );
  }
  add("Completed and not notified, at the worst moment", "tasks", ({ backlog }) => backlog);
  add(
    "Never notified",
    "count",
    ({ lost }) => lost,
    ofOurs("0", (value) => value === 0),
  );
  add("CPU", "ms/notification", ({ cpuMs }) => cpuMs);
  add("Memory, growth at the most", "MB RSS", ({ megabytes }) => megabytes);
  add("Memory, the same tasks without webhooks", "MB RSS", ({ plainMegabytes }) => plainMegabytes);
  add(
    "Memory, what the webhooks add",
    "MB RSS",
    ({ megabytes, plainMegabytes }) => megabytes - plainMegabytes,
    ofOurs("< 100 MB", (value) => value < 100),
  );

  const { p50, p95, p99 } = alone;
  report.addTable({
    title:
      `${SERVERS[name].title}: tasks with a webhook of its own each, ${plan.webhookRate} new ones a second, all open ` +
      `at the same moment and then completed. The receiver alone takes ${p50}, ${p95} and ${p99} ms (p50, p95, p99).`,
    columns: sizes.map((size) => size.toLocaleString("en")),
    rows,
  });
}
