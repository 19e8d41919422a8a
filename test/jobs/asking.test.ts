// Questions in the middle of a durable turn: ask() and askAuth(), with the answer coming after the question,
// before it, between two looks, twice, and across a restart of everything.

import { abortAllDurableObjects } from "cloudflare:test";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { Task } from "../../src/protocol/task.ts";
import { createClient, eventually, kindOf, textOf } from "../support/client.ts";
import { instanceStatus, jobIdOf, jobOf, withJobs } from "../support/jobs.ts";

vi.hoisted(() => vi.resetModules());
vi.mock("../../src/agents/registry.ts", async (original) =>
  (await import("./test-agents.ts")).mockRegistry(original),
);

afterEach(() => void vi.restoreAllMocks());

const artifactText = (task: Task) => task.artifacts?.[0]?.parts[0]?.text;

describe("ask", () => {
  it("makes the task wait for input, and goes on in the same turn with the answer (§3.4.3)", async () => {
    const client = createClient({ agent: "asks-twice" });
    const first = await client.sendForTask("a trip");
    expect(first.status.state).toBe("TASK_STATE_INPUT_REQUIRED");
    expect(textOf(first.status.message)).toBe("Which city?");
    const job = await jobIdOf(client.owner, first.id);

    const second = await client.sendForTask({ says: "Rome", taskId: first.id });
    expect(second.status.state).toBe("TASK_STATE_INPUT_REQUIRED");
    expect(textOf(second.status.message)).toBe("Which day?");

    const last = await client.sendForTask({ says: "Monday", taskId: first.id });
    expect(last.status.state).toBe("TASK_STATE_COMPLETED");
    expect(artifactText(last)).toBe("Rome on Monday");
    expect((last.history ?? []).map(textOf)).toEqual([
      "a trip",
      "Which city?",
      "Rome",
      "Which day?",
      "Monday",
      "Booked.",
    ]);
    expect(await jobIdOf(client.owner, first.id)).toBe(job);
  });

  it("shows the task at work again as soon as the answer is there", async () => {
    const client = createClient({ agent: "asks-twice" });
    const { id } = await client.sendForTask("a trip");
    const subscriber = await client.subscribe(id);
    await client.sendForTask({ says: "Rome", taskId: id });
    await client.sendForTask({ says: "Monday", taskId: id });
    expect((await subscriber.rest()).map(({ event }) => kindOf(event))).toEqual([
      "task",
      "TASK_STATE_WORKING",
      "TASK_STATE_INPUT_REQUIRED",
      "TASK_STATE_WORKING",
      "artifact",
      "TASK_STATE_COMPLETED",
    ]);
  });

  it("ends the stream of each message at its question (§3.1.2)", async () => {
    const client = createClient({ agent: "asks-twice" });
    const first = await (await client.sendStream("a trip")).rest();
    const id = first[0]?.event.task?.id ?? "";
    expect(first.map(({ event }) => kindOf(event))).toEqual(["task", "TASK_STATE_INPUT_REQUIRED"]);
    const second = await (await client.sendStream({ says: "Rome", taskId: id })).rest();
    expect(second[0]?.event.task?.history?.map(textOf)).toEqual(["a trip", "Which city?", "Rome"]);
    expect(
      second
        .slice(1)
        .map(({ event }) => kindOf(event))
        .at(-1),
    ).toBe("TASK_STATE_INPUT_REQUIRED");
    expect(second.filter(({ event }) => kindOf(event) === "TASK_STATE_INPUT_REQUIRED")).toHaveLength(1);
    const third = await (await client.sendStream({ says: "Monday", taskId: id })).rest();
    expect(third.map(({ event }) => kindOf(event)).slice(-2)).toEqual(["artifact", "TASK_STATE_COMPLETED"]);
  });

  it("takes an answer that came before the question", async () => {
    const client = createClient({ agent: "asks-late" });
    const { id } = await client.start("sleep:400");
    await eventually(async () => (await client.get(id)).status.state === "TASK_STATE_WORKING");
    const ended = await client.sendForTask({ says: "the red one", taskId: id });
    expect(ended.status.state).toBe("TASK_STATE_COMPLETED");
    expect(textOf(ended.status.message)).toBe("Took the red one.");
  });

  it("takes two answers that came before both questions, in their order", async () => {
    const client = createClient({ agent: "asks-twice" });
    const { id } = await client.start("a trip");
    await client.send({ says: "Rome", taskId: id }, { configuration: { returnImmediately: true } });
    const last = await client.sendForTask({ says: "Monday", taskId: id });
    expect(last.status.state).toBe("TASK_STATE_COMPLETED");
    expect(artifactText(last)).toBe("Rome on Monday");
  });

  it("keeps the answer that nobody has asked for yet from a blocking sender (§3.2.2)", async () => {
    // The first question is answered by "Rome"; "Monday" waits for the second, and must not return at the first.
    const client = createClient({ agent: "asks-twice" });
    const { id } = await client.sendForTask("a trip");
    await client.send({ says: "Rome", taskId: id }, { configuration: { returnImmediately: true } });
    const last = await client.sendForTask({ says: "Monday", taskId: id });
    expect(last.status.state).toBe("TASK_STATE_COMPLETED");
    expect(artifactText(last)).toBe("Rome on Monday");
  });

  it("is told once of a message that nobody has asked for", { timeout: 15_000 }, async () => {
    // Events wait in the instance: one a watch would be a backlog of thousands for a job of a day.
    const client = createClient({ agent: "sleeps" });
    const { id } = await client.start("go");
    await eventually(async () => (await client.get(id)).status.state === "TASK_STATE_WORKING");
    const sendEvent = await withJobs(client.owner, async (jobs) => {
      const instance = await jobs.get(await jobIdOf(client.owner, id));
      const spy = vi.fn(instance.sendEvent.bind(instance));
      vi.spyOn(jobs, "get").mockResolvedValue(Object.assign(instance, { sendEvent: spy }));
      return spy;
    });
    await client.send({ says: "hurry", taskId: id }, { configuration: { returnImmediately: true } });
    await scheduler.wait(3_500);
    expect(sendEvent).toHaveBeenCalledTimes(1);
    await client.cancel(id);
  });

  it("still waits after every object has been restarted, and is answered then", {
    timeout: 30_000,
  }, async () => {
    const client = createClient({ agent: "asks-twice" });
    const { id } = await client.sendForTask("a trip");
    await abortAllDurableObjects();
    const second = await client.sendForTask({ says: "Rome", taskId: id });
    expect(textOf(second.status.message)).toBe("Which day?");
    await abortAllDurableObjects();
    const last = await client.sendForTask({ says: "Monday", taskId: id });
    expect(artifactText(last)).toBe("Rome on Monday");
    expect((last.history ?? []).map(textOf)).toEqual([
      "a trip",
      "Which city?",
      "Rome",
      "Which day?",
      "Monday",
      "Booked.",
    ]);
  });

  it("is over when the task is canceled while it waits (§3.1.5)", async () => {
    const client = createClient({ agent: "asks-twice" });
    const { id } = await client.sendForTask("a trip");
    const job = await jobIdOf(client.owner, id);
    expect((await client.cancel(id)).status.state).toBe("TASK_STATE_CANCELED");
    await eventually(async () => (await instanceStatus(client.owner, job)) === "terminated");
    expect((await client.error("SendMessage", { message: { ...message, taskId: id } })).code).toBe(-32004);
    expect((await jobOf(client.owner, id)).state).toBe("TASK_STATE_CANCELED");
  });
});

const message = { messageId: "m", role: "ROLE_USER", parts: [{ text: "Rome" }] };

describe("askAuth", () => {
  it.each([
    ["yes", "TASK_STATE_COMPLETED", "Done."],
    ["no", "TASK_STATE_REJECTED", "Then not."],
  ])("waits at auth-required; the answer %s ends in %s (§3.2.2)", async (says, state, text) => {
    const client = createClient({ agent: "asks-for-approval" });
    const first = await client.sendForTask("transfer the money");
    expect(first.status.state).toBe("TASK_STATE_AUTH_REQUIRED");
    expect(textOf(first.status.message)).toBe("May I?");
    const last = await client.sendForTask({ says, taskId: first.id });
    expect(last.status.state).toBe(state);
    expect(textOf(last.status.message)).toBe(text);
  });

  it("keeps a SendStreamingMessage open until the task ends (§7.6.1)", async () => {
    const client = createClient({ agent: "asks-for-approval" });
    const stream = await client.sendStream("transfer the money");
    const asked = await stream.until((event) => kindOf(event) === "TASK_STATE_AUTH_REQUIRED");
    const id = asked[0]?.event.task?.id ?? "";
    await client.sendForTask({ says: "yes", taskId: id });
    expect((await stream.rest()).map(({ event }) => kindOf(event))).toEqual([
      "TASK_STATE_WORKING",
      "TASK_STATE_COMPLETED",
    ]);
  });
});
