// Push notifications: how many are delivered per second, and how long after the commit; then what many webhooks at
// once and a long history do to that (workloads/webhooks, history).
//
// For an echo task the SDK's sender makes three requests (the task, the artifact, completed), ours two: the task as it
// was submitted has come with the answer. So both rates are shown, of tasks and of notifications.

import { setTimeout as delay } from "node:timers/promises";
import { createCalls } from "../a2a.mjs";
import { createClient, measure, median, pace, percentiles } from "../client.mjs";
import { pick } from "../compare.mjs";
import { cpuMilliseconds } from "../process-tree.mjs";
import { startServers, stopServers } from "../servers.mjs";
import { countLost, createNotification, createReceiver, deliveryTimes, WEBHOOK_VARS } from "../webhooks.mjs";
import { history } from "./history.mjs";
import { webhooks } from "./webhooks.mjs";

const CONNECTIONS = 10;
const PACED_CONNECTIONS = 100;

export async function notify(plan, report) {
  await sideBySide(plan, report);
  await webhooks(plan, report);
  if (plan.servers.includes("ours")) await history(plan, report);
}

async function sideBySide(plan, report) {
  const names = [...plan.servers, "ceiling", "receiver"];
  const { receiver: target, ceiling, ...servers } = await startServers(names, { env: WEBHOOK_VARS });
  try {
    const contenders = plan.servers.map((name) => ({
      name,
      server: servers[name],
      receiver: createReceiver(target.origin),
    }));
    report.progress("warming up notifications");
    for (const contender of contenders) await burst(contender, Math.ceil(plan.burstTasks / 5), report);
    const raw = [{ name: "ours", server: ceiling, receiver: createReceiver(target.origin) }];
    await post(raw[0], plan.burstTasks);

    report.progress(`${plan.burstTasks.toLocaleString("en")} tasks with a webhook each`);
    addBurst(report, plan, await alternate(contenders, plan, (one) => burst(one, plan.burstTasks, report)));
    addCeiling(report, await alternate(raw, plan, (one) => post(one, 2 * plan.burstTasks)));
    report.progress(`commit to receipt at ${plan.pacedRate} tasks a second`);
    addPaced(report, plan, await alternate(contenders, plan, (one) => paced(one, plan, report)));
  } finally {
    await stopServers({ ...servers, ceiling, target });
  }
}

/** The median of every figure over the rounds, but all that was lost: `{ [name]: figures }`. */
async function alternate(contenders, plan, run) {
  const rounds = contenders.map(() => []);
  for (let round = 0; round < plan.rounds; round++) {
    for (const [n, contender] of contenders.entries()) {
      rounds[n].push(await run(contender));
      await delay(plan.settleMs);
    }
  }
  return Object.fromEntries(
    contenders.map(({ name }, n) => {
      const figures = Object.keys(rounds[n][0]);
      return [
        name,
        Object.fromEntries(
          figures.map((figure) => {
            const values = rounds[n].map((round) => round[figure]);
            return [figure, figure === "lost" ? values.reduce((a, b) => a + b) : median(values)];
          }),
        ),
      ];
    }),
  );
}

/** So many tasks as fast as they are taken; the clock runs from the first request to the last notification. */
async function burst({ name, server, receiver }, count, report) {
  const client = createClient(server.origin, CONNECTIONS);
  const { sendEcho } = createCalls(client, { paths: server.paths, owner: "bench" });
  await receiver.reset();
  const cpuBefore = cpuMilliseconds(server);
  const startedAt = Date.now();
  const ids = [];
  const call = async (n) => void ids.push(await sendEcho(n, receiver.url("burst")));
  const { failed, errors } = await measure({ connections: CONNECTIONS, count, call });
  const sentMs = Date.now() - startedAt;
  const { tasks, lost, lastAt, notifications } = await receiver.notified(ids);
  const cpuMs = cpuMilliseconds(server) - cpuBefore;
  client.close();
  report.countFailures(name, failed, errors);
  countLost(report, name, lost);
  const seconds = Math.max(1, lastAt - startedAt) / 1000;
  return {
    tasks: tasks.length / seconds,
    notifications: notifications / seconds,
    accepted: ids.length / (sentMs / 1000),
    cpuMs: cpuMs / count,
    lost,
  };
}

/** As many bare requests as the tasks above have notifications. */
async function post({ server, receiver }, count) {
  const request = { url: receiver.url("ceiling"), count, ...createNotification("ceiling") };
  const cpuBefore = cpuMilliseconds(server);
  const startedAt = performance.now();
  const answer = await fetch(`${server.origin}/post`, { method: "POST", body: JSON.stringify(request) });
  if (!answer.ok) throw new Error(`ceiling: HTTP ${answer.status}`);
  const seconds = (performance.now() - startedAt) / 1000;
  return { rate: count / seconds, cpuMs: (cpuMilliseconds(server) - cpuBefore) / count };
}

/** A steady load without webhooks and then with them: the difference is what the webhooks cost. */
async function paced(contender, plan, report) {
  const without = await pacedSlice(contender, plan, undefined, report);
  const { cpuMs, notifications, tasks } = await pacedSlice(contender, plan, "paced", report);
  const { p50, p99 } = percentiles(deliveryTimes(tasks));
  return { p50, p99, cpuMs: (cpuMs - without.cpuMs) / notifications };
}

async function pacedSlice({ name, server, receiver }, plan, hook, report) {
  const client = createClient(server.origin, PACED_CONNECTIONS);
  const { sendEcho } = createCalls(client, { paths: server.paths, owner: "bench" });
  await receiver.reset();
  const cpuBefore = cpuMilliseconds(server);
  const ids = [];
  const call = async (n) => void ids.push(await sendEcho(n, hook && receiver.url(hook)));
  const count = Math.round((plan.pacedRate * plan.pacedMs) / 1000);
  const { failed, errors } = await pace({ rate: plan.pacedRate, count, call });
  const { tasks, lost, notifications } = await receiver.notified(hook ? ids : []);
  await delay(plan.aftermathMs);
  client.close();
  report.countFailures(name, failed, errors);
  countLost(report, name, lost);
  return { cpuMs: cpuMilliseconds(server) - cpuBefore, notifications, tasks };
}

function addBurst(report, plan, results) {
  report.add({
    name: `${plan.burstTasks.toLocaleString("en")} tasks with a webhook, ${CONNECTIONS} connections`,
    unit: "tasks notified/s",
    values: pick(results, "tasks"),
    targets: [{ text: "≥ memory, aim 2 ×", peer: "memory", holds: ({ ours, memory }) => ours >= memory }],
  });
  report.add({
    name: "",
    unit: "notifications/s",
    values: pick(results, "notifications"),
    targets: [{ text: "≥ memory", peer: "memory", holds: ({ ours, memory }) => ours >= memory }],
  });
  report.add({ name: "", unit: "tasks accepted/s", values: pick(results, "accepted") });
  report.add({ name: "", unit: "CPU ms/task", values: pick(results, "cpuMs") });
  report.add({
    name: "",
    unit: "count",
    values: pick(results, "lost"),
    targets: [{ text: "0 lost", holds: ({ ours }) => ours === 0 }],
  });
}

function addCeiling(report, results) {
  report.add({
    name: "Raw ceiling, bare POSTs from an object",
    unit: "notifications/s",
    values: pick(results, "rate"),
  });
  report.add({ name: "", unit: "CPU ms/notification", values: pick(results, "cpuMs") });
}

function addPaced(report, plan, results) {
  report.add({
    name: `Commit to receipt, ${plan.pacedRate} tasks/s`,
    unit: "p50 ms",
    values: pick(results, "p50"),
  });
  report.add({ name: "", unit: "p99 ms", values: pick(results, "p99") });
  report.add({ name: "", unit: "CPU ms/notification", values: pick(results, "cpuMs") });
}
