// Refusals as an isolate gathers them: whoever floods it neither fills its memory nor its time.

import { afterEach, describe, expect, it, vi } from "vitest";
import { createRefusals, createSums, type RefusalCount, toNetwork } from "../../src/audit/refusals.ts";

afterEach(() => void vi.restoreAllMocks());

const refusal = (who: string, reason = "unknown_key") => ({
  kind: "authentication.refused" as const,
  who,
  reason,
});

function setUp(send: (counts: RefusalCount[]) => Promise<void> = async () => {}) {
  const sent: RefusalCount[][] = [];
  const waiting: Promise<unknown>[] = [];
  const waking: (() => void)[] = [];
  const refusals = createRefusals({
    send: (counts) => {
      sent.push(counts);
      return send(counts);
    },
    waitUntil: (promise) => void waiting.push(promise),
    sleep: () => new Promise<void>((resolve) => void waking.push(resolve)),
  });
  const pass = async () => {
    for (const wake of waking.splice(0)) wake();
    await Promise.all(waiting.splice(0));
  };
  return { refusals, sent, pass };
}

describe("refusals", () => {
  it("are sums by who and why, told once", async () => {
    const { refusals, sent, pass } = setUp();
    for (const who of ["a", "b", "a"]) refusals.add(refusal(who));
    refusals.add(refusal("a", "expired"));
    await pass();
    expect(sent).toEqual([
      [
        { ...refusal("a"), count: 2 },
        { ...refusal("b"), count: 1 },
        { ...refusal("a", "expired"), count: 1 },
      ],
    ]);
  });

  it("of a hundred thousand networks are a hundred and one sums, and cost no more than those of one", async () => {
    const { refusals, sent, pass } = setUp();
    for (let i = 0; i < 100_000; i++) refusals.add(refusal(`10.${i >> 8}.${i & 255}.0/24`));
    await pass();
    const [counts = []] = sent;
    expect(counts).toHaveLength(101);
    expect(counts.at(-1)).toEqual({ ...refusal("other"), count: 99_900 });
  });

  it("that could not be told are lost, and those after them are not", async () => {
    const log = vi.spyOn(console, "warn").mockImplementation(() => {});
    const { refusals, sent, pass } = setUp(() => Promise.reject(new Error("down")));
    refusals.add(refusal("a"));
    await pass();
    refusals.add(refusal("b"));
    await pass();
    expect(sent.map(([first]) => first?.who)).toEqual(["a", "b"]);
    expect(log).toHaveBeenCalledTimes(2);
  });
});

it("sums of sums are one, with the same limit", () => {
  const sums = createSums(2);
  for (const who of ["a", "b", "c", "a", "d"]) sums.add({ ...refusal(who), count: 3 });
  expect(sums.list().map(({ who, count }) => [who, count])).toEqual([
    ["a", 6],
    ["b", 3],
    ["other", 6],
  ]);
});

it.each([
  ["203.0.113.7", "203.0.113.0/24"],
  ["20010db800010002/64", "2001:0db8:0001::/48"],
  ["unknown", "unknown"],
])("of the address %s the audit names %s", (address, network) => {
  expect(toNetwork(address)).toBe(network);
});
