// Rows as JSON arrays, each of which is one bound parameter of a statement that reads it through json_each: D1 takes
// 100 parameters a statement, which are few rows, and 2 MB a parameter, which are many.

import { utf8Length } from "../lib/bytes.ts";

const CHUNK_BYTES = 1_000_000;

/** The rows in JSON arrays of at most `maxBytes` (a row that is larger is alone in its array). */
export function toJsonChunks(rows: readonly object[], maxBytes = CHUNK_BYTES): string[] {
  const chunks: string[] = [];
  let pieces: string[] = [];
  let bytes = 0;
  const end = () => {
    if (pieces.length > 0) chunks.push(`[${pieces.join(",")}]`);
    pieces = [];
    bytes = 0;
  };
  for (const row of rows) {
    const piece = JSON.stringify(row);
    const size = utf8Length(piece) + 1;
    if (bytes + size > maxBytes) end();
    pieces.push(piece);
    bytes += size;
  }
  end();
  return chunks;
}
