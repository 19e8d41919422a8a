// Tasks of many events and many bytes: 10,000 chunks, artifacts beyond a row of SQLite, and the limit of a task,
// which keeps every answer below what RPC can carry (32 MiB).

import { describe, expect, it, vi } from "vitest";
import type { Part } from "../../src/protocol/part.ts";
import type { Task } from "../../src/protocol/task.ts";
import { createClient, eventually, textOf } from "../support/client.ts";
import { query } from "../support/home.ts";

vi.hoisted(() => vi.resetModules());
vi.mock("../../src/agents/registry.ts", async (original) => (await import("./stage.ts")).withStage(original));
const { act, forever } = await import("./stage.ts");

const MIB = 1_048_576;
const text = (value: string) => [{ text: value }];

describe("a task of 10,000 chunks", () => {
  const chunks = Array.from({ length: 10_000 }, (_, i) => `${i} `);

  it("completes, and is read and streamed whole and in order", { timeout: 30_000 }, async () => {
    const client = createClient({ agent: "stage" });
    const says = act("10,000 chunks", async (task) => {
      for (const [index, chunk] of chunks.entries()) {
        await task.artifact({ artifactId: "a", parts: text(chunk), append: index > 0 });
      }
    });
    const stream = await client.sendStream(says);
    const frames = await stream.rest();
    expect(frames).toHaveLength(10_002);
    const texts = frames.flatMap(({ event }) => event.artifactUpdate?.artifact.parts[0]?.text ?? []);
    expect(texts).toEqual(chunks);
    const task = await client.get(frames[0]?.event.task?.id ?? "");
    expect(task.status.state).toBe("TASK_STATE_COMPLETED");
    expect(task.artifacts?.[0]?.parts.map((part) => part.text)).toEqual(chunks);
  });

  it("leaves the home responsive while its agent emits them", { timeout: 30_000 }, async () => {
    const client = createClient({ agent: "stage" });
    const says = act("10,000 chunks with pauses", async (task) => {
      for (const [index, chunk] of chunks.entries()) {
        await task.artifact({ artifactId: "a", parts: text(chunk), append: index > 0 });
        if (index % 500 === 499) await scheduler.wait(5);
      }
    });
    const quick = act("meanwhile", (task) => task.complete("here"));
    const { id } = await client.start(says);
    expect((await client.sendForTask(quick)).status.state).toBe("TASK_STATE_COMPLETED");
    expect((await client.get(id)).status.state).not.toBe("TASK_STATE_FAILED");
    await eventually(async () => (await client.get(id, 0)).status.state === "TASK_STATE_COMPLETED");
  });
});

describe("an artifact of 5 MB with surrogate pairs", () => {
  // Odd before the pairs, so that a cut at a fixed place falls into one; quotes and newlines grow in JSON.
  const huge = `x"\n${"\u{1F600}é€".repeat(1_250_000)}`;

  it("is stored in pieces and comes back identical, by GetTask and by replay", {
    timeout: 30_000,
  }, async () => {
    const client = createClient({ agent: "stage" });
    const says = act("5 MB", (task) => task.artifact({ artifactId: "a", parts: text(huge) }));
    const { id, status } = await client.start(says);
    expect(status.state).not.toBe("TASK_STATE_FAILED");
    const [pieces] = await query<{ count: number }>(
      client.owner,
      "SELECT COUNT(*) AS count FROM journal WHERE task = ? AND kind = 'artifact'",
      id,
    );
    expect(pieces?.count).toBeGreaterThan(3);
    const task = await client.get(id);
    // Compared first, since a failed comparison of such texts would print them.
    expect(task.artifacts?.[0]?.parts[0]?.text === huge).toBe(true);
    const stream = await (await client.rpc("SubscribeToTask", { id }, { "last-event-id": "0" })).text();
    const data =
      stream
        .split("\n")
        .find((line) => line.startsWith("data: "))
        ?.slice(6) ?? "";
    expect(JSON.parse(data).result.artifactUpdate.artifact.parts[0].text === huge).toBe(true);
  });
});

describe("a task beyond its limit", () => {
  it("of 50 MB in one artifact is failed, says so, and keeps nothing of it", {
    timeout: 30_000,
  }, async () => {
    const client = createClient({ agent: "stage" });
    const says = act("50 MB at once", (task) => task.artifact({ parts: text("x".repeat(50 * MIB)) }));
    const task = await client.sendForTask(says);
    expect(task.status.state).toBe("TASK_STATE_FAILED");
    expect(textOf(task.status.message)).toBe(
      "The task grew beyond 16777216 bytes, the most that this server keeps of one.",
    );
    expect(task.artifacts).toBeUndefined();
    expect((await client.sendForTask(act("afterwards", (task) => task.complete()))).status.state).toBe(
      "TASK_STATE_COMPLETED",
    );
  });

  it("of 50 MB in fifty artifacts is failed, and keeps those that fitted", { timeout: 30_000 }, async () => {
    const client = createClient({ agent: "stage" });
    const says = act("50 MB in many", async (task) => {
      for (let i = 0; i < 50; i++) await task.artifact({ parts: text("x".repeat(MIB)) });
    });
    const task = await client.sendForTask(says);
    expect(task.status.state).toBe("TASK_STATE_FAILED");
    expect(task.artifacts).toHaveLength(15);
    expect(await client.list()).toMatchObject({ totalSize: 1 });
  });

  it.each(["complete", "inputRequired", "reject", "fail", "reply"] as const)(
    "of 50 MB in the message of %s is failed",
    { timeout: 30_000 },
    async (ending) => {
      const client = createClient({ agent: "stage" });
      const says = act(`50 MB in ${ending}`, async (task) => {
        await task.working();
        await task[ending]("x".repeat(50 * MIB));
      });
      const task = await client.sendForTask(says);
      expect(task.status.state).toBe("TASK_STATE_FAILED");
      expect(textOf(task.status.message)).toContain("grew beyond");
    },
  );

  it("of 50 MB in a Message makes no task, and says whose fault it was", { timeout: 30_000 }, async () => {
    const client = createClient({ agent: "stage" });
    const says = act("50 MB in a Message", (task) => task.reply("x".repeat(50 * MIB)));
    const message = { messageId: "m", role: "ROLE_USER", parts: text(says) };
    const { result, error } = await client.answer("SendMessage", { message });
    // Either is honest: InvalidAgentResponse (§3.3.2), or a task that has failed.
    if (error) expect(error.code).toBe(-32006);
    else expect(result).toMatchObject({ task: { status: { state: "TASK_STATE_FAILED" } } });
  });

  it.each<[string, () => Part[]]>([
    ["characters of three bytes", () => Array(15).fill({ text: "€".repeat(MIB) })],
    ["one text up to the limit", () => text("€".repeat(16 * MIB - 2_000))],
    ["numbers, which RPC writes with nine bytes", () => [{ data: Array(4_000_000).fill(0.5) }]],
  ])("is the largest that it can also answer with: %s", { timeout: 60_000 }, async (name, parts) => {
    const client = createClient({ agent: "stage" });
    const { id } = await client.start(act(name, (task) => task.artifact({ parts: parts() })));
    await eventually(async () => {
      const { error, result } = await client.answer("GetTask", { id });
      expect(error).toBeUndefined();
      return /COMPLETED|FAILED/.test((result as Task).status.state);
    });
  });

  describe("by the messages of its client", () => {
    const megabyte = { data: "x".repeat(MIB - 1_000) };

    it.each([
      ["that waits for its caller", act("asks", (task) => task.inputRequired("More?"))],
      ["that is at work", act("is busy", () => forever)],
    ])("cannot make a task %s too large to be read", { timeout: 60_000 }, async (_, says) => {
      const client = createClient({ agent: "stage" });
      const { id } = await client.start(says);
      const parts = [{ text: says }, megabyte];
      const configuration = { historyLength: 0, returnImmediately: true };
      for (let i = 0; i < 40; i++) {
        const message = { messageId: `m${i}`, role: "ROLE_USER", taskId: id, parts };
        await client.answer("SendMessage", { message, configuration });
      }
      expect((await client.get(id)).id).toBe(id);
      const [stored] = await query<{ bytes: number }>(
        client.owner,
        "SELECT SUM(LENGTH(body)) AS bytes FROM journal",
      );
      expect(stored?.bytes).toBeLessThan(18 * MIB);
    });
  });
});

describe("ListTasks over large tasks", () => {
  it("answers a page of fifty tasks with messages of a megabyte each", { timeout: 60_000 }, async () => {
    const client = createClient({ agent: "stage" });
    const says = act("takes much", (task) => task.complete());
    for (let i = 0; i < 40; i++) {
      await client.send([{ text: says }, { data: "x".repeat(MIB - 1_000) }], {
        configuration: { historyLength: 0 },
      });
    }
    const list = await client.list();
    expect(list.totalSize).toBe(40);
    expect(list.tasks.length).toBeGreaterThan(0);
    const seen = new Set(list.tasks.map((task) => task.id));
    for (let token = list.nextPageToken; token !== ""; ) {
      const page = await client.list({ pageToken: token });
      for (const task of page.tasks) seen.add(task.id);
      token = page.nextPageToken;
    }
    expect(seen.size).toBe(40);
  });

  it("answers with the artifacts of tasks of 10 MB each", { timeout: 60_000 }, async () => {
    const client = createClient({ agent: "stage" });
    const says = act("10 MB", (task) => task.artifact({ parts: text("x".repeat(10 * MIB)) }));
    for (let i = 0; i < 4; i++) await client.start(says);
    const seen = new Set<string>();
    let token = "";
    do {
      const page = await client.list({ includeArtifacts: true, ...(token !== "" && { pageToken: token }) });
      for (const task of page.tasks) {
        expect(task.artifacts?.[0]?.parts[0]?.text?.length).toBe(10 * MIB);
        seen.add(task.id);
      }
      token = page.nextPageToken;
    } while (token !== "");
    expect(seen.size).toBe(4);
  });
});
