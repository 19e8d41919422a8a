// Which members of a Map of bounded size are kept.

import { expect, it } from "vitest";
import { keepNewest } from "../../src/lib/keep-newest.ts";

it("forgets what was set first, and counts what is set again as new", () => {
  const map = new Map<string, number>();
  for (const [n, key] of ["a", "b", "c", "a", "d", "d"].entries()) keepNewest(map, key, n, 3);
  expect([...map]).toEqual([
    ["c", 2],
    ["a", 3],
    ["d", 5],
  ]);
});

it("keeps one where none more may be", () => {
  const map = new Map<string, number>();
  for (const key of ["a", "b", "b"]) keepNewest(map, key, 1, 1);
  expect([...map]).toEqual([["b", 1]]);
});
