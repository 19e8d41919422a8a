// Durable turns that are interrupted from outside: canceled, their home evicted or aborted, their instance killed
// under them, or never created at first.

import { abortAllDurableObjects, env, evictDurableObject, introspectWorkflow } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Task } from "../../src/protocol/task.ts";
import { createClient, eventually, homeOf, kindOf, textOf } from "../support/client.ts";
import { dueJobs, instanceStatus, jobIdOf, jobOf, withJobs } from "../support/jobs.ts";

vi.hoisted(() => vi.resetModules());
vi.mock("../../src/agents/registry.ts", async (original) =>
  (await import("./test-agents.ts")).mockRegistry(original),
);

const { runs } = await import("./test-agents.ts");

// What is provoked here is logged, as it should be; the tests look at what is answered.
beforeEach(() => void vi.spyOn(console, "error").mockImplementation(() => {}));
afterEach(() => void vi.restoreAllMocks());

/** An instance that learns of the end by a refused report is complete before it can be terminated. */
const STOPPED = /^(terminated|complete)$/;

const progressOf = (task: Task) =>
  (task.history ?? []).flatMap((message) => {
    const text = textOf(message) ?? "";
    return text.startsWith("Processing") ? [text.split(" ")[2]] : [];
  });
const steps = (count: number) => Array.from({ length: count }, (_, index) => `${index + 1}/${count}`);

describe("canceling a durable task (§3.1.5)", () => {
  it("commits at once, terminates the instance, and nothing is emitted after it", async () => {
    const client = createClient({ agent: "long-running" });
    const stream = await client.sendStream("a job of 100 steps");
    const opening = await stream.until(
      (event) => textOf(event.statusUpdate?.status.message)?.includes("3/100") ?? false,
    );
    const id = opening[0]?.event.task?.id ?? "";
    const job = await jobIdOf(client.owner, id);
    const canceled = await client.cancel(id);
    expect(canceled.status.state).toBe("TASK_STATE_CANCELED");
    const last = (await stream.rest()).at(-1);
    expect(last && kindOf(last.event)).toBe("TASK_STATE_CANCELED");
    await eventually(async () => STOPPED.test(await instanceStatus(client.owner, job)));
    await eventually(async () => (await dueJobs(client.owner)).length === 0);
    await scheduler.wait(200);
    expect(await client.get(id)).toEqual(canceled);
    expect((await client.error("CancelTask", { id })).code).toBe(-32002);
  });

  it("ends a job that sleeps, which then never wakes", async () => {
    const client = createClient({ agent: "sleeps" });
    const { id } = await client.start("go");
    await eventually(async () => (await client.get(id)).status.state === "TASK_STATE_WORKING");
    await client.cancel(id);
    await eventually(
      async () => (await instanceStatus(client.owner, await jobIdOf(client.owner, id))) === "terminated",
    );
    expect(runs.get(`awake ${id}`)).toBeUndefined();
  });

  it("stops an agent that emits without end", async () => {
    const client = createClient({ agent: "endless" });
    const { id } = await client.start("go");
    await eventually(async () => (await client.get(id)).artifacts !== undefined);
    const canceled = await client.cancel(id);
    await eventually(async () =>
      STOPPED.test(await instanceStatus(client.owner, await jobIdOf(client.owner, id))),
    );
    expect(await client.get(id)).toEqual(canceled);
  });

  it("is possible before the instance has been created", async () => {
    const client = createClient({ agent: "sleeps" });
    const { id } = await client.start("go");
    expect((await client.cancel(id)).status.state).toBe("TASK_STATE_CANCELED");
    await eventually(async () => (await dueJobs(client.owner)).length === 0);
    expect(["unknown", "complete", "terminated"]).toContain(
      await instanceStatus(client.owner, await jobIdOf(client.owner, id)),
    );
  });
});

describe("a home that is restarted under a running job", () => {
  it.each([
    ["evicted", (owner: string) => evictDurableObject(homeOf(owner))],
    ["aborted", () => abortAllDurableObjects()],
  ])(
    "is %s, and the job goes on to its end, every step told once",
    { timeout: 30_000 },
    async (_, restart) => {
      const client = createClient({ agent: "long-running" });
      const { id } = await client.start("a job of 60 steps");
      await eventually(async () => progressOf(await client.get(id)).length >= 5);
      await restart(client.owner);
      const ended = await eventually(async () => {
        const task = await client.get(id);
        return task.status.state === "TASK_STATE_COMPLETED" && task;
      });
      expect(progressOf(ended)).toEqual(steps(60));
      expect(ended.artifacts).toHaveLength(1);
      expect((await jobOf(client.owner, id)).attempt).toBe(0);
    },
  );

  it("loses no event for a subscriber that comes back with Last-Event-ID", { timeout: 30_000 }, async () => {
    const client = createClient({ agent: "long-running" });
    const stream = await client.sendStream("a job of 60 steps");
    const opening = await stream.next();
    const id = opening?.event.task?.id ?? "";
    const seen = await stream.until(
      (event) => textOf(event.statusUpdate?.status.message)?.includes("5/60") ?? false,
    );
    await abortAllDurableObjects();
    await stream.leave().catch(() => {});
    const rest = await (await client.subscribe(id, seen.at(-1)?.id)).rest();
    const ids = [...seen, ...rest].map((frame) => Number(frame.id));
    const first = Number(opening?.id);
    expect(ids).toEqual(Array.from({ length: 63 }, (_, index) => first + 1 + index));
    expect(rest.map(({ event }) => kindOf(event)).slice(-2)).toEqual(["artifact", "TASK_STATE_COMPLETED"]);
  });
});

describe("an instance that stops before its end", () => {
  const kill = async (owner: string, task: string, attempt: number) => {
    const { job } = await eventually(async () => {
      const row = await jobOf(owner, task);
      const running =
        row.attempt === attempt && row.job !== null && (await instanceStatus(owner, row.job)) !== "unknown";
      return running && row;
    }, 250);
    await withJobs(owner, async (jobs) => (await jobs.get(job ?? "")).terminate());
  };

  it("is replaced by another, which repeats nothing that was told", { timeout: 30_000 }, async () => {
    const client = createClient({ agent: "long-running" });
    const { id } = await client.start("a job of 60 steps");
    await eventually(async () => progressOf(await client.get(id)).length >= 5);
    const job = await jobIdOf(client.owner, id);
    await kill(client.owner, id, 1);
    const ended = await eventually(async () => {
      const task = await client.get(id);
      return task.status.state === "TASK_STATE_COMPLETED" && task;
    });
    expect(progressOf(ended)).toEqual(steps(60));
    expect(ended.artifacts).toHaveLength(1);
    expect(await jobIdOf(client.owner, id)).not.toBe(job);
  });

  it("fails its task when it has stopped three times", { timeout: 30_000 }, async () => {
    const client = createClient({ agent: "sleeps" });
    const { id } = await client.start("go");
    const subscriber = await client.subscribe(id);
    for (const attempt of [1, 2, 3]) await kill(client.owner, id, attempt);
    const frames = await subscriber.rest();
    expect(
      frames.map(({ event }) => kindOf(event)).filter((kind) => kind === "TASK_STATE_WORKING"),
    ).toHaveLength(1);
    const task = await client.get(id);
    expect(task.status.state).toBe("TASK_STATE_FAILED");
    expect(textOf(task.status.message)).toBe("The job of this task stopped 3 times before its end.");
    expect((task.history ?? []).map(textOf)).toEqual(["go", "Going to sleep", textOf(task.status.message)]);
  });

  it("by an error of the platform is replaced as well, and three errors fail the task", {
    timeout: 30_000,
  }, async () => {
    await using workflow = await introspectWorkflow(env.JOBS);
    await workflow.modifyAll(async (instance) => {
      await instance.disableRetryDelays();
      // The second report of each instance never arrives, however often it is tried.
      await instance.mockStepError({ name: "report 3" }, new Error("the network is down"));
    });
    const client = createClient({ agent: "long-running" });
    const task = await client.sendForTask("a job of 5 steps");
    expect(task.status.state).toBe("TASK_STATE_FAILED");
    expect(textOf(task.status.message)).toBe("The job of this task stopped 3 times before its end.");
    expect(progressOf(task)).toEqual([]);
    expect(await workflow.get()).toHaveLength(3);
  });

  it("asks the same question no second time, and takes the answer given to the first", {
    timeout: 30_000,
  }, async () => {
    const client = createClient({ agent: "asks-twice" });
    const { id } = await client.sendForTask("a trip");
    const before = await client.sendForTask({ says: "Rome", taskId: id });
    expect(textOf(before.status.message)).toBe("Which day?");
    await kill(client.owner, id, 1);
    const after = await client.sendForTask({ says: "Monday", taskId: id });
    expect(after.status.state).toBe("TASK_STATE_COMPLETED");
    expect(after.artifacts?.[0]?.parts[0]?.text).toBe("Rome on Monday");
    expect((after.history ?? []).map(textOf)).toEqual([
      "a trip",
      "Which city?",
      "Rome",
      "Which day?",
      "Monday",
      "Booked.",
    ]);
  });

  it("leaves its task waiting as it was, while the next one reads the earlier answers again", {
    timeout: 30_000,
  }, async () => {
    const client = createClient({ agent: "asks-twice" });
    const { id } = await client.sendForTask("a trip");
    const before = await client.sendForTask({ says: "Rome", taskId: id });
    await kill(client.owner, id, 1);
    await eventually(async () => (await jobOf(client.owner, id)).attempt === 2, 100);
    const next = await jobIdOf(client.owner, id);
    await eventually(async () => (await instanceStatus(client.owner, next)) === "running", 100);
    await scheduler.wait(1_000);
    expect(await client.get(id)).toEqual(before);
  });
});

describe("an instance that an operator pauses", () => {
  it("is resumed, and its task goes on as if nothing had been", { timeout: 15_000 }, async () => {
    const client = createClient({ agent: "long-running" });
    const { id } = await client.start("a job of 30 steps");
    await eventually(async () => progressOf(await client.get(id)).length >= 3);
    const job = await jobIdOf(client.owner, id);
    await withJobs(client.owner, async (jobs) => (await jobs.get(job)).pause());
    await eventually(async () => (await instanceStatus(client.owner, job)) === "paused");
    expect((await client.get(id)).status.state).toBe("TASK_STATE_WORKING");
    await withJobs(client.owner, async (jobs) => (await jobs.get(job)).resume());
    const ended = await eventually(async () => {
      const task = await client.get(id);
      return task.status.state === "TASK_STATE_COMPLETED" && task;
    });
    expect(progressOf(ended)).toEqual(steps(30));
  });
});

describe("an instance that cannot be created at first", () => {
  /** Makes the next creations in this home fail. */
  const breakCreate = (owner: string, times: number) =>
    withJobs(owner, (jobs) => {
      const create = vi.spyOn(jobs, "create");
      for (let i = 0; i < times; i++) create.mockRejectedValueOnce(new Error("the platform is down"));
      return create;
    });

  it("is created by the alarm later, and the task ends as it should", { timeout: 30_000 }, async () => {
    const client = createClient({ agent: "long-running" });
    const create = await breakCreate(client.owner, 2);
    const task = await client.sendForTask("a job of 2 steps");
    expect(task.status.state).toBe("TASK_STATE_COMPLETED");
    expect(progressOf(task)).toEqual(["1/2", "2/2"]);
    expect(create).toHaveBeenCalledTimes(3);
  });

  it("is created after the home was restarted meanwhile", { timeout: 30_000 }, async () => {
    const client = createClient({ agent: "long-running" });
    await breakCreate(client.owner, 1);
    const { id } = await client.start("a job of 2 steps");
    await abortAllDurableObjects();
    const ended = await eventually(async () => {
      const task = await client.get(id);
      return task.status.state === "TASK_STATE_COMPLETED" && task;
    });
    expect(progressOf(ended)).toEqual(["1/2", "2/2"]);
  });
});
