// What callers ask of a home: messages, reads, cancellations, subscriptions and push notification configs.
//
// A call is counted first, by what its caller may ask. New work is refused here while old work is behind, or too much
// of it runs. Only then does the call wait for its turn to write, and catch up with what runs.

import type { PushConfigAnswer, PushConfigView } from "../delivery/stored-config.ts";
import { type JsonBytes, toJsonBytes } from "../lib/bytes.ts";
import { err, ok, type Result } from "../lib/result.ts";
import { type Failure, failure } from "../protocol/errors.ts";
import { isTerminal } from "../protocol/state.ts";
import type { Task } from "../protocol/task.ts";
import type {
  By,
  CancelCommand,
  GetQuery,
  Home,
  ListAnswer,
  ListQuery,
  PushCommand,
  PushList,
  PushQuery,
  SendCommand,
  SubscribeQuery,
  Subscription,
  TaskQuery,
} from "./commands.ts";
import { toTask } from "./fold.ts";
import type { Followers } from "./followers.ts";
import type { Begun, Inbox } from "./inbox.ts";
import type { Jobs } from "./jobs.ts";
import type { CallKind, Limits } from "./limits.ts";
import type { TaskRecord } from "./machine.ts";
import type { PushCommands } from "./push-commands.ts";
import type { Shedding } from "./shedding.ts";
import type { Store } from "./store.ts";
import { openLine, toLine } from "./subscription.ts";
import type { Turns } from "./turns.ts";

/** What the tasks of one page may hold; an RPC value holds at most 32 MiB. */
const PAGE_BYTES = 16_777_216;

export type CallsOptions = {
  store: Store;
  turns: Turns;
  jobs: Jobs;
  inbox: Inbox;
  followers: Followers;
  push: PushCommands;
  limits: Limits;
  shedding: Shedding;
};

export class Calls implements Home {
  readonly #store: Store;
  readonly #turns: Turns;
  readonly #jobs: Jobs;
  readonly #inbox: Inbox;
  readonly #followers: Followers;
  readonly #push: PushCommands;
  readonly #limits: Limits;
  readonly #shedding: Shedding;

  constructor({ store, turns, jobs, inbox, followers, push, limits, shedding }: CallsOptions) {
    this.#store = store;
    this.#turns = turns;
    this.#jobs = jobs;
    this.#inbox = inbox;
    this.#followers = followers;
    this.#push = push;
    this.#limits = limits;
    this.#shedding = shedding;
  }

  async send(command: SendCommand): Promise<Result<JsonBytes, Failure>> {
    const refused = this.#refusalOf("sends", command);
    if (refused) return err(refused);
    if (command.returnImmediately) return this.#send(command);
    return this.#limits.wait(command.by, () => this.#send(command));
  }

  async #send(command: SendCommand): Promise<Result<JsonBytes, Failure>> {
    const begun = await this.#begin("send", command);
    if (!begun.ok) return begun;
    if (begun.value.kind === "message") return ok(toJsonBytes({ message: begun.value.message }));
    const { id, whole } = begun.value;
    if (whole) {
      const view = { historyLength: command.historyLength, artifacts: true };
      return ok(toJsonBytes({ task: toTask(whole.record, whole.entries, view) }));
    }
    const record = command.returnImmediately
      ? this.#store.get(id)
      : await this.#followers.settled(begun.value);
    if (!record) return err(notFound(id));
    return ok(toJsonBytes({ task: this.#view(record, command.historyLength) }));
  }

  async stream(command: SendCommand): Promise<Result<Subscription, Failure>> {
    const refused = this.#refusalOf("sends", command);
    if (refused) return err(refused);
    return this.#limits.stream(command.by, (closed) => this.#stream(command, closed));
  }

  async #stream(command: SendCommand, closed: () => void): Promise<Result<Subscription, Failure>> {
    const begun = await this.#begin("stream", command);
    if (!begun.ok) return begun;
    if (begun.value.kind === "message") {
      closed();
      return ok(openLine(toLine("-", JSON.stringify({ message: begun.value.message }))));
    }
    const { id, input, first } = begun.value;
    const record = this.#store.get(id);
    if (!record) return err(notFound(id));
    const { seq, task, taken } = first ?? {
      seq: record.seq,
      task: this.#view(record, command.historyLength),
      taken: record.answered >= input,
    };
    // Clients of 0.1 know no auth-required: to them it is a question.
    const asksByAuth = command.version === "0.1";
    return ok(this.#followers.open(id, seq, closed, { task, input, taken, asksByAuth }));
  }

  async get(query: GetQuery): Promise<Result<JsonBytes, Failure>> {
    const refused = this.#refusalOf("reads", query);
    if (refused) return err(refused);
    this.#turns.catchUp();
    const record = this.#find(query);
    return record ? ok(toJsonBytes(this.#view(record, query.historyLength))) : err(notFound(query.id));
  }

  async list(query: ListQuery): Promise<Result<ListAnswer, Failure>> {
    const refused = this.#refusalOf("reads", query);
    if (refused) return err(refused);
    this.#turns.catchUp();
    const { exists, records, journal } = this.#store;
    if (!exists) return ok({ tasks: [], total: 0, more: false });
    const view = { historyLength: query.historyLength, artifacts: query.artifacts };
    const found = records.list(query, query.after, query.limit + 1);
    const page = withinPage(found.slice(0, query.limit));
    return ok({
      tasks: page.map((record) => ({
        id: record.id,
        statusAt: record.statusAt,
        json: toJsonBytes(toListed(journal.toTask(record, view), query.artifacts)),
      })),
      total: records.total(query),
      more: page.length < found.length,
    });
  }

  async cancel(query: CancelCommand): Promise<Result<JsonBytes, Failure>> {
    const refused = this.#refusalOf("reads", query);
    if (refused) return err(refused);
    await this.#store.commits.turn();
    this.#turns.catchUp();
    const record = this.#find(query);
    if (!record) return err(notFound(query.id));
    if (query.repeated && record.state === "TASK_STATE_CANCELED") return ok(toJsonBytes(this.#view(record)));
    if (isTerminal(record.state)) return err(ended("TASK_NOT_CANCELABLE", record));
    this.#turns.cancel(record.id, query.by);
    if (record.job) this.#jobs.notify(record.id);
    return ok(toJsonBytes(this.#view(this.#store.get(record.id) ?? record)));
  }

  async subscribe(query: SubscribeQuery): Promise<Result<Subscription, Failure>> {
    const refused = this.#refusalOf("reads", query);
    if (refused) return err(refused);
    return this.#limits.stream(query.by, async (closed) => this.#subscribe(query, closed));
  }

  #subscribe(query: SubscribeQuery, closed: () => void): Result<Subscription, Failure> {
    this.#turns.catchUp();
    const record = this.#find(query);
    if (!record) return err(notFound(query.id));
    const { lastEventId } = query;
    if (lastEventId !== undefined) {
      if (lastEventId <= record.seq) return ok(this.#followers.open(record.id, lastEventId, closed));
      const description = "is newer than every event of this task";
      return err(failure("INVALID_PARAMS", { violations: [{ field: "Last-Event-ID", description }] }));
    }
    if (isTerminal(record.state)) return err(ended("UNSUPPORTED_OPERATION", record));
    return ok(this.#followers.open(record.id, record.seq, closed, { task: this.#view(record) }));
  }

  // Push notification configs.

  async setPushConfig(command: PushCommand): Promise<Result<PushConfigAnswer, Failure>> {
    const refused = this.#refusalOf("push_configs", command);
    if (refused) return err(refused);
    const { by, agent, taskId, config, sheddable } = command;
    const shed = sheddable ? this.#shedding.refusal(config.endpoint) : undefined;
    if (shed) return err(shed);
    await this.#store.commits.turn();
    this.#turns.catchUp();
    const record = this.#find({ agent, id: taskId });
    return record ? this.#push.set(record, config, by) : err(notFound(taskId));
  }

  async getPushConfig(command: PushQuery): Promise<Result<PushConfigView, Failure>> {
    const refused = this.#refusalOf("reads", command);
    if (refused) return err(refused);
    const { agent, taskId, id } = command;
    this.#turns.catchUp();
    const record = this.#find({ agent, id: taskId });
    return record ? this.#push.get(taskId, id) : err(notFound(taskId));
  }

  async listPushConfigs(command: PushList): Promise<Result<PushConfigView[], Failure>> {
    const refused = this.#refusalOf("reads", command);
    if (refused) return err(refused);
    const { agent, taskId } = command;
    this.#turns.catchUp();
    const record = this.#find({ agent, id: taskId });
    return record ? ok(this.#push.list(taskId)) : err(notFound(taskId));
  }

  async deletePushConfig(command: PushQuery): Promise<Result<void, Failure>> {
    const refused = this.#refusalOf("push_configs", command);
    if (refused) return err(refused);
    const { by, agent, taskId, id } = command;
    await this.#store.commits.turn();
    this.#turns.catchUp();
    const record = this.#find({ agent, id: taskId });
    if (!record) return err(notFound(taskId));
    await this.#push.delete(taskId, id, by);
    return ok(undefined);
  }

  /** Counts a call of a caller; why it is refused, if it is. A call that is repeated has been counted. */
  #refusalOf(kind: CallKind, call: { by: By; repeated?: boolean }): Failure | undefined {
    return call.repeated ? undefined : this.#limits.call(kind, call.by);
  }

  async #begin(operation: "send" | "stream", command: SendCommand): Promise<Result<Begun, Failure>> {
    const { message, chosenTaskId } = command;
    const taskId = message.taskId ?? chosenTaskId;
    const exists = chosenTaskId !== undefined && this.#store.get(chosenTaskId) !== undefined;
    const isOld = command.repeated || message.taskId !== undefined || exists;
    // A follow-up may bring a config, too.
    const endpoint = command.push?.endpoint;
    const brings = !isOld || endpoint !== undefined;
    const shed = command.sheddable && brings ? this.#shedding.refusal(endpoint) : undefined;
    if (shed) return err(shed);
    const isRunning = command.repeated || (taskId !== undefined && this.#turns.get(taskId) !== undefined);
    const refused = isRunning ? undefined : this.#limits.turn(this.#turns.count);
    if (refused) return err(refused);
    await this.#store.commits.turn();
    this.#turns.catchUp();
    return this.#inbox.begin(operation, command);
  }

  #find(query: Pick<TaskQuery, "agent" | "id">): TaskRecord | undefined {
    const record = this.#store.get(query.id);
    return record?.agent === query.agent ? record : undefined;
  }

  #view(record: TaskRecord, historyLength?: number): Task {
    return this.#store.journal.toTask(record, { historyLength, artifacts: true });
  }
}

/** As many of the records, and at least one, as one RPC value can carry with all that belongs to them. */
function withinPage(records: readonly TaskRecord[]): readonly TaskRecord[] {
  let bytes = 0;
  const end = records.findIndex((record) => {
    bytes += record.bytes;
    return bytes > PAGE_BYTES;
  });
  return end === -1 ? records : records.slice(0, Math.max(1, end));
}

/** Lists show an empty list of artifacts when they show artifacts (§3.1.4). */
function toListed(task: Task, artifacts: boolean): Task {
  return artifacts ? { ...task, artifacts: task.artifacts ?? [] } : task;
}

function notFound(id: string): Failure {
  return failure("TASK_NOT_FOUND", { metadata: { taskId: id } });
}

function ended(reason: "TASK_NOT_CANCELABLE" | "UNSUPPORTED_OPERATION", record: TaskRecord): Failure {
  const metadata = { taskId: record.id, state: record.state };
  return failure(reason, { message: "The task has already ended.", metadata });
}
