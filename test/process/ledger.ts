// What the clients were told before the server died: the account that the server has to honour afterwards.

import type { StreamResponse, Task } from "./client.ts";

/** What a message asks of an agent, and so what its task must become. */
export type Intent = {
  agent: "" | "long-running";
  text: string;
  becomes: "echo" | "chunks" | "job" | "question";
  /** Chunks of a stream, steps of a job. */
  count: number;
};

export type TrackedTask = {
  id: string;
  intent: Intent;
  /** When its message was sent for the first time. */
  since: number;
  /** Set when a cancellation was acknowledged. */
  canceled: boolean;
};

/** One client's reading of one task's events, across as many connections as it takes. */
export type Watch = {
  task: TrackedTask;
  /** The event number it began with: that of the snapshot. */
  start: number;
  /** The numbers of all events after it, in the order in which they came. */
  ids: number[];
  /** How often it came back with Last-Event-ID. */
  resumed: number;
  over: boolean;
};

/** So long after a kill something of the dead server may still be read by this busy process. */
const LATE_MS = 500;

export class Ledger {
  readonly tasks = new Map<string, TrackedTask>();
  readonly watches: Watch[] = [];
  /** (task, event number) to the content that some client received. */
  readonly events = new Map<string, Map<number, string>>();
  /** From when the processes were looked for until none was left. */
  readonly kills: { from: number; to: number }[] = [];
  readonly violations: string[] = [];

  violation(text: string): void {
    this.violations.push(text);
  }

  acknowledge(task: Task, intent: Intent, since: number): TrackedTask {
    let tracked = this.tasks.get(task.id);
    if (!tracked) {
      tracked = { id: task.id, intent, since, canceled: false };
      this.tasks.set(task.id, tracked);
    }
    return tracked;
  }

  watch(task: TrackedTask, start: number): Watch {
    const watch = { task, start, ids: [], resumed: 0, over: false };
    this.watches.push(watch);
    return watch;
  }

  /** Takes an event that follows a snapshot, and compares it with what any client was told under its number. */
  observe(watch: Watch, id: string, result: StreamResponse): void {
    const { task } = watch;
    const number = toNumber(id);
    if (number === undefined) {
      this.violation(`${task.id}: event without a number: "${id}"`);
      return;
    }
    if (number <= (watch.ids.at(-1) ?? watch.start)) {
      this.violation(`${task.id}: event ${number} after ${watch.ids.at(-1) ?? watch.start}`);
    }
    watch.ids.push(number);
    const content = JSON.stringify(result);
    const known = this.events.get(task.id) ?? new Map<number, string>();
    this.events.set(task.id, known);
    const before = known.get(number);
    if (before === undefined) known.set(number, content);
    else if (before !== content) {
      this.violation(`${task.id}: event ${number} was\n  ${before}\nand then\n  ${content}`);
    }
  }

  /**
   * How often the server was killed between two times, as they were noted here: what a server had sent while it was
   * being killed is noted a moment after it is dead.
   */
  killsBetween(from: number, to: number): number {
    return this.kills.filter((kill) => kill.to + LATE_MS > from && kill.from < to).length;
  }

  /** Forgets what has been verified, so that a long run does not check it again and again. */
  settle(): void {
    this.tasks.clear();
    this.events.clear();
    this.watches.length = 0;
  }
}

/** The number of an event, or undefined for what is no positive integer. */
export function toNumber(id: string): number | undefined {
  return /^[1-9]\d*$/.test(id) ? Number(id) : undefined;
}
