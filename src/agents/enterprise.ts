// Five kinds of work that a company's agent does, told apart by the text: publishing, a secure task, the processing
// of files, a batch, and a standard task. What is checked comes first: a text that also says "file" must not lose its
// checks, and one that is to be published securely has both.

import type { Part } from "../protocol/part.ts";
import { defineAgent, type QuickTask, toInput } from "./agent.ts";
import { parseCount, progress } from "./progress.ts";

const PAUSE_MS = 100;
const PUBLISH = "publish";
const DEFAULT_ITEMS = 5;
const MAX_ITEMS = 100;

type FileFacts = { filename: string; mediaType: string; bytes?: number; url?: string };

const sampleFiles: readonly FileFacts[] = [
  { filename: "contract.pdf", mediaType: "application/pdf", bytes: 48_213 },
  { filename: "invoices.csv", mediaType: "text/csv", bytes: 7_340 },
  { filename: "minutes.txt", mediaType: "text/plain", bytes: 2_125 },
];

export const enterprise = defineAgent({
  name: "enterprise",
  title: "Enterprise",
  description:
    "Processes files and batches, publishes with approval, and does tasks whose webhook must be trusted.",
  inputModes: ["*/*"],
  outputModes: ["text/plain", "application/json"],
  approvals: [PUBLISH],
  skills: [
    {
      id: "file-processing",
      name: "File processing",
      description: "Makes one artifact per file of the message (or of three samples) and a summary.",
      tags: ["files", "artifacts", "demo"],
      examples: ["Process these files"],
    },
    {
      id: "batch",
      name: "Batch job",
      description: `Works through 1 to ${MAX_ITEMS} items (default ${DEFAULT_ITEMS}) and reports its progress.`,
      tags: ["batch", "progress", "demo"],
      examples: ["Run a batch of 20 items"],
    },
    {
      id: "publishing",
      name: "Publishing",
      description: "Publishes what the message says, once somebody who may has approved of it.",
      tags: ["approval", "demo"],
      examples: ["Publish the quarterly report"],
    },
    {
      id: "standard-task",
      name: "Standard task",
      description: "Does any other task and returns a report.",
      tags: ["demo"],
      examples: ["Prepare the quarterly report"],
    },
  ],
  extendedSkills: [
    {
      id: "secure-task",
      name: "Secure task",
      description: "Refuses to work while a configured webhook has not been validated.",
      tags: ["security", "webhooks", "demo"],
      examples: ["Run the secure audit"],
    },
  ],
  async run(task) {
    const { text, approval } = task.input;
    if (approval) return publish(task, approval.approved);
    const isSecure = /\bsecur/i.test(text);
    const { configured, validated } = task.notifications;
    if (isSecure && configured && !validated) {
      return task.fail("A secure task needs a validated webhook, and this one has not been validated.");
    }
    if (/\bpublish/i.test(text)) {
      return task.approvalRequired(PUBLISH, `Publishing needs approval. It would be published: ${text}`);
    }
    if (isSecure) return runSecure(task);
    if (/\bfiles?\b/i.test(text)) return processFiles(task);
    if (/\bbatch/i.test(text)) return runBatch(task);
    return runStandard(task);
  },
});

/** What was asked for is what the task began with, whatever was said since. */
async function publish(task: QuickTask, approved: boolean): Promise<void> {
  if (!approved) return task.reject("It was not published: approval was denied.");
  const [first = task.input.message] = task.history;
  await task.working("Publishing");
  await pause(task);
  await report(task, "publication", `Published: ${toInput(first).text}`);
  await task.complete("It was published.");
}

async function runSecure(task: QuickTask): Promise<void> {
  await task.working("Running the secure task");
  await pause(task);
  await report(task, "secure-report", "The secure task was done.");
  await task.complete(
    task.notifications.configured
      ? "The secure task was done; its webhook is validated."
      : "The secure task was done. Note: it has no webhook, so there was none to validate.",
  );
}

async function processFiles(task: QuickTask): Promise<void> {
  const sent = task.input.message.parts.filter(isFile).map(toFacts);
  const files = sent.length > 0 ? sent : sampleFiles;
  for (const [index, file] of files.entries()) {
    await pause(task);
    await task.working(`${progress("file", index + 1, files.length)}: ${file.filename}`);
    await task.artifact({
      artifactId: `file-${index + 1}`,
      name: file.filename,
      parts: [{ data: { ...file, status: "processed" }, mediaType: "application/json" }],
    });
  }
  const bytes = files.reduce((sum, file) => sum + (file.bytes ?? 0), 0);
  const origin = sent.length > 0 ? "" : " (samples: the message had no file)";
  const summary = `Processed ${files.length} ${files.length === 1 ? "file" : "files"}, ${bytes} bytes${origin}.`;
  const names = files.map((file) => file.filename);
  await task.artifact({
    artifactId: "summary",
    name: "summary",
    parts: [
      { data: { files: names, count: files.length, bytes }, mediaType: "application/json" },
      { text: summary },
    ],
  });
  await task.complete(summary);
}

async function runBatch(task: QuickTask): Promise<void> {
  const items = parseCount(task.input.text, "item") ?? DEFAULT_ITEMS;
  if (items < 1 || items > MAX_ITEMS)
    return task.reject(`A batch has 1 to ${MAX_ITEMS} items, not ${items}.`);
  for (let item = 1; item <= items; item++) {
    await pause(task);
    await task.working(progress("item", item, items));
  }
  await task.artifact({
    artifactId: "batch-result",
    name: "batch-result",
    parts: [{ data: { items, succeeded: items, failed: 0 }, mediaType: "application/json" }],
  });
  await task.complete(`Processed a batch of ${items} ${items === 1 ? "item" : "items"}.`);
}

async function runStandard(task: QuickTask): Promise<void> {
  await task.working("Working on the task");
  await pause(task);
  await report(task, "report", `The task was done: ${task.input.text}`);
}

function report(task: QuickTask, name: string, text: string): Promise<void> {
  return task.artifact({ artifactId: name, name, parts: [{ text }] });
}

function isFile(part: Part): boolean {
  return part.raw !== undefined || part.url !== undefined;
}

function toFacts(part: Part, index: number): FileFacts {
  return {
    filename: part.filename ?? `file-${index + 1}`,
    mediaType: part.mediaType ?? "application/octet-stream",
    ...(part.raw !== undefined && { bytes: decodedLength(part.raw) }),
    ...(part.url !== undefined && { url: part.url }),
  };
}

/** Bytes that `base64` stands for; counted, not decoded: the home's other tasks wait meanwhile. */
function decodedLength(base64: string): number {
  const padding = base64.endsWith("==") ? 2 : base64.endsWith("=") ? 1 : 0;
  return Math.floor(((base64.length - padding) * 3) / 4);
}

function pause(task: QuickTask): Promise<void> {
  return scheduler.wait(PAUSE_MS, { signal: task.signal });
}
