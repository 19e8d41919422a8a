// The verifier against notifications that another implementation made: 19 good ones, and every way we could think of
// to make a bad one.

import { describe, expect, it } from "vitest";
import fixture from "../fixtures/webhooks/vectors.json";
import { runVector, type Vectors } from "./run-vector.ts";

const vectors = fixture as unknown as Vectors;

describe("the verifier", () => {
  it("has vectors of every kind", () => {
    const names = vectors.vectors.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    const refused = vectors.vectors.filter(({ expect }) => typeof expect === "string");
    expect(refused.length).toBeGreaterThanOrEqual(80);
    expect(vectors.vectors.length - refused.length).toBeGreaterThanOrEqual(15);
  });

  it.each(vectors.vectors.map((vector) => [vector.name, vector] as const))("%s", async (_, vector) => {
    expect(await runVector(vectors, vector)).toEqual(vector.expect);
  });
});
