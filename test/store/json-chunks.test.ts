// Rows in JSON arrays that fit into a parameter of D1.

import { describe, expect, it } from "vitest";
import { utf8Length } from "../../src/lib/bytes.ts";
import { toJsonChunks } from "../../src/store/json-chunks.ts";

describe("toJsonChunks", () => {
  it("makes nothing of nothing, and one array of a few rows", () => {
    expect(toJsonChunks([])).toEqual([]);
    expect(toJsonChunks([{ a: 1 }, { a: null }])).toEqual(['[{"a":1},{"a":null}]']);
  });

  it.each([20, 25, 50, 99, 1_000])("keeps every row, in order, in arrays of at most %d units", (maxUnits) => {
    const rows = Array.from({ length: 40 }, (_, i) => ({ text: "ü".repeat(i % 4) }));
    const chunks = toJsonChunks(rows, maxUnits);
    expect(chunks.flatMap((chunk) => JSON.parse(chunk))).toEqual(rows);
    for (const chunk of chunks) expect(chunk.length).toBeLessThanOrEqual(maxUnits + 1);
    // As few as there can be: two neighbours would not fit together.
    for (const [i, chunk] of chunks.slice(1).entries()) {
      const [first = {}] = JSON.parse(chunk) as object[];
      const together = (chunks[i] ?? "").length + 1 + JSON.stringify(first).length;
      expect(together).toBeGreaterThan(maxUnits);
    }
  });

  it("makes arrays that are no larger than D1 takes, in bytes, whatever the text is", () => {
    for (const text of [
      "漢".repeat(9_000),
      "\u0000".repeat(4_096),
      '"\\'.repeat(9_000),
      "\ud800".repeat(9_000),
    ]) {
      const chunks = toJsonChunks(Array.from({ length: 100 }, () => ({ text })));
      for (const chunk of chunks) expect(utf8Length(chunk)).toBeLessThanOrEqual(2_000_000);
    }
  });

  it("puts a row that is too large for any array alone into one", () => {
    const rows = [{ a: "x" }, { a: "x".repeat(100) }, { a: "y" }];
    expect(toJsonChunks(rows, 30).map((chunk) => JSON.parse(chunk).length)).toEqual([1, 1, 1]);
  });
});
