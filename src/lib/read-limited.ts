// Reads a request body into text without ever holding more than a limit.
//
// Content-Length is believed when it is too large, never when it is small: a chunked body has none and a
// wrong one is possible behind a proxy, so the bytes are counted as they come and reading stops at the limit.

import { err, ok, type Result } from "./result.ts";

export type ReadProblem =
  | { reason: "too_large"; maxBytes: number }
  /** Not UTF-8. A replacement character would otherwise be stored as if the client had sent it. */
  | { reason: "not_utf8" }
  /** The client went away or broke the framing. */
  | { reason: "broken" };

/** The body as text; "" when there is none. A byte order mark at its start is dropped. */
export async function readLimited(
  body: ReadableStream<Uint8Array> | null,
  contentLength: string | null,
  maxBytes: number,
): Promise<Result<string, ReadProblem>> {
  if (body === null) return ok("");
  if (contentLength !== null && Number(contentLength) > maxBytes) {
    return err({ reason: "too_large", maxBytes });
  }
  const chunks: Uint8Array[] = [];
  let size = 0;
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
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
  try {
    return ok(decode(chunks));
  } catch {
    return err({ reason: "not_utf8" });
  }
}

function decode(chunks: readonly Uint8Array[]): string {
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: false });
  const [only] = chunks;
  if (only && chunks.length === 1) return decoder.decode(only);
  let text = "";
  for (const chunk of chunks) text += decoder.decode(chunk, { stream: true });
  return text + decoder.decode();
}
