// An agent for tests, `stage`: it does what the test said for the text of the message, so that a test shows the
// agent's misdeed beside what it claims of it. It is served beside the real agents by mocking the registry. The
// server is loaded before a test file is, so its modules are dropped first:
//
//   vi.hoisted(() => vi.resetModules());
//   vi.mock("../../src/agents/registry.ts", async (original) => (await import("./stage.ts")).withStage(original));
//   const { act } = await import("./stage.ts");

import { defineAgent, type QuickTask } from "../../src/agents/agent.ts";
import type * as registry from "../../src/agents/registry.ts";
import { ok } from "../../src/lib/result.ts";

/** `run` counts the runs of this act for this task, from 1. */
export type Act = (task: QuickTask, run: number) => Promise<void> | void;

const acts = new Map<string, Act>();
const runs = new Map<string, number>();

/** Says what the agent does when it is sent `text`. Returns the text. */
export function act(text: string, run: Act): string {
  acts.set(text, run);
  return text;
}

/** How often the act of this text was run for a task. */
export function runsOf(text: string, task: string): number {
  return runs.get(`${text} ${task}`) ?? 0;
}

let isServed = true;

/** Takes the agent out of the registry, as a deployment without it does, or puts it back. */
export function serve(served: boolean): void {
  isServed = served;
}

/** Never resolves: where a test crashes the object. */
export const forever: Promise<never> = new Promise(() => {});

const stage = defineAgent({
  name: "stage",
  description: "Does what a test says.",
  skills: [{ id: "test", name: "Test", description: "Exists for tests.", tags: ["test"] }],
  inputModes: ["*/*"],
  approvals: ["publish", "delete"],
  // Not async: what an act throws before its first await, this throws.
  run(task) {
    const { text } = task.input;
    const found = acts.get(text);
    if (!found) throw new Error(`no test has said what to do for ${JSON.stringify(text)}`);
    const run = runsOf(text, task.id) + 1;
    runs.set(`${text} ${task.id}`, run);
    return found(task as QuickTask, run) as Promise<void>;
  },
});

/** The real registry with the stage in it. */
export async function withStage(original: () => Promise<unknown>): Promise<typeof registry> {
  const real = (await original()) as typeof registry;
  return {
    ...real,
    createRegistry(config) {
      const created = real.createRegistry(config);
      if (!created.ok) return created;
      const { value } = created;
      return ok({
        default: value.default,
        get: (name: string) => (name === stage.name ? (isServed ? stage : undefined) : value.get(name)),
        list: () => [...value.list(), stage],
      });
    },
  };
}
