// Canonical JSON, by the examples of RFC 8785 itself.

import { describe, expect, it } from "vitest";
import { canonicalize } from "../../src/lib/jcs.ts";

/** Appendix B: the bits of an IEEE 754 double, and how it is written. */
const numbers: [bits: string, text: string][] = [
  ["0000000000000000", "0"],
  ["8000000000000000", "0"],
  ["0000000000000001", "5e-324"],
  ["8000000000000001", "-5e-324"],
  ["7fefffffffffffff", "1.7976931348623157e+308"],
  ["ffefffffffffffff", "-1.7976931348623157e+308"],
  ["4340000000000000", "9007199254740992"],
  ["c340000000000000", "-9007199254740992"],
  ["4430000000000000", "295147905179352830000"],
  ["44b52d02c7e14af5", "9.999999999999997e+22"],
  ["44b52d02c7e14af6", "1e+23"],
  ["44b52d02c7e14af7", "1.0000000000000001e+23"],
  ["444b1ae4d6e2ef4e", "999999999999999700000"],
  ["444b1ae4d6e2ef4f", "999999999999999900000"],
  ["444b1ae4d6e2ef50", "1e+21"],
  ["3eb0c6f7a0b5ed8c", "9.999999999999997e-7"],
  ["3eb0c6f7a0b5ed8d", "0.000001"],
  ["41b3de4355555553", "333333333.3333332"],
  ["41b3de4355555554", "333333333.33333325"],
  ["41b3de4355555555", "333333333.3333333"],
  ["41b3de4355555556", "333333333.3333334"],
  ["41b3de4355555557", "333333333.33333343"],
  ["becbf647612f3696", "-0.0000033333333333333333"],
  ["43143ff3c1cb0959", "1424953923781206.2"],
];

function toDouble(bits: string): number {
  const view = new DataView(new ArrayBuffer(8));
  view.setBigUint64(0, BigInt(`0x${bits}`));
  return view.getFloat64(0);
}

describe("canonical JSON (RFC 8785)", () => {
  it("is the example of §3.2.2 and §3.2.3", () => {
    const input = String.raw`{
      "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
      "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
      "literals": [null, true, false]
    }`;
    expect(canonicalize(JSON.parse(input))).toBe(
      String.raw`{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}`,
    );
  });

  it("orders members by UTF-16 code units (§3.2.3)", () => {
    const input = String.raw`{
      "\u20ac": "Euro Sign",
      "\r": "Carriage Return",
      "\ufb33": "Hebrew Letter Dalet With Dagesh",
      "1": "One",
      "\ud83d\ude00": "Emoji: Grinning Face",
      "\u0080": "Control",
      "\u00f6": "Latin Small Letter O With Diaeresis"
    }`;
    const values = [...canonicalize(JSON.parse(input)).matchAll(/:"([^"]*)"/g)].map(([, value]) => value);
    expect(values).toEqual([
      "Carriage Return",
      "One",
      "Control",
      "Latin Small Letter O With Diaeresis",
      "Euro Sign",
      "Emoji: Grinning Face",
      "Hebrew Letter Dalet With Dagesh",
    ]);
  });

  it.each(numbers)("writes the double %s as %s (appendix B)", (bits, text) => {
    expect(canonicalize(toDouble(bits))).toBe(text);
  });

  it("orders members at every depth, keeps the order of arrays, and leaves no space", () => {
    const input = {
      b: [{ z: 1, a: [] }, "x"],
      a: { d: null, c: {} },
      "": "empty name",
      undefined: undefined,
    };
    expect(canonicalize(input)).toBe('{"":"empty name","a":{"c":{},"d":null},"b":[{"a":[],"z":1},"x"]}');
  });

  it("does not depend on the order in which members were made", () => {
    expect(canonicalize({ a: 1, b: 2, 10: 3, 9: 4 })).toBe(canonicalize({ 9: 4, b: 2, 10: 3, a: 1 }));
  });

  it.each([
    ["NaN", Number.NaN],
    ["infinity", Number.POSITIVE_INFINITY],
    ["half of a surrogate pair", "\ud83d"],
    ["a name with half of a surrogate pair", { "\ude00": 1 }],
    ["an undefined element", [undefined]],
    ["a function", () => 1],
    ["a big integer", 1n],
  ])("is not made of %s", (_, value) => {
    expect(() => canonicalize(value)).toThrow(TypeError);
  });
});
