// Compares what the receivers got, and what the operators' history says of it, with the journals of the tasks: what
// an event's notification has to be is the event itself, as it is replayed to a subscriber.

import { setTimeout as sleep } from "node:timers/promises";
import type { Ledger } from "./ledger.ts";
import { type Journal, TERMINAL } from "./verify.ts";
import type { Arrival, TrackedConfig, WebhookLedger } from "./webhook-ledger.ts";
import type { Delivery, Operator } from "./webhook-operator.ts";

/** As long as an open breaker may wait twice, and a little more. */
const SETTLE_MS = 120_000;

/** How long before an answer a deletion may have been asked for that broke off its request. */
const STOP_MS = 5_000;

export type Verification = {
  ledger: Ledger;
  webhooks: WebhookLedger;
  /** Of the acknowledged tasks, complete. */
  journals: ReadonlyMap<string, Journal>;
  operator: Operator;
  /** Attempts before this time (ms) have been verified. */
  since: number;
};

/** Waits until everything has been delivered and told, and adds a violation for every promise that is not kept. */
export async function verifyWebhooks({
  ledger,
  webhooks,
  journals,
  operator,
  since,
}: Verification): Promise<void> {
  const deadline = Date.now() + SETTLE_MS;
  const configs = [...webhooks.configs.values()];
  const incomplete = () =>
    configs.flatMap((config) => {
      const journal = journals.get(config.task.id) ?? new Map();
      return missing(config, journal, webhooks.arrivalsOf(config)).map((problem) =>
        describe(config, problem),
      );
    });
  while (incomplete().length > 0 && Date.now() < deadline) await sleep(250);
  for (const problem of incomplete()) ledger.violation(problem);

  // A row comes some seconds after its attempt.
  const from = new Date(since).toISOString();
  let rows: Delivery[] = [];
  const untold = () => {
    const told = new Set(rows.map(({ notification, attempt }) => `${notification} ${attempt}`));
    return configs.flatMap((config) =>
      unrecorded(config, webhooks.arrivalsOf(config), told).map((problem) => describe(config, problem)),
    );
  };
  do {
    await sleep(500);
    rows = await operator.deliveries({ from });
  } while (untold().length > 0 && Date.now() < deadline);
  for (const problem of untold()) ledger.violation(problem);

  await webhooks.verified();
  const batched = configs.filter(({ receiver }) => receiver === "batched");
  const stopsOf = ({ receiver }: TrackedConfig) =>
    receiver === "batched"
      ? batched.flatMap((config) => [config.deleteAskedAt ?? 0, ...config.replacedAt])
      : [];
  for (const config of configs) {
    const own = rows.filter(({ task, config: id }) => task === config.task.id && id === config.receiver);
    const problems = [
      ...orderProblems(webhooks.arrivalsOf(config)),
      ...attemptProblems(ledger, config, webhooks.arrivalsOf(config), stopsOf(config)),
      ...historyProblems(config, webhooks.arrivalsOf(config), own),
    ];
    for (const problem of problems) ledger.violation(describe(config, problem));
  }
  for (const { id, reason } of await operator.deadLetters()) ledger.violation(`${id} is dead: ${reason}`);
}

function describe({ receiver, task }: TrackedConfig, problem: string): string {
  return `${task.id} (${task.intent.text}) to ${receiver}: ${problem}`;
}

/** What has not been delivered although it has to be. */
function missing(config: TrackedConfig, journal: Journal, arrivals: readonly Arrival[]): string[] {
  // From when its deletion was asked for on nobody can say how far it has got.
  if (config.deleteAskedAt !== undefined || config.acknowledgedAt === undefined) return [];
  const events = [...journal.values()];
  const isWanted = (event: (typeof events)[number]) =>
    !config.endsOnly || TERMINAL.test(event.statusUpdate?.status.state ?? "");
  const atOf = (event: (typeof events)[number]) => Date.parse(event.statusUpdate?.status.timestamp ?? "");
  // Artifacts have no time: what comes between two statuses may belong to either side of the moment.
  const certain = config.isInline
    ? 0
    : events.findIndex((event) => atOf(event) > (config.acknowledgedAt ?? 0));
  const before = config.isInline ? -1 : events.findLastIndex((event) => atOf(event) < config.askedAt);
  const most = events.slice(before + 1).filter(isWanted);
  const least = certain < 0 ? [] : events.slice(certain).filter(isWanted);
  const bySequence = new Map(
    arrivals.filter(isDelivered).map(({ sequence, content }) => [sequence, content] as const),
  );
  const got = [...bySequence].toSorted(([a], [b]) => a - b);
  const problems: string[] = [];
  if (got.some(([sequence], index) => sequence !== index + 1)) {
    problems.push(`delivered are the sequences ${got.map(([sequence]) => sequence)}`);
  }
  if (got.length < least.length || got.length > most.length) {
    problems.push(`${got.length} notifications and not ${least.length} to ${most.length}`);
  }
  const due = most.slice(most.length - got.length);
  const other = due.findIndex((event, index) => JSON.stringify(event) !== normal(got[index]?.[1]));
  if (other >= 0) {
    problems.push(
      `notification ${other + 1} is\n  ${got[other]?.[1]}\nand not\n  ${JSON.stringify(due[other])}`,
    );
  }
  return problems;
}

const isDelivered = ({ received: { answered = 0 } }: Arrival) => answered >= 200 && answered < 300;

function normal(json = "null"): string {
  return JSON.stringify(JSON.parse(json));
}

/** First deliveries come in order: each when the one before has been taken. */
function* orderProblems(arrivals: readonly Arrival[]) {
  let newest = 0;
  let isTaken = true;
  for (const arrival of arrivals) {
    const { sequence } = arrival;
    if (sequence > newest + 1) yield `notification ${sequence} came after ${newest}`;
    if (sequence > newest && !isTaken) yield `notification ${sequence} came before ${newest} was taken`;
    if (sequence > newest) isTaken = false;
    newest = Math.max(newest, sequence);
    if (sequence === newest && isDelivered(arrival)) isTaken = true;
  }
}

/**
 * Attempts are numbered one by one; a number comes again only if nobody could write it down: the server died, or the
 * send was broken off because another config of its batch was deleted or replaced. `stops` are the times of these.
 */
function* attemptProblems(
  ledger: Ledger,
  { replacedAt }: TrackedConfig,
  arrivals: readonly Arrival[],
  stops: readonly number[],
) {
  const ids = Map.groupBy(arrivals, ({ id }) => id);
  for (const [id, own] of ids) {
    let before: Arrival | undefined;
    for (const arrival of own) {
      const { attempt, at, requestId } = arrival;
      const from = before?.at ?? 0;
      const died = ledger.killsBetween(from, at) > 0;
      const stopped = stops.some((time) => time > from - STOP_MS && time < at);
      const replaced = replacedAt.some((time) => time < at);
      const expected = before ? before.attempt + 1 : 1;
      const isNext = attempt === expected && !(before && isDelivered(before));
      const isAgain = (died || stopped) && attempt === before?.attempt;
      if (!isNext && !isAgain && !replaced) {
        const past = before ? `attempt ${before.attempt}, answered ${before.received.answered},` : "nothing";
        yield `attempt ${attempt} of ${id} came ${at - from} ms after ${past} and ${died ? "a" : "no"} kill`;
      }
      if (before && before.requestId !== requestId && !replaced && !stopped) {
        yield `${id} came in the requests ${before.requestId} and ${requestId}`;
      }
      before = arrival;
    }
  }
}

/** Attempts that the history does not know of. */
function unrecorded(
  config: TrackedConfig,
  arrivals: readonly Arrival[],
  told: ReadonlySet<string>,
): string[] {
  // The last attempt before a deletion, or before a replacement, may have been cut off.
  if (config.deleteAskedAt !== undefined || config.replacedAt.length > 0) return [];
  return arrivals
    .filter(({ id, attempt }) => !told.has(`${id} ${attempt}`))
    .map(({ id, attempt }) => `the history does not know attempt ${attempt} of ${id}`);
}

/** The history tells every attempt once, as it was, and none that was not. */
function* historyProblems(config: TrackedConfig, arrivals: readonly Arrival[], rows: readonly Delivery[]) {
  const { deletedAt = Number.POSITIVE_INFINITY, replacedAt } = config;
  for (const [id, own] of Map.groupBy(rows, ({ notification }) => notification)) {
    const sorted = own.toSorted((a, b) => a.attempt - b.attempt);
    for (const { attempt, outcome, status, startedAt, sequence } of sorted) {
      const same = arrivals.filter((arrival) => arrival.id === id && arrival.attempt === attempt);
      if (same.length === 0) yield `the history has attempt ${attempt} of ${id}, which never came`;
      if (same.some((arrival) => arrival.sequence !== sequence))
        yield `the history has sequence ${sequence} of ${id}`;
      const answers = same.map(({ received }) => received.answered ?? null);
      if (!answers.includes(status)) yield `the history says ${status} of ${id}, answered with ${answers}`;
      if ((outcome === "delivered") !== (status !== null && status < 300))
        yield `${id} is ${outcome} by ${status}`;
      const lateMs = Date.parse(startedAt) - deletedAt;
      if (lateMs > 0) yield `attempt ${attempt} of ${id} was started ${lateMs} ms after the deletion`;
    }
    if (replacedAt.length > 0) continue;
    const attempts = sorted.map(({ attempt }) => attempt).join();
    if (attempts !== Array.from(sorted, (_, index) => index + 1).join()) {
      yield `the history has the attempts ${attempts} of ${id}`;
    }
  }
}
