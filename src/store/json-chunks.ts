// Rows as JSON arrays, each of which is one bound parameter of a statement that reads it through json_each: D1 takes
// 100 parameters a statement, which are few rows, and 2 MB a parameter, which are many.

/** UTF-16 units, of which each takes at most 3 bytes of UTF-8. */
const CHUNK_UNITS = 500_000;

/** The rows in JSON arrays of at most `maxUnits` (a row that is longer is alone in its array). */
export function toJsonChunks(rows: readonly object[], maxUnits = CHUNK_UNITS): string[] {
  const chunks: string[] = [];
  let pieces: string[] = [];
  let units = 0;
  const end = () => {
    if (pieces.length > 0) chunks.push(`[${pieces.join(",")}]`);
    pieces = [];
    units = 0;
  };
  for (const row of rows) {
    const piece = JSON.stringify(row);
    const length = piece.length + 1;
    if (units + length > maxUnits) end();
    pieces.push(piece);
    units += length;
  }
  end();
  return chunks;
}
