// Does what a conformance kit, a benchmark or a probe asks for. Kits drive it by the prefix of the message
// id; where none fits, the text does. Both are tables here, so that a missing behaviour is a missing row.
//
// It is never registered in production: whoever may send it a message may keep it busy.

import { type Content, defineAgent, type QuickTask, toInput } from "./agent.ts";

const MAX_PAUSE_MS = 600_000;
const MAX_CHUNKS = 100_000;

/** "at least 4 s" for kits that wait twice their streaming timeout of 2 s. */
const RESUBSCRIBE_MS = 5_000;

type Behaviour = (task: QuickTask) => Promise<void>;

const file = { filename: "output.txt", mediaType: "text/plain" };

const byMessageId: Record<string, Behaviour> = {
  "tck-complete-task": (task) => task.complete("Hello from TCK"),
  "tck-input-required": (task) => task.inputRequired("Input required"),
  "tck-auth-required": (task) => task.authRequired("Authorization required"),
  "tck-reject-task": (task) => task.reject("Rejected"),
  "tck-artifact-text": emits([{ text: "Generated text content" }]),
  "tck-artifact-file": emits([{ raw: btoa("Generated file content"), ...file }]),
  "tck-artifact-file-url": emits([{ url: "https://example.com/output.txt", ...file }]),
  "tck-artifact-data": emits([{ data: { key: "value", count: 42 } }]),
  "tck-message-response": (task) => task.reply("Direct message response"),
  "tck-stream-001": works("Stream hello from TCK"),
  "tck-stream-003": works("Stream hello from TCK"),
  "tck-stream-artifact-text": works("Stream hello from TCK"),
  "tck-stream-artifact-file": emits([{ raw: btoa("Generated file content"), ...file }]),
  "tck-stream-ordering-001": works("Ordered output"),
  "tck-stream-artifact-chunked": (task) => sendChunks(task, ["chunk-1 ", "chunk-2"], 0),
  "tck-delayed-complete": (task) => workFor(task, 2_000),
  "test-resubscribe-message-id": (task) => workFor(task, RESUBSCRIBE_MS),
};

const longestFirst = Object.entries(byMessageId).toSorted(([a], [b]) => b.length - a.length);

type Row = { pattern: RegExp; behaviour: (task: QuickTask, numbers: number[]) => Promise<void> };

const byText: readonly Row[] = [
  { pattern: /^message$/, behaviour: (task) => task.reply("Direct message response") },
  { pattern: /^input$/, behaviour: interrupts((task) => task.inputRequired("Input required")) },
  { pattern: /^auth$/, behaviour: interrupts((task) => task.authRequired("Authorization required")) },
  {
    pattern: /^throw$/,
    behaviour: () => Promise.reject(new Error("the conformance agent was asked to throw")),
  },
  { pattern: /^slow:(\d+)$/, behaviour: (task, [ms = 0]) => beSlow(task, ms) },
  {
    pattern: /^stream:(\d+):(\d+)$/,
    behaviour: (task, [count = 0, ms = 0]) => streamChunks(task, count, ms),
  },
];

export const conformance = defineAgent({
  name: "conformance",
  title: "Conformance",
  description: "Takes every path of the protocol on demand, for conformance kits, benchmarks and probes.",
  developmentOnly: true,
  // Not any: kits send a type that no agent takes, and ask for the refusal.
  inputModes: ["text/plain", "application/json", "application/octet-stream", "image/png"],
  outputModes: ["text/plain", "application/json"],
  skills: [
    {
      id: "conformance",
      name: "Conformance",
      description:
        "Behaves as the prefix of the message id says, else as the text says, else echoes (0.3: asks).",
      tags: ["conformance", "test"],
      examples: ["message", "input", "auth", "throw", "slow:500", "stream:10:100"],
    },
  ],
  async run(task) {
    const { text, message } = task.input;
    for (const [prefix, behaviour] of longestFirst) {
      if (message.messageId.startsWith(prefix)) return behaviour(task);
    }
    for (const row of byText) {
      const match = row.pattern.exec(text);
      if (match) return row.behaviour(task, match.slice(1).map(Number));
    }
    await (task.version === "0.3" && !answersText(task) ? asks(task) : echo(task));
  },
});

function echo(task: QuickTask): Promise<void> {
  return task.artifact({ name: "echo", parts: [{ text: `echo: ${task.input.text}` }] });
}

/** Kits of 0.3 have no ids for what they want: they expect tasks that they can continue and cancel, again and again. */
async function asks(task: QuickTask): Promise<void> {
  await task.working();
  await task.inputRequired("Input required");
}

/** Whether it was a text that interrupted the task: its follow-up completes it, in every version. */
function answersText({ history }: QuickTask): boolean {
  const [first] = history;
  return history.length > 1 && first !== undefined && /^(?:input|auth)$/.test(toInput(first).text);
}

/** One artifact, nothing else. */
function emits(parts: Exclude<Content, string>): Behaviour {
  return (task) => task.artifact({ name: "output", parts });
}

/** Working, then one artifact of text. */
function works(text: string): Behaviour {
  return async (task) => {
    await task.working();
    await task.artifact({ name: "output", parts: [{ text }] });
  };
}

/** Interrupts a new task; a follow-up completes it. */
function interrupts(ask: Behaviour): Behaviour {
  return (task) => (task.history.length > 1 ? echo(task) : ask(task));
}

async function workFor(task: QuickTask, ms: number): Promise<void> {
  await task.working();
  await pause(task, ms);
}

async function beSlow(task: QuickTask, ms: number): Promise<void> {
  if (ms > MAX_PAUSE_MS) return task.reject(`slow:MS takes at most ${MAX_PAUSE_MS} milliseconds.`);
  await workFor(task, ms);
  await echo(task);
}

async function streamChunks(task: QuickTask, count: number, ms: number): Promise<void> {
  if (count < 1 || count > MAX_CHUNKS) return task.reject(`stream:N:MS takes 1 to ${MAX_CHUNKS} chunks.`);
  if (ms > MAX_PAUSE_MS) return task.reject(`stream:N:MS takes at most ${MAX_PAUSE_MS} milliseconds.`);
  await task.working();
  const texts = Array.from({ length: count }, (_, index) => `chunk-${index + 1} `);
  await sendChunks(task, texts, ms);
}

/** Appends the texts to one artifact, the last one marked as such. */
async function sendChunks(task: QuickTask, texts: readonly string[], ms: number): Promise<void> {
  for (const [index, text] of texts.entries()) {
    if (index > 0) await pause(task, ms);
    task.signal.throwIfAborted();
    await task.artifact({
      artifactId: "stream",
      name: "stream",
      parts: [{ text }],
      append: index > 0,
      lastChunk: index === texts.length - 1,
    });
  }
}

/** Without a timer for 0: timers of all tasks of a home fire one after the other. */
async function pause(task: QuickTask, ms: number): Promise<void> {
  if (ms > 0) await scheduler.wait(ms, { signal: task.signal });
}
