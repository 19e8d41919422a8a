// The order in which waiting claims are served.

import { describe, expect, it } from "vitest";
import { FairQueue } from "../../src/delivery/fair-queue.ts";
import { createRandom } from "../tasks/random.ts";
import { aClaim } from "./claims.ts";

function queueOf(...waiting: string[]): FairQueue {
  const queue = new FairQueue();
  for (const key of waiting) {
    const [target = "", home = ""] = key;
    queue.add({ home, claim: aClaim({ key, target, body: key }), since: 0 });
  }
  return queue;
}

/** Serves everything in turn. */
function serve(queue: FairQueue): string[] {
  const served: string[] = [];
  for (;;) {
    const [target] = queue.targets();
    const next = target === undefined ? undefined : queue.next(target, () => true);
    if (!next) return served;
    queue.take(next);
    served.push(next.claim.key);
  }
}

describe("turns", () => {
  it("are taken by targets, and on a target by homes; a home's claims stay in order", () => {
    expect(serve(queueOf("ax1", "ax2", "ax3", "ay1", "bx1", "bx2"))).toEqual([
      "ax1",
      "bx1",
      "ay1",
      "bx2",
      "ax2",
      "ax3",
    ]);
  });

  it("skip homes that may not", () => {
    const queue = queueOf("ax1", "ay1");
    expect(queue.next("a", ({ home }) => home !== "x")?.claim.key).toBe("ay1");
    expect(queue.next("a", () => false)).toBeUndefined();
    expect(queue.next("none", () => true)).toBeUndefined();
  });
});

describe("what is removed", () => {
  it("is given back, of a target or by any rule", () => {
    const queue = queueOf("ax1", "ax2", "ay1", "bx1");
    expect(queue.remove(({ home }) => home === "x").map(({ claim }) => claim.key)).toEqual([
      "ax1",
      "ax2",
      "bx1",
    ]);
    expect(queue.shorten("a", 0).map(({ claim }) => claim.key)).toEqual(["ay1"]);
    expect(queue.shorten("a", 0)).toEqual([]);
    expect([...queue.targets()]).toEqual([]);
  });

  it("to shorten a line is the newest of the homes that have most", () => {
    const queue = queueOf("ax1", "ax2", "ax3", "ay1", "ay2", "bx1");
    expect(queue.shorten("a", 9)).toEqual([]);
    expect(queue.shorten("a", 2).map(({ claim }) => claim.key)).toEqual(["ax3", "ax2", "ay2"]);
    expect(serve(queue)).toEqual(["ax1", "bx1", "ay1"]);
  });
});

describe("whatever happens", () => {
  it("counts what it holds", () => {
    const random = createRandom(5);
    const queue = new FairQueue();
    let held: string[] = [];
    for (let step = 0; step < 3_000; step++) {
      const [target, home] = ["abc"[random(3)] ?? "", "xyz"[random(3)] ?? ""];
      const key = `${target}${home}${step}`;
      const chance = random(60);
      if (chance < 40) {
        queue.add({ home, claim: aClaim({ key, target, body: key }), since: 0 });
        held.push(key);
      } else if (chance === 40) {
        queue.shorten(target, 0);
        held = held.filter((one) => !one.startsWith(target));
      } else if (chance === 41) {
        queue.remove((waiting) => waiting.home === home);
        held = held.filter((one) => one[1] !== home);
      } else {
        const next = queue.next(target, () => true);
        if (next) queue.take(next);
        held = held.filter((one) => one !== next?.claim.key);
      }
      expect(queue.size).toBe(held.length);
      expect(queue.chars).toBe(held.join("").length);
      expect(queue.count(target)).toBe(held.filter((one) => one.startsWith(target)).length);
      expect(queue.countOf(target, home)).toBe(held.filter((one) => one.startsWith(target + home)).length);
      expect([...queue.of(home)].flat()).toHaveLength(held.filter((one) => one[1] === home).length);
      expect(queue.breadth).toBe(new Set(held.map((one) => one[0])).size);
    }
  });
});
