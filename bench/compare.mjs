// Contenders side by side: A B C A B C, each for a short slice, and the median of its rounds.
//
// A machine's speed drifts within a minute, its disk's even more. Alternating lets the drift hit
// everybody, so that a ratio of medians means something where an absolute figure does not.

import { setTimeout as delay } from "node:timers/promises";
import { createClient, measure, median } from "./client.mjs";
import { cpuMilliseconds } from "./process-tree.mjs";

/**
 * @param contenders `[{ name, server, connections, durationMs?, count?, createCall(client) }]`; a count
 *   bounds a slice of work that has no natural end.
 * @returns `{ [name]: { rate, p50, p95, p99, settledP99, firstP50, cpuMs } }`
 */
export async function compare(contenders, plan, report) {
  const lanes = contenders.map((contender) => ({ ...contender, slices: [] }));
  for (let round = 0; round < plan.rounds; round++) {
    for (const { slices, ...lane } of lanes) {
      // New connections for each slice, as load tools open them: accepting under load is part of serving.
      const client = createClient(lane.server.origin, lane.connections);
      const before = cpuMilliseconds(lane.server);
      const slice = await measure({ ...lane, call: lane.createCall(client) });
      slices.push({ ...slice, cpuMs: (cpuMilliseconds(lane.server) - before) / slice.count });
      client.close();
      await delay(plan.settleMs);
    }
  }

  return Object.fromEntries(
    lanes.map(({ name, slices }) => {
      for (const { failed, errors } of slices) report.countFailures(name, failed, errors);
      const middle = (figure) => median(slices.map((slice) => slice[figure]));
      return [
        name,
        {
          rate: middle("rate"),
          p50: middle("p50"),
          p95: middle("p95"),
          p99: middle("p99"),
          settledP99: middle("settledP99"),
          firstP50: middle("firstP50"),
          cpuMs: middle("cpuMs"),
        },
      ];
    }),
  );
}

/** Runs the contenders for a while without counting, so that compilers have seen the code. */
export async function warmUp(contenders, plan) {
  for (const { server, createCall } of contenders) {
    const client = createClient(server.origin, 10);
    await measure({ connections: 10, durationMs: plan.warmMs, call: createCall(client) });
    client.close();
  }
}

/** One figure of every contender: `pick(results, "p50")` is `{ ours: …, full: … }`. */
export function pick(results, figure) {
  return Object.fromEntries(Object.entries(results).map(([name, result]) => [name, result[figure]]));
}
