// AgentWorkflow: a durable turn of an agent, as an instance of a Cloudflare Workflow.
//
// The platform runs `run` again from its start whenever the instance wakes, and answers finished steps from
// its journal. So everything that leaves here is a step with a name that follows from its place in `run`, and
// the home takes each report once, by that name: what happens between a report and the end of its step may
// be repeated without harm.

import { WorkflowEntrypoint, type WorkflowEvent, type WorkflowStep } from "cloudflare:workers";
import { NonRetryableError } from "cloudflare:workflows";
import { AsyncLocalStorage } from "node:async_hooks";
import { loadConfig } from "../config.ts";
import type { Approval } from "../protocol/approvals.ts";
import type { Message } from "../protocol/message.ts";
import { isTerminal, type TaskState } from "../protocol/state.ts";
import { log } from "../telemetry/log.ts";
import { type Agent, type Content, type DurableTask, type Input, toInput, toMemory } from "./agent.ts";
import {
  type Emission,
  InvalidEmission,
  toAgentMessage,
  toApprovalEmission,
  toArtifactEmission,
} from "./emissions.ts";
import type { JobHome, JobParams, JobReport, JobStart } from "./job.ts";
import { createRegistry } from "./registry.ts";

/** Thrown through an agent's `run` when its task has ended without it. A step that meets it is not tried again. */
class TaskOver extends NonRetryableError {
  constructor() {
    super("the task is over");
  }
}

/**
 * Thrown through an agent's `run` when the platform stops or pauses the instance, or a report cannot be delivered: no
 * failure of the agent. The instance fails with it, and the home sees to what comes next.
 */
class Interrupted extends Error {}

async function onPlatform<T>(call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (cause) {
    throw new Interrupted("the job was interrupted", { cause });
  }
}

/** A home that is being restarted is back within seconds. */
const RETRY = {
  retries: { limit: 10, delay: "1 second", backoff: "exponential" },
  timeout: "30 seconds",
} as const;
/** A step of the agent's own: it may take long, and what fails may be down for a while. */
const AGENT_RETRY = {
  retries: { limit: 5, delay: "2 seconds", backoff: "exponential" },
  timeout: "30 minutes",
} as const;

export class AgentWorkflow extends WorkflowEntrypoint<Env, JobParams> {
  override async run(event: Readonly<WorkflowEvent<JobParams>>, step: WorkflowStep): Promise<void> {
    const { home: id, task, job, agent: name } = event.payload;
    const config = loadConfig(this.env);
    if (!config.ok) throw new Error(config.error.join("; "));
    const agents = createRegistry(config.value);
    const agent = agents.ok ? agents.value.get(name) : undefined;
    if (!agent) throw new Error(`agent ${name} is not served`);
    const homes = this.env.HOMES;
    // A stub whose object was restarted stays broken, so each call takes a new one.
    const home = () => homes.get(homes.idFromString(id)) as unknown as JobHome;
    const start = await untilReached(() => home().jobStart(task, job));
    if (!start) return;
    const turn = new DurableTurn({ home, step, task, job, start, agent, stepMs: config.value.stepMs });
    await turn.run();
  }
}

/** Calls the home outside of a step, for what is too large for a step's result, until it answers. */
async function untilReached<T>(call: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await call();
    } catch (error) {
      if (attempt === 5) throw error;
      await scheduler.wait(200 * 2 ** attempt);
    }
  }
}

type TurnOptions = {
  home(): JobHome;
  step: WorkflowStep;
  task: string;
  job: string;
  start: JobStart;
  agent: Agent;
  stepMs: number;
};

/** Where an agent acts: in one try of a step of its own, or outside of steps. */
type Place = {
  /** The step's name. */
  step?: string;
  /** What is emitted is named by its place in the turn, inside of a step by its place in the step. */
  count: number;
  /**
   * Settles with the newest report. Each waits for the one before it, and fails with it, also where the agent waits for
   * none: two calls of the home at the same moment may arrive in either order.
   */
  sent: Promise<void>;
};

class DurableTurn {
  readonly #options: TurnOptions;
  readonly #insideStep = new AsyncLocalStorage<Place>();
  readonly #outside: Place = { count: 0, sent: Promise.resolve() };
  readonly #memory = new Map<string, unknown>();
  readonly #stepNames = new Map<string, number>();
  #answered: number;
  #ended = false;

  constructor(options: TurnOptions) {
    this.#options = options;
    this.#answered = options.start.turnInput;
  }

  async run(): Promise<void> {
    const { agent, task } = this.#options;
    try {
      await agent.run(this.#context());
      if (!this.#ended) await this.#status("TASK_STATE_COMPLETED", undefined, true);
    } catch (error) {
      // As it came: the platform knows its own interruptions again.
      if (error instanceof Interrupted) throw error.cause;
      if (error instanceof TaskOver || this.#ended) return;
      log("error", "agent threw", { agent: agent.name, taskId: task, error });
      const reason =
        error instanceof InvalidEmission
          ? `The agent emitted an invalid event: ${error.message}.`
          : "The agent failed with an internal error.";
      await this.#status("TASK_STATE_FAILED", reason, true).catch((failure: unknown) => {
        if (failure instanceof TaskOver) return;
        throw failure instanceof Interrupted ? failure.cause : failure;
      });
    }
  }

  #context(): DurableTask {
    const { start, step, task, stepMs } = this.#options;
    const ending = (state: TaskState) => (content?: Content) => this.#status(state, content, true);
    return {
      durable: true,
      id: task,
      contextId: start.contextId,
      input: toInput(start.input, start.approval),
      history: start.history,
      memory: toMemory(this.#memory, () => start.memory),
      notifications: start.notifications,
      stepMs,
      working: (content) => this.#status("TASK_STATE_WORKING", content, false),
      complete: ending("TASK_STATE_COMPLETED"),
      fail: ending("TASK_STATE_FAILED"),
      reject: ending("TASK_STATE_REJECTED"),
      inputRequired: ending("TASK_STATE_INPUT_REQUIRED"),
      authRequired: ending("TASK_STATE_AUTH_REQUIRED"),
      approvalRequired: (tool, content) => this.#question(tool, content, true),
      artifact: (artifact) => {
        const key = this.#nextKey();
        return this.#report(key, toArtifactEmission(artifact, `artifact-${start.turnSeq}-${key}`), false);
      },
      step: (name, fn) => this.#step(name, fn),
      sleep: async (ms) => {
        const name = `sleep ${++this.#outside.count}`;
        await this.#outside.sent;
        await onPlatform(step.sleep(name, ms));
      },
      ask: (content) => this.#ask("TASK_STATE_INPUT_REQUIRED", content),
      askAuth: (content) => this.#ask("TASK_STATE_AUTH_REQUIRED", content),
      askApproval: (tool, content) => this.#askApproval(tool, content),
    };
  }

  async #step<T>(given: string, fn: () => Promise<T>): Promise<T> {
    // A name given twice, in a loop, is two steps: their order in `run` tells them apart.
    const count = (this.#stepNames.get(given) ?? 0) + 1;
    this.#stepNames.set(given, count);
    const name = count === 1 ? given : `${given} #${count}`;
    await this.#outside.sent;
    let threw = false;
    const callback = async () => {
      try {
        // The platform asks for a serializable type; what an agent's step returns is its author's business.
        const place: Place = { step: name, count: 0, sent: Promise.resolve() };
        const result = (await this.#insideStep.run(place, fn)) as Rpc.Serializable<T>;
        await place.sent;
        return result;
      } catch (error) {
        threw = true;
        throw error;
      }
    };
    try {
      return (await this.#options.step.do(`step: ${name}`, AGENT_RETRY, callback)) as T;
    } catch (cause) {
      throw threw ? cause : new Interrupted("the job was interrupted", { cause });
    }
  }

  async #ask(
    state: "TASK_STATE_INPUT_REQUIRED" | "TASK_STATE_AUTH_REQUIRED",
    content: Content,
  ): Promise<Input> {
    await this.#status(state, content, false);
    return this.#answer();
  }

  async #askApproval(tool: string, content: Content): Promise<Input & { approval: Approval }> {
    await this.#question(tool, content, false);
    for (;;) {
      const input = await this.#answer();
      const { approval } = input;
      // A message that came before the question decides nothing.
      if (approval?.tool === tool) return { ...input, approval };
    }
  }

  /** The next message of the task. */
  async #answer(): Promise<Input> {
    const { home, step, task, job } = this.#options;
    const count = ++this.#outside.count;
    for (let look = 1; ; look++) {
      const answer = await onPlatform(
        step.do(`answer ${count}.${look}`, RETRY, () => home().jobAnswer(task, job, this.#answered)),
      );
      if (answer.over) throw new TaskOver();
      if (answer.seq > 0) {
        this.#answered = answer.seq;
        const message = await untilReached(() => home().jobMessage(task, job, answer.seq));
        if (!message) throw new TaskOver();
        return toInput(message, answer.approval);
      }
      // The event only says "look again"; without one we look once a day.
      await step
        .waitForEvent(`message ${count}.${look}`, { type: "message", timeout: "1 day" })
        .catch(() => {});
    }
  }

  #status(state: TaskState, content: Content | undefined, ending: boolean): Promise<void> {
    const key = this.#nextKey();
    const message = content === undefined ? undefined : this.#message(key, content);
    return this.#report(key, { kind: "status", state, ...(message && { message }) }, ending);
  }

  #question(tool: string, content: Content, ending: boolean): Promise<void> {
    const key = this.#nextKey();
    const emission = toApprovalEmission(this.#options.agent, tool, this.#message(key, content));
    return this.#report(key, emission, ending);
  }

  #message(key: string, content: Content): Message {
    const { start, task } = this.#options;
    const ids = { id: task, contextId: start.contextId };
    return toAgentMessage(ids, `${task}-${start.turnSeq}-${key}`, content);
  }

  #nextKey(): string {
    const place = this.#place;
    const count = ++place.count;
    return place.step === undefined ? `${count}` : `${place.step}.${count}`;
  }

  get #place(): Place {
    return this.#insideStep.getStore() ?? this.#outside;
  }

  #report(key: string, emission: Emission, ending: boolean): Promise<void> {
    const place = this.#place;
    place.sent = place.sent.then(() => this.#send(key, emission, ending));
    // An agent that does not wait for it meets its failure in what it does next.
    place.sent.catch(() => {});
    return place.sent;
  }

  async #send(key: string, emission: Emission, ending: boolean): Promise<void> {
    const { home, step, task, job } = this.#options;
    if (this.#ended) return;
    const isEnd = ending || (emission.kind === "status" && isTerminal(emission.state));
    const report: JobReport = {
      key,
      emission,
      ending: isEnd,
      ...(isEnd && this.#memory.size > 0 && { memory: this.#memory }),
    };
    const send = () => home().jobReport(task, job, report);
    // Inside a step the step itself is what is repeated.
    const taken = this.#insideStep.getStore()
      ? await send()
      : await onPlatform(step.do(`report ${key}`, RETRY, send));
    if (!taken) throw new TaskOver();
    // Not before: a step whose report did not arrive makes it again.
    if (isEnd) this.#ended = true;
  }
}
