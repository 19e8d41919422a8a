// The re-run rule: a quick turn whose object died runs again from its start, at most three times in all. No event
// id comes twice, and nothing is repeated.

import { describe, expect, it, vi } from "vitest";
import { createClient, eventually, kindOf, textOf } from "../support/client.ts";
import { alarmOf, crash, query, ring } from "../support/home.ts";
import { crashAt, endOf, fold, replay, startAndCrash, text } from "./crashes.ts";

vi.hoisted(() => vi.resetModules());
vi.mock("../../src/agents/registry.ts", async (original) => (await import("./stage.ts")).withStage(original));
const { act, forever, runsOf, serve } = await import("./stage.ts");

describe("a quick turn whose object died", () => {
  it("runs again at the next alarm, and repeats nothing", async () => {
    const client = createClient({ agent: "conformance" });
    const id = await startAndCrash(client, "slow:300", 2);
    expect(await ring(client.owner)).toBe(true);
    const { state, artifacts } = await endOf(client, id);
    expect(state).toBe("TASK_STATE_COMPLETED");
    expect(Object.values(artifacts)).toEqual(["echo: slow:300"]);
    const kinds = (await replay(client, id)).map(({ event }) => kindOf(event));
    expect(kinds).toEqual(["TASK_STATE_WORKING", "artifact", "TASK_STATE_COMPLETED"]);
  });

  it("has an alarm within five seconds, whoever forgets it", async () => {
    const client = createClient({ agent: "conformance" });
    await client.start("slow:60000");
    const alarm = await eventually(async () => {
      const at = await alarmOf(client.owner);
      return at !== null && at <= Date.now() + 5_000 && at;
    });
    expect(alarm).toBeGreaterThan(Date.now() - 5_000);
  });

  it("runs again at the next request, also for another task", async () => {
    const client = createClient({ agent: "conformance" });
    const id = await startAndCrash(client, "slow:100", 2);
    await client.sendForTask("something else");
    expect((await endOf(client, id)).state).toBe("TASK_STATE_COMPLETED");
  });

  it("sends every chunk once and in order when it dies between chunks", async () => {
    const client = createClient({ agent: "conformance" });
    const id = await startAndCrash(client, "stream:8:30", 5);
    const { state, artifacts } = await endOf(client, id);
    expect(state).toBe("TASK_STATE_COMPLETED");
    const whole = Array.from({ length: 8 }, (_, i) => `chunk-${i + 1} `).join("");
    expect(artifacts).toEqual({ stream: whole });
    const frames = await replay(client, id);
    expect(frames).toHaveLength(10);
    expect(fold(frames)).toEqual({ stream: whole });
  });

  it("lets a subscriber who comes back with Last-Event-ID see every event once", async () => {
    const client = createClient({ agent: "conformance" });
    const stream = await client.sendStream("stream:8:30");
    const first = await stream.until((event) => kindOf(event) === "artifact");
    const id = first[0]?.event.task?.id ?? "";
    await crash();
    await stream.rest().catch(() => {});
    const second = await (await client.subscribe(id, first.at(-1)?.id)).rest();
    const seen = [...first.slice(1), ...second];
    expect(seen).toEqual(await replay(client, id));
    expect(seen.map(({ event }) => kindOf(event))).toEqual([
      "TASK_STATE_WORKING",
      ...Array(8).fill("artifact"),
      "TASK_STATE_COMPLETED",
    ]);
  });

  it("knows in each run which version its message came in, whatever version began the task", async () => {
    const says = act("tells its version", async (task, run) => {
      await task.working(`${task.version}, run ${run}`);
      if (run === 1) await forever;
      await task.inputRequired("More?");
    });
    const client = createClient({ agent: "stage" });
    const send = (taskId?: string) =>
      client.result<{ id: string }>(
        "message/send",
        {
          message: {
            messageId: "m",
            role: "user",
            parts: [{ kind: "text", text: says }],
            ...(taskId && { taskId }),
          },
          configuration: { blocking: false },
        },
        { "a2a-version": "0.3" },
      );
    const { id } = await send();
    const said = async () => {
      const { history = [] } = await client.get(id);
      return history.flatMap((message) => textOf(message)?.match(/^\d\.\d, run \d$/) ?? []);
    };
    await crashAt(client, id, 2);
    await ring(client.owner);
    await eventually(async () => (await said()).includes("0.3, run 2"));
    await eventually(async () => (await client.get(id)).status.state === "TASK_STATE_INPUT_REQUIRED");
    await client.sendForTask({ says, taskId: id });
    await send(id);
    await eventually(async () => (await said()).at(-1) === "0.3, run 4");
    expect(await said()).toContain("1.0, run 3");
  });

  it("fails after three runs, and keeps what they emitted once", async () => {
    const says = act("dies in every run", async (task) => {
      await task.working("Here we go");
      await task.artifact({ artifactId: "a", parts: text("first") });
      await forever;
    });
    const client = createClient({ agent: "stage" });
    const { id } = await client.start(says);
    for (let run = 1; run <= 3; run++) {
      await eventually(async () => runsOf(says, id) === run);
      await crashAt(client, id, 3);
      await ring(client.owner);
    }
    const { task, state, artifacts } = await endOf(client, id);
    expect(state).toBe("TASK_STATE_FAILED");
    expect(textOf(task.status.message)).toBe("The server stopped during this turn 3 times.");
    expect(artifacts).toEqual({ a: "first" });
    expect(runsOf(says, id)).toBe(3);
    await crash();
    await ring(client.owner);
    expect(await client.get(id)).toEqual(task);
    expect(await replay(client, id)).toHaveLength(3);
  });

  it("does not run again once it has ended or waits for its caller", async () => {
    const ends = act("ends and hangs", async (task) => {
      await task.complete("done");
      await forever;
    });
    const asks = act("asks and hangs", async (task) => {
      await task.inputRequired("More?");
      await forever;
    });
    const client = createClient({ agent: "stage" });
    const done = await client.sendForTask(ends);
    const asked = await client.sendForTask(asks);
    await crash();
    await ring(client.owner);
    expect(await client.get(done.id)).toEqual(done);
    expect(await client.get(asked.id)).toEqual(asked);
    expect([runsOf(ends, done.id), runsOf(asks, asked.id)]).toEqual([1, 1]);
  });

  it("sees the same input, history and memory as in its first run", async () => {
    const seen: unknown[] = [];
    const says = act("looks around", async (task, run) => {
      await task.working("Thinking");
      seen.push({ input: task.input, history: [...task.history], memory: task.memory.get("place") });
      task.memory.set("place", `run ${run}`);
      if (run === 1) await forever;
      await task.complete(`memory of run ${run}`);
    });
    const client = createClient({ agent: "stage" });
    const id = await startAndCrash(client, says, 2);
    await endOf(client, id);
    expect(seen).toHaveLength(2);
    expect(seen[1]).toEqual(seen[0]);
    expect(seen[0]).toMatchObject({ history: [{ parts: text(says) }], memory: undefined });
  });

  it("is followed by the answer to a message that came while it ran first", async () => {
    const says = act("asks late", async (task, run) => {
      await task.working();
      if (run === 1) await forever;
      await task.inputRequired("And then?");
    });
    const more = act("and that", (task) => task.complete("Thanks."));
    const client = createClient({ agent: "stage" });
    const { id } = await client.start(says);
    await client.send({ says: more, taskId: id }, { configuration: { returnImmediately: true } });
    await crashAt(client, id, 3);
    await ring(client.owner);
    const { task } = await endOf(client, id);
    expect(task.history?.map(textOf)).toEqual([says, more, "And then?", "Thanks."]);
    expect(runsOf(more, id)).toBe(1);
  });

  it("can be canceled while it runs again", async () => {
    const client = createClient({ agent: "conformance" });
    const id = await startAndCrash(client, "slow:60000", 2);
    expect((await client.cancel(id)).status.state).toBe("TASK_STATE_CANCELED");
    await crash();
    expect((await client.get(id)).status.state).toBe("TASK_STATE_CANCELED");
  });

  it("keeps no other from running again, nor any request, when its own rows are broken", async () => {
    const client = createClient({ agent: "conformance" });
    const broken = await client.start("slow:60000");
    const fine = await client.start("slow:800");
    await eventually(async () => (await client.list({ status: "TASK_STATE_WORKING" })).totalSize === 2);
    await query(client.owner, "UPDATE journal SET body = '{' WHERE task = ? AND kind = 'message'", broken.id);
    await crash();
    expect((await client.get(fine.id)).id).toBe(fine.id);
    expect((await endOf(client, fine.id)).state).toBe("TASK_STATE_COMPLETED");
    const [row] = await query(client.owner, "SELECT state FROM tasks WHERE id = ?", broken.id);
    expect(row?.state).toBe("TASK_STATE_FAILED");
  });

  it("is failed when its agent is served no more", async () => {
    const says = act("is dropped", async (task) => {
      await task.working();
      await forever;
    });
    const client = createClient({ agent: "stage" });
    const id = await startAndCrash(client, says, 2);
    serve(false);
    await ring(client.owner);
    serve(true);
    const { task, state } = await endOf(client, id);
    expect(state).toBe("TASK_STATE_FAILED");
    expect(textOf(task.status.message)).toBe("The agent of this task is no longer served.");
    expect(runsOf(says, id)).toBe(1);
  });
});
