// The first page of ListTasks for an owner with few tasks and for one with many, on the same server.
//
// Ours is filled by sending messages. The peers are filled behind their API, by the store's own `save`
// inside one transaction, because at their rate a hundred thousand messages would take the whole run.

import { createCalls } from "../a2a.mjs";
import { createClient, measure } from "../client.mjs";
import { compare, pick, warmUp } from "../compare.mjs";
import { startServers, stopServers } from "../servers.mjs";

export async function list(plan, report) {
  const servers = await startServers(plan.servers);
  try {
    const stored = await fillAll(servers, plan, report);
    const contenders = (size) =>
      plan.servers.map((name) => ({
        name,
        server: servers[name],
        connections: 1,
        durationMs: plan.sliceMs[1],
        createCall: (client) => {
          const calls = createCalls(client, { paths: servers[name].paths, owner: `list-${size}` });
          return () => calls.listTasks(stored[name][size]);
        },
      }));
    const results = [];
    for (const size of plan.listSizes) {
      report.progress(`ListTasks, ${size.toLocaleString("en")} tasks stored`);
      await warmUp(contenders(size), plan);
      results.push(await compare(contenders(size), plan, report));
    }
    addRows(report, plan.listSizes, results, stored);
  } finally {
    await stopServers(servers);
  }
}

/** How many tasks each server holds for each size: `{ ours: { 1000: 1000, 100000: 98000 } }`. */
async function fillAll(servers, plan, report) {
  const stored = {};
  for (const name of plan.servers) {
    stored[name] = {};
    for (const size of plan.listSizes) {
      report.progress(`filling ${name} with ${size.toLocaleString("en")} tasks`);
      const owner = `list-${size}`;
      stored[name][size] =
        name === "ours"
          ? await fillBySending(servers[name], owner, size, plan)
          : await fillStore(servers[name], owner, size);
    }
  }
  return stored;
}

async function fillBySending({ origin, paths }, owner, count, plan) {
  const client = createClient(origin, 100);
  const { sendEcho } = createCalls(client, { paths, owner });
  const call = async (n) => void (await sendEcho(n));
  const filled = await measure({ connections: 100, durationMs: plan.fillMs, count, call });
  client.close();
  if (filled.failed > 0) throw new Error(`filling failed: ${[...filled.errors.keys()].join("; ")}`);
  return filled.count;
}

async function fillStore({ origin }, owner, count) {
  const response = await fetch(`${origin}/bench/fill`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ owner, count }),
  });
  return (await response.json()).filled;
}

function addRows(report, sizes, results, stored) {
  const [few, many] = results;
  for (const [index, result] of results.entries()) {
    const size = stored.ours?.[sizes[index]] ?? sizes[index];
    report.add({
      name: `ListTasks first page, ${size.toLocaleString("en")} tasks stored`,
      unit: "p50 ms",
      values: pick(result, "p50"),
    });
    report.add({ name: "", unit: "p99 ms", values: pick(result, "p99") });
  }
  report.add({
    name: "ListTasks, time with many ÷ time with few",
    unit: "p50 ratio",
    values: Object.fromEntries(Object.keys(many).map((name) => [name, many[name].p50 / few[name].p50])),
    targets: [{ text: "≤ 1.5", holds: ({ ours }) => ours <= 1.5 }],
  });
}
