// A task of no home: it records what an agent says, so that an agent is tested as the function it is.
//
// It keeps a home's promises as far as agents can see them: what follows an ending is dropped, returning
// without one completes, and memory is shared by the tasks of a conversation.

import type {
  Agent,
  ArtifactInput,
  Content,
  DurableTask,
  QuickTask,
  TaskContext,
} from "../../src/agents/agent.ts";
import { toInput } from "../../src/agents/agent.ts";
import type { Approval } from "../../src/protocol/approvals.ts";
import type { Message } from "../../src/protocol/message.ts";
import type { Part } from "../../src/protocol/part.ts";
import type { Version } from "../../src/protocol/version.ts";

/** In order: a status with its text and the tool that it asks approval for, an artifact, a reply, or a sleep. */
export type Said =
  | { state: string; text?: string; tool?: string }
  | { artifact: ArtifactInput }
  | { reply: string }
  | { sleep: number };

export type Setup = {
  /** The message's text, or its parts. */
  says: Content;
  id?: string;
  contextId?: string;
  messageId?: string;
  /** What the message decides about a tool. */
  approval?: Approval;
  version?: Version;
  /** Messages of the task before this one. */
  earlier?: readonly Message[];
  memory?: Map<string, unknown>;
  notifications?: { configured: boolean; validated: boolean };
  stepMs?: number;
  signal?: AbortSignal;
};

/** Runs one turn of `agent` and returns what it said. Rejects when the agent throws. */
export async function runTurn(agent: Agent, setup: Setup): Promise<Said[]> {
  const said: Said[] = [];
  let ended = false;
  const say = (entry: Said): Promise<void> => {
    if (!ended) said.push(entry);
    return Promise.resolve();
  };
  const end = (entry: Said): Promise<void> => {
    const spoken = say(entry);
    ended = true;
    return spoken;
  };
  const input = toInput(message(setup.says, setup.messageId), setup.approval);
  const memory = setup.memory ?? new Map<string, unknown>();

  const common = {
    id: setup.id ?? "0-task",
    contextId: setup.contextId ?? "0-context",
    input,
    history: [...(setup.earlier ?? []), input.message],
    memory: {
      get: (key: string) => memory.get(key),
      set(key: string, value: unknown) {
        // As JSON, like the real one: nothing but data survives, and undefined is forgotten.
        if (value === undefined) memory.delete(key);
        else memory.set(key, JSON.parse(JSON.stringify(value)));
      },
    },
    notifications: setup.notifications ?? { configured: false, validated: false },
    stepMs: setup.stepMs ?? 5_000,
    working: (content?: Content) => say(status("working", content)),
    artifact: (artifact: ArtifactInput) => say({ artifact }),
    complete: (content?: Content) => end(status("completed", content)),
    fail: (content: Content) => end(status("failed", content)),
    reject: (content?: Content) => end(status("rejected", content)),
    inputRequired: (content: Content) => end(status("input-required", content)),
    authRequired: (content: Content) => end(status("auth-required", content)),
    approvalRequired: (tool: string, content: Content) => end({ ...status("auth-required", content), tool }),
  };
  const quick: QuickTask = {
    ...common,
    durable: false,
    version: setup.version ?? "1.0",
    signal: setup.signal ?? new AbortController().signal,
    reply: (content) => end({ reply: toText(content) }),
  };
  const durable: DurableTask = {
    ...common,
    durable: true,
    step: uniqueSteps(),
    sleep: (ms) => say({ sleep: ms }),
    ask: unanswered,
    askAuth: unanswered,
    askApproval: unanswered,
  };
  const task: TaskContext = agent.isDurable(input) ? durable : quick;
  await agent.run(task);
  await end({ state: "completed" });
  return said;
}

/** A user's message of this text or these parts. */
export function message(says: Content, messageId = "message-1"): Message {
  return { messageId, role: "ROLE_USER", parts: typeof says === "string" ? [{ text: says }] : says };
}

/** The artifacts among what was said. */
export function artifactsOf(said: readonly Said[]): ArtifactInput[] {
  return said.flatMap((entry) => ("artifact" in entry ? [entry.artifact] : []));
}

/** The states and their texts among what was said, such as "working: step 1". */
export function statusesOf(said: readonly Said[]): string[] {
  return said.flatMap((entry) =>
    "state" in entry ? [entry.text === undefined ? entry.state : `${entry.state}: ${entry.text}`] : [],
  );
}

function status(state: string, content?: Content): Said {
  return content === undefined ? { state } : { state, text: toText(content) };
}

function toText(content: Content): string {
  if (typeof content === "string") return content;
  return content.map((part: Part) => part.text ?? "").join("\n");
}

function uniqueSteps(): DurableTask["step"] {
  const names = new Set<string>();
  return (name, fn) => {
    if (names.has(name)) throw new Error(`the step ${name} was run before`);
    names.add(name);
    return fn();
  };
}

function unanswered(): Promise<never> {
  throw new Error("nobody answers this task in the middle of a turn");
}
