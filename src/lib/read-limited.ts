// Reads a request body into text without ever holding more than a limit.
//
// A body with a Content-Length is at most that long, which HTTP's framing sees to, and is read in one go: through
// a reader it costs five times as much. A chunked body is counted as it comes, and reading stops at the limit. A body
// that trickles in holds its request open only for so long.
//
// Of large bodies an isolate holds only so much at once: it has 128 MB for everything, and what exceeds them ends all
// its requests and streams. Small ones go on meanwhile, since they cost no more than their requests do.

import { ByteBudget } from "./byte-budget.ts";
import { err, ok, type Result } from "./result.ts";

export type ReadProblem =
  | { reason: "too_large"; maxBytes: number }
  /** Not UTF-8. A replacement character would otherwise be stored as if the client had sent it. */
  | { reason: "not_utf8" }
  /** The client went away or broke the framing. */
  | { reason: "broken" }
  /** It was not there in time. */
  | { reason: "too_slow"; timeoutMs: number }
  /** Too much else is being read just now. */
  | { reason: "busy" };

const TIMEOUT_MS = 30_000;
const SMALL_BYTES = 16_384;
/** Of all bodies that are being read in an isolate, without the first SMALL_BYTES of each. */
const MAX_HELD_BYTES = 33_554_432;

const budget = new ByteBudget(MAX_HELD_BYTES);

/** The body as text; "" when there is none. A byte order mark at its start is dropped. */
export async function readLimited(
  request: Request,
  maxBytes: number,
  timeoutMs = TIMEOUT_MS,
): Promise<Result<string, ReadProblem>> {
  const late = Promise.withResolvers<Result<never, ReadProblem>>();
  const timer = setTimeout(() => late.resolve(err({ reason: "too_slow", timeoutMs })), timeoutMs);
  const until = Date.now() + timeoutMs;
  const hold = (size: number) =>
    size <= SMALL_BYTES || budget.hold(request, size - SMALL_BYTES, { until, now: Date.now() });
  const bytes = await read(request, { maxBytes, late: late.promise, hold });
  clearTimeout(timer);
  budget.release(request);
  if (!bytes.ok) return bytes;
  try {
    return ok(decoder.decode(bytes.value));
  } catch {
    return err({ reason: "not_utf8" });
  }
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: false });

type Limits = {
  maxBytes: number;
  late: Promise<Result<never, ReadProblem>>;
  /** Whether there is room for so much of the body. */
  hold(size: number): boolean;
};

/** Never throws. */
async function read(
  request: Request,
  limits: Limits,
): Promise<Result<ArrayBuffer | Uint8Array, ReadProblem>> {
  const length = request.headers.get("content-length");
  if (length === null) return readChunks(request.body, limits);
  const { maxBytes, late, hold } = limits;
  if (!(Number(length) <= maxBytes)) return err({ reason: "too_large", maxBytes });
  if (!hold(Number(length))) return err({ reason: "busy" });
  return Promise.race([readWhole(request, maxBytes), late]);
}

async function readWhole(request: Request, maxBytes: number): Promise<Result<ArrayBuffer, ReadProblem>> {
  try {
    const bytes = await request.arrayBuffer();
    return bytes.byteLength <= maxBytes ? ok(bytes) : err({ reason: "too_large", maxBytes });
  } catch {
    return err({ reason: "broken" });
  }
}

async function readChunks(
  body: ReadableStream<Uint8Array> | null,
  { maxBytes, late, hold }: Limits,
): Promise<Result<Uint8Array, ReadProblem>> {
  if (body === null) return ok(new Uint8Array());
  const chunks: Uint8Array[] = [];
  let size = 0;
  const reader = body.getReader();
  try {
    for (;;) {
      const read = await Promise.race([reader.read(), late]);
      if ("ok" in read) {
        reader.cancel().catch(() => {});
        return read;
      }
      const { done, value } = read;
      if (done) break;
      size += value.byteLength;
      if (size > maxBytes || !hold(size)) {
        // Not awaited: a sender that never stops must not hold up its answer.
        reader.cancel().catch(() => {});
        return err(size > maxBytes ? { reason: "too_large", maxBytes } : { reason: "busy" });
      }
      chunks.push(value);
    }
  } catch {
    return err({ reason: "broken" });
  }
  const bytes = new Uint8Array(size);
  let offset = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, offset);
    offset += chunk.byteLength;
  }
  return ok(bytes);
}
