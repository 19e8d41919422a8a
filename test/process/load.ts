// Clients of many kinds that work without a pause until the server dies, and, when it is back, take up what
// was cut off: streams by Last-Event-ID, requests by their Idempotency-Key.

import { setTimeout as sleep } from "node:timers/promises";
import { call, Lost, Refused, type StreamResponse, stream, type Task } from "./client.ts";
import { type Intent, type Ledger, type TrackedTask, toNumber, type Watch } from "./ledger.ts";
import type { Random } from "./random.ts";

const CLIENTS = 8;

/** Something a client does, and how often compared with the others. */
export type Action = [weight: number, act: () => Promise<unknown>];

/** Sends a message and answers with its task, as acknowledged. */
export type Send = (intent: Intent, configuration?: object) => Promise<TrackedTask>;

/** What else a test has the clients do. */
export type Sideline = {
  /** Joins the configuration of each message that makes a task. */
  configuration(): object;
  /** A task was acknowledged whose message had this configuration. */
  acknowledged(task: TrackedTask, configuration: object, since: number): void;
  actions(life: Life, send: Send): Action[];
  /** Takes up what was cut off, once a life. */
  takeUp(life: Life): (() => Promise<unknown>)[];
};

const nothingElse: Sideline = {
  configuration: () => ({}),
  acknowledged: () => {},
  actions: () => [],
  takeUp: () => [],
};

/** A request whose answer was cut off, to be repeated with the same key. */
type Unanswered = { intent: Intent; key: string; params: { configuration: object }; since: number };

/** One server's life, as its clients see it. */
export type Life = {
  url: string;
  /** Set just before the kill: from then on nothing is begun, and a cut connection is no fault. */
  ending: boolean;
  /** Aborts when the server is dead and all that it had sent has been read. */
  over: AbortSignal;
};

export class Load {
  readonly #ledger: Ledger;
  readonly #random: Random;
  readonly #sideline: Sideline;
  readonly #unanswered: Unanswered[] = [];
  #messages = 0;
  /** How often requests were repeated under their key, and found again. */
  repeated = 0;

  constructor(ledger: Ledger, random: Random, sideline: Sideline = nothingElse) {
    this.#ledger = ledger;
    this.#random = random;
    this.#sideline = sideline;
  }

  /** Runs until the server dies; never throws. */
  async run(life: Life): Promise<void> {
    await Promise.all([this.#takeUp(life), ...Array.from({ length: CLIENTS }, () => this.#client(life))]);
  }

  /** Only ends what earlier lives have left open, on a server that is not killed. */
  async finish(url: string): Promise<void> {
    await this.#takeUp({ url, ending: false, over: new AbortController().signal });
  }

  async #takeUp(life: Life): Promise<void> {
    const open = this.#ledger.watches.filter((watch) => !watch.over);
    const unanswered = this.#unanswered.splice(0);
    await Promise.all([
      ...open.map((watch) => this.#guard(life, () => this.#resume(life, watch))),
      ...unanswered.map((request) => this.#guard(life, () => this.#repeat(life, request))),
      ...this.#sideline.takeUp(life).map((act) => this.#guard(life, act)),
    ]);
  }

  async #client(life: Life): Promise<void> {
    const send: Send = (intent, configuration) => this.#send(life, intent, configuration);
    const actions: Action[] = [
      [6, () => this.#send(life, this.#echo())],
      [3, () => this.#send(life, this.#slow(50, 1_500))],
      [3, () => this.#send(life, this.#slow(0, 3_000), { returnImmediately: true })],
      [6, () => this.#stream(life, this.#chunks())],
      [2, () => this.#stream(life, this.#slow(100, 1_500))],
      [4, () => this.#job(life)],
      [2, () => this.#converse(life)],
      [2, () => this.#cancel(life)],
      [2, () => this.#subscribe(life)],
      ...this.#sideline.actions(life, send),
    ];
    const hat = actions.flatMap(([weight, act]) => Array.from({ length: weight }, () => act));
    while (!life.ending) {
      await this.#guard(life, this.#random.pick(hat));
      await sleep(this.#random.whole(0, 20));
    }
  }

  /** A cut connection is expected when the server dies and at no other time; so is every other failure. */
  async #guard(life: Life, act: () => Promise<unknown>): Promise<void> {
    try {
      await act();
    } catch (error) {
      if (life.ending) return;
      const text = error instanceof Lost || error instanceof Refused ? error.message : (error as Error).stack;
      this.#ledger.violation(`from a living server: ${text}`);
    }
  }

  async #send(life: Life, intent: Intent, configuration = {}): Promise<TrackedTask> {
    const params = this.#params(intent, configuration);
    return this.#request(life, { intent, key: params.message.messageId, params, since: Date.now() });
  }

  #params({ text }: Intent, configuration = {}) {
    return {
      message: this.#message(text),
      configuration: { ...this.#sideline.configuration(), ...configuration },
    };
  }

  async #request(life: Life, request: Unanswered): Promise<TrackedTask> {
    const { intent, key, params } = request;
    try {
      const headers = { "idempotency-key": key };
      const { task } = await call<{ task: Task }>({
        ...at(life, intent),
        method: "SendMessage",
        params,
        headers,
      });
      return this.#acknowledge(task, request);
    } catch (error) {
      if (error instanceof Lost) this.#unanswered.push(request);
      throw error;
    }
  }

  #acknowledge(task: Task, { intent, params, since }: Omit<Unanswered, "key">): TrackedTask {
    const tracked = this.#ledger.acknowledge(task, intent, since);
    this.#sideline.acknowledged(tracked, params.configuration, since);
    return tracked;
  }

  async #repeat(life: Life, request: Unanswered): Promise<void> {
    await this.#request(life, request);
    this.repeated += 1;
  }

  async #stream(life: Life, intent: Intent): Promise<void> {
    const params = this.#params(intent);
    await this.#follow(
      stream({ ...at(life, intent), method: "SendStreamingMessage", params }),
      intent,
      params.configuration,
    );
  }

  /** Reads a stream that begins with a snapshot. */
  async #follow(
    events: ReturnType<typeof stream>,
    intent: Intent,
    configuration: object = {},
  ): Promise<void> {
    const request = { intent, params: { configuration }, since: Date.now() };
    let watch: Watch | undefined;
    for await (const { id, result } of events) {
      if (watch) this.#ledger.observe(watch, id, result);
      else watch = this.#begin(id, result, request);
    }
    if (watch) watch.over = true;
    else this.#ledger.violation("a stream without events");
  }

  #begin(id: string, { task }: StreamResponse, request: Omit<Unanswered, "key">): Watch | undefined {
    const start = toNumber(id);
    if (task && start !== undefined) {
      return this.#ledger.watch(this.#acknowledge(task, request), start);
    }
    this.#ledger.violation(`a stream that begins with event "${id}" and not with a numbered task`);
    return undefined;
  }

  async #resume(life: Life, watch: Watch): Promise<void> {
    const { task } = watch;
    const headers = { "last-event-id": String(watch.ids.at(-1) ?? watch.start) };
    watch.resumed += 1;
    const request = { ...at(life, task.intent), method: "SubscribeToTask", params: { id: task.id }, headers };
    for await (const { id, result } of stream(request)) this.#ledger.observe(watch, id, result);
    watch.over = true;
  }

  async #job(life: Life): Promise<void> {
    const count = this.#random.whole(5, 20);
    const text = `Run a job of ${count} steps`;
    const intent: Intent = { agent: "long-running", text, becomes: "job", count };
    if (this.#random.chance(0.5)) await this.#stream(life, intent);
    else await this.#send(life, intent, { returnImmediately: true });
  }

  /** A question, and its answer. */
  async #converse(life: Life): Promise<void> {
    const { id } = await this.#send(life, { agent: "", text: "input", becomes: "question", count: 0 });
    await sleep(this.#random.whole(0, 200));
    await answer(life.url, id, `${id}-answer`);
  }

  async #cancel(life: Life): Promise<void> {
    const task = await this.#send(life, this.#slow(500, 5_000), { returnImmediately: true });
    await sleep(this.#random.whole(0, 300));
    try {
      await call({ ...at(life), method: "CancelTask", params: { id: task.id } });
      task.canceled = true;
    } catch (error) {
      if (!(error instanceof Refused && error.code === TASK_NOT_CANCELABLE)) throw error;
    }
  }

  /** Joins a task that another client has started, if it has not ended. */
  async #subscribe(life: Life): Promise<void> {
    const tracked = [...this.#ledger.tasks.values()].slice(-20);
    if (tracked.length === 0) return;
    const { id, intent } = this.#random.pick(tracked);
    if (intent.becomes === "question") return;
    try {
      await this.#follow(stream({ ...at(life, intent), method: "SubscribeToTask", params: { id } }), intent);
    } catch (error) {
      if (!(error instanceof Refused && error.code === UNSUPPORTED_OPERATION)) throw error;
    }
  }

  #echo(): Intent {
    return { agent: "", text: `hello ${this.#messages}`, becomes: "echo", count: 0 };
  }

  #slow(min: number, max: number): Intent {
    return { agent: "", text: `slow:${this.#random.whole(min, max)}`, becomes: "echo", count: 0 };
  }

  #chunks(): Intent {
    const count = this.#random.whole(2, 40);
    const text = `stream:${count}:${this.#random.pick([0, 0, 5, 20, 50])}`;
    return { agent: "", text, becomes: "chunks", count };
  }

  #message(text: string) {
    this.#messages += 1;
    return { messageId: `load-${this.#messages}`, role: "ROLE_USER", parts: [{ text }] };
  }
}

const TASK_NOT_CANCELABLE = -32002;
const UNSUPPORTED_OPERATION = -32004;

function at({ url, over }: Life, intent?: Intent) {
  return { url, agent: intent?.agent ?? "", signal: over };
}

/** Answers a task that waits for input. */
export async function answer(url: string, taskId: string, messageId: string): Promise<void> {
  const message = { messageId, taskId, role: "ROLE_USER", parts: [{ text: "the answer" }] };
  await call({ url, method: "SendMessage", params: { message } });
}
