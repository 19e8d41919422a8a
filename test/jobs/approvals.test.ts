// Approval of tools in durable turns: asked for in the middle and at the end of a turn, and across a restart of
// everything. Which message is an answer is the home's to say, as it is for quick turns.

import { abortAllDurableObjects } from "cloudflare:test";
import { afterEach, describe, expect, it, vi } from "vitest";
import { eventsOf } from "../audit/chains.ts";
import { type Client, createClient, eventually, textOf } from "../support/client.ts";
import { instanceStatus, jobIdOf, jobOf, withJobs } from "../support/jobs.ts";

vi.hoisted(() => vi.resetModules());
vi.mock("../../src/agents/registry.ts", async (original) =>
  (await import("./test-agents.ts")).mockRegistry(original),
);

afterEach(() => void vi.restoreAllMocks());

const AUTH = "TASK_STATE_AUTH_REQUIRED";
const decides = (taskId: string, approved: boolean) => ({ taskId, parts: [{ data: { approved } }] });
const kinds = async ({ owner }: Client) => (await eventsOf(owner)).map(({ kind }) => kind);

/** Decides twice, with a word between, and returns what the agent was told. */
async function goThrough(client: Client, id: string, between: () => Promise<void> = async () => {}) {
  expect(textOf((await client.sendForTask(decides(id, true))).status.message)).toBe("How?");
  await between();
  const asked = await client.sendForTask({ says: "approve", taskId: id });
  expect(asked.status).toMatchObject({ state: AUTH, message: { parts: [{ text: "May I delete?" }] } });
  await between();
  const last = await client.sendForTask(decides(id, false));
  expect(textOf(last.status.message)).toBe("Done.");
  return JSON.parse(last.artifacts?.[0]?.parts[0]?.text ?? "");
}

const told = [
  { tool: "publish", approved: true },
  // A word is a decision only where one is asked for.
  null,
  "approve",
  { tool: "delete", approved: false },
];

describe("askApproval", () => {
  it("goes on in the same turn with the decision about its tool", async () => {
    const client = createClient({ agent: "asks-for-tools" });
    const first = await client.sendForTask("go");
    expect(first.status).toMatchObject({ state: AUTH, message: { parts: [{ text: "May I publish?" }] } });
    const job = await jobIdOf(client.owner, first.id);
    const message = { messageId: "m", role: "ROLE_USER", taskId: first.id, parts: [{ text: "hm" }] };
    expect((await client.error("SendMessage", { message })).code).toBe(-32602);
    expect(await goThrough(client, first.id)).toEqual(told);
    expect(await jobIdOf(client.owner, first.id)).toBe(job);
    expect(await eventsOf(client.owner)).toMatchObject([
      { kind: "task.created" },
      { kind: "tool.approved", detail: { tool: "publish" } },
      { kind: "task.continued", detail: { state: "TASK_STATE_INPUT_REQUIRED" } },
      { kind: "tool.denied", detail: { tool: "delete" } },
    ]);
  });

  it("is not answered by messages that came before it, whoever sent them", async () => {
    const client = createClient({ agent: "asks-for-tools" });
    const { id } = await client.start("sleep:400");
    await eventually(async () => (await client.get(id)).status.state === "TASK_STATE_WORKING");
    await Promise.all(
      [1, 2].map(async () => expect((await client.sendForTask(decides(id, false))).status.state).toBe(AUTH)),
    );
    expect((await jobOf(client.owner, id)).state).toBe(AUTH);
    expect(await goThrough(client, id)).toEqual(told);
    expect((await kinds(client)).slice(0, 4)).toEqual([
      ...["task.created", "task.continued", "task.continued", "tool.approved"],
    ]);
  });

  it("waits on after every object has been restarted", { timeout: 30_000 }, async () => {
    const client = createClient({ agent: "asks-for-tools" });
    const { id } = await client.sendForTask("go");
    await abortAllDurableObjects();
    expect(await goThrough(client, id, abortAllDurableObjects)).toEqual(told);
  });

  it("waits on in a new instance when the one that asked has died, and needs the answer once", {
    timeout: 30_000,
  }, async () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    const client = createClient({ agent: "asks-for-tools" });
    const { id } = await client.start("sleep:300");
    await eventually(async () => (await client.get(id)).status.state === "TASK_STATE_WORKING");
    // It came before the question: the new instance begins to read from there.
    await client.sendForTask(decides(id, false));
    let deaths = 0;
    const die = async () => {
      if (deaths++ === 2) return;
      const before = await client.get(id);
      const job = await jobIdOf(client.owner, id);
      await withJobs(client.owner, async (jobs) => (await jobs.get(job)).terminate());
      const next = await eventually(async () => {
        const present = await jobIdOf(client.owner, id);
        return present !== job && (await instanceStatus(client.owner, present)) === "running" && present;
      }, 100);
      // Until it has read what the first one had.
      await scheduler.wait(1_000);
      expect(await client.get(id)).toEqual(before);
      expect(await jobIdOf(client.owner, id)).toBe(next);
    };
    await die();
    expect(await goThrough(client, id, die)).toEqual(told);
    expect((await kinds(client)).filter((kind) => kind === "tool.approved")).toHaveLength(1);
  });

  it("fails the task when its agent has not declared the tool", async () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    const client = createClient({ agent: "asks-for-another" });
    const task = await client.sendForTask("go");
    expect(task.status.state).toBe("TASK_STATE_FAILED");
    expect(textOf(task.status.message)).toContain("does not declare");
  });
});

describe("approvalRequired in a durable turn", () => {
  it.each([true, false])("hands %s on to the next turn", async (approved) => {
    const client = createClient({ agent: "asks-at-the-end" });
    const { id, status } = await client.sendForTask("go");
    expect(status.state).toBe(AUTH);
    const last = await client.sendForTask(decides(id, approved));
    expect(JSON.parse(textOf(last.status.message) ?? "")).toEqual({ tool: "publish", approved });
    expect(await kinds(client)).toEqual(["task.created", approved ? "tool.approved" : "tool.denied"]);
  });
});
