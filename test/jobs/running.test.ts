// Durable turns from their first message to their end, on the real local Workflows binding.

import { env, introspectWorkflow } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Task } from "../../src/protocol/task.ts";
import { createClient, eventually, type Frame, kindOf, textOf } from "../support/client.ts";
import { dueJobs, instanceStatus, jobIdOf } from "../support/jobs.ts";

vi.hoisted(() => vi.resetModules());
vi.mock("../../src/agents/registry.ts", async (original) =>
  (await import("./test-agents.ts")).mockRegistry(original),
);

const { runs } = await import("./test-agents.ts");
const { HomeObject } = await import("../../src/tasks/home.ts");
type HomeObject = InstanceType<typeof HomeObject>;

// Agents that throw are logged, as they should be; the tests look at what is answered.
beforeEach(() => void vi.spyOn(console, "error").mockImplementation(() => {}));
afterEach(() => void vi.restoreAllMocks());

const statusTexts = (frames: Frame[]) =>
  frames.flatMap(({ event }) => textOf(event.statusUpdate?.status.message) ?? []);
const historyTexts = (task: Task) => (task.history ?? []).map(textOf);
const artifactTexts = (task: Task) =>
  Object.fromEntries(
    (task.artifacts ?? []).map(({ artifactId, parts }) => [
      artifactId,
      parts.map((part) => part.text).join(""),
    ]),
  );

const SIX_STEPS = [
  "Started a job of 6 steps, 0.02 s each. Subscribe to this task to follow it, or poll it.",
  "Processing step 1/6 (17% complete)",
  "Processing step 2/6 (33% complete)",
  "Processing step 3/6 (50% complete)",
  "Processing step 4/6 (67% complete)",
  "Processing step 5/6 (83% complete)",
  "Processing step 6/6 (100% complete)",
  "Finished all 6 of 6 steps.",
];

describe("the long-running agent", () => {
  it("works through a job while SendMessage waits for its end (§3.2.2)", async () => {
    const client = createClient({ agent: "long-running" });
    const task = await client.sendForTask("Process the yearly report");
    expect(task.status.state).toBe("TASK_STATE_COMPLETED");
    expect(historyTexts(task)).toEqual(["Process the yearly report", ...SIX_STEPS]);
    expect(task.artifacts).toHaveLength(1);
    expect(task.artifacts?.[0]).toMatchObject({
      artifactId: "result",
      name: "result",
      parts: [{ data: { steps: 6 }, mediaType: "application/json" }, { text: "Finished all 6 of 6 steps." }],
    });
  });

  it("streams the task, every step once and in order, the artifact and the end (§3.1.2)", async () => {
    const client = createClient({ agent: "long-running" });
    const stream = await client.sendStream("Process the yearly report");
    const frames = await stream.rest();
    expect(frames.map(({ event }) => kindOf(event))).toEqual([
      "task",
      ...Array(7).fill("TASK_STATE_WORKING"),
      "artifact",
      "TASK_STATE_COMPLETED",
    ]);
    expect(frames[0]?.event.task?.status.state).toBe("TASK_STATE_SUBMITTED");
    expect(statusTexts(frames)).toEqual(SIX_STEPS);
    const ids = frames.map((frame) => Number(frame.id));
    expect(ids).toEqual([...new Set(ids)].toSorted((a, b) => a - b));
  });

  it("returns at once with returnImmediately and goes on without a listener (§3.2.2)", async () => {
    const client = createClient({ agent: "long-running" });
    const started = await client.start("a job of 40 steps");
    expect(["TASK_STATE_SUBMITTED", "TASK_STATE_WORKING"]).toContain(started.status.state);
    expect(historyTexts(started)).toEqual(["a job of 40 steps"]);
    const ended = await eventually(async () => {
      const task = await client.get(started.id);
      return task.status.state === "TASK_STATE_COMPLETED" && task;
    });
    expect(textOf(ended.status.message)).toBe("Finished all 40 of 40 steps.");
  });

  it("counts a job of steps by its text, and refuses what is no job", async () => {
    const client = createClient({ agent: "long-running" });
    const one = await client.sendForTask("a job of 1 step");
    expect(historyTexts(one).slice(1)).toEqual([
      expect.stringMatching(/^Started a job of 1 step, /),
      "Processing step 1/1 (100% complete)",
      "Finished all 1 of 1 steps.",
    ]);
    const none = await client.sendForTask("a job of 101 steps");
    expect(none.status.state).toBe("TASK_STATE_REJECTED");
    expect(textOf(none.status.message)).toBe("A job has 1 to 100 steps, not 101.");
  });

  it("gives every subscriber the same events, whenever it comes (§3.1.6)", async () => {
    const client = createClient({ agent: "long-running" });
    const first = await client.sendStream("a job of 10 steps");
    const opening = await first.next();
    const id = opening?.event.task?.id ?? "";
    const beginning = await first.until(
      (event) => statusTexts([{ id: "", event }])[0]?.includes("4/10") ?? false,
    );
    const second = await client.subscribe(id);
    const third = await client.subscribe(id, opening?.id);
    const whole = [...beginning, ...(await first.rest())];
    const late = await second.rest();
    expect(await third.rest()).toEqual(whole);
    expect(late[0]?.event.task?.id).toBe(id);
    const from = Number(late[0]?.id);
    expect(late.slice(1)).toEqual(whole.filter((frame) => Number(frame.id) > from));
    expect(late.length).toBeGreaterThan(2);
  });

  it("leaves nothing to look after when it has ended", async () => {
    const client = createClient({ agent: "long-running" });
    const { id } = await client.sendForTask("a job of 1 step");
    const job = await jobIdOf(client.owner, id);
    await eventually(async () => (await dueJobs(client.owner)).length === 0);
    await eventually(async () => (await instanceStatus(client.owner, job)) === "complete");
  });
});

describe("a durable agent", () => {
  it("fails its task when it throws, and tells nothing of the error", async () => {
    const task = await createClient({ agent: "throws" }).sendForTask("go");
    expect(task.status.state).toBe("TASK_STATE_FAILED");
    expect(textOf(task.status.message)).toBe("The agent failed with an internal error.");
    expect(JSON.stringify(task)).not.toContain("hunter2");
    expect(historyTexts(task)).toEqual(["go", "Trying", "The agent failed with an internal error."]);
  });

  it("fails its task with the reason when it emits what cannot be", async () => {
    const task = await createClient({ agent: "emits-rubbish" }).sendForTask("go");
    expect(task.status.state).toBe("TASK_STATE_FAILED");
    expect(textOf(task.status.message)).toMatch(/^The agent emitted an invalid event: parts must /);
  });

  it("emits once from a step that is retried", async () => {
    await using workflow = await introspectWorkflow(env.JOBS);
    await workflow.modifyAll((instance) => instance.disableRetryDelays());
    const place = crypto.randomUUID();
    const client = createClient({ agent: "retries-step" });
    const frames = await (await client.sendStream(place)).rest();
    expect(runs.get(place)).toBe(3);
    expect(frames.map(({ event }) => kindOf(event))).toEqual([
      "task",
      "TASK_STATE_WORKING",
      "artifact",
      "TASK_STATE_WORKING",
      "TASK_STATE_COMPLETED",
    ]);
    expect(statusTexts(frames)).toEqual(["Entered the step", "Leaving the step", "The step took 3 tries."]);
  });

  it("may end its turn from within a step", async () => {
    const task = await createClient({ agent: "ends-in-step" }).sendForTask("go");
    expect(task.status.state).toBe("TASK_STATE_COMPLETED");
    expect(textOf(task.status.message)).toBe("Ended in a step.");
  });

  it("keeps the emissions of every step, also of two with the same name", async () => {
    const task = await createClient({ agent: "same-names" }).sendForTask("go");
    expect(task.status.state).toBe("TASK_STATE_COMPLETED");
    expect(artifactTexts(task)).toEqual({ first: "first", second: "second" });
  });

  it.each(["careless", "careless-in-step"])(
    "(%s) may leave its emissions unawaited: they arrive all, in order",
    async (agent) => {
      const client = createClient({ agent });
      const { jobReport } = HomeObject.prototype;
      const spy = vi.spyOn(HomeObject.prototype, "jobReport");
      const late = new Set<string>();
      // The earlier a report is made, the longer it is on its way.
      spy.mockImplementation(async function (this: HomeObject, task, job, report) {
        late.add(report.key);
        await scheduler.wait(Math.max(0, 50 - 10 * late.size));
        return jobReport.call(this, task, job, report);
      });
      const frames = await (await client.sendStream("go")).rest();
      expect(frames.map(({ event }) => kindOf(event))).toEqual([
        "task",
        "TASK_STATE_WORKING",
        "artifact",
        "artifact",
        "TASK_STATE_WORKING",
        "TASK_STATE_COMPLETED",
      ]);
      expect(statusTexts(frames)).toEqual(["one", "two", "three"]);
      expect(late.size).toBe(5);
    },
  );

  it("does not sleep, or go on, when what it has said is not taken", async () => {
    const spy = vi.spyOn(HomeObject.prototype, "jobReport").mockResolvedValue(false);
    const client = createClient({ agent: "sleeps-on" });
    const { id } = await client.start("go");
    const job = await jobIdOf(client.owner, id);
    await eventually(async () => (await instanceStatus(client.owner, job)) === "complete");
    expect(spy.mock.calls.map(([, , { key }]) => key)).toEqual(["1"]);
    expect(runs.has(`${id} slept`)).toBe(false);
  });

  it("has everything dropped that it says after its end", async () => {
    const client = createClient({ agent: "talks-on" });
    const { id } = await client.sendForTask("go");
    const job = await jobIdOf(client.owner, id);
    await eventually(async () => (await instanceStatus(client.owner, job)) === "complete");
    const task = await client.get(id);
    expect(task.status.state).toBe("TASK_STATE_COMPLETED");
    expect(historyTexts(task)).toEqual(["go", "The end."]);
    expect(task.artifacts).toBeUndefined();
  });

  it("is failed when its task grows beyond MAX_TASK_BYTES, and its instance is ended", async () => {
    const client = createClient({ agent: "large" });
    const small = await client.sendForTask("bytes:1000000");
    expect(small.status.state).toBe("TASK_STATE_COMPLETED");
    expect(Object.values(artifactTexts(small)).map((text) => text.length)).toEqual([1_000_000, 1_000_000]);
    const { id, status, artifacts } = await client.sendForTask("bytes:9000000");
    expect(status.state).toBe("TASK_STATE_FAILED");
    expect(textOf(status.message)).toBe(
      "The task grew beyond 16777216 bytes, the most that this server keeps of one.",
    );
    expect(artifacts?.map((artifact) => artifact.artifactId)).toEqual(["first"]);
    await eventually(async () => (await dueJobs(client.owner)).length === 0);
    expect(await instanceStatus(client.owner, await jobIdOf(client.owner, id))).toMatch(
      /^(complete|terminated)$/,
    );
  });

  it("goes on in a new turn after input-required (§3.4.3)", async () => {
    const client = createClient({ agent: "turn-by-turn" });
    const first = await client.sendForTask("one");
    expect(first.status.state).toBe("TASK_STATE_INPUT_REQUIRED");
    const job = await jobIdOf(client.owner, first.id);
    await eventually(async () => (await instanceStatus(client.owner, job)) === "complete");
    const second = await client.sendForTask({ says: "two", taskId: first.id });
    expect(second.id).toBe(first.id);
    expect(second.contextId).toBe(first.contextId);
    expect(second.status.state).toBe("TASK_STATE_COMPLETED");
    expect(artifactTexts(second)).toEqual({ heard: "one|More?|two" });
    expect(historyTexts(second)).toEqual(["one", "More?", "two", "Enough."]);
    expect(await jobIdOf(client.owner, first.id)).not.toBe(job);
  });

  it("closes a SendStreamingMessage at input-required and keeps a subscriber over it (§3.1.6)", async () => {
    const client = createClient({ agent: "turn-by-turn" });
    const stream = await client.sendStream("one");
    const opening = await stream.next();
    const id = opening?.event.task?.id ?? "";
    const subscriber = await client.subscribe(id, opening?.id);
    expect((await stream.rest()).map(({ event }) => kindOf(event))).toEqual(["TASK_STATE_INPUT_REQUIRED"]);
    const followUp = await client.sendStream({ says: "two", taskId: id });
    const answer = await followUp.rest();
    expect(answer.map(({ event }) => kindOf(event)).at(-1)).toBe("TASK_STATE_COMPLETED");
    expect((await subscriber.rest()).map(({ event }) => kindOf(event))).toEqual([
      "TASK_STATE_INPUT_REQUIRED",
      "TASK_STATE_WORKING",
      "artifact",
      "TASK_STATE_COMPLETED",
    ]);
  });

  it.each([
    ["ask", "later", "quick?", "durable"],
    ["ask later", "now", "durable?", "quick"],
  ])(
    "may be durable in one turn and quick in the next: %s, then %s",
    async (first, second, question, end) => {
      const client = createClient({ agent: "mixed" });
      const asked = await client.sendForTask(first);
      expect(asked.status.state).toBe("TASK_STATE_INPUT_REQUIRED");
      expect(textOf(asked.status.message)).toBe(question);
      const ended = await client.sendForTask({ says: second, taskId: asked.id });
      expect(ended.status.state).toBe("TASK_STATE_COMPLETED");
      expect(textOf(ended.status.message)).toBe(end);
    },
  );
});

describe("the memory of a durable turn", () => {
  const texts = async (client: ReturnType<typeof createClient>, says: string, contextId: string) =>
    textOf((await client.sendForTask({ says, contextId })).status.message);

  it("is written with the end of the turn, for the conversation it belongs to", async () => {
    const client = createClient({ agent: "remembers" });
    expect(await texts(client, "visit", "here")).toBe("undefined then 1");
    expect(await texts(client, "visit", "here")).toBe("1 then 2");
    expect(await texts(client, "visit", "elsewhere")).toBe("undefined then 1");
    const other = createClient({ agent: "remembers" });
    expect(await texts(other, "visit", "here")).toBe("undefined then 1");
  });

  it("forgets what is set to undefined", async () => {
    const client = createClient({ agent: "remembers" });
    await texts(client, "visit", "here");
    expect(await texts(client, "forget", "here")).toBe("1 then undefined");
    expect(await texts(client, "visit", "here")).toBe("undefined then 1");
  });

  it("is kept whatever the turn ends in", async () => {
    const client = createClient({ agent: "remembers" });
    await texts(client, "fail", "here");
    expect(await texts(client, "visit", "here")).toBe("1 then 2");
  });
});

describe("a message for a durable turn that runs", () => {
  it("joins the history and leaves a job that asks nothing undisturbed (§3.4.3)", async () => {
    const client = createClient({ agent: "long-running" });
    const { id } = await client.start("a job of 30 steps");
    const followUp = await client.sendForTask({ says: "hurry", taskId: id });
    expect(followUp.status.state).toBe("TASK_STATE_COMPLETED");
    const texts = historyTexts(followUp);
    expect(texts.filter((text) => text === "hurry")).toHaveLength(1);
    expect(texts.filter((text) => text?.startsWith("Processing"))).toHaveLength(30);
    expect(followUp.artifacts).toHaveLength(1);
  });

  it("is answered with the present task when returnImmediately is asked for", async () => {
    const client = createClient({ agent: "sleeps" });
    const { id } = await client.start("go");
    const { task } = await client.send(
      { says: "hurry", taskId: id },
      { configuration: { returnImmediately: true } },
    );
    expect(task?.id).toBe(id);
    expect(historyTexts(task as Task)).toContain("hurry");
    expect((await client.cancel(id)).status.state).toBe("TASK_STATE_CANCELED");
  });

  it("can be streamed from there to the end (§3.1.2)", async () => {
    const client = createClient({ agent: "long-running" });
    const { id } = await client.start("a job of 20 steps");
    await eventually(async () => (await client.get(id)).status.state === "TASK_STATE_WORKING");
    const frames = await (await client.sendStream({ says: "and now?", taskId: id })).rest();
    const [opening] = frames;
    expect(opening?.event.task?.history?.map(textOf)).toContain("and now?");
    expect(frames.map(({ event }) => kindOf(event)).at(-1)).toBe("TASK_STATE_COMPLETED");
    const before = (opening?.event.task?.history ?? []).map(textOf);
    const steps = [...before, ...statusTexts(frames)].filter((text) => text?.startsWith("Processing"));
    expect(steps).toHaveLength(20);
  });

  it("begins the next turn at once when it came before the turn ended with a question", async () => {
    const client = createClient({ agent: "asks-slowly" });
    const { id } = await client.start("slowly");
    await eventually(async () => (await client.get(id)).status.state === "TASK_STATE_WORKING");
    const job = await jobIdOf(client.owner, id);
    const ended = await client.sendForTask({ says: "the red one", taskId: id });
    expect(ended.status.state).toBe("TASK_STATE_COMPLETED");
    expect(textOf(ended.status.message)).toBe("Took the red one.");
    expect(historyTexts(ended)).toEqual([
      "slowly",
      "Thinking",
      "the red one",
      "Which one?",
      "Took the red one.",
    ]);
    expect(await jobIdOf(client.owner, id)).not.toBe(job);
  });

  it("is one message for one Idempotency-Key, and so is the one that starts the job", async () => {
    const client = createClient({ agent: "long-running" });
    const message = { messageId: "m", role: "ROLE_USER", parts: [{ text: "a job of 10 steps" }] };
    const headers = { "idempotency-key": "job" };
    const send = (params: object, more: Record<string, string>) =>
      client.result<{ task: Task }>("SendMessage", params, more);
    const [one, two] = await Promise.all([send({ message }, headers), send({ message }, headers)]);
    expect(one.task.id).toBe(two.task.id);
    expect(one.task.status.state).toBe("TASK_STATE_COMPLETED");
    expect(two.task).toEqual(one.task);
    expect((await client.list()).totalSize).toBe(1);
  });
});
