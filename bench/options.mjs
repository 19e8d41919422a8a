// What one run measures and for how long. The full plan takes about twenty-five minutes, the quick one
// about four; both are bounded in time and in count, whatever the machine.

import { parseArgs } from "node:util";

export const WORKLOADS = [
  "send",
  "stream",
  "immediate",
  "get",
  "list",
  "memory",
  "notify",
  "neighbour",
  "auth",
];
const CONTENDERS = ["ours", "memory", "full", "normal"];

const FULL = {
  rounds: 3,
  warmMs: 2000,
  settleMs: 300,
  /** Length of one slice by its number of connections: a tail needs more time to show. */
  sliceMs: { 1: 1500, 10: 2000, 100: 5000 },
  listSizes: [1_000, 100_000],
  /** Our store is filled through the front door, and no longer than this. */
  fillMs: 240_000,
  memoryTasks: 10_000,
  burstTasks: 1_000,
  /** An open loop: tasks a second, and how long it goes on. */
  pacedRate: 100,
  pacedMs: 5000,
  /** What is written after the last receipt, the history of attempts among it, is waited for. */
  aftermathMs: 2500,
  webhookRate: 200,
  webhookSizes: [100, 500, 1_000, 5_000, 10_000],
  /** All tasks of a size stay open together for so long. */
  togetherMs: 2000,
  neighbourRounds: 10,
  neighbourMs: 2500,
  historySizes: [1_000, 1_000_000],
  historySearches: 50,
};

const QUICK = {
  ...FULL,
  rounds: 1,
  settleMs: 100,
  warmMs: 500,
  sliceMs: { 1: 600, 10: 600, 100: 1500 },
  listSizes: [1_000, 5_000],
  fillMs: 20_000,
  memoryTasks: 1_000,
  burstTasks: 200,
  pacedMs: 1000,
  aftermathMs: 500,
  webhookSizes: [100],
  togetherMs: 500,
  neighbourRounds: 2,
  neighbourMs: 1000,
  historySizes: [1_000, 10_000],
  historySearches: 10,
};

export const USAGE = `npm run bench -- [options]

  --quick            short slices, one round, smaller stores; prints, does not write docs/performance.md
  --only a,b         some workloads only: ${WORKLOADS.join(", ")}; prints only
  --servers a,b      some servers only: ${CONTENDERS.join(", ")}; prints only
  --help             this text`;

/** The plan of this run, from the command line; throws on what it does not know. */
export function parsePlan(argv) {
  const { values } = parseArgs({
    args: argv,
    options: {
      quick: { type: "boolean", default: false },
      only: { type: "string" },
      servers: { type: "string" },
      help: { type: "boolean", default: false },
    },
  });
  return {
    ...(values.quick ? QUICK : FULL),
    help: values.help,
    workloads: choose("--only", values.only, WORKLOADS),
    servers: choose("--servers", values.servers, CONTENDERS),
    writesReport: !values.quick && values.only === undefined && values.servers === undefined,
  };
}

function choose(option, list, known) {
  if (list === undefined) return known;
  const chosen = list.split(",");
  const unknown = chosen.filter((name) => !known.includes(name));
  if (unknown.length > 0)
    throw new Error(`${option}: unknown ${unknown.join(", ")}; known: ${known.join(", ")}`);
  return known.filter((name) => chosen.includes(name));
}
