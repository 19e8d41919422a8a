// Reads a request body into text without ever holding more than a limit.
//
// A body with a Content-Length is at most that long, which HTTP's framing sees to, and is read in one go: through
// a reader it costs five times as much. A chunked body is counted as it comes, and reading stops at the limit. A body
// that trickles in holds its request open only for so long.

import { err, ok, type Result } from "./result.ts";

export type ReadProblem =
  | { reason: "too_large"; maxBytes: number }
  /** Not UTF-8. A replacement character would otherwise be stored as if the client had sent it. */
  | { reason: "not_utf8" }
  /** The client went away or broke the framing. */
  | { reason: "broken" }
  /** It was not there in time. */
  | { reason: "too_slow"; timeoutMs: number };

const TIMEOUT_MS = 30_000;

/** The body as text; "" when there is none. A byte order mark at its start is dropped. */
export async function readLimited(
  request: Request,
  maxBytes: number,
  timeoutMs = TIMEOUT_MS,
): Promise<Result<string, ReadProblem>> {
  const length = request.headers.get("content-length");
  const late = Promise.withResolvers<Result<never, ReadProblem>>();
  const timer = setTimeout(() => late.resolve(err({ reason: "too_slow", timeoutMs })), timeoutMs);
  const bytes =
    length === null
      ? await readChunks(request.body, maxBytes, late.promise)
      : await Promise.race([readWhole(request, length, maxBytes), late.promise]);
  clearTimeout(timer);
  if (!bytes.ok) return bytes;
  try {
    return ok(decoder.decode(bytes.value));
  } catch {
    return err({ reason: "not_utf8" });
  }
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: false });

async function readWhole(
  request: Request,
  length: string,
  maxBytes: number,
): Promise<Result<ArrayBuffer, ReadProblem>> {
  if (!(Number(length) <= maxBytes)) return err({ reason: "too_large", maxBytes });
  try {
    const bytes = await request.arrayBuffer();
    return bytes.byteLength <= maxBytes ? ok(bytes) : err({ reason: "too_large", maxBytes });
  } catch {
    return err({ reason: "broken" });
  }
}

async function readChunks(
  body: ReadableStream<Uint8Array> | null,
  maxBytes: number,
  late: Promise<Result<never, ReadProblem>>,
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
      if (size > maxBytes) {
        // Not awaited: a sender that never stops must not hold up its answer.
        reader.cancel().catch(() => {});
        return err({ reason: "too_large", maxBytes });
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
