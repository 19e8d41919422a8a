// `returnImmediately`: the answer is the task as it stands, while the agent works on.
//
// Twice: with echo for as long as a slice lasts, and with an agent that takes two seconds, where the
// count is bounded so that the tasks still running stay few.

import { createCalls } from "../a2a.mjs";
import { compare, pick, warmUp } from "../compare.mjs";
import { startServers, stopServers } from "../servers.mjs";

const CONNECTIONS = 10;
const SLOW_MS = 2000;
const SLOW_TASKS = 300;

export async function immediate(plan, report) {
  const servers = await startServers(plan.servers);
  try {
    const contenders = (slowMs) =>
      plan.servers.map((name) => ({
        name,
        server: servers[name],
        connections: CONNECTIONS,
        createCall: (client) => {
          const calls = createCalls(client, { paths: servers[name].paths, owner: "bench" });
          return async () => void (await calls.sendAndReturn(slowMs));
        },
      }));
    await warmUp(contenders(0), plan);
    for (const [agent, slowMs, bound] of [
      ["echo", 0, { durationMs: plan.sliceMs[CONNECTIONS] }],
      [`a ${SLOW_MS / 1000} s agent`, SLOW_MS, { count: SLOW_TASKS }],
    ]) {
      report.progress(`returnImmediately, ${agent}`);
      const slices = contenders(slowMs).map((contender) => ({ ...contender, ...bound }));
      const results = await compare(slices, plan, report);
      report.add({
        name: `returnImmediately to ${agent}, ${CONNECTIONS} connections`,
        unit: "p95 ms",
        values: pick(results, "p95"),
        targets: [{ text: "< 50 ms", holds: ({ ours }) => ours < 50 }],
      });
      report.add({ name: "", unit: "req/s", values: pick(results, "rate") });
    }
  } finally {
    await stopServers(servers);
  }
}
