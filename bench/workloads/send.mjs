// SendMessage to the echo agent, and beside it the raw ceiling: what one durable insert costs here.

import { createCalls } from "../a2a.mjs";
import { compare, pick, warmUp } from "../compare.mjs";
import { startServers, stopServers } from "../servers.mjs";

const CONNECTIONS = [1, 10, 100];
const BODY = JSON.stringify({
  jsonrpc: "2.0",
  id: 1,
  method: "SendMessage",
  params: { message: { messageId: crypto.randomUUID(), role: "ROLE_USER", parts: [{ text: "hello 1" }] } },
});

export async function send(plan, report) {
  const servers = await startServers([...plan.servers, "ceiling"]);
  try {
    const contenders = [
      ...plan.servers.map((name) => ({
        name,
        server: servers[name],
        createCall: (client) => {
          const calls = createCalls(client, { paths: servers[name].paths, owner: "bench" });
          return async (n) => void (await calls.sendEcho(n));
        },
      })),
      { name: "ceiling", server: servers.ceiling, createCall: (client) => insert(client, "/") },
      { name: "group", server: servers.ceiling, createCall: (client) => insert(client, "/group") },
    ];
    await warmUp(contenders, plan);
    for (const connections of CONNECTIONS) {
      report.progress(`SendMessage, ${connections} connections`);
      const slices = contenders.map((contender) => ({
        ...contender,
        connections,
        durationMs: plan.sliceMs[connections],
      }));
      addRows(report, connections, await compare(slices, plan, report));
    }
  } finally {
    await stopServers(servers);
  }
}

function insert(client, path) {
  return async () => {
    let text = "";
    await client.post(path, { "content-type": "application/json" }, BODY, (chunk) => {
      text += chunk;
    });
    if (text !== '{"ok":true}') throw new Error(`ceiling: ${text}`);
  };
}

function addRows(report, connections, results) {
  const { ceiling, group, ...servers } = results;
  const at = `${connections} connection${connections === 1 ? "" : "s"}`;
  const crowded = connections === 100;
  report.add({
    name: `SendMessage, ${at}`,
    unit: "req/s",
    values: pick(servers, "rate"),
    targets: crowded
      ? [{ text: "≥ 2 × FULL", peer: "full", holds: ({ ours, full }) => ours >= 2 * full }]
      : [],
  });
  report.add({ name: "", unit: "p50 ms", values: pick(servers, "p50") });
  report.add({
    name: "",
    unit: "p95 ms",
    values: pick(servers, "p95"),
    targets: crowded ? [{ text: "< 200 ms", holds: ({ ours }) => ours < 200 }] : [],
  });
  report.add({
    name: "",
    unit: "p99 ms",
    values: pick(servers, "p99"),
    targets: crowded
      ? [
          { text: "≤ ⅕ of FULL", peer: "full", holds: ({ ours, full }) => ours <= full / 5 },
          { text: "< 500 ms", holds: ({ ours }) => ours < 500 },
        ]
      : [],
  });
  if (crowded) {
    report.add({ name: "", unit: "p99 ms, accepted", values: pick(servers, "settledP99") });
    report.add({ name: "", unit: "CPU ms/req", values: pick(servers, "cpuMs") });
  }
  report.add({ name: `Raw ceiling, one insert, ${at}`, unit: "req/s", values: { ours: ceiling.rate } });
  if (crowded) {
    report.add({ name: "", unit: "p99 ms", values: { ours: ceiling.p99 } });
    report.add({ name: "", unit: "CPU ms/req", values: { ours: ceiling.cpuMs } });
    if (servers.full) {
      report.add({
        name: "Raw ceiling's p99 ÷ ⅕ of SQLite FULL's",
        unit: "ratio",
        values: { ours: ceiling.p99 / (servers.full.p99 / 5) },
      });
    }
  }
  report.add({ name: `Raw ceiling, group commit, ${at}`, unit: "req/s", values: { ours: group.rate } });
  report.add({
    name: `SendMessage ÷ raw one-insert ceiling, ${at}`,
    unit: "share",
    values: { ours: servers.ours && servers.ours.rate / ceiling.rate },
    targets: crowded ? [{ text: "≥ 0.5, aim 0.8", holds: ({ ours }) => ours >= 0.5 }] : [],
  });
}
