// JSON text is measured before it is parsed.

import { describe, expect, it } from "vitest";
import { jsonDepth, parseJson } from "../../src/protocol/json.ts";
import { pick, seeded } from "./arbitrary.ts";

/** The depth of a value, the slow and obvious way. */
function depthOf(value: unknown): number {
  if (typeof value !== "object" || value === null) return 0;
  return 1 + Math.max(0, ...Object.values(value).map(depthOf));
}

describe("jsonDepth", () => {
  it.each([
    ["1", 0],
    ['"[[["', 0],
    ["{}", 1],
    ['{"a":[{"b":1}]}', 3],
    ['["]","]]"]', 1],
    ['["\\"[[[",[]]', 2],
    ['["\\\\",[[]]]', 3],
    ['["\\\\\\"[[[["]', 1],
    ['{"[{\\"":{}}', 2],
    ['["a', 1],
    ['["\\', 1],
    ["", 0],
  ])("counts %s as %i", (text, depth) => {
    expect(jsonDepth(text)).toBe(depth);
  });

  it("agrees with the depth of the parsed value, whatever is in the strings", () => {
    const random = seeded(7);
    const strings = ["", "[", "]", "{", "}", '"', "\\", '\\"', '"]', "[{", "\\\\", "x"];
    const make = (depth: number): unknown => {
      if (depth === 0 || random() < 0.3) return pick(random, strings);
      const children = Array.from({ length: Math.floor(random() * 4) }, () => make(depth - 1));
      if (random() < 0.5) return children;
      return Object.fromEntries(children.map((child) => [pick(random, strings), child]));
    };
    for (let i = 0; i < 500; i++) {
      const value = make(6);
      expect(jsonDepth(JSON.stringify(value))).toBe(depthOf(value));
    }
  });

  it("stops counting when it has seen enough", () => {
    expect(jsonDepth("[".repeat(1_000_000), 65)).toBe(65);
  });
});

describe("parseJson", () => {
  it("parses what is within the depth", () => {
    expect(parseJson('{"a":[1,null,"x"]}', 2)).toEqual({ ok: true, value: { a: [1, null, "x"] } });
  });

  it("refuses deeper text with INVALID_REQUEST, or with the reason it is given, before it parses", () => {
    for (const text of ['{"a":[[1]]}', "[".repeat(500_000), '{"a":'.repeat(100_000)]) {
      expect(parseJson(text, 2)).toMatchObject({
        ok: false,
        error: { reason: "INVALID_REQUEST", message: "JSON must not be nested deeper than 2 levels" },
      });
    }
    expect(parseJson("[[[]]]", 2, "INVALID_PARAMS")).toMatchObject({ error: { reason: "INVALID_PARAMS" } });
  });

  it.each(["", "{", "nul", "{'a':1}", '{"a":1}x', '["\u0000"]', "NaN", "\ufeff{}"])(
    "answers PARSE_ERROR for %j and does not quote it (§9.5)",
    (text) => {
      expect(parseJson(text, 64)).toEqual({
        ok: false,
        error: { reason: "PARSE_ERROR", message: "Invalid JSON payload" },
      });
    },
  );
});
