// What a memory spares, for how long, and how little it can be made to hold.

import { describe, expect, it } from "vitest";
import { createMemory } from "../../src/lib/memory.ts";

function setUp(maxKeys = 3) {
  const clock = { now: 100_000 };
  const stored = new Map<string, { n: number }>();
  const asked: string[] = [];
  const memory = createMemory({
    load: async (key: string) => {
      asked.push(key);
      if (key === "broken") throw new Error("down");
      return stored.get(key);
    },
    keepMs: 1_000,
    maxKeys,
    now: () => clock.now,
  });
  return { clock, stored, asked, memory };
}

describe("a memory", () => {
  it("asks once for what is there and for what is not, while it remembers", async () => {
    const { clock, stored, asked, memory } = setUp();
    stored.set("a", { n: 1 });
    for (let i = 0; i < 3; i++) {
      expect(await memory.get("a")).toEqual({ n: 1 });
      expect(await memory.get("b")).toBeUndefined();
    }
    expect(asked).toEqual(["a", "b"]);
    clock.now += 999;
    await memory.get("a");
    expect(asked).toHaveLength(2);
    clock.now += 1;
    stored.delete("a");
    stored.set("b", { n: 2 });
    expect(await memory.get("a")).toBeUndefined();
    expect(await memory.get("b")).toEqual({ n: 2 });
    expect(await memory.get("b")).toEqual({ n: 2 });
    expect(asked).toHaveLength(4);
  });

  it("keeps nothing longer because a clock was put back", async () => {
    const { clock, stored, asked, memory } = setUp();
    stored.set("a", { n: 1 });
    await memory.get("a");
    clock.now -= 50_000;
    await memory.get("a");
    expect(asked).toHaveLength(2);
  });

  it("reads again what was read before the time that is asked for, and once only", async () => {
    const { clock, stored, asked, memory } = setUp();
    stored.set("a", { n: 1 });
    await memory.get("a");
    clock.now += 500;
    stored.set("a", { n: 2 });
    expect(await memory.get("a")).toEqual({ n: 1 });
    expect(await memory.get("a", 100_200)).toEqual({ n: 2 });
    expect(await memory.get("a", 100_200)).toEqual({ n: 2 });
    expect(asked).toHaveLength(2);
  });

  it("does not remember that a lookup failed", async () => {
    const { asked, memory } = setUp();
    await expect(memory.get("broken")).rejects.toThrow("down");
    await expect(memory.get("broken")).rejects.toThrow("down");
    expect(asked).toHaveLength(2);
  });

  it("is bounded, and guesses never push out what is there", async () => {
    const { stored, asked, memory } = setUp();
    for (const key of ["a", "b", "c"]) stored.set(key, { n: 1 });
    for (const key of ["a", "b", "c"]) await memory.get(key);
    for (let i = 0; i < 10; i++) await memory.get(`guess-${i}`);
    for (const key of ["a", "b", "c"]) await memory.get(key);
    expect(asked).toHaveLength(13);
    stored.set("d", { n: 1 });
    for (const key of ["d", "b", "c", "d", "a", "guess-9", "guess-0"]) await memory.get(key);
    expect(asked.slice(13)).toEqual(["d", "a", "guess-0"]);
  });

  it("forgets what fits, and nothing else", async () => {
    const { stored, asked, memory } = setUp();
    stored.set("a", { n: 1 });
    stored.set("b", { n: 2 });
    for (const key of ["a", "b"]) await memory.get(key);
    memory.forget(({ n }) => n === 1);
    for (const key of ["a", "b"]) await memory.get(key);
    expect(asked).toEqual(["a", "b", "a"]);
  });
});
