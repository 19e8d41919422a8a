// Work that takes longer than a client wants to wait. What the text calls quick is done in the home; the rest
// is a job on a Workflow, which survives restarts and costs nothing while it sleeps.

import { type DurableTask, defineAgent, type QuickTask, type TaskContext } from "./agent.ts";
import { parseCount, progress } from "./progress.ts";

const DEFAULT_STEPS = 6;
const MAX_STEPS = 100;

const QUICK_STEPS = 3;
const QUICK_STEP_MS = 500;

type StepResult = { step: number; finishedAt: string };

export const longRunning = defineAgent({
  name: "long-running",
  title: "Long-running job",
  description:
    "Works through a job step by step and reports its progress; the client may leave and come back.",
  outputModes: ["text/plain", "application/json"],
  skills: [
    {
      id: "job",
      name: "Long job",
      description: `Runs a job of 1 to ${MAX_STEPS} steps (default ${DEFAULT_STEPS}) that survives restarts.`,
      tags: ["durable", "progress", "demo"],
      examples: ["Process the yearly report", "Run a job of 12 steps"],
    },
    {
      id: "quick-job",
      name: "Quick job",
      description: "Does a short job within two seconds when the text says quick.",
      tags: ["progress", "demo"],
      examples: ["A quick check, please"],
    },
  ],
  durable: (input) => !/\bquick\b/i.test(input.text),
  run: (task: TaskContext) => (task.durable ? runJob(task) : runQuick(task)),
});

async function runJob(task: DurableTask): Promise<void> {
  const steps = parseCount(task.input.text, "step") ?? DEFAULT_STEPS;
  if (steps < 1 || steps > MAX_STEPS) return task.reject(`A job has 1 to ${MAX_STEPS} steps, not ${steps}.`);

  const size = `Started a job of ${steps} ${steps === 1 ? "step" : "steps"}, ${task.stepMs / 1_000} s each.`;
  const advice = task.notifications.configured
    ? "Your webhook will hear of its progress, so you may disconnect."
    : "Subscribe to this task to follow it, or poll it.";
  await task.working(`${size} ${advice}`);

  const results: StepResult[] = [];
  for (let step = 1; step <= steps; step++) {
    await task.sleep(task.stepMs);
    // The time is read inside the step: the run may be taken up again later, a finished step is not.
    results.push(
      await task.step(`step ${step}`, async () => ({ step, finishedAt: new Date().toISOString() })),
    );
    await task.working(progress("step", step, steps));
  }

  const summary = `Finished all ${steps} of ${steps} steps.`;
  await task.artifact({
    artifactId: "result",
    name: "result",
    parts: [{ data: { steps, results }, mediaType: "application/json" }, { text: summary }],
  });
  await task.complete(summary);
}

/** Its emissions hold no time: a quick turn that is run again must say the same again. */
async function runQuick(task: QuickTask): Promise<void> {
  for (let step = 1; step <= QUICK_STEPS; step++) {
    await scheduler.wait(QUICK_STEP_MS, { signal: task.signal });
    await task.working(progress("step", step, QUICK_STEPS));
  }
  const summary = "Finished the quick job.";
  await task.artifact({
    artifactId: "result",
    name: "result",
    parts: [{ data: { steps: QUICK_STEPS }, mediaType: "application/json" }, { text: summary }],
  });
  await task.complete(summary);
}
