// GetTask of completed echo tasks, a few hundred of them in turn.

import { createCalls } from "../a2a.mjs";
import { createClient } from "../client.mjs";
import { compare, pick, warmUp } from "../compare.mjs";
import { startServers, stopServers } from "../servers.mjs";

const CONNECTIONS = 10;
const TASKS = 200;

export async function get(plan, report) {
  const servers = await startServers(plan.servers);
  try {
    report.progress(`GetTask, ${CONNECTIONS} connections`);
    const contenders = [];
    for (const name of plan.servers) {
      const server = servers[name];
      const ids = await createTasks(server);
      contenders.push({
        name,
        server,
        connections: CONNECTIONS,
        durationMs: plan.sliceMs[CONNECTIONS],
        createCall: (client) => {
          const calls = createCalls(client, { paths: server.paths, owner: "bench" });
          return (n) => calls.getTask(ids[n % ids.length]);
        },
      });
    }
    await warmUp(contenders, plan);
    const results = await compare(contenders, plan, report);
    report.add({
      name: `GetTask, ${CONNECTIONS} connections`,
      unit: "req/s",
      values: pick(results, "rate"),
    });
    report.add({ name: "", unit: "p50 ms", values: pick(results, "p50") });
    report.add({ name: "", unit: "p99 ms", values: pick(results, "p99") });
  } finally {
    await stopServers(servers);
  }
}

async function createTasks({ origin, paths }) {
  const client = createClient(origin, CONNECTIONS);
  const { sendEcho } = createCalls(client, { paths, owner: "bench" });
  const ids = await Promise.all(Array.from({ length: TASKS }, (_, n) => sendEcho(n)));
  client.close();
  return ids;
}
