// All that an agent author reads. An agent is one async function over a small context:
//
//   export const greeter = defineAgent({
//     name: "greeter",
//     description: "Says hello.",
//     skills: [{ id: "greet", name: "Greet", description: "Greets by name.", tags: ["demo"] }],
//     async run(task) {
//       await task.working("Thinking");
//       await task.artifact({ name: "greeting", parts: [{ text: `Hello, ${task.input.text}` }] });
//     },
//   });
//
// A quick agent's `run` is called once per message, inside the task's home. If the process dies under it,
// it is run again from its start, at most three times in all: what it emitted before is recognised and not
// repeated, so it should emit the same again for the same input. A durable agent runs on a Workflow, where
// each step is journaled and none that finished is run again.

import { AgentSkill } from "../protocol/agent-card.ts";
import { type Approval, isToolName } from "../protocol/approvals.ts";
import type { Message } from "../protocol/message.ts";
import type { Scope } from "../protocol/operations.ts";
import { parseParams } from "../protocol/parse.ts";
import type { Part } from "../protocol/part.ts";
import type { JsonObject } from "../protocol/struct.ts";
import type { Version } from "../protocol/version.ts";

/** Text for a message, or its parts. */
export type Content = string | Part[];

export type ArtifactInput = {
  /** Default: `artifact-<n>`, n counting this task's emissions. The same id again replaces or, with `append`, extends it. */
  artifactId?: string;
  name?: string;
  description?: string;
  parts: Part[];
  /** Adds `parts` to the artifact of the same id (default false: replaces it). */
  append?: boolean;
  /** Tells subscribers that no further chunk follows. */
  lastChunk?: boolean;
  metadata?: JsonObject;
};

export type Input = {
  /** The text parts of the message, joined by newlines. */
  text: string;
  message: Message;
  /** What the message decides about a tool; only when the task had asked for it, and by who may decide. */
  approval?: Approval;
};

/**
 * JSON values kept for the conversation (agent and contextId). What a turn sets is written together with its
 * end, key by key; undefined removes a key.
 */
export type Memory = {
  get(key: string): unknown;
  set(key: string, value: unknown): void;
};

/** The memory of a turn: what it has set, over what was there before. */
export function toMemory(changes: Map<string, unknown>, load: () => Record<string, unknown>): Memory {
  return {
    get(key) {
      if (changes.has(key)) return changes.get(key);
      const before = load();
      return Object.hasOwn(before, key) ? before[key] : undefined;
    },
    set(key, value) {
      // As it will be stored, and at once: what is no JSON fails here, in its author's hands.
      const json = JSON.stringify(value);
      changes.set(key, json === undefined ? undefined : JSON.parse(json));
    },
  };
}

/** Ends the turn. Nothing an agent emits after it is kept. */
type Ending = Promise<void>;

type Emissions = {
  /** TASK_STATE_WORKING, with an optional progress message. */
  working(content?: Content): Promise<void>;
  artifact(artifact: ArtifactInput): Promise<void>;
  /** The default when `run` returns without an ending. */
  complete(content?: Content): Ending;
  fail(content: Content): Ending;
  reject(content?: Content): Ending;
  /** Leaves the task waiting for the next message, which starts a new turn. */
  inputRequired(content: Content): Ending;
  authRequired(content: Content): Ending;
  /**
   * Like authRequired, for the use of a tool that `approvals` of the definition names. Only who has the scope
   * tool:approve can answer; the next turn's `input.approval` is the decision.
   */
  approvalRequired(tool: string, content: Content): Ending;
};

type Common = Emissions & {
  readonly id: string;
  readonly contextId: string;
  /** The message that started this turn. */
  readonly input: Input;
  /** Earlier and present messages of this task, oldest first; the last one is `input.message`. */
  readonly history: readonly Message[];
  readonly memory: Memory;
  /** Whether a webhook hears of this task, and whether its endpoint proved that it wants to. */
  readonly notifications: { readonly configured: boolean; readonly validated: boolean };
  /** Settings an operator may change: how long one step of the demonstration job takes. */
  readonly stepMs: number;
};

/** What a quick agent's `run` gets. */
export type QuickTask = Common & {
  readonly durable: false;
  /** The version of A2A that the message of this turn came in. Only for what has to differ by it: messages do not. */
  readonly version: Version;
  /** Aborts when the task is canceled or the turn has lasted too long. */
  readonly signal: AbortSignal;
  /**
   * Answers with a Message. As the first act it makes no task at all; after any other act it completes the
   * task with this message.
   */
  reply(content: Content): Ending;
};

/** What a durable agent's `run` gets. */
export type DurableTask = Common & {
  readonly durable: true;
  /** Runs `fn` once; its (JSON) value is kept and `fn` is retried when it throws. The name is for the log and the dashboard. */
  step<T>(name: string, fn: () => Promise<T>): Promise<T>;
  /** Sleeps in milliseconds, at no cost, across restarts. */
  sleep(ms: number): Promise<void>;
  /** Asks (TASK_STATE_INPUT_REQUIRED) and waits, for as long as it takes, for the next message of this task. */
  ask(content: Content): Promise<Input>;
  /** Asks for an authorization (TASK_STATE_AUTH_REQUIRED) and waits for the next message. */
  askAuth(content: Content): Promise<Input>;
  /** Asks for approval of a tool, as approvalRequired does, and waits for the decision. */
  askApproval(tool: string, content: Content): Promise<Input & { approval: Approval }>;
};

export type TaskContext = QuickTask | DurableTask;

/** A skill of the extended card; with a scope, it is shown only to callers who have that. */
export type ExtendedSkill = AgentSkill & { scope?: Scope };

type Definition = {
  /** The agent's A2A tenant and path: lower-case letters, digits and hyphens. */
  name: string;
  /** The name on its card; default: `name`. */
  title?: string;
  description: string;
  version?: string;
  skills: AgentSkill[];
  /** Skills that only the extended card shows. Without them the agent has no extended card. */
  extendedSkills?: ExtendedSkill[];
  /** The tools whose use it may ask approval for: 1 to 64 letters, digits, `_`, `.`, `-`. The card names them. */
  approvals?: string[];
  /** Media types of message parts it takes; default text/plain. "*\/*" takes any. */
  inputModes?: string[];
  outputModes?: string[];
  /** Never registered in production. */
  developmentOnly?: boolean;
};

export type QuickDefinition = Definition & {
  durable?: false;
  run(task: QuickTask): Promise<void>;
};

export type DurableDefinition = Definition & {
  durable: true;
  run(task: DurableTask): Promise<void>;
};

/** Decides per turn, by the message that starts it; `run` narrows by `task.durable`. */
export type MixedDefinition = Definition & {
  durable: (input: Input) => boolean;
  run(task: TaskContext): Promise<void>;
};

export type AgentDefinition = QuickDefinition | DurableDefinition | MixedDefinition;

/** An agent as the server uses it: its defaults filled in. */
export type Agent = Readonly<{
  name: string;
  title: string;
  description: string;
  version: string;
  skills: readonly AgentSkill[];
  extendedSkills: readonly ExtendedSkill[];
  approvals: readonly string[];
  inputModes: readonly string[];
  outputModes: readonly string[];
  developmentOnly: boolean;
  /** Whether the turn that `input` starts runs on a Workflow. */
  isDurable(input: Input): boolean;
  run(task: TaskContext): Promise<void>;
}>;

const NAME = /^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$/;

/** Paths of the server itself, which an agent's name would hide. */
const RESERVED = new Set(["health", "ready", "metrics", "admin", "rpc", "ws", "tasks", "v1", "a2a"]);

/** Checks a definition and fills in its defaults. Throws on a name that cannot be a path, and on what no card may hold. */
export function defineAgent(definition: AgentDefinition): Agent {
  const { name, durable = false } = definition;
  if (!NAME.test(name)) throw new Error(`agent name ${JSON.stringify(name)} must match ${NAME}`);
  if (RESERVED.has(name)) throw new Error(`agent name ${JSON.stringify(name)} is a path of the server`);
  if (definition.skills.length === 0) throw new Error(`agent ${name} needs at least one skill`);
  const { title = name, description, version = "1.0.0", extendedSkills = [], approvals = [] } = definition;
  for (const tool of approvals) {
    if (!isToolName(tool)) throw new Error(`agent ${name}: ${JSON.stringify(tool)} cannot be a tool's name`);
  }
  for (const [member, text] of Object.entries({ title, description, version })) {
    if (text === "") throw new Error(`agent ${name} needs a ${member}`);
  }
  return Object.freeze({
    name,
    title,
    description,
    version,
    skills: definition.skills.map((skill) => readSkill(name, skill)),
    extendedSkills: extendedSkills.map(({ scope, ...skill }) => {
      return { ...readSkill(name, skill), ...(scope && { scope }) };
    }),
    approvals,
    inputModes: definition.inputModes ?? ["text/plain"],
    outputModes: definition.outputModes ?? ["text/plain"],
    developmentOnly: definition.developmentOnly ?? false,
    isDurable: typeof durable === "function" ? durable : () => durable,
    // Each definition's `run` takes the kind of task its `durable` asks for.
    run: definition.run as Agent["run"],
  });
}

/** A skill as cards hold it, without what is empty: a card is signed in the form that everybody else reads it in. */
function readSkill(agent: string, skill: AgentSkill): AgentSkill {
  const read = parseParams(AgentSkill, skill);
  if (!read.ok) throw new Error(`agent ${agent}, skill ${JSON.stringify(skill.id)}: ${read.error.message}`);
  return read.value;
}

/** The input of a turn, from its message and what that decides. */
export function toInput(message: Message, approval?: Approval): Input {
  const texts = message.parts.flatMap((part) =>
    "text" in part && part.text !== undefined ? [part.text] : [],
  );
  return { text: texts.join("\n"), message, ...(approval && { approval }) };
}
