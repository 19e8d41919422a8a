// The consumers of the two queues. They send no notification: a doorbell is passed on to its endpoint, and whatever
// has died is filed. Each message is acknowledged or retried on its own, so that one never decides for another.

import { log } from "../telemetry/log.ts";
import { type DeadNotice, type Doorbell, MESSAGE_VERSION } from "./exchange.ts";

/** What the consumers use of a queue's message. */
export type QueueMessage = {
  readonly body: unknown;
  readonly attempts: number;
  ack(): void;
  retry(options?: { delaySeconds?: number }): void;
};

/** Passes a doorbell on to an endpoint, which answers at once. */
export type Ring = (endpoint: string, home: string) => Promise<void>;

/** An endpoint that has not answered by then is rung again later: other messages wait behind this batch. */
const RING_TIMEOUT_MS = 3_000;
const RING_AGAIN_SECONDS = 2;
const FILE_AGAIN_SECONDS = 30;
/** A message of another version comes back so often, first to its own queue and then to that of dead letters. */
const OTHER_VERSION_SECONDS = 60;
/** A doorbell that could not be rung is put into the queue again with this delay. */
const DEAD_DOORBELL_SECONDS = 300;

/** Rings each endpoint once for each home, however many doorbells say so. */
export async function consumeDoorbells(messages: readonly QueueMessage[], ring: Ring): Promise<void> {
  await Promise.all(
    grouped(messages, toDoorbell, ({ endpoint, home }) => `${home} ${endpoint}`).map(
      async ({ value: { endpoint, home }, messages: equal }) => {
        try {
          await within(RING_TIMEOUT_MS, ring(endpoint, home));
          for (const message of equal) message.ack();
        } catch (error) {
          log("warn", "an endpoint could not be rung", { error });
          for (const message of equal) message.retry({ delaySeconds: RING_AGAIN_SECONDS * message.attempts });
        }
      },
    ),
  );
}

export type DeadLetterOptions = {
  /** Files what died in a home; called once a home. */
  file(home: string, ids: string[]): Promise<void>;
  /** Puts a doorbell into the queue again. */
  ringLater(doorbell: Doorbell, delaySeconds: number): Promise<void>;
  /** So many doorbells could not be rung: for the metrics and the audit. */
  countDoorbells(count: number): Promise<void>;
};

/** Sees to what the queue of doorbells gave up, and has the notifications filed that died. */
export async function consumeDeadLetters(
  messages: readonly QueueMessage[],
  options: DeadLetterOptions,
): Promise<void> {
  const doorbells = messages.filter(({ body }) => !isOfOtherVersion(body) && toDoorbell(body));
  const notices = messages.filter((message) => !doorbells.includes(message));
  await Promise.all([ringAgain(doorbells, options), fileNotices(notices, options)]);
}

async function ringAgain(messages: readonly QueueMessage[], options: DeadLetterOptions): Promise<void> {
  if (messages.length === 0) return;
  log("error", "doorbells could not be rung; they are rung again later", { doorbells: messages.length });
  const counting = options.countDoorbells(messages.length).catch((error: unknown) => {
    log("warn", "doorbells that could not be rung were not counted", { error });
  });
  const ringing = grouped(messages, toDoorbell, ({ endpoint, home }) => `${home} ${endpoint}`).map(
    async ({ value, messages: equal }) => {
      try {
        await options.ringLater(value, DEAD_DOORBELL_SECONDS);
        for (const message of equal) message.ack();
      } catch (error) {
        log("warn", "a doorbell could not be put into the queue again", { error });
        for (const message of equal) message.retry({ delaySeconds: FILE_AGAIN_SECONDS });
      }
    },
  );
  await Promise.all([counting, ...ringing]);
}

async function fileNotices(messages: readonly QueueMessage[], { file }: DeadLetterOptions): Promise<void> {
  await Promise.all(
    grouped(messages, toNotice, ({ home }) => home).map(async ({ value: { home }, messages: ofHome }) => {
      const ids = ofHome.flatMap(({ body }) => toNotice(body)?.ids ?? []);
      try {
        await file(home, [...new Set(ids)]);
        for (const message of ofHome) message.ack();
      } catch (error) {
        log("warn", "dead notifications could not be filed", { home, error });
        for (const message of ofHome) message.retry({ delaySeconds: FILE_AGAIN_SECONDS });
      }
    }),
  );
}

type Group<T> = { value: T; messages: QueueMessage[] };

/**
 * Messages of one form by their key. One of another form is nobody's: it is acknowledged, or it would come for ever. One of
 * another version is somebody's who is not here yet, or no more: it is retried.
 */
function grouped<T>(
  messages: readonly QueueMessage[],
  parse: (body: unknown) => T | undefined,
  keyOf: (value: T) => string,
): Group<T>[] {
  const groups = new Map<string, Group<T>>();
  for (const message of messages) {
    if (isOfOtherVersion(message.body)) {
      log("error", "a message in a queue is of another version and waits for the code that knows it");
      message.retry({ delaySeconds: OTHER_VERSION_SECONDS });
      continue;
    }
    const value = parse(message.body);
    if (value === undefined) {
      log("error", "a message in a queue could not be understood and was dropped");
      message.ack();
      continue;
    }
    const key = keyOf(value);
    const group = groups.get(key);
    if (group) group.messages.push(message);
    else groups.set(key, { value, messages: [message] });
  }
  return [...groups.values()];
}

/** See `MESSAGE_VERSION`. */
export function isOfOtherVersion(body: unknown): boolean {
  const { v = MESSAGE_VERSION } = (body ?? {}) as { v?: unknown };
  return v !== MESSAGE_VERSION;
}

function toDoorbell(body: unknown): Doorbell | undefined {
  const { kind, home, endpoint } = (body ?? {}) as Partial<Doorbell>;
  return kind === "ring" && isId(home) && typeof endpoint === "string" && endpoint !== ""
    ? { kind, home, endpoint }
    : undefined;
}

function toNotice(body: unknown): DeadNotice | undefined {
  const { kind, home, ids } = (body ?? {}) as Partial<DeadNotice>;
  return kind === "dead" && isId(home) && Array.isArray(ids) && ids.every((id) => typeof id === "string")
    ? { kind, home, ids }
    : undefined;
}

/** Of a Durable Object; asking for one of another form throws. */
function isId(id: unknown): id is string {
  return typeof id === "string" && /^[0-9a-f]{64}$/.test(id);
}

async function within(ms: number, promise: Promise<void>): Promise<void> {
  const timer = new AbortController();
  const late = scheduler.wait(ms, { signal: timer.signal }).then(() => {
    throw new Error(`no answer within ${ms} ms`);
  });
  late.catch(() => {});
  try {
    await Promise.race([promise, late]);
  } finally {
    timer.abort();
  }
}
