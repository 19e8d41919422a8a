// Random agents that die at random moments and differ from run to run: the task is what the last run said, to
// GetTask and to whoever folds the events.

import { describe, expect, it } from "vitest";
import type { QuickTask } from "../../src/agents/agent.ts";
import type { StreamResponse } from "../../src/protocol/events.ts";
import { toArtifacts } from "../../src/tasks/fold.ts";
import { again, begin, text } from "./array-home.ts";
import { createRandom } from "./random.ts";
import { forever } from "./stage.ts";

type Op = { says: string } | { id: string; text: string; append: boolean };

function randomOps(random: (below: number) => number): Op[] {
  return Array.from({ length: random(7) }, (): Op => {
    if (random(4) === 0) return { says: `s${random(3)}` };
    return { id: "abc"[random(3)] as string, text: `${random(5)}`, append: random(2) === 0 };
  });
}

/** The same agent in a later run: often just the same, else another from some place on. */
function vary(ops: Op[], random: (below: number) => number): Op[] {
  return random(3) === 0 ? ops : [...ops.slice(0, random(ops.length + 1)), ...randomOps(random)];
}

async function perform(task: QuickTask, ops: readonly Op[]): Promise<void> {
  for (const op of ops) {
    if ("says" in op) await task.working(op.says);
    else await task.artifact({ artifactId: op.id, parts: text(op.text), append: op.append });
  }
}

function foldOps(ops: readonly Op[]): Record<string, string> {
  const artifacts: Record<string, string> = {};
  for (const op of ops) {
    if ("id" in op) artifacts[op.id] = (op.append ? (artifacts[op.id] ?? "") : "") + op.text;
  }
  return artifacts;
}

function foldEvents(events: readonly StreamResponse[]): Record<string, string> {
  return foldOps(
    events.flatMap(({ artifactUpdate }) => {
      if (!artifactUpdate) return [];
      const { artifact, append = false } = artifactUpdate;
      return [{ id: artifact.artifactId, text: artifact.parts.map((part) => part.text).join(""), append }];
    }),
  );
}

describe("a random agent that runs again, and then throws or is canceled", () => {
  it.each([["throws"], ["is canceled"]])(
    "leaves subscribers with the task's artifacts when it %s (250 seeds)",
    async (how) => {
      for (let seed = 0; seed < 250; seed++) {
        const random = createRandom(seed);
        let ops = randomOps(random);
        if (ops.length === 0) continue;
        const { home } = begin(async (task) => {
          await perform(task, ops);
          await forever;
        });
        await scheduler.wait(0);
        ops = vary(ops, random).slice(0, random(8));
        const { turn } = again(home, async (task) => {
          await perform(task, ops);
          if (how === "throws") throw new Error("on purpose");
          await forever;
        });
        await scheduler.wait(0);
        turn.stop("TASK_STATE_CANCELED");
        const final = Object.fromEntries(
          (home.task().artifacts ?? []).map((a) => [a.artifactId, a.parts.map((p) => p.text).join("")]),
        );
        const seen = foldEvents(home.events());
        for (const id of Object.keys(seen)) if (!(id in final)) delete seen[id];
        expect(seen, `seed ${seed}`).toEqual(final);
      }
    },
  );
});

describe("a random agent that dies twice at random moments", () => {
  it.each([0, 250, 500, 750])(
    "leaves the task of its last run, to GetTask and to subscribers (250 seeds from %i)",
    async (from) => {
      for (let seed = from; seed < from + 250; seed++) {
        const random = createRandom(seed);
        let ops = randomOps(random);
        const dies = (all: Op[]) => {
          // At least one emission, without which there is no task to run again.
          const survived = all.slice(0, 1 + random(all.length));
          return async (task: QuickTask) => {
            await perform(task, survived);
            await forever;
          };
        };
        if (ops.length === 0) continue;
        const { home } = begin(dies(ops));
        await scheduler.wait(0);
        ops = vary(ops, random);
        void again(home, dies(ops)).done;
        await scheduler.wait(0);
        ops = vary(ops, random);
        await again(home, (task) => perform(task, ops)).done;

        const artifacts = toArtifacts(home.journal);
        const final = Object.fromEntries(
          artifacts.map((a) => [a.artifactId, a.parts.map((p) => p.text).join("")]),
        );
        expect(final, `seed ${seed}`).toEqual(foldOps(ops));
        // What a client has seen of an artifact that the last run does not have cannot be taken back.
        const seen = foldEvents(home.events());
        for (const id of Object.keys(seen)) if (!(id in final)) delete seen[id];
        expect(seen, `seed ${seed}`).toEqual(final);
        expect(home.journal.map(({ seq }) => seq)).toEqual(home.journal.map((_, index) => index + 1));
        const said = (home.task().history ?? []).slice(1).map((entry) => entry.parts[0]?.text);
        expect(said, `seed ${seed}`).toEqual(ops.flatMap((op) => ("says" in op ? [op.says] : [])));
      }
    },
  );
});
