// What was promised about webhooks, and what arrived: the account that the server has to honour, kept on the side of
// those who get the requests and outlive every server.
//
// A task has at most one config for each receiver, whose id is the receiver's name. So a notification says by itself,
// with its receiver and its task, which config it belongs to, also when it overtakes the answer that made the config.

import { parseDelivery, type Verifier } from "../../src/verify/index.ts";
import type { Ledger, TrackedTask } from "./ledger.ts";
import type { Received } from "./receiver-server.ts";

export type TrackedConfig = {
  task: TrackedTask;
  receiver: string;
  /** It came with the message, so it hears of everything. */
  isInline: boolean;
  /** Only ends are wanted. */
  endsOnly: boolean;
  /** When it was asked for first, and when it was acknowledged. */
  askedAt: number;
  acknowledgedAt: number | undefined;
  /** When each replacement was asked for: with it, attempts are counted anew. */
  replacedAt: number[];
  deleteAskedAt: number | undefined;
  deletedAt: number | undefined;
};

/** One notification in one request that came whole. */
export type Arrival = {
  at: number;
  /** The event's own id: in a batch not that of the request. */
  id: string;
  requestId: string;
  sequence: number;
  attempt: number;
  /** The StreamResponse. */
  content: string;
  received: Received;
};

/** Requests that were in the receiver's socket when the delete was answered are read within so many turns. */
const LATE_TURNS = 3;
const TURN_MS = 10;

export class WebhookLedger {
  readonly #ledger: Ledger;
  readonly #verifiers = new Map<string, Verifier>();
  readonly #bodies = new Map<string, string>();
  /** By `keyOf`. */
  readonly configs = new Map<string, TrackedConfig>();
  readonly arrivals = new Map<string, Arrival[]>();
  /** Of configs, by key: the turn of this process in which the answer of the deletion was read. */
  readonly #deletedIn = new Map<string, number>();
  /** Keys of which everything has been delivered, settled and verified: nothing more may come. */
  readonly #closed = new Set<string>();
  #turns = 0;
  readonly #timer: NodeJS.Timeout;
  requests = 0;
  readonly #checking: Promise<void>[] = [];

  constructor(ledger: Ledger) {
    this.#ledger = ledger;
    // A turn that takes long counts once, so a process that is slow to read is not taken for a server that sends late.
    this.#timer = setInterval(() => {
      this.#turns += 1;
    }, TURN_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** What the receiver requires of every request. */
  expect(receiver: string, verifier: Verifier): void {
    this.#verifiers.set(receiver, verifier);
  }

  /** A config that is asked for. */
  ask(
    task: TrackedTask,
    receiver: string,
    how: { isInline: boolean; endsOnly: boolean; at: number },
  ): TrackedConfig {
    const key = keyOf(receiver, task.id);
    const known = this.configs.get(key);
    if (known) return known;
    const { isInline, endsOnly, at: askedAt } = how;
    const config: TrackedConfig = {
      ...{ task, receiver, isInline, endsOnly, askedAt },
      acknowledgedAt: undefined,
      replacedAt: [],
      deleteAskedAt: undefined,
      deletedAt: undefined,
    };
    this.configs.set(key, config);
    return config;
  }

  configOf(receiver: string, taskId: string): TrackedConfig | undefined {
    return this.configs.get(keyOf(receiver, taskId));
  }

  /** The answer to the deletion has been read. */
  deleted(config: TrackedConfig): void {
    config.deletedAt = Date.now();
    const key = keyOf(config.receiver, config.task.id);
    this.#deletedIn.set(key, this.#turns);
    const underWay = (this.arrivals.get(key) ?? []).filter(({ received }) => !received.isOver);
    // That a connection was closed is read as late as a request is.
    setTimeout(() => {
      for (const { sequence, received } of underWay) {
        if (received.isOver) continue;
        this.#ledger.violation(`${key}: notification ${sequence} is under way after the deletion`);
      }
    }, LATE_TURNS * TURN_MS);
  }

  /** A request that has come whole. */
  arrive(receiver: string, received: Received): void {
    this.requests += 1;
    const { headers, body, at } = received;
    const text = body.toString();
    const wrong = (problem: string) =>
      this.#ledger.violation(`${receiver}: ${problem} in ${JSON.stringify(headers)}\n  ${text}`);
    this.#checking.push(this.#verify(receiver, received, wrong));
    const requestId = String(headers["webhook-id"]);
    const before = this.#bodies.get(requestId) ?? text;
    if (before !== text) wrong(`the body under this id was\n  ${before}\nand is another`);
    this.#bodies.set(requestId, text);
    if (headers["content-length"] !== String(body.byteLength)) wrong("no Content-Length that fits");
    const parsed = parseDelivery({ headers, body });
    if (!parsed.ok) {
      wrong(parsed.error.detail);
      return;
    }
    const { attempt, isBatch, notifications } = parsed.value;
    const contents = isBatch
      ? (JSON.parse(text) as { payload: unknown }[]).map(({ payload }) => payload)
      : [];
    for (const [index, { id, sequence, taskId }] of notifications.entries()) {
      const key = keyOf(receiver, taskId);
      const turns = this.#turns - (this.#deletedIn.get(key) ?? this.#turns);
      if (turns > LATE_TURNS)
        wrong(`${taskId}: notification ${sequence} after its config was deleted (${turns} turns)`);
      if (this.#closed.has(key)) wrong(`${taskId}: notification ${sequence} after everything was settled`);
      const content = isBatch ? JSON.stringify(contents[index]) : text;
      const arrivals = this.arrivals.get(key) ?? [];
      arrivals.push({ at, id, requestId, sequence, attempt, content, received });
      this.arrivals.set(key, arrivals);
    }
  }

  async #verify(
    receiver: string,
    { headers, body }: Received,
    wrong: (problem: string) => void,
  ): Promise<void> {
    const checked = await this.#verifiers.get(receiver)?.verify({ headers, body });
    if (!checked?.ok) wrong(`not verified: ${checked ? checked.error.detail : "nobody knows how"}`);
  }

  /** Resolves when every request so far has been verified. */
  async verified(): Promise<void> {
    await Promise.all(this.#checking.splice(0));
  }

  arrivalsOf({ receiver, task }: TrackedConfig): readonly Arrival[] {
    return this.arrivals.get(keyOf(receiver, task.id)) ?? [];
  }

  /** What belongs to acknowledged configs has been verified: it is forgotten, and must not be heard of again. */
  settle(): void {
    for (const key of this.configs.keys()) {
      this.#closed.add(key);
      this.arrivals.delete(key);
    }
    this.configs.clear();
    this.#bodies.clear();
  }
}

function keyOf(receiver: string, taskId: string): string {
  return `${receiver} ${taskId}`;
}
