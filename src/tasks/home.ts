// HomeObject: the Durable Object where an owner's tasks live. This class is the door, a list of all that a home can be
// asked; the parts beside it, which parts.ts puts together, do what is asked.
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
import type { Result } from "../lib/result.ts";
import type { Failure } from "../protocol/errors.ts";
import type { Message } from "../protocol/message.ts";
import type { DeadLetter } from "../store/dead-letters.ts";
import type { Calls } from "./calls.ts";
import type { Clock } from "./clock.ts";
import type {
  By,
  CancelCommand,
  GetQuery,
  Home,
  ListQuery,
  PushCommand,
  PushList,
  PushQuery,
  SendCommand,
  SubscribeQuery,
} from "./commands.ts";
import type { Death } from "./dead-letters.ts";
import type { Delivery } from "./delivery.ts";
import { type Erased, type Erasure, eraseSome } from "./erase.ts";
import { type ExportPage, type ExportPlace, exportPage } from "./export.ts";
import type { Followers } from "./followers.ts";
import type { Jobs } from "./jobs.ts";
import { createParts } from "./parts.ts";
import type { ConfigQuery, DeadQuery } from "./push-operations.ts";
import type { Store } from "./store.ts";
import type { Turns } from "./turns.ts";

export class HomeObject extends DurableObject<Env> implements Home, JobHome, DeliveryObject {
  readonly #calls: Calls;
  readonly #store: Store;
  readonly #turns: Turns;
  readonly #jobs: Jobs;
  readonly #clock: Clock;
  readonly #followers: Followers;
  readonly #delivery: Delivery;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    const config = loadConfig(env);
    if (!config.ok) throw new Error(config.error.join("; "));
    const parts = createParts(ctx, env, config.value);
    this.#calls = parts.calls;
    this.#store = parts.store;
    this.#turns = parts.turns;
    this.#jobs = parts.jobs;
    this.#clock = parts.clock;
    this.#followers = parts.followers;
    this.#delivery = parts.delivery;
    if (parts.store.exists) void ctx.blockConcurrencyWhile(() => parts.store.due.load());
  }

  // Calls of callers, through the Worker.

  send(command: SendCommand) {
    return this.#calls.send(command);
  }

  stream(command: SendCommand) {
    return this.#calls.stream(command);
  }

  get(query: GetQuery) {
    return this.#calls.get(query);
  }

  list(query: ListQuery) {
    return this.#calls.list(query);
  }

  cancel(command: CancelCommand) {
    return this.#calls.cancel(command);
  }

  subscribe(query: SubscribeQuery) {
    return this.#calls.subscribe(query);
  }

  setPushConfig(command: PushCommand) {
    return this.#calls.setPushConfig(command);
  }

  getPushConfig(query: PushQuery) {
    return this.#calls.getPushConfig(query);
  }

  listPushConfigs(query: PushList) {
    return this.#calls.listPushConfigs(query);
  }

  deletePushConfig(query: PushQuery) {
    return this.#calls.deletePushConfig(query);
  }

  // Calls of endpoints.

  async exchange(request: ExchangeRequest): Promise<ExchangeWire> {
    await this.#store.commits.turn();
    this.#turns.catchUp();
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
    this.#turns.catchUp();
    return exportPage(this.#store, this.#delivery.commands, place);
  }

  /** Erases some of what this home holds of its owner; to be called until there is no more. */
  async erase(erasure: Erasure): Promise<Erased> {
    await this.#store.commits.turn();
    this.#turns.catchUp();
    const { ENDPOINTS } = this.env;
    return eraseSome(
      {
        ...{ store: this.#store, turns: this.#turns, jobs: this.#jobs, clock: this.#clock },
        ...this.#delivery,
        eraseEndpoint: (name) => ENDPOINTS.get(ENDPOINTS.idFromName(name)).erase(),
      },
      erasure,
    );
  }

  async deadLetters(ids: string[]): Promise<DeadLetter[]> {
    const { exists, dead, journal } = this.#store;
    return exists ? dead.load(this.ctx.id.toString(), ids, journal) : [];
  }

  async deadFiled(deaths: Death[]): Promise<string[]> {
    const { exists, dead } = this.#store;
    if (!exists) return [];
    const erased = dead.erased(deaths);
    this.#store.write(() => dead.filed(deaths));
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
    await this.#clock.ring();
  }

  /** Does what a lost alarm should have done; called by the cron. */
  async poke(): Promise<void> {
    await this.alarm();
  }

  /** How many streams are open. */
  get subscribers(): number {
    return this.#followers.count;
  }
}
