// One turn of a quick agent: calls its `run` and turns what it emits into journal rows.
//
// Emissions are gathered in a draft and written together when the turn ends or the agent waits for something real, so
// that a turn that waits for nothing is one transaction. Nothing at all is stored before the agent's first
// act, since a `reply` there makes no task.

import { type Agent, type ArtifactInput, type Content, type QuickTask, toInput } from "../agents/agent.ts";
import {
  type Emission,
  InvalidEmission,
  toAgentMessage,
  toApprovalEmission,
  toArtifactEmission,
} from "../agents/emissions.ts";
import { utf8Length } from "../lib/bytes.ts";
import type { Approval } from "../protocol/approvals.ts";
import type { Message } from "../protocol/message.ts";
import { isInterrupted, isTerminal, type TaskState } from "../protocol/state.ts";
import type { Version } from "../protocol/version.ts";
import { log } from "../telemetry/log.ts";
import { Draft, type DraftHost, type DraftStart } from "./draft.ts";
import { EarlierRun } from "./earlier-run.ts";
import { apply, type Entry, restart, type Step, type TaskRecord, tooLarge } from "./machine.ts";
import { memoryTooLarge } from "./memories.ts";

/** How long emissions are gathered, in microtasks: enough for an agent's own awaits between two of them. */
export const GATHER_MICROTASKS = 32;

/** Most bytes of a Message that makes no task: it is kept in one row when its request has an Idempotency-Key. */
const MAX_REPLY_BYTES = 1_000_000;

/** A task and the whole of its journal. */
export type Whole = { record: TaskRecord; entries: readonly Entry[] };

/** What was started by the turn's first act; `whole` if the turn made a task and ended in one go. */
export type Outcome = { kind: "task"; whole?: Whole } | { kind: "message"; message: Message };

export type TurnHost = DraftHost & {
  now(): number;
  maxTaskBytes: number;
  stepMs: number;
  /** Turns that have something to write, of tasks that exist or soon do: callers are shown all of it. */
  unwritten: Set<Turn>;
  /** The messages of the task as its turn began, the one that began it last. */
  loadHistory(record: TaskRecord): Message[];
  /** The turn is over; it is no longer in charge of its task. */
  ended(turn: Turn): void;
  /** What the turn wanted to write could not be written; it is over as well. */
  broken(turn: Turn): void;
};

type Notifications = QuickTask["notifications"];

export type TurnStart = DraftStart & {
  agent: Agent;
  host: TurnHost;
  message: Message;
  /** What the message decides about a tool. */
  approval?: Approval | undefined;
  /** The version of A2A that the message came in; absent: 1.0. */
  version?: Version | undefined;
  /** In a re-run: the whole journal of the task. */
  journal?: Entry[];
  /** What the agent is told of the task's webhooks. */
  notifications: Notifications;
};

export class Turn {
  readonly startedAt: number;
  readonly #agent: Agent;
  readonly #host: TurnHost;
  readonly #message: Message;
  readonly #approval: Approval | undefined;
  readonly #version: Version;
  readonly #notifications: Notifications;
  readonly #abort = new AbortController();
  readonly #outcome = Promise.withResolvers<Outcome>();
  readonly #earlier: EarlierRun | undefined;
  readonly #draft: Draft;
  #ordinal = 0;
  #gathering = false;
  readonly #ended = Promise.withResolvers<void>();
  #over = false;
  #warned = false;

  constructor(start: TurnStart) {
    this.#agent = start.agent;
    this.#host = start.host;
    this.#message = start.message;
    this.#approval = start.approval;
    this.#version = start.version ?? "1.0";
    this.#notifications = start.notifications;
    this.#draft = new Draft(start, start.host);
    this.#earlier = start.journal && new EarlierRun(start.journal, start.record.turnSeq);
    this.startedAt = start.host.now();
    // A request that has gone does not make its turn's failure an unhandled one.
    this.#outcome.promise.catch(() => {});
    if (start.stored) {
      this.#outcome.resolve({ kind: "task" });
      this.#host.unwritten.add(this);
    }
  }

  get taskId(): string {
    return this.record.id;
  }

  /** Resolves when the turn is over, whatever its agent still does. */
  get over(): Promise<void> {
    return this.#ended.promise;
  }

  /** Settles with the agent's first act. */
  get outcome(): Promise<Outcome> {
    return this.#outcome.promise;
  }

  get record(): TaskRecord {
    return this.#draft.record;
  }

  /** Runs the agent; resolves when its `run` has returned, which may be long after the turn has ended. */
  async run(): Promise<void> {
    try {
      await this.#agent.run(this.#context());
      if (!this.#over) this.#emit({ kind: "status", state: "TASK_STATE_COMPLETED" });
    } catch (error) {
      if (this.#over) return;
      log("error", "agent threw", { ...this.#fields(), error });
      this.#fail("The agent failed with an internal error.");
    }
  }

  /** Makes the task exist, whatever the agent does later. */
  materialise(): void {
    if (this.#over || this.#draft.isStored) return;
    this.flush();
  }

  /** Ends the turn from outside: canceled by its caller, or failed by the watchdog. `companion` is written with it. */
  stop(state: "TASK_STATE_CANCELED" | "TASK_STATE_FAILED", reason?: string, companion?: () => void): void {
    if (this.#over) return;
    this.#putLeftovers();
    // One of them may have been too much, and ended it.
    if (this.#over) return;
    // A memory that is too large must not stand in the way of the end.
    this.#draft.memoryFits();
    const message = reason === undefined ? undefined : this.#agentMessage(reason);
    const emission: Emission = { kind: "status", state, ...(message && { message }) };
    const step = apply(this.record, emission, this.#host.now());
    if (companion) this.#draft.accompany(companion);
    if (step) this.#end(step);
    this.#abort.abort(new DOMException(reason ?? "The task was canceled.", "AbortError"));
  }

  /** Another message has come while the turn runs: it waits in the journal for the next turn. */
  receive(step: Step, companion: () => void): void {
    this.#draft.add(step);
    this.#draft.accompany(companion);
    this.flush();
  }

  /** Writes what has been gathered, if the task exists already. */
  settleWrites(): void {
    if (this.#draft.isStored && !this.#over) this.flush();
  }

  /** Writes what has been gathered; the task exists from then on. */
  flush(): void {
    this.#host.unwritten.delete(this);
    const isNew = !this.#draft.isStored;
    let entries: readonly Entry[] | undefined;
    try {
      entries = this.#draft.write({ isEnd: this.#over });
    } catch (error) {
      this.#over = true;
      this.#outcome.reject(error);
      this.#abort.abort();
      this.#ended.resolve();
      this.#host.broken(this);
      throw error;
    }
    if (!entries) return;
    const whole = this.#over && isNew ? { record: this.record, entries } : undefined;
    this.#outcome.resolve({ kind: "task", ...(whole && { whole }) });
  }

  #emit(emission: Emission): void {
    if (this.#over) {
      if (!this.#warned)
        log("warn", "what an agent emits after the end of its turn is dropped", this.#fields());
      this.#warned = true;
      return;
    }
    if (isEnding(emission) && !this.#draft.memoryFits()) {
      this.#fail(memoryTooLarge);
      return;
    }
    const ordinal = this.#ordinal++;
    if (!this.#earlier) {
      this.#put(emission);
      return;
    }
    const seen = this.#earlier.next(emission, ordinal, this.record);
    if (seen.kind === "known") return;
    if (seen.kind === "differs") this.#draft.add(restart(this.record, seen.from));
    if (isEnding(seen.emission)) this.#putLeftovers();
    this.#put(seen.emission);
  }

  /** What subscribers have seen of an earlier run and this one has not said again is put right before the end. */
  #putLeftovers(): void {
    for (const whole of this.#earlier?.takeLeftovers() ?? []) this.#put(whole);
  }

  #put(emission: Emission): void {
    const step = apply(this.record, emission, this.#host.now());
    if (!step) return;
    if (step.record.bytes > this.#host.maxTaskBytes) {
      this.#fail(tooLarge(this.#host.maxTaskBytes));
      return;
    }
    if (isEnding(emission)) {
      this.#end(step);
    } else {
      this.#draft.add(step);
      this.#host.unwritten.add(this);
      this.#gather();
    }
  }

  #end({ record, entry }: Step): void {
    this.#draft.add({ record: { ...record, attempt: 0 }, entry });
    this.#over = true;
    this.flush();
    this.#ended.resolve();
    this.#host.ended(this);
  }

  #fail(reason: string): void {
    this.stop("TASK_STATE_FAILED", reason);
  }

  #gather(): void {
    if (this.#gathering) return;
    this.#gathering = true;
    void this.#flushSoon();
  }

  async #flushSoon(): Promise<void> {
    for (let i = 0; i < GATHER_MICROTASKS; i++) await undefined;
    this.#gathering = false;
    try {
      if (!this.#over) this.flush();
    } catch (error) {
      log("error", "a turn could not be written", { ...this.#fields(), error });
    }
  }

  #fields() {
    return { agent: this.#agent.name, taskId: this.taskId };
  }

  #context(): QuickTask {
    const status = async (state: TaskState, content?: Content) => {
      this.#attempt(() => {
        const message = content === undefined ? undefined : this.#agentMessage(content);
        this.#emit({ kind: "status", state, ...(message && { message }) });
      });
    };
    const turn = this;
    return {
      durable: false,
      id: this.record.id,
      contextId: this.record.contextId,
      input: toInput(this.#message, this.#approval),
      version: this.#version,
      get history() {
        return turn.#draft.isStored ? turn.#host.loadHistory(turn.record) : [turn.#message];
      },
      memory: this.#draft.memory,
      notifications: this.#notifications,
      stepMs: this.#host.stepMs,
      signal: this.#abort.signal,
      working: (content) => status("TASK_STATE_WORKING", content),
      complete: (content) => status("TASK_STATE_COMPLETED", content),
      fail: (content) => status("TASK_STATE_FAILED", content),
      reject: (content) => status("TASK_STATE_REJECTED", content),
      inputRequired: (content) => status("TASK_STATE_INPUT_REQUIRED", content),
      authRequired: (content) => status("TASK_STATE_AUTH_REQUIRED", content),
      approvalRequired: async (tool, content) =>
        this.#attempt(() => this.#emit(toApprovalEmission(this.#agent, tool, this.#agentMessage(content)))),
      artifact: async (artifact) => this.#attempt(() => this.#artifact(artifact)),
      reply: async (content) => this.#attempt(() => this.#reply(content)),
    };
  }

  /** What an agent emits wrongly fails its task at once, even if the agent does not await the emission. */
  #attempt(emit: () => void): void {
    try {
      emit();
    } catch (error) {
      if (this.#over) throw error;
      const reason = error instanceof InvalidEmission ? error.message : "an internal error";
      log("error", "agent emitted what cannot be", { ...this.#fields(), error });
      this.#fail(`The agent emitted an invalid event: ${reason}.`);
    }
  }

  #artifact(input: ArtifactInput): void {
    this.#emit(toArtifactEmission(input, `artifact-${this.record.turnSeq + this.#ordinal}`));
  }

  #reply(content: Content): void {
    const acted = this.#draft.isStored || this.#ordinal > 0;
    if (acted || this.#over) {
      this.#emit({ kind: "status", state: "TASK_STATE_COMPLETED", message: this.#agentMessage(content) });
      return;
    }
    if (!this.#draft.memoryFits()) {
      this.#fail(memoryTooLarge);
      return;
    }
    const { taskId: _, ...message } = this.#agentMessage(content);
    if (utf8Length(JSON.stringify(message)) > MAX_REPLY_BYTES) {
      this.#fail(`The agent's message is larger than ${MAX_REPLY_BYTES} bytes; artifacts may be larger.`);
      return;
    }
    this.#over = true;
    try {
      this.#draft.writeMemory();
      this.#outcome.resolve({ kind: "message", message });
    } catch (error) {
      log("error", "a memory could not be written", { ...this.#fields(), error });
      this.#outcome.reject(error);
    }
    this.#ended.resolve();
    this.#host.ended(this);
  }

  /** A message of the agent. Its id follows from its place, so that a re-run makes the same one. */
  #agentMessage(content: Content): Message {
    return toAgentMessage(this.record, `${this.record.id}-${this.record.turnSeq + this.#ordinal}`, content);
  }
}

function isEnding(emission: Emission): boolean {
  return emission.kind === "status" && (isTerminal(emission.state) || isInterrupted(emission.state));
}
