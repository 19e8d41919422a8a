// Agents that take each path of a durable turn, served beside the real ones by mocking the registry. The server is
// loaded before a test file is, so its modules are dropped first:
//
//   vi.hoisted(() => vi.resetModules());
//   vi.mock("../../src/agents/registry.ts", async (original) =>
//     (await import("./test-agents.ts")).mockRegistry(original),
//   );
//
// They count their own runs in `runs`, since how often something ran is what most of these tests are about.

import { type Agent, type DurableTask, defineAgent, type TaskContext } from "../../src/agents/agent.ts";
import type * as registry from "../../src/agents/registry.ts";
import { ok } from "../../src/lib/result.ts";

/** How often a place in an agent was passed, by a name the message chose. */
export const runs = new Map<string, number>();

function count(place: string): number {
  const times = (runs.get(place) ?? 0) + 1;
  runs.set(place, times);
  return times;
}

const skills = [{ id: "test", name: "Test", description: "Exists for a test.", tags: ["test"] }];

function durable(name: string, run: (task: DurableTask) => Promise<void>): Agent {
  const approvals = ["publish", "delete"];
  return defineAgent({ name, description: "Exists for a test.", skills, approvals, durable: true, run });
}

/** Asks twice in the middle of its turn, and says what it heard. */
const asksTwice = durable("asks-twice", async (task) => {
  const city = await task.ask("Which city?");
  const day = await task.ask("Which day?");
  await task.artifact({ artifactId: "trip", parts: [{ text: `${city.text} on ${day.text}` }] });
  await task.complete("Booked.");
});

/** Works for `sleep:MS`, then asks. */
const asksLate = durable("asks-late", async (task) => {
  await task.working("Looking around");
  await task.sleep(Number(/sleep:(\d+)/.exec(task.input.text)?.[1] ?? 200));
  const answer = await task.ask("Which one?");
  await task.complete(`Took ${answer.text}.`);
});

const asksForApproval = durable("asks-for-approval", async (task) => {
  const approval = await task.askAuth("May I?");
  if (approval.text === "yes") await task.complete("Done.");
  else await task.reject("Then not.");
});

/** Asks for approval of two tools in the middle of its turn, between them for a word. */
const asksForTools = durable("asks-for-tools", async (task) => {
  await task.working("Thinking");
  await task.sleep(Number(/sleep:(\d+)/.exec(task.input.text)?.[1] ?? 0));
  const first = await task.askApproval("publish", "May I publish?");
  const word = await task.ask("How?");
  const second = await task.askApproval("delete", "May I delete?");
  const told = [first.approval, word.approval, word.text, second.approval];
  await task.artifact({ artifactId: "told", parts: [{ text: JSON.stringify(told) }] });
  await task.complete("Done.");
});

/** Asks at the end of a turn, for the next to go on with. */
const asksAtTheEnd = durable("asks-at-the-end", async (task) => {
  const { approval } = task.input;
  if (!approval) return task.approvalRequired("publish", "May I?");
  await task.complete(JSON.stringify(approval));
});

const asksForAnother = durable("asks-for-another", async (task) => {
  await task.askApproval("format-disk", "May I?");
});

const throws = durable("throws", async (task) => {
  await task.working("Trying");
  throw new Error("the database password is hunter2");
});

const emitsRubbish = durable("emits-rubbish", async (task) => {
  await task.artifact({ parts: [] });
});

/** Emits inside of a step that fails twice before it succeeds. */
const retriesStep = durable("retries-step", async (task) => {
  const place = task.input.text;
  const value = await task.step("flaky", async () => {
    await task.working("Entered the step");
    const times = count(place);
    await task.artifact({ artifactId: "inside", parts: [{ text: "from the step" }] });
    if (times < 3) throw new Error("not yet");
    await task.working("Leaving the step");
    return times;
  });
  await task.complete(`The step took ${value} tries.`);
});

/** Ends its turn from within a step. */
const endsInStep = durable("ends-in-step", async (task) => {
  await task.step("last", async () => {
    await task.complete("Ended in a step.");
  });
});

/** One turn a message: asks at the end of the first, completes in the next. */
const turnByTurn = durable("turn-by-turn", async (task) => {
  if (task.history.length === 1) return task.inputRequired("More?");
  await task.artifact({ artifactId: "heard", parts: [{ text: task.history.map(toText).join("|") }] });
  await task.complete("Enough.");
});

/** Durable when the text says later. */
const mixed = defineAgent({
  name: "mixed",
  description: "Exists for a test.",
  skills,
  durable: (input) => input.text.includes("later"),
  async run(task: TaskContext) {
    if (task.input.text.includes("ask")) return task.inputRequired(task.durable ? "durable?" : "quick?");
    await task.complete(task.durable ? "durable" : "quick");
  },
});

const remembers = durable("remembers", async (task) => {
  const { text } = task.input;
  const before = task.memory.get("visits");
  if (text === "forget") task.memory.set("visits", undefined);
  else task.memory.set("visits", typeof before === "number" ? before + 1 : 1);
  const inside = task.memory.get("visits");
  if (text === "fail") return task.fail("Failed on purpose.");
  if (text === "throw") throw new Error("on purpose");
  await task.complete(`${String(before)} then ${String(inside)}`);
});

/** Works, sleeps for ten minutes, works again: for whoever ends it from outside. */
const sleeps = durable("sleeps", async (task) => {
  await task.working("Going to sleep");
  await task.sleep(600_000);
  count(`awake ${task.id}`);
  await task.working("Awake");
});

/** Emits one artifact after the other until it is stopped. */
const endless = durable("endless", async (task) => {
  for (let i = 1; ; i++) {
    await task.artifact({ artifactId: "endless", parts: [{ text: `${i} ` }], append: i > 1 });
  }
});

/** Emits `bytes:N` in each of two artifacts. */
const large = durable("large", async (task) => {
  const text = "x".repeat(Number(/bytes:(\d+)/.exec(task.input.text)?.[1] ?? 0));
  await task.artifact({ artifactId: "first", parts: [{ text }] });
  await task.artifact({ artifactId: "second", parts: [{ text }] });
});

/** Goes on after its end, as an agent should not. */
const talksOn = durable("talks-on", async (task) => {
  await task.complete("The end.");
  await task.working("But wait");
  await task.artifact({ artifactId: "extra", parts: [{ text: "too late" }] });
  await task.fail("no");
});

/** Awaits nothing of what it says. */
const careless = durable("careless", async (task) => {
  void task.working("one");
  void task.artifact({ artifactId: "a", parts: [{ text: "x" }] });
  void task.artifact({ artifactId: "a", parts: [{ text: "y" }], append: true });
  void task.working("two");
  void task.complete("three");
});

/** The same within a step, which it leaves at once. */
const carelessInStep = durable("careless-in-step", async (task) => {
  void task.working("one");
  await task.step("all", async () => {
    void task.artifact({ artifactId: "a", parts: [{ text: "x" }] });
    void task.artifact({ artifactId: "a", parts: [{ text: "y" }], append: true });
    void task.working("two");
  });
  void task.complete("three");
});

/** Says something, and sleeps without having waited for it. */
const sleepsOn = durable("sleeps-on", async (task) => {
  void task.working("one");
  await task.sleep(1);
  count(`${task.id} slept`);
  await task.complete("two");
});

/** Asks at the end of its first turn, having taken its time; completes in the next. */
const asksSlowly = durable("asks-slowly", async (task) => {
  if (task.input.text !== "slowly") return task.complete(`Took ${task.input.text}.`);
  await task.working("Thinking");
  await task.sleep(300);
  await task.inputRequired("Which one?");
});

/** Two steps of one name, each of which emits. */
const sameNames = durable("same-names", async (task) => {
  for (const text of ["first", "second"]) {
    await task.step("same", async () => {
      await task.artifact({ artifactId: text, parts: [{ text }] });
      return text;
    });
  }
});

function toText(message: { parts: { text?: string }[] }): string {
  return message.parts.map((part) => part.text ?? "").join("");
}

const testAgents: readonly Agent[] = [
  asksTwice,
  asksLate,
  asksForApproval,
  asksForTools,
  asksAtTheEnd,
  asksForAnother,
  throws,
  emitsRubbish,
  retriesStep,
  endsInStep,
  turnByTurn,
  mixed,
  remembers,
  sleeps,
  endless,
  large,
  talksOn,
  sameNames,
  careless,
  carelessInStep,
  sleepsOn,
  asksSlowly,
];

/** The registry with the test agents added to the real ones. */
export async function mockRegistry(original: () => Promise<unknown>): Promise<typeof registry> {
  const { createRegistry } = (await original()) as typeof registry;
  return {
    createRegistry(config) {
      const real = createRegistry(config);
      if (!real.ok) return real;
      const byName = new Map(testAgents.map((agent) => [agent.name, agent]));
      return ok({
        default: real.value.default,
        get: (name) => byName.get(name) ?? real.value.get(name),
        list: () => [...real.value.list(), ...testAgents],
      });
    },
  };
}
