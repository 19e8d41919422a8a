// `npm run bench`: measures a2a-edge and its peers in one run, prints one table with ratios and, after a
// full run, writes it to docs/performance.md. Ends with 1 if an answer of ours was missing or wrong.

import { rmSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describeMachine } from "./machine.mjs";
import { parsePlan, USAGE } from "./options.mjs";
import { createReport, writeBetweenMarkers } from "./report.mjs";
import { pinLoad } from "./servers.mjs";
import { WEBHOOK_LIMITS } from "./webhooks.mjs";
import { auth } from "./workloads/auth.mjs";
import { get } from "./workloads/get.mjs";
import { immediate } from "./workloads/immediate.mjs";
import { list } from "./workloads/list.mjs";
import { memory } from "./workloads/memory.mjs";
import { neighbour } from "./workloads/neighbour.mjs";
import { notify } from "./workloads/notify.mjs";
import { send } from "./workloads/send.mjs";
import { stream } from "./workloads/stream.mjs";

const WORKLOADS = { send, stream, immediate, get, list, memory, notify, neighbour, auth };

const plan = readPlan();
if (plan.help) {
  console.log(USAGE);
} else {
  // Exiting in an orderly way is what stops the servers.
  for (const name of ["SIGINT", "SIGTERM"]) process.once(name, () => process.exit(1));
  await run(plan);
}

function readPlan() {
  try {
    return parsePlan(process.argv.slice(2));
  } catch (error) {
    console.error(`${error.message}\n\n${USAGE}`);
    process.exit(2);
  }
}

async function run(plan) {
  pinLoad();
  const machine = describeMachine();
  if (plan.workloads.some((name) => name === "notify" || name === "neighbour")) machine.push(WEBHOOK_LIMITS);
  const report = createReport();
  try {
    for (const name of plan.workloads) await WORKLOADS[name](plan, report);
  } finally {
    rmSync(fileURLToPath(new URL(".state", import.meta.url)), { recursive: true, force: true });
  }

  const table = report.toMarkdown();
  console.log(`\n${machine.join("\n")}\n\n${table}`);
  if (plan.writesReport) {
    const facts = machine.map((fact) => `- ${fact}`).join("\n");
    writeBetweenMarkers(
      fileURLToPath(new URL("../docs/performance.md", import.meta.url)),
      `Measured by \`npm run bench\`, median of ${plan.rounds} alternating rounds, on:\n\n${facts}\n\n${table}`,
    );
  }
  process.exitCode = report.failed() ? 1 : 0;
}
