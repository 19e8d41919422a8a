// A subscriber: a cursor into a task's journal, as a stream of lines `<seq> <StreamResponse JSON>\n`.
//
// Replay and live are one loop that reads what is there and waits for a signal when nothing is, so there is
// no gap between them, no event twice, and no buffer to bound: a slow reader only has an old cursor.

import { RpcTarget } from "cloudflare:workers";
import type { TaskStatusUpdateEvent } from "../protocol/events.ts";
import type { Subscription } from "./commands.ts";
import type { Entry } from "./machine.ts";

/** How much is read from the journal at once, in UTF-16 units. */
const PAGE_UNITS = 65_536;

const encoder = new TextEncoder();

export type Source = {
  /** The next rows after `seq`, about `maxUnits` of them. */
  read(seq: number, maxUnits: number): Entry[];
  /** Whether nothing more will come. Asked right after `read` returned nothing. */
  isOver(): boolean;
  /** Whether this stream ends with this status row. Asked of each of them, in order. */
  endsWith(entry: Entry, status: TaskStatusUpdateEvent["status"]): boolean;
  /** Resolves when what was read is on disk: nothing leaves the object before. */
  durable(): Promise<void>;
  /** Resolves when there is news. */
  news(): Promise<void>;
  /** Called once, when the stream is over, for whatever reason. */
  closed(): void;
};

/** The line of one event. */
export function toLine(seq: number | "-", body: string): string {
  return `${seq} ${body}\n`;
}

/** A stream of `first` (lines that are already durable or become so with `source`), then of all after `seq`. */
export function openSubscription(source: Source, seq: number, first = ""): Subscription {
  let cursor = seq;
  let open = true;
  let opening = first;
  const close = () => {
    if (!open) return;
    open = false;
    source.closed();
  };

  const lines = new ReadableStream({
    type: "bytes",
    // The runtime reads in pieces of this size; its default of 4 KB makes a long replay slow.
    autoAllocateChunkSize: 16_384,
    async pull(controller) {
      while (open) {
        const entries = source.read(cursor, PAGE_UNITS);
        const { lines, last } = toLines(entries, source);
        // Asked before anything is awaited: what is written from here on is read next time.
        const over = last !== undefined || (entries.length === 0 && source.isOver());
        const text = opening + lines;
        opening = "";
        cursor = last ?? entries.at(-1)?.seq ?? cursor;
        if (text !== "") {
          await source.durable();
          if (!open) return;
          controller.enqueue(encoder.encode(text));
        }
        if (over) {
          close();
          controller.close();
          return;
        }
        if (text !== "") return;
        if (entries.length === 0) await source.news();
      }
    },
    cancel: close,
  });
  return { lines, lease: new Lease(close) };
}

/** A subscription of one event that belongs to no task. */
export function openLine(line: string): Subscription {
  const lines = new ReadableStream({
    type: "bytes",
    start(controller) {
      controller.enqueue(encoder.encode(line));
      controller.close();
    },
  });
  return { lines, lease: new Lease(() => {}) };
}

class Lease extends RpcTarget {
  readonly #end: () => void;

  constructor(end: () => void) {
    super();
    this.#end = end;
  }

  [Symbol.dispose](): void {
    this.#end();
  }
}

/** The lines of the rows that subscribers see; `last` if one of them ends the stream. */
function toLines(entries: readonly Entry[], source: Source): { lines: string; last?: number } {
  let lines = "";
  for (const entry of entries) {
    const { seq, kind, body } = entry;
    if (kind !== "status" && kind !== "artifact") continue;
    lines += toLine(seq, body);
    if (kind !== "status") continue;
    const { statusUpdate } = JSON.parse(body) as { statusUpdate: TaskStatusUpdateEvent };
    if (source.endsWith(entry, statusUpdate.status)) return { lines, last: seq };
  }
  return { lines };
}
