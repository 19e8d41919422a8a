// Streams of 13 events (working, 11 chunks, completed) after the task's snapshot, every event counted.
//
// The unpaced rows are about throughput. The paced one shows that an event leaves while the agent still
// runs: its first event must be there long before eleven pauses are over.

import { createCalls } from "../a2a.mjs";
import { compare, pick, warmUp } from "../compare.mjs";
import { startServers, stopServers } from "../servers.mjs";

const CHUNKS = 11;
const PAUSE_MS = 20;
/** Half the time the paced agent takes: an event that is there by then did not wait for its end. */
const LONG_BEFORE_END_MS = (CHUNKS * PAUSE_MS) / 2;
const PACED_STREAMS = 5;

export async function stream(plan, report) {
  const servers = await startServers(plan.servers);
  try {
    const contenders = (pauseMs) =>
      plan.servers.map((name) => ({
        name,
        server: servers[name],
        createCall: (client) => {
          const calls = createCalls(client, { paths: servers[name].paths, owner: "bench" });
          return () => calls.stream(CHUNKS, pauseMs);
        },
      }));
    await warmUp(contenders(0), plan);
    for (const connections of [1, 10, 100]) {
      report.progress(`streams, ${connections} connections`);
      const slices = contenders(0).map((contender) => ({
        ...contender,
        connections,
        durationMs: plan.sliceMs[connections],
      }));
      addRows(report, connections, await compare(slices, plan, report));
    }

    report.progress("paced streams");
    const paced = contenders(PAUSE_MS).map((contender) => ({
      ...contender,
      connections: 1,
      count: PACED_STREAMS,
    }));
    const results = await compare(paced, plan, report);
    report.add({
      name: `Stream with ${PAUSE_MS} ms between chunks`,
      unit: "first event p50 ms",
      values: pick(results, "firstP50"),
      targets: [{ text: `< ${LONG_BEFORE_END_MS} ms`, holds: ({ ours }) => ours < LONG_BEFORE_END_MS }],
    });
    report.add({ name: "", unit: "end p50 ms", values: pick(results, "p50") });
  } finally {
    await stopServers(servers);
  }
}

function addRows(report, connections, results) {
  report.add({
    name: `13-event streams, ${connections} connection${connections === 1 ? "" : "s"}`,
    unit: "streams/s",
    values: pick(results, "rate"),
    targets: [{ text: "≥ 2 × FULL", peer: "full", holds: ({ ours, full }) => ours >= 2 * full }],
  });
  report.add({ name: "", unit: "first event p50 ms", values: pick(results, "firstP50") });
  report.add({ name: "", unit: "end p50 ms", values: pick(results, "p50") });
  report.add({ name: "", unit: "end p99 ms", values: pick(results, "p99") });
}
