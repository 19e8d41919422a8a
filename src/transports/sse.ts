// Server-sent events (§9.4.2, §11.7): turns a home's lines `<seq> <json>\n` into frames
// `id: <seq>\ndata: <json>\n\n`, bytes in, bytes out; only for a dialect that says events otherwise is anything parsed.
//
// Pull-based on purpose: a slow reader slows the source, and `cancel` reaches the source at once. A
// TransformStream would notice a reader that left only at its second write. A reader that left an idle stream
// is noticed by nobody until something is written to it: that is what the heartbeat comment is for, besides
// keeping proxies from closing the connection.

import { orLate } from "../lib/or-late.ts";
import type { Failure } from "../protocol/errors.ts";

export type Envelope = {
  /** Written before and after each event's JSON, e.g. `{"jsonrpc":"2.0","id":1,"result":` and `}`. */
  prefix: string;
  suffix: string;
  /** An event as another dialect says it. Absent: the home's bytes are the client's, and nothing is parsed. */
  write?: ((core: never) => unknown) | undefined;
  /** Frames are lines of data alone: no ids, no names of events. */
  isPlain?: boolean | undefined;
  /** The data of the one `event: error` frame that ends a broken stream, in the form of the transport. */
  error(failure: Failure): unknown;
};

export type StreamOptions = {
  lines: ReadableStream<Uint8Array>;
  envelope: Envelope;
  heartbeatMs: number;
  /** Throws when the reader may not go on. Asked before whatever is written, at most every RECHECK_MS. */
  recheck?: (() => Promise<void>) | undefined;
  /**
   * Called once, when nothing more is read: at the end, at a break, or when the client has left. Canceling `lines`
   * is not enough for a source in another isolate: RPC does not tell it before it writes again.
   */
  release?: (() => void) | undefined;
  /** Logs the cause of a stream that broke and says what its reader may know. */
  toFailure(cause: unknown): Failure;
};

export const sseHeaders: Readonly<Record<string, string>> = {
  "content-type": "text/event-stream",
  // no-transform: a proxy that compresses would hold back events until its buffer is full.
  "cache-control": "no-cache, no-transform",
  "x-accel-buffering": "no",
};

/**
 * workerd sends an answer's headers with the first bytes of its body. A client whose first event is late (it came
 * back to an idle task, or the agent thinks before it acts) gets a comment after this long, and knows that it is
 * connected.
 */
const OPENING_MS = 100;

/** With the 30 s for which credentials are remembered, a stream ends within a minute of what let its reader in. */
export const RECHECK_MS = 15_000;

const encoder = new TextEncoder();
const decoder = new TextDecoder();
/**
 * A comment ends with the blank line that ends an event, which clients need that cut a stream at blank lines. Once an
 * event had an id it must not: clients that keep the id (httpx-sse, and with it the Python SDK) would take the end of
 * nothing for an event without data, and break.
 */
const COMMENT = encoder.encode(":\n\n");
const COMMENT_AFTER_ID = encoder.encode(":\n");
const LINE_FEED = 10;
const SPACE = 32;
const NO_ID = 45; // "-": a direct Message, which belongs to no task and cannot be resumed

export function toEventStream(options: StreamOptions): ReadableStream<Uint8Array> {
  const { envelope, heartbeatMs, recheck, toFailure, release } = options;
  const frames = createFramer(envelope);
  const reader = options.lines.getReader();
  // One read is under way at any time; a heartbeat leaves it pending for the next pull.
  let pending: Promise<ReadableStreamReadResult<Uint8Array>> | undefined;
  let left = false;
  let silenceMs = Math.min(OPENING_MS, heartbeatMs);
  let checkedAt = Date.now();

  const fail = (controller: ReadableStreamDefaultController<Uint8Array>, cause: unknown) => {
    const data = JSON.stringify(envelope.error(toFailure(cause)));
    const name = envelope.isPlain ? "" : "event: error\n";
    controller.enqueue(encoder.encode(`${name}data: ${data}\n\n`));
    controller.close();
  };

  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          for (;;) {
            pending ??= reader.read();
            const read = await orLate(pending, silenceMs);
            if (left) return;
            silenceMs = heartbeatMs;
            if (read?.done) {
              pending = undefined;
              frames.end();
              release?.();
              controller.close();
              return;
            }
            // A clock that was put back puts nothing off.
            if (recheck !== undefined && Math.abs(Date.now() - checkedAt) >= RECHECK_MS) {
              checkedAt = Date.now();
              await recheck();
              if (left) return;
            }
            if (read === undefined) {
              controller.enqueue(frames.haveIds ? COMMENT_AFTER_ID : COMMENT);
              return;
            }
            pending = undefined;
            const frame = frames.next(read.value);
            // No whole line yet: read on, since a pull that enqueues nothing is not called again.
            if (frame === undefined) continue;
            controller.enqueue(frame);
            return;
          }
        } catch (cause) {
          if (left) return;
          reader.cancel(cause).catch(() => {});
          release?.();
          fail(controller, cause);
        }
      },
      async cancel(reason) {
        left = true;
        release?.();
        await reader.cancel(reason);
      },
    },
    // 0: nothing is read ahead of the client.
    { highWaterMark: 0 },
  );
}

/** A stream that is one error, for a dialect that answers with a stream whatever happens. */
export function toErrorEvent(body: unknown): string {
  return `data: ${JSON.stringify(body)}\n\n`;
}

/** Cuts chunks into lines at whatever byte they were split, and lines into frames. */
function createFramer(envelope: Envelope) {
  const { write, isPlain } = envelope;
  const id = encoder.encode("id: ");
  const data = encoder.encode(`data: ${envelope.prefix}`);
  const end = encoder.encode(`${envelope.suffix}\n\n`);
  const newline = Uint8Array.of(LINE_FEED);
  // The pieces of a line whose end has not come; joined once, so a long line costs no more than its length.
  let rest: Uint8Array[] = [];
  let haveIds = false;

  const addLine = (out: Uint8Array[], line: Uint8Array) => {
    const space = line.indexOf(SPACE);
    if (space < 1) throw new Error("a line of a task's event stream has no sequence number");
    if (line[0] !== NO_ID && !isPlain) {
      out.push(id, line.subarray(0, space), newline);
      haveIds = true;
    }
    const json = line.subarray(space + 1);
    out.push(data, write === undefined ? json : rewrite(json, write), end);
  };

  return {
    /** Whether any of them had one. */
    get haveIds() {
      return haveIds;
    },
    /** The frames that `chunk` completes, or undefined. */
    next(chunk: Uint8Array): Uint8Array | undefined {
      const out: Uint8Array[] = [];
      let start = 0;
      for (;;) {
        const stop = chunk.indexOf(LINE_FEED, start);
        if (stop === -1) break;
        const tail = chunk.subarray(start, stop);
        addLine(out, rest.length === 0 ? tail : concat([...rest, tail]));
        rest = [];
        start = stop + 1;
      }
      if (start < chunk.byteLength) rest.push(chunk.subarray(start));
      return out.length === 0 ? undefined : concat(out);
    },
    end() {
      if (rest.length > 0) throw new Error("a task's event stream ended in the middle of a line");
    },
  };
}

function rewrite(json: Uint8Array, write: (core: never) => unknown): Uint8Array {
  return encoder.encode(JSON.stringify(write(JSON.parse(decoder.decode(json)) as never)));
}

function concat(pieces: readonly Uint8Array[]): Uint8Array {
  let size = 0;
  for (const piece of pieces) size += piece.byteLength;
  const joined = new Uint8Array(size);
  let offset = 0;
  for (const piece of pieces) {
    joined.set(piece, offset);
    offset += piece.byteLength;
  }
  return joined;
}
