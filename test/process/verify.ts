// Compares what the clients were told with what the restarted server says. The server's own journal, replayed
// from its start, is one side; the other is what came over the wire before and between the kills.

import { setTimeout as sleep } from "node:timers/promises";
import { type Artifact, call, type StreamResponse, stream, type Task } from "./client.ts";
import { type Ledger, type TrackedTask, toNumber } from "./ledger.ts";
import { answer } from "./load.ts";

const END_TIMEOUT_MS = 90_000;
export const TERMINAL = /_(COMPLETED|FAILED|CANCELED|REJECTED)$/;

/** A quick turn is begun three times at most; a task that was killed less often has to complete. */
const FATAL_KILLS = 3;

const PARALLEL = 8;

/** The events of a task by their number. */
export type Journal = Map<number, StreamResponse>;

/** Adds a violation to the ledger for every promise that the server has not kept; answers with the tasks' journals. */
export async function verify(url: string, ledger: Ledger): Promise<Map<string, Journal>> {
  const journals = new Map<string, Journal>();
  const queue = [...ledger.tasks.values()];
  const worker = async () => {
    for (let task = queue.pop(); task; task = queue.pop()) {
      try {
        journals.set(task.id, await verifyTask(url, ledger, task));
      } catch (error) {
        ledger.violation(`${task.id} (${task.intent.text}): ${(error as Error).message}`);
      }
    }
  };
  await Promise.all(Array.from({ length: PARALLEL }, worker));
  return journals;
}

async function verifyTask(url: string, ledger: Ledger, tracked: TrackedTask): Promise<Journal> {
  const task = await untilTerminal(url, tracked);
  const journal = await replay(url, tracked);
  const wrong = (text: string) => ledger.violation(`${task.id} (${tracked.intent.text}): ${text}`);

  for (const problem of [...stateProblems(ledger, tracked, task), ...journalProblems(journal, task)]) {
    wrong(problem);
  }
  if (task.status.state.endsWith("_COMPLETED")) contentProblems(tracked, task, journal).forEach(wrong);
  for (const [number, content] of ledger.events.get(task.id) ?? []) {
    const kept = journal.get(number);
    if (content !== JSON.stringify(kept)) {
      wrong(
        `a client received event ${number} as\n  ${content}\nand the journal holds\n  ${JSON.stringify(kept)}`,
      );
    }
  }
  for (const watch of ledger.watches.filter((watch) => watch.task === tracked)) {
    if (!watch.over) wrong("a stream was never read to its end");
    const due = [...journal.keys()].filter((number) => number > watch.start);
    if (due.join() !== watch.ids.join()) {
      wrong(`a stream resumed ${watch.resumed} times gave events ${watch.ids} and not ${due}`);
    }
  }
  return journal;
}

/** Waits for the task's end, and answers it when it asks. */
async function untilTerminal(url: string, { id, intent }: TrackedTask): Promise<Task> {
  const deadline = Date.now() + END_TIMEOUT_MS;
  while (true) {
    const task = await call<Task>({ url, agent: intent.agent, method: "GetTask", params: { id } });
    if (TERMINAL.test(task.status.state)) return task;
    if (Date.now() > deadline) throw new Error(`still ${task.status.state} after ${END_TIMEOUT_MS} ms`);
    if (task.status.state.endsWith("INPUT_REQUIRED")) await answer(url, id, `${id}-last-answer`);
    else await sleep(100);
  }
}

async function replay(url: string, { id, intent }: TrackedTask): Promise<Journal> {
  const journal: Journal = new Map();
  const headers = { "last-event-id": "0" };
  const request = { url, agent: intent.agent, method: "SubscribeToTask", params: { id }, headers };
  for await (const event of stream(request)) {
    const number = toNumber(event.id);
    if (number === undefined || number <= Math.max(0, ...journal.keys())) {
      throw new Error(`the replay has event "${event.id}" after ${[...journal.keys()]}`);
    }
    journal.set(number, event.result);
  }
  return journal;
}

function* stateProblems(ledger: Ledger, { since, canceled, intent }: TrackedTask, task: Task) {
  const { state, timestamp } = task.status;
  if (canceled) {
    if (!state.endsWith("_CANCELED")) yield `is ${state} although its cancellation was acknowledged`;
    return;
  }
  if (state.endsWith("_COMPLETED")) return;
  const kills = ledger.killsBetween(since, Date.parse(timestamp ?? ""));
  const worn = intent.becomes !== "job" && state.endsWith("_FAILED") && kills >= FATAL_KILLS;
  // A cancellation may have been carried out although its answer was cut off.
  const mayBeCanceled = intent.text.startsWith("slow:") && state.endsWith("_CANCELED");
  if (!worn && !mayBeCanceled)
    yield `is ${state} after ${kills} kills: ${JSON.stringify(task.status.message)}`;
}

/** One end, at the end, and artifacts that are the fold of the events. */
function* journalProblems(journal: Journal, task: Task) {
  const events = [...journal.values()];
  const ends = events.filter((event) => TERMINAL.test(event.statusUpdate?.status.state ?? ""));
  if (ends.length !== 1 || ends[0] !== events.at(-1)) yield `has ${ends.length} ends in its journal`;
  // No agent of the load says anything twice, so only a turn that was run again can have done so.
  const said = events.map(toSaying);
  const again = said.filter((saying, index) => said.indexOf(saying) !== index);
  if (again.length > 0) yield `has these events twice: ${again}`;
  const ids = (task.artifacts ?? []).map((artifact) => artifact.artifactId);
  if (new Set(ids).size !== ids.length) yield `holds an artifact twice: ${ids}`;
  const folded = JSON.stringify(fold(events).map(essence));
  const held = JSON.stringify((task.artifacts ?? []).map(essence));
  if (folded !== held) yield `holds artifacts\n  ${held}\nand its events make\n  ${folded}`;
}

/** An event without its time. */
function toSaying({ statusUpdate, artifactUpdate }: StreamResponse): string {
  if (!statusUpdate) return JSON.stringify(artifactUpdate);
  return JSON.stringify([statusUpdate.status.state, statusUpdate.status.message?.parts]);
}

function fold(events: StreamResponse[]): Artifact[] {
  const artifacts = new Map<string, Artifact>();
  for (const { artifactUpdate } of events) {
    if (!artifactUpdate) continue;
    const { artifact, append } = artifactUpdate;
    const before = append ? (artifacts.get(artifact.artifactId)?.parts ?? []) : [];
    artifacts.set(artifact.artifactId, { ...artifact, parts: [...before, ...artifact.parts] });
  }
  return [...artifacts.values()];
}

function essence({ artifactId, parts }: Artifact) {
  return { artifactId, parts };
}

/** Whether a completed task has become what its message asked for. */
function contentProblems({ intent }: TrackedTask, task: Task, journal: Journal): string[] {
  const text = (task.artifacts ?? []).flatMap(({ parts }) => parts.map((part) => part.text ?? "")).join("");
  const due = {
    echo: `echo: ${intent.text}`,
    question: "echo: the answer",
    chunks: Array.from({ length: intent.count }, (_, index) => `chunk-${index + 1} `).join(""),
    job: `Finished all ${intent.count} of ${intent.count} steps.`,
  }[intent.becomes];
  const problems = text === due ? [] : [`holds "${text}" and not "${due}"`];
  if (intent.becomes !== "job") return problems;
  const said = [...journal.values()].map(
    ({ statusUpdate }) =>
      /^Processing step (\d+)\//.exec(statusUpdate?.status.message?.parts[0]?.text ?? "")?.[1],
  );
  const steps = said.filter((step) => step !== undefined).join();
  const all = Array.from({ length: intent.count }, (_, index) => index + 1).join();
  return steps === all ? problems : [...problems, `reported steps ${steps} and not ${all}`];
}

/** Every acknowledged task is in the list, no message has made two tasks, and no task is left behind. */
export async function verifyList(url: string, ledger: Ledger): Promise<void> {
  for (const agent of ["", "long-running"] as const) {
    const listed = await list(url, agent);
    const ids = new Set(listed.map((task) => task.id));
    if (ids.size !== listed.length) ledger.violation("a task is listed twice");
    for (const { id, intent } of ledger.tasks.values()) {
      if (intent.agent === agent && !ids.has(id)) ledger.violation(`${id} is not listed`);
    }
    const messages = new Map<string, string>();
    for (const { id, history } of listed) {
      const first = history?.[0]?.messageId ?? "none";
      const other = messages.get(first);
      if (other !== undefined) ledger.violation(`message ${first} has made the tasks ${other} and ${id}`);
      messages.set(first, id);
    }
    // Also tasks whose creation no client heard of have to go on. Only questions may wait.
    for (const { id, status, history } of listed) {
      if (TERMINAL.test(status.state) || status.state.endsWith("INPUT_REQUIRED")) continue;
      ledger.violation(
        `${id} (${history?.[0]?.parts[0]?.text}) is left ${status.state} since ${status.timestamp}`,
      );
    }
  }
}

async function list(url: string, agent: string): Promise<Task[]> {
  type Page = { tasks: Task[]; nextPageToken: string };
  const tasks: Task[] = [];
  let pageToken = "";
  do {
    const params = { pageSize: 100, pageToken };
    const page = await call<Page>({ url, agent, method: "ListTasks", params });
    tasks.push(...page.tasks);
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  return tasks;
}
