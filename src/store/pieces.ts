// Many rows on their way into D1, in pieces: D1 runs one statement after the other, so a long one holds up whoever comes
// next; and where it shares a thread with the objects, it holds up those.

/** Rows of one piece: a few ms. */
const TOGETHER = 50;
/** Between two pieces, so that what has come meanwhile has its turn. */
const REST_MS = 10;

/** Saves rows in their order, piece by piece. A failure ends it: the pieces before it are saved. */
export async function inPieces<Row>(
  rows: readonly Row[],
  save: (piece: readonly Row[]) => Promise<unknown>,
): Promise<void> {
  for (let start = 0; start < rows.length; start += TOGETHER) {
    if (start > 0) await scheduler.wait(REST_MS);
    await save(rows.slice(start, start + TOGETHER));
  }
}
