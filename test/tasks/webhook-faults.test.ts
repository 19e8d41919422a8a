// Seeded runs in which everything fails that can: nothing is lost, order is kept, nothing is sent after a deletion.
//
// TEST_RUNS says how many (RUNS=10000 npx vitest run test/tasks/webhook-faults.test.ts), TEST_SEED repeats one alone.

import { env } from "cloudflare:test";
import { describe, expect, it, vi } from "vitest";
import { onStages } from "../support/notifications.ts";
import { runSeed } from "./webhook-run.ts";

declare global {
  namespace Cloudflare {
    interface Env {
      TEST_RUNS: string;
      TEST_SEED: string;
    }
  }
}

const RUNS = Number(env.TEST_RUNS);
const ONLY = env.TEST_SEED === "" ? undefined : Number(env.TEST_SEED);
/** Each part in an object of its own, emptied between seeds. */
const PART = 100;

const parts =
  ONLY === undefined
    ? Array.from(
        { length: Math.ceil(RUNS / PART) },
        (_, i) => [i * PART, Math.min(RUNS, (i + 1) * PART)] as const,
      )
    : [[ONLY, ONLY + 1] as const];

// What fails here on purpose is logged in passing.
vi.spyOn(console, "warn").mockImplementation(() => {});

describe("a home whose every neighbour fails, and which dies itself", () => {
  it.each(parts)("keeps its promises, seeds %i to %i", { timeout: 600_000 }, async (from, to) => {
    await onStages(async (next) => {
      for (let seed = from; seed < to; seed++) {
        try {
          await runSeed(await next(), seed);
        } catch (error) {
          throw new Error(`seed ${seed} (SEED=${seed}): ${(error as Error).message}`, { cause: error });
        }
      }
    });
    expect(to).toBeGreaterThan(from);
  });
});
