// The class Turn alone, over a home in memory: what is written when, and what of an agent's acts counts.

import { describe, expect, it } from "vitest";
import type { ArtifactInput, QuickTask } from "../../src/agents/agent.ts";
import { type ArrayHome, again, begin, text } from "./array-home.ts";
import { forever } from "./stage.ts";

const kinds = (home: ArrayHome) => home.journal.map(({ kind }) => kind);

describe("a turn", () => {
  it("that waits for nothing is one write", async () => {
    const { home, done } = begin(async (task) => {
      await task.working("Thinking");
      await task.artifact({ parts: text("a") });
      await task.artifact({ parts: text("b") });
    });
    await done;
    expect(home.changes).toHaveLength(1);
    expect(kinds(home)).toEqual(["message", "status", "artifact", "artifact", "status"]);
    expect(home.stored).toMatchObject({ state: "TASK_STATE_COMPLETED", attempt: 0, seq: 5 });
  });

  it("writes what it has emitted before it waits for something real", async () => {
    const { home } = begin(async (task) => {
      await task.working();
      await task.artifact({ parts: text("a") });
      await forever;
    });
    await scheduler.wait(0);
    expect(home.changes).toHaveLength(1);
    expect(home.stored).toMatchObject({ state: "TASK_STATE_WORKING", attempt: 1, seq: 3 });
  });

  it("is among the unwritten for as long as it has something to write", async () => {
    const acting = begin(async (task) => {
      await task.working();
      await scheduler.wait(1);
      await task.artifact({ parts: text("a") });
      expect(acting.home.unwritten).toEqual(new Set([acting.turn]));
      await scheduler.wait(1);
      expect(acting.home.unwritten.size).toBe(0);
      await task.artifact({ parts: text("b") });
      await task.complete();
      expect(acting.home.unwritten.size).toBe(0);
    });
    await scheduler.wait(0);
    expect(acting.home.unwritten.size).toBe(0);
    await acting.done;
    expect(acting.home.changes).toHaveLength(3);
    const replying = begin((task) => task.reply("Hello"));
    await replying.done;
    expect(replying.home.unwritten.size).toBe(0);
    const { home } = begin(async (task) => {
      await task.working();
      await forever;
    });
    await scheduler.wait(0);
    const second = again(home, () => scheduler.wait(1));
    expect(home.unwritten).toEqual(new Set([second.turn]));
    await second.done;
    expect(home.unwritten.size).toBe(0);
  });

  it("writes nothing before its first act, and nothing at all for a reply", async () => {
    const replying = begin((task) => task.reply("Hello"));
    expect(await replying.turn.outcome).toEqual({
      kind: "message",
      message: { messageId: "0-task-1", contextId: "0-context", role: "ROLE_AGENT", parts: text("Hello") },
    });
    await replying.done;
    expect(replying.home.changes).toEqual([]);
    const waiting = begin(() => forever);
    await scheduler.wait(0);
    expect(waiting.home.changes).toEqual([]);
  });

  it("keeps the memory of a reply, which makes no task", async () => {
    const { home, done } = begin(async (task) => {
      task.memory.set("name", "Ada");
      await task.reply("Hello, Ada");
    });
    await done;
    expect(home.memory).toEqual({ name: "Ada" });
    expect(home.changes).toEqual([]);
  });

  it("completes the task when it replies after another act", async () => {
    const { home, done } = begin(async (task) => {
      await task.working();
      await task.reply("Done");
    });
    await done;
    expect(home.task().status).toMatchObject({
      state: "TASK_STATE_COMPLETED",
      message: { parts: text("Done") },
    });
  });

  it("writes its companion once, with the first rows", async () => {
    let times = 0;
    const companion = () => {
      times += 1;
    };
    const { home, done } = begin(
      async (task) => {
        await task.working();
        await scheduler.wait(1);
        await task.working("again");
      },
      { companion },
    );
    await done;
    expect(home.changes.length).toBeGreaterThan(1);
    expect(times).toBe(1);
    expect(home.changes[0]?.companion).toBe(companion);
  });

  it("says once that it has ended, whatever the agent does after", async () => {
    const { home, done } = begin(async (task) => {
      await task.complete("first");
      await task.fail("second");
      await task.reply("third");
      await task.artifact({ parts: text("fourth") });
      throw new Error("fifth");
    });
    await done;
    expect(home.ended).toBe(1);
    expect(home.task()).toMatchObject({
      status: { state: "TASK_STATE_COMPLETED", message: { parts: text("first") } },
    });
    expect(home.task().artifacts).toBeUndefined();
  });

  it("fires its signal and drops what follows when it is stopped", async () => {
    let reason: unknown;
    const { home, turn, done } = begin(async (task) => {
      await task.working();
      await new Promise<void>((resolve) => task.signal.addEventListener("abort", () => resolve()));
      reason = task.signal.reason;
      await task.artifact({ parts: text("too late") });
    });
    await scheduler.wait(0);
    turn.stop("TASK_STATE_CANCELED");
    turn.stop("TASK_STATE_FAILED", "again");
    await done;
    expect(reason).toMatchObject({ name: "AbortError" });
    expect(home.task().status.state).toBe("TASK_STATE_CANCELED");
    expect(home.task().artifacts).toBeUndefined();
    expect(home.ended).toBe(1);
  });

  it("fails at the first emission that makes the task too large, and keeps what there was", async () => {
    const { home, done } = begin(
      async (task) => {
        await task.artifact({ artifactId: "small", parts: text("x") });
        await task.artifact({ artifactId: "large", parts: text("x".repeat(5_000)) });
        await task.artifact({ artifactId: "after", parts: text("x") });
      },
      { max: 4_000 },
    );
    await done;
    expect(home.task().status).toMatchObject({
      state: "TASK_STATE_FAILED",
      message: { parts: [{ text: expect.stringContaining("4000 bytes") }] },
    });
    expect(home.task().artifacts?.map(({ artifactId }) => artifactId)).toEqual(["small"]);
  });
});

describe("a turn that runs again", () => {
  it("writes nothing for what the journal has already", async () => {
    const run = async (task: QuickTask) => {
      await task.working("Thinking");
      await task.artifact({ parts: text("a") });
    };
    const { home } = begin(async (task) => {
      await run(task);
      await forever;
    });
    await scheduler.wait(0);
    const rows = home.journal.length;
    await again(home, run).done;
    expect(kinds(home).slice(rows)).toEqual(["status"]);
    expect(home.task().artifacts).toHaveLength(1);
  });

  it("does not know an emission by its content alone: the same one twice is two", async () => {
    const chunk: ArtifactInput = { artifactId: "a", parts: text("x"), append: true };
    const { home } = begin(async (task) => {
      await task.artifact(chunk);
      await forever;
    });
    await scheduler.wait(0);
    await again(home, async (task) => {
      for (let i = 0; i < 3; i++) await task.artifact(chunk);
    }).done;
    expect(home.task().artifacts?.[0]?.parts).toHaveLength(3);
  });
});
