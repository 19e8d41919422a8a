// What a durable turn may ask and report, straight at the home's door: each report once, and only from the
// instance that runs the task's present turn.

import { env } from "cloudflare:test";
import { describe, expect, it, vi } from "vitest";
import type { JobHome, JobReport } from "../../src/agents/job.ts";
import { createClient, eventually, homeOf, kindOf, textOf } from "../support/client.ts";
import { jobIdOf } from "../support/jobs.ts";

vi.hoisted(() => vi.resetModules());
vi.mock("../../src/agents/registry.ts", async (original) =>
  (await import("./test-agents.ts")).mockRegistry(original),
);

/** A durable task whose own instance sleeps for ten minutes, so that only the test speaks for it. */
async function startSilently() {
  const client = createClient({ agent: "sleeps" });
  const { id } = await client.start("go");
  await eventually(async () => (await client.get(id)).status.state === "TASK_STATE_WORKING");
  const job = await jobIdOf(client.owner, id);
  const home = homeOf(client.owner) as unknown as JobHome;
  return { client, id, job, home };
}

const working = (key: string, text: string): JobReport => ({
  key,
  emission: {
    kind: "status",
    state: "TASK_STATE_WORKING",
    message: { messageId: key, role: "ROLE_AGENT", parts: [{ text }] },
  },
  ending: false,
});
const artifact = (key: string, text: string): JobReport => ({
  key,
  emission: {
    kind: "artifact",
    artifact: { artifactId: "a", parts: [{ text }] },
    append: true,
    lastChunk: false,
  },
  ending: false,
});
const end = (key: string, state: "TASK_STATE_COMPLETED" | "TASK_STATE_INPUT_REQUIRED"): JobReport => ({
  key,
  emission: { kind: "status", state },
  ending: true,
});

const textsOf = async (client: ReturnType<typeof createClient>, id: string) =>
  ((await client.get(id)).history ?? []).map(textOf);

describe("a report", () => {
  it("is taken once, however often it comes", async () => {
    const { client, id, job, home } = await startSilently();
    const before = (await client.get(id)).history?.length ?? 0;
    for (let i = 0; i < 3; i++) expect(await home.jobReport(id, job, working("mine", "once"))).toBe(true);
    for (let i = 0; i < 3; i++) expect(await home.jobReport(id, job, artifact("chunk", "x"))).toBe(true);
    expect(await home.jobReport(id, job, artifact("chunk 2", "y"))).toBe(true);
    const task = await client.get(id);
    expect(task.history).toHaveLength(before + 1);
    expect(textOf(task.history?.at(-1))).toBe("once");
    expect(task.artifacts).toEqual([{ artifactId: "a", parts: [{ text: "x" }, { text: "y" }] }]);
  });

  it("is taken once also when both come at the same moment", async () => {
    const { client, id, job, home } = await startSilently();
    const report = artifact("twin", "x");
    await Promise.all(Array.from({ length: 10 }, () => home.jobReport(id, job, report)));
    expect((await client.get(id)).artifacts?.[0]?.parts).toEqual([{ text: "x" }]);
  });

  it("that ends the turn is not taken twice either", async () => {
    const { client, id, job, home } = await startSilently();
    expect(await home.jobReport(id, job, end("end", "TASK_STATE_COMPLETED"))).toBe(true);
    expect(await home.jobReport(id, job, end("end", "TASK_STATE_COMPLETED"))).toBe(false);
    const frames = await (await client.subscribe(id, "1")).rest();
    const kinds = frames.map(({ event }) => kindOf(event));
    expect(kinds.filter((kind) => kind === "TASK_STATE_COMPLETED")).toHaveLength(1);
  });

  it("is refused when nothing can follow: the task has been canceled", async () => {
    const { client, id, job, home } = await startSilently();
    const canceled = await client.cancel(id);
    expect(await home.jobReport(id, job, working("late", "too late"))).toBe(false);
    expect(await home.jobReport(id, job, artifact("late", "too late"))).toBe(false);
    expect(await client.get(id)).toEqual(canceled);
  });
});

describe("an instance that is not the task's", () => {
  const strangers: [string, (job: string) => string][] = [
    ["of another id", () => crypto.randomUUID()],
    ["of no id", () => ""],
    ["of an id that differs in case", (job) => job.toUpperCase()],
  ];

  it.each(strangers)("%s is told nothing and believed nothing", async (_, disguise) => {
    const { client, id, job, home } = await startSilently();
    const stranger = disguise(job);
    const before = await client.get(id);
    expect(await home.jobStart(id, stranger)).toBeNull();
    expect(await home.jobReport(id, stranger, working("x", "forged"))).toBe(false);
    expect(await home.jobReport(id, stranger, end("y", "TASK_STATE_COMPLETED"))).toBe(false);
    expect(await home.jobAnswer(id, stranger, 0)).toEqual({ seq: 0, over: true });
    expect(await home.jobMessage(id, stranger, 1)).toBeNull();
    expect(await client.get(id)).toEqual(before);
  });

  it("cannot speak for another task of the home", async () => {
    const { client, job, home } = await startSilently();
    const other = await client.start("go");
    expect(await home.jobReport(other.id, job, end("x", "TASK_STATE_COMPLETED"))).toBe(false);
    expect(await home.jobReport("0-no-such-task", job, end("x", "TASK_STATE_COMPLETED"))).toBe(false);
  });

  it("loses its say when its turn has ended and the next has another instance", async () => {
    const { client, id, job, home } = await startSilently();
    expect(await home.jobReport(id, job, end("ask", "TASK_STATE_INPUT_REQUIRED"))).toBe(true);
    expect(await home.jobReport(id, job, working("after", "after my end"))).toBe(false);
    expect(await home.jobStart(id, job)).toBeNull();
    await client.send({ says: "go on", taskId: id }, { configuration: { returnImmediately: true } });
    const next = await jobIdOf(client.owner, id);
    expect(next).not.toBe(job);
    expect(await home.jobReport(id, job, working("after", "from the old one"))).toBe(false);
    expect(await home.jobStart(id, next)).toMatchObject({ input: { parts: [{ text: "go on" }] } });
    // The same key in the next turn is another report.
    expect(await home.jobReport(id, next, working("mine", "from the new one"))).toBe(true);
    const texts = await textsOf(client, id);
    expect(texts).toContain("from the new one");
    expect(texts).not.toContain("from the old one");
  });

  it("cannot be named by a task that has no durable turn", async () => {
    const client = createClient({ agent: "conformance" });
    const task = await client.sendForTask("input");
    const home = homeOf(client.owner) as unknown as JobHome;
    for (const job of ["", "null", "undefined"]) {
      expect(await home.jobStart(task.id, job)).toBeNull();
      expect(await home.jobReport(task.id, job, end("x", "TASK_STATE_COMPLETED"))).toBe(false);
    }
    expect((await client.get(task.id)).status.state).toBe("TASK_STATE_INPUT_REQUIRED");
  });
});

describe("what a turn is told", () => {
  it("begins with the message that began it, the history up to it and the memory", async () => {
    const { client, id, job, home } = await startSilently();
    await client.send({ says: "later", taskId: id }, { configuration: { returnImmediately: true } });
    const start = await home.jobStart(id, job);
    expect(start).toMatchObject({
      contextId: (await client.get(id)).contextId,
      input: { parts: [{ text: "go" }], role: "ROLE_USER", taskId: id },
      memory: {},
    });
    expect(start?.history.map(textOf)).toEqual(["go"]);
  });

  it("is a new message by its row, once it has come, and the same again when asked again", async () => {
    const { client, id, job, home } = await startSilently();
    const start = await home.jobStart(id, job);
    const after = start?.turnInput ?? 0;
    expect(await home.jobAnswer(id, job, after)).toEqual({ seq: 0, over: false });
    await client.send({ says: "first", taskId: id }, { configuration: { returnImmediately: true } });
    await client.send({ says: "second", taskId: id }, { configuration: { returnImmediately: true } });
    const first = await home.jobAnswer(id, job, after);
    expect(await home.jobAnswer(id, job, after)).toEqual(first);
    expect(textOf((await home.jobMessage(id, job, first.seq)) ?? undefined)).toBe("first");
    const second = await home.jobAnswer(id, job, first.seq);
    expect(textOf((await home.jobMessage(id, job, second.seq)) ?? undefined)).toBe("second");
    expect(await home.jobAnswer(id, job, second.seq)).toEqual({ seq: 0, over: false });
  });

  it("is no message where the row holds something else", async () => {
    const { id, job, home } = await startSilently();
    // Row 2 is the status of the job's beginning.
    expect(await home.jobMessage(id, job, 2)).toBeNull();
    expect(await home.jobMessage(id, job, 10_000)).toBeNull();
    expect(await home.jobMessage(id, job, -1)).toBeNull();
  });
});

describe("a message for a job that asks", () => {
  const ask = (key: string): JobReport => ({
    key,
    emission: { kind: "status", state: "TASK_STATE_INPUT_REQUIRED" },
    ending: false,
  });

  it("waits for its own turn to be read: its sender is not answered by the question before (§3.2.2)", async () => {
    const { client, id, job, home } = await startSilently();
    const start = await home.jobStart(id, job);
    const later = { configuration: { returnImmediately: true } };
    await client.send({ says: "Rome", taskId: id }, later);
    await home.jobReport(id, job, ask("question 1"));
    let answered = false;
    const blocking = client.sendForTask({ says: "Monday", taskId: id }).finally(() => {
      answered = true;
    });
    await eventually(async () => (await textsOf(client, id)).includes("Monday"));
    const streaming = await client.sendStream({ says: "at nine", taskId: id });

    let seen = start?.turnInput ?? 0;
    for (const [question, text] of [
      ["question 2", "Rome"],
      ["question 3", "Monday"],
    ] as const) {
      const { seq } = await home.jobAnswer(id, job, seen);
      expect(textOf((await home.jobMessage(id, job, seq)) ?? undefined)).toBe(text);
      seen = seq;
      expect(answered).toBe(false);
      await home.jobReport(id, job, ask(question));
      if (text === "Rome") await scheduler.wait(50);
    }
    expect((await blocking).status.state).toBe("TASK_STATE_INPUT_REQUIRED");
    const { seq } = await home.jobAnswer(id, job, seen);
    expect(textOf((await home.jobMessage(id, job, seq)) ?? undefined)).toBe("at nine");
    await home.jobReport(id, job, end("end", "TASK_STATE_COMPLETED"));
    const kinds = (await streaming.rest()).map(({ event }) => kindOf(event));
    expect(kinds.at(-1)).toBe("TASK_STATE_COMPLETED");
  });
});

describe("an instance for a task that is not there", () => {
  it("ends by itself, and makes no home", async () => {
    const home = env.HOMES.idFromName("open::nobody-has-this-name/0").toString();
    const job = crypto.randomUUID();
    const params = { home, task: "0-nothing", job, agent: "sleeps" };
    const instance = await env.JOBS.create({ id: job, params });
    await eventually(async () => (await instance.status()).status === "complete");
  });
});
