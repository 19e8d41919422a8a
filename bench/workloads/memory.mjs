// Resident memory of the server's process tree after many tasks, over what it was after the first few.
//
// Nobody is asked to collect garbage first: this is what an operator sees in `ps`.

import { setTimeout as delay } from "node:timers/promises";
import { createCalls } from "../a2a.mjs";
import { createClient, measure } from "../client.mjs";
import { residentMegabytes } from "../process-tree.mjs";
import { startServers, stopServers } from "../servers.mjs";

const CONNECTIONS = 10;
const FIRST_TASKS = 100;

export async function memory(plan, report) {
  const baseline = {};
  const grown = {};
  for (const name of plan.servers) {
    report.progress(`memory of ${name} with ${plan.memoryTasks.toLocaleString("en")} tasks`);
    const servers = await startServers([name]);
    try {
      await sendMany(servers[name], FIRST_TASKS, name, report);
      baseline[name] = residentMegabytes(servers[name]);
      await sendMany(servers[name], plan.memoryTasks - FIRST_TASKS, name, report);
      grown[name] = residentMegabytes(servers[name]) - baseline[name];
    } finally {
      await stopServers(servers);
    }
  }
  const tasks = plan.memoryTasks.toLocaleString("en");
  report.add({ name: `Memory, ${FIRST_TASKS} tasks`, unit: "MB RSS", values: baseline });
  report.add({ name: `Memory, ${tasks} tasks, over that`, unit: "MB RSS", values: grown });
}

async function sendMany({ origin, paths }, count, name, report) {
  const client = createClient(origin, CONNECTIONS);
  const { sendEcho } = createCalls(client, { paths, owner: "bench" });
  const call = async (n) => void (await sendEcho(n));
  const { failed, errors } = await measure({ connections: CONNECTIONS, durationMs: 120_000, count, call });
  report.countFailures(name, failed, errors);
  client.close();
  await delay(1000);
}
