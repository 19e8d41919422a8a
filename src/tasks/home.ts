// HomeObject: the Durable Object where an owner's tasks live. This class is the door: it takes calls and leaves
// messages, turns, jobs, storage and the clock to the parts beside it, which parts.ts puts together.
//
// Methods return Results, because the class and fields of a thrown error do not survive RPC. Everything
// that is not a call is #private: RPC could reach it otherwise.

import { DurableObject } from "cloudflare:workers";
import type { JobAnswer, JobHome, JobReport, JobStart } from "../agents/job.ts";
import { type AuditTail, EMPTY_TAIL } from "../audit/chain.ts";
import { loadConfig } from "../config.ts";
import {
  type DeliveryHealth,
  type DeliveryObject,
  type ExchangeRequest,
  type ExchangeWire,
  toWire,
} from "../delivery/exchange.ts";
import type { PushConfigAnswer, PushConfigView } from "../delivery/stored-config.ts";
import { type JsonBytes, toJsonBytes } from "../lib/bytes.ts";
import { err, ok, type Result } from "../lib/result.ts";
import { type Failure, failure } from "../protocol/errors.ts";
import type { Message } from "../protocol/message.ts";
import { isTerminal } from "../protocol/state.ts";
import type { Task } from "../protocol/task.ts";
import type { DeadLetter } from "../store/dead-letters.ts";
import type { Clock } from "./clock.ts";
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
import type { LetterOfTask } from "./dead-letters.ts";
import type { Delivery } from "./delivery.ts";
import { type Erased, type Erasure, eraseSome } from "./erase.ts";
import { type ExportPage, type ExportPlace, exportPage } from "./export.ts";
import type { Followers } from "./followers.ts";
import type { Begun, Inbox } from "./inbox.ts";
import type { Jobs } from "./jobs.ts";
import { toTask } from "./journal.ts";
import type { CallKind, Limits } from "./limits.ts";
import type { TaskRecord } from "./machine.ts";
import { createParts } from "./parts.ts";
import type { ConfigQuery, DeadQuery } from "./push-operations.ts";
import type { Shedding } from "./shedding.ts";
import type { Store } from "./store.ts";
import { openLine, toLine } from "./subscription.ts";
import type { Turns } from "./turns.ts";

/** What the tasks of one page may hold; an RPC value holds at most 32 MiB. */
const PAGE_BYTES = 16_777_216;

export class HomeObject extends DurableObject<Env> implements Home, JobHome, DeliveryObject {
  readonly #store: Store;
  readonly #turns: Turns;
  readonly #jobs: Jobs;
  readonly #inbox: Inbox;
  readonly #clock: Clock;
  readonly #followers: Followers;
  readonly #delivery: Delivery;
  readonly #limits: Limits;
  readonly #shedding: Shedding;
  #recovered = false;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    const config = loadConfig(env);
    if (!config.ok) throw new Error(config.error.join("; "));
    const parts = createParts(ctx, env, config.value);
    this.#store = parts.store;
    this.#turns = parts.turns;
    this.#jobs = parts.jobs;
    this.#inbox = parts.inbox;
    this.#clock = parts.clock;
    this.#followers = parts.followers;
    this.#delivery = parts.delivery;
    this.#limits = parts.limits;
    this.#shedding = parts.shedding;
    if (parts.store.exists) void ctx.blockConcurrencyWhile(() => parts.store.due.load());
  }

  // Calls of the Worker.

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
    this.#enter();
    const record = this.#find(query);
    return record ? ok(toJsonBytes(this.#view(record, query.historyLength))) : err(notFound(query.id));
  }

  async list(query: ListQuery): Promise<Result<ListAnswer, Failure>> {
    const refused = this.#refusalOf("reads", query);
    if (refused) return err(refused);
    this.#enter();
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
    this.#enter();
    const record = this.#find(query);
    if (!record) return err(notFound(query.id));
    if (query.repeated && record.state === "TASK_STATE_CANCELED") return ok(toJsonBytes(this.#view(record)));
    if (isTerminal(record.state)) return err(ended("TASK_NOT_CANCELABLE", record));
    this.#cancel(record, query.by);
    if (record.job) this.#jobs.notify(record.id);
    return ok(toJsonBytes(this.#view(this.#store.get(record.id) ?? record)));
  }

  #cancel({ id }: Pick<TaskRecord, "id">, by: By): void {
    const turn = this.#turns.get(id);
    const record = turn?.record ?? this.#store.get(id);
    if (!record) return;
    const recordIt = () =>
      this.#store.record({ kind: "task.canceled", ...by, agent: record.agent, task: record.id });
    if (turn) turn.stop("TASK_STATE_CANCELED", undefined, recordIt);
    else this.#store.put(record, { kind: "status", state: "TASK_STATE_CANCELED" }, Date.now(), recordIt);
  }

  async subscribe(query: SubscribeQuery): Promise<Result<Subscription, Failure>> {
    const refused = this.#refusalOf("reads", query);
    if (refused) return err(refused);
    return this.#limits.stream(query.by, async (closed) => this.#subscribe(query, closed));
  }

  #subscribe(query: SubscribeQuery, closed: () => void): Result<Subscription, Failure> {
    this.#enter();
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
    const shed = sheddable ? this.#shedding.refusal(true) : undefined;
    if (shed) return err(shed);
    await this.#store.commits.turn();
    this.#enter();
    const record = this.#find({ agent, id: taskId });
    return record ? this.#delivery.commands.set(record, config, by) : err(notFound(taskId));
  }

  async getPushConfig(command: PushQuery): Promise<Result<PushConfigView, Failure>> {
    const refused = this.#refusalOf("reads", command);
    if (refused) return err(refused);
    const { agent, taskId, id } = command;
    this.#enter();
    const record = this.#find({ agent, id: taskId });
    return record ? this.#delivery.commands.get(taskId, id) : err(notFound(taskId));
  }

  async listPushConfigs(command: PushList): Promise<Result<PushConfigView[], Failure>> {
    const refused = this.#refusalOf("reads", command);
    if (refused) return err(refused);
    const { agent, taskId } = command;
    this.#enter();
    const record = this.#find({ agent, id: taskId });
    return record ? ok(this.#delivery.commands.list(taskId)) : err(notFound(taskId));
  }

  async deletePushConfig(command: PushQuery): Promise<Result<void, Failure>> {
    const refused = this.#refusalOf("push_configs", command);
    if (refused) return err(refused);
    const { by, agent, taskId, id } = command;
    await this.#store.commits.turn();
    this.#enter();
    const record = this.#find({ agent, id: taskId });
    if (!record) return err(notFound(taskId));
    await this.#delivery.commands.delete(taskId, id, by);
    return ok(undefined);
  }

  // Calls of endpoints.

  async exchange(request: ExchangeRequest): Promise<ExchangeWire> {
    await this.#store.commits.turn();
    this.#enter();
    return toWire(this.#delivery.notifications.exchange(request));
  }

  // Calls of operators and of the dead-letter queue.

  async deliveryHealth(query: ConfigQuery): Promise<Result<DeliveryHealth, Failure>> {
    return this.#delivery.operations.health(query);
  }

  async setDelivery(
    query: ConfigQuery & { by: By; state: "active" | "paused" },
  ): Promise<Result<DeliveryHealth, Failure>> {
    return this.#delivery.operations.setState(query);
  }

  async replay(
    query: ConfigQuery & { by: By; from: number; to: number },
  ): Promise<Result<{ notifications: number }, Failure>> {
    return this.#delivery.operations.replay(query);
  }

  async retryDead(
    letters: DeadQuery[],
    by: By,
  ): Promise<Result<{ accepted: number; gone: DeadQuery[] }, Failure>> {
    return this.#delivery.operations.retryDead(letters, by);
  }

  async sealedSecrets(query: ConfigQuery): Promise<Result<{ sealed: string | null }, Failure>> {
    return this.#delivery.operations.sealedSecrets(query);
  }

  async rotateSecret(
    query: ConfigQuery & { by: By; was: string | null; sealed: string },
  ): Promise<Result<void, Failure>> {
    return this.#delivery.operations.rotateSecret(query);
  }

  /** What this home holds of its owner, after `place`. */
  async exportPage(place: ExportPlace | undefined): Promise<ExportPage> {
    this.#enter();
    return exportPage(this.#store, this.#delivery.commands, place);
  }

  /** Erases some of what this home holds of its owner; to be called until there is no more. */
  async erase(erasure: Erasure): Promise<Erased> {
    await this.#store.commits.turn();
    this.#enter();
    const { ENDPOINTS } = this.env;
    return eraseSome(
      {
        ...{ store: this.#store, turns: this.#turns, jobs: this.#jobs, clock: this.#clock },
        ...this.#delivery,
        cancel: (task) => this.#cancel(task, erasure.by),
        eraseEndpoint: (name) => ENDPOINTS.get(ENDPOINTS.idFromName(name)).erase(),
      },
      erasure,
    );
  }

  async deadLetters(ids: string[]): Promise<DeadLetter[]> {
    const { exists, dead, journal } = this.#store;
    return exists ? dead.load(this.ctx.id.toString(), ids, journal) : [];
  }

  async deadFiled(letters: LetterOfTask[]): Promise<string[]> {
    const { exists, dead } = this.#store;
    if (!exists) return [];
    const erased = dead.erased(letters);
    this.#store.write(() => dead.filed(letters.map(({ id }) => id)));
    this.#delivery.shipping.filed();
    return erased;
  }

  /** What of the audit follows entry `n`, as far as it was not shipped. */
  async auditTail(n: number): Promise<AuditTail> {
    return this.#store.exists ? this.#store.audit.tail(n) : EMPTY_TAIL;
  }

  /** Answers when the object can be reached and its database read. */
  async ping(): Promise<void> {
    this.ctx.storage.sql.exec("SELECT 1").one();
  }

  // Calls of a durable turn. They are answered only to the instance that runs the task's present turn.

  async jobStart(task: string, job: string): Promise<JobStart | null> {
    return this.#jobs.start(task, job);
  }

  async jobReport(task: string, job: string, report: JobReport): Promise<boolean> {
    await this.#store.commits.turn();
    return this.#jobs.report(task, job, report);
  }

  async jobAnswer(task: string, job: string, after: number): Promise<JobAnswer> {
    return this.#jobs.answer(task, job, after);
  }

  async jobMessage(task: string, job: string, seq: number): Promise<Message | null> {
    return this.#jobs.message(task, job, seq);
  }

  // The clock.

  override async alarm(): Promise<void> {
    await this.#clock.ring(() => this.#enter());
  }

  /** Does what a lost alarm should have done; called by the cron. */
  async poke(): Promise<void> {
    await this.alarm();
  }

  // What calls have in common.

  /** Every call passes here first: turns that a dead process left behind run again. */
  #enter(): void {
    this.#turns.flush();
    if (this.#recovered) return;
    this.#recovered = true;
    if (this.#store.exists) this.#turns.recover();
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
    const notifies = command.push !== undefined;
    const shed = command.sheddable && (!isOld || notifies) ? this.#shedding.refusal(notifies) : undefined;
    if (shed) return err(shed);
    const isRunning = command.repeated || (taskId !== undefined && this.#turns.get(taskId) !== undefined);
    const refused = isRunning ? undefined : this.#limits.turn(this.#turns.count);
    if (refused) return err(refused);
    await this.#store.commits.turn();
    this.#enter();
    return this.#inbox.begin(operation, command);
  }

  #find(query: Pick<TaskQuery, "agent" | "id">): TaskRecord | undefined {
    const record = this.#store.get(query.id);
    return record?.agent === query.agent ? record : undefined;
  }

  #view(record: TaskRecord, historyLength?: number): Task {
    return this.#store.journal.toTask(record, { historyLength, artifacts: true });
  }

  /** How many streams are open. */
  get subscribers(): number {
    return this.#followers.count;
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
