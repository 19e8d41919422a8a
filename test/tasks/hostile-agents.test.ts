// Agents that do what agents should not. Each ends in a failed task with a clear message, or it simply works; the
// client never sees an internal of it, and the home goes on answering for other tasks.

import { describe, expect, it, vi } from "vitest";
import type { QuickTask } from "../../src/agents/agent.ts";
import { createClient, eventually, textOf } from "../support/client.ts";

vi.hoisted(() => vi.resetModules());
vi.mock("../../src/agents/registry.ts", async (original) => (await import("./stage.ts")).withStage(original));
const { act } = await import("./stage.ts");

const text = (value: string) => [{ text: value }];
/** What TypeScript would not let an author write, but JavaScript does. */
const anything = (value: unknown) => value as never;
const circular: Record<string, unknown> = {};
circular.self = circular;

async function outcome(says: string) {
  const client = createClient({ agent: "stage" });
  const task = await client.sendForTask(says);
  return { client, task, state: task.status.state, said: textOf(task.status.message) };
}

describe("an agent that throws", () => {
  it.each<[string, (task: QuickTask) => Promise<void> | void]>([
    ["at once", () => Promise.reject(new Error("the database password is hunter2"))],
    [
      "before it is asynchronous",
      () => {
        throw new Error("hunter2");
      },
    ],
    ["something that is no error", () => Promise.reject(anything(undefined))],
    [
      "after it has worked",
      async (task) => {
        await task.working();
        await scheduler.wait(5);
        throw new Error("hunter2");
      },
    ],
    [
      "an error that cannot be read",
      () =>
        Promise.reject(
          new Proxy(
            {},
            {
              get: () => {
                throw new Error("no");
              },
            },
          ),
        ),
    ],
  ])("%s fails its task, and its caller is told nothing of why", async (name, run) => {
    const { state, said } = await outcome(act(`throws ${name}`, run));
    expect(state).toBe("TASK_STATE_FAILED");
    expect(said).toBe("The agent failed with an internal error.");
  });
});

describe("an agent that emits what is no event", () => {
  it.each<[string, (task: QuickTask) => unknown]>([
    ["no parts", (task) => task.artifact({ parts: [] })],
    ["parts that are no list", (task) => task.artifact({ parts: anything({ text: "x" }) })],
    ["a part of null", (task) => task.artifact({ parts: [anything(null)] })],
    ["a part without content", (task) => task.artifact({ parts: [anything({ filename: "x" })] })],
    [
      "a part with two contents",
      (task) => task.artifact({ parts: [anything({ text: "x", url: "https://x.test/" })] }),
    ],
    ["a text that is a number", (task) => task.artifact({ parts: [anything({ text: 5 })] })],
    ["a text that is undefined", (task) => task.artifact({ parts: [anything({ text: undefined })] })],
    ["raw bytes that are no base64", (task) => task.artifact({ parts: [{ raw: "!!" }] })],
    ["raw bytes as an array", (task) => task.artifact({ parts: [anything({ raw: new Uint8Array(3) })] })],
    ["data that is undefined", (task) => task.artifact({ parts: [anything({ data: undefined })] })],
    ["data that refers to itself", (task) => task.artifact({ parts: [anything({ data: circular })] })],
    ["a BigInt", (task) => task.artifact({ parts: [anything({ data: { big: 1n } })] })],
    [
      "metadata that refers to itself",
      (task) => task.artifact({ parts: text("x"), metadata: anything(circular) }),
    ],
    ["metadata that is text", (task) => task.artifact({ parts: text("x"), metadata: anything("x") })],
    ["an artifactId that is empty", (task) => task.artifact({ artifactId: "", parts: text("x") })],
    [
      "an artifactId that is a number",
      (task) => task.artifact({ artifactId: anything(7), parts: text("x") }),
    ],
    ["a name that is an object", (task) => task.artifact({ name: anything({}), parts: text("x") })],
    ["nothing at all", (task) => task.artifact(anything(undefined))],
    ["a status message that is a number", (task) => task.working(anything(5))],
    ["a status message without parts", (task) => task.working([])],
    ["a reply without parts", (task) => task.reply([])],
    ["a question that refers to itself", (task) => task.inputRequired([anything({ data: circular })])],
    [
      "data that throws when it is written",
      (task) =>
        task.artifact({
          parts: [
            anything({
              data: {
                toJSON() {
                  throw new Error("hunter2");
                },
              },
            }),
          ],
        }),
    ],
  ])("%s fails its task and says that its event was invalid", async (name, emit) => {
    const says = act(`emits ${name}`, async (task) => {
      await emit(task);
      await task.artifact({ artifactId: "after", parts: text("x") });
    });
    const { task, state, said } = await outcome(says);
    expect(state).toBe("TASK_STATE_FAILED");
    expect(said).toMatch(/^The agent emitted an invalid event: .+\.$/s);
    expect(said).not.toContain("hunter2");
    expect(task.artifacts).toBeUndefined();
  });

  it("fails its task also when it does not await the emission", async () => {
    const says = act("emits rubbish unawaited", async (task) => {
      void task.artifact({ parts: [] });
      void task.artifact({ parts: text("x") });
    });
    expect((await outcome(says)).state).toBe("TASK_STATE_FAILED");
  });

  it("sends half of a surrogate pair to nobody", async () => {
    const half = "\ud83d";
    const says = act("emits halves", async (task) => {
      await task.working(`working ${half}`);
      await task.artifact({
        name: `name ${half}`,
        parts: [...text(`text ${half}`), { data: { [half]: [half] } }],
      });
    });
    const { client, task } = await outcome(says);
    const answer = await (await client.rpc("GetTask", { id: task.id })).text();
    expect(answer).not.toMatch(/\\ud8|\\udc/i);
  });

  it("keeps its own hands off what it has emitted", async () => {
    const says = act("changes its mind in place", async (task) => {
      const parts = text("as emitted");
      await task.artifact({ artifactId: "a", parts });
      parts[0] = { text: "changed later" };
      parts.push({ text: "added later" });
    });
    const { task } = await outcome(says);
    expect(task.artifacts?.[0]?.parts).toEqual(text("as emitted"));
  });
});

describe("an agent whose memory is no JSON", () => {
  it.each<[string, unknown]>([
    ["a BigInt", 1n],
    ["a circle", circular],
  ])("%s: its task fails instead of staying at work for ever", async (name, value) => {
    const says = act(`remembers ${name}`, async (task) => {
      await task.working();
      await scheduler.wait(1);
      task.memory.set("x", value);
      await task.complete("done");
    });
    const client = createClient({ agent: "stage" });
    const { id } = await client.start(says);
    const task = await eventually(async () => {
      const task = await client.get(id);
      return task.status.state !== "TASK_STATE_WORKING" && task;
    });
    expect(task.status.state).toBe("TASK_STATE_FAILED");
  });
});

describe("an agent that does not wait", () => {
  it("emits unawaited, and its order is kept", async () => {
    const says = act("emits unawaited", async (task) => {
      void task.working("1");
      for (let i = 0; i < 50; i++)
        void task.artifact({ artifactId: "a", parts: text(`${i} `), append: i > 0 });
      void task.complete("2");
    });
    const { task, state } = await outcome(says);
    expect(state).toBe("TASK_STATE_COMPLETED");
    expect(task.artifacts?.[0]?.parts.map((part) => part.text)).toEqual(
      Array.from({ length: 50 }, (_, i) => `${i} `),
    );
  });

  it("emits after its end, and nothing of it is kept or sent", async () => {
    const ended = Promise.withResolvers<void>();
    const says = act("talks on", async (task) => {
      await task.complete("The end.");
      await task.working("But wait");
      await task.artifact({ parts: text("too late") });
      await task.inputRequired("really?");
      ended.resolve();
      throw new Error("and another thing");
    });
    const { client, task } = await outcome(says);
    await ended.promise;
    expect(textOf(task.status.message)).toBe("The end.");
    expect(await client.get(task.id)).toEqual(task);
    expect(await (await client.subscribe(task.id, "0")).rest()).toHaveLength(1);
  });

  it("emits 10,000 times after its end, which the log says once", async () => {
    const log = vi.spyOn(console, "warn");
    const over = Promise.withResolvers<void>();
    const says = act("floods", async (task) => {
      await task.complete();
      for (let i = 0; i < 10_000; i++) await task.working(`${i}`);
      over.resolve();
    });
    const { client, task } = await outcome(says);
    await over.promise;
    const about = log.mock.calls.filter((args) => JSON.stringify(args).includes(task.id));
    expect(about).toHaveLength(1);
    log.mockRestore();
    expect(await client.get(task.id)).toEqual(task);
  });

  it("emits when its run has returned, and nothing of it is kept", async () => {
    const late = Promise.withResolvers<void>();
    const says = act("leaves something running", async (task) => {
      void scheduler.wait(20).then(async () => {
        await task.artifact({ parts: text("too late") });
        late.resolve();
      });
    });
    const { client, task } = await outcome(says);
    await late.promise;
    expect(await client.get(task.id)).toEqual(task);
    expect(task.artifacts).toBeUndefined();
  });
});
