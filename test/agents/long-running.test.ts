// The long-running agent: what it says in a durable job and in quick work.

import { afterEach, expect, test, vi } from "vitest";
import { toInput } from "../../src/agents/agent.ts";
import { longRunning } from "../../src/agents/long-running.ts";
import { artifactsOf, message, runTurn, statusesOf } from "../support/recorded-task.ts";

afterEach(() => {
  vi.restoreAllMocks();
});

test.each([
  ["a quick check", false],
  ["QUICK", false],
  ["quickly, please", true],
  ["process the report", true],
  ["", true],
])("%j: durable is %s", (text, durable) => {
  expect(longRunning.isDurable(toInput(message(text)))).toBe(durable);
});

test("a job sleeps and reports six steps by default", async () => {
  const said = await runTurn(longRunning, { says: "process the report", stepMs: 250 });
  expect(said.filter((entry) => "sleep" in entry)).toEqual(Array(6).fill({ sleep: 250 }));
  expect(statusesOf(said).slice(1)).toEqual([
    "working: Processing step 1/6 (17% complete)",
    "working: Processing step 2/6 (33% complete)",
    "working: Processing step 3/6 (50% complete)",
    "working: Processing step 4/6 (67% complete)",
    "working: Processing step 5/6 (83% complete)",
    "working: Processing step 6/6 (100% complete)",
    "completed: Finished all 6 of 6 steps.",
  ]);
});

test("a job ends with one result artifact of data and text", async () => {
  const said = await runTurn(longRunning, { says: "2 steps" });
  const finishedAt = expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/);
  const results = [
    { step: 1, finishedAt },
    { step: 2, finishedAt },
  ];
  expect(artifactsOf(said)).toEqual([
    {
      artifactId: "result",
      name: "result",
      parts: [
        { data: { steps: 2, results }, mediaType: "application/json" },
        { text: "Finished all 2 of 2 steps." },
      ],
    },
  ]);
});

test.each([
  ["run 1 step", 1],
  ["run 12 steps", 12],
  ["a 100-step job", 100],
  ["version 3, no count", 6],
])("%j takes %i steps", async (text, steps) => {
  const said = await runTurn(longRunning, { says: text });
  expect(said.filter((entry) => "sleep" in entry)).toHaveLength(steps);
});

test.each(["0 steps", "101 steps", `${"9".repeat(400)} steps`])("%j is rejected", async (text) => {
  const said = await runTurn(longRunning, { says: text });
  expect(said).toEqual([{ state: "rejected", text: expect.stringContaining("1 to 100 steps") }]);
});

test("a job says at the start that a caller with a webhook may disconnect", async () => {
  const notifications = { configured: true, validated: false };
  const [first] = await runTurn(longRunning, { says: "3 steps", stepMs: 30_000, notifications });
  expect(first).toEqual({
    state: "working",
    text: "Started a job of 3 steps, 30 s each. Your webhook will hear of its progress, so you may disconnect.",
  });
});

test("a job tells a caller without a webhook to subscribe or poll", async () => {
  const [first] = await runTurn(longRunning, { says: "1 step", stepMs: 500 });
  expect(first).toEqual({
    state: "working",
    text: "Started a job of 1 step, 0.5 s each. Subscribe to this task to follow it, or poll it.",
  });
});

test("quick work takes one to two seconds and reports its progress", async () => {
  const pauses: number[] = [];
  vi.spyOn(scheduler, "wait").mockImplementation(async (ms) => {
    pauses.push(ms);
  });
  const said = await runTurn(longRunning, { says: "quick, in 50 steps" });
  const total = pauses.reduce((sum, ms) => sum + ms, 0);
  expect(total).toBeGreaterThanOrEqual(1_000);
  expect(total).toBeLessThanOrEqual(2_000);
  expect(statusesOf(said)).toEqual([
    "working: Processing step 1/3 (33% complete)",
    "working: Processing step 2/3 (67% complete)",
    "working: Processing step 3/3 (100% complete)",
    "completed: Finished the quick job.",
  ]);
  expect(artifactsOf(said).map((artifact) => artifact.artifactId)).toEqual(["result"]);
});

test("quick work says the same when it is run again", async () => {
  vi.spyOn(scheduler, "wait").mockImplementation(async () => {});
  const first = await runTurn(longRunning, { says: "quick" });
  expect(await runTurn(longRunning, { says: "quick" })).toEqual(first);
});

test("quick work stops when the task is canceled", async () => {
  await expect(runTurn(longRunning, { says: "quick", signal: AbortSignal.abort() })).rejects.toThrow();
});
