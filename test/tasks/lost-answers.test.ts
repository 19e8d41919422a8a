// A call of a home whose answer is lost on the way: the Worker calls once more, and nothing happens twice.

import { env } from "cloudflare:test";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { createClient, eventually, kindOf, textOf } from "../support/client.ts";

vi.hoisted(() => vi.resetModules());
vi.mock("../../src/agents/registry.ts", async (original) => (await import("./stage.ts")).withStage(original));
const { act, runsOf } = await import("./stage.ts");
const { default: worker } = await import("../../src/index.ts");

/** What becomes of the next calls, in order: the answer is lost, or the connection when the promise says so. */
const fates: ("lose" | Promise<void> | Error)[] = [];
let calls = 0;

const lost = () => Object.assign(new Error("Network connection lost."), { retryable: true });

function unreliable<T extends object>(stub: T): T {
  return new Proxy(stub, {
    get(target, name) {
      const member: unknown = Reflect.get(target, name);
      if (typeof member !== "function") return member;
      return async (...args: unknown[]) => {
        calls += 1;
        const fate = fates.shift();
        if (fate instanceof Error) throw fate;
        const answer = Reflect.apply(member, target, args) as Promise<unknown>;
        if (fate === undefined) return answer;
        if (fate === "lose") await answer;
        else await fate;
        throw lost();
      };
    },
  });
}

const HOMES = new Proxy(env.HOMES, {
  get(target, name) {
    if (name === "get") return (id: DurableObjectId) => unreliable(target.get(id));
    return (Reflect.get(target, name) as (...args: unknown[]) => unknown).bind(target);
  },
});
const context = { waitUntil() {}, passThroughOnException() {}, props: {} } as unknown as ExecutionContext;
const fetch = async (request: Request) => worker.fetch(request as never, { ...env, HOMES }, context);
const ask = act("ask", (task) => task.inputRequired("?"));
const end = act("end", (task) => task.complete("!"));
const client = () => createClient({ agent: "stage", fetch });

beforeEach(() => {
  fates.length = 0;
  calls = 0;
});

describe("a call whose answer is lost", () => {
  it("SendMessage makes one task, run once", async () => {
    const caller = client();
    fates.push("lose");
    const task = await caller.sendForTask(end);
    expect(calls).toBe(2);
    expect(task.status.state).toBe("TASK_STATE_COMPLETED");
    expect((await caller.list()).totalSize).toBe(1);
    expect(runsOf(end, task.id)).toBe(1);
  });

  it("SendMessage makes one task also while its agent has not acted yet", async () => {
    const gate = Promise.withResolvers<void>();
    const begun = Promise.withResolvers<void>();
    const says = act("thinks first", async (task) => {
      begun.resolve();
      await gate.promise;
      await task.complete("thought");
    });
    const caller = client();
    fates.push(begun.promise);
    const sent = caller.sendForTask(says);
    await eventually(async () => calls === 2);
    gate.resolve();
    const task = await sent;
    expect(textOf(task.status.message)).toBe("thought");
    expect(runsOf(says, task.id)).toBe(1);
    expect((await caller.list()).totalSize).toBe(1);
  });

  it("SendStreamingMessage streams the one task from where it is", async () => {
    const caller = client();
    fates.push("lose");
    const frames = await (await caller.sendStream(end)).rest();
    expect(frames.map(({ event }) => kindOf(event))[0]).toBe("task");
    expect((await caller.list()).totalSize).toBe(1);
    expect(runsOf(end, frames[0]?.event.task?.id ?? "")).toBe(1);
  });

  it("a follow-up is in the history once, and answered once", async () => {
    const caller = client();
    const { id } = await caller.sendForTask(ask);
    fates.push("lose");
    const task = await caller.sendForTask({ says: end, taskId: id });
    expect(task.history?.map(textOf)).toEqual(["ask", "?", "end", "!"]);
    expect(runsOf(end, id)).toBe(1);
  });

  it("a follow-up that leaves its task waiting again is answered once", async () => {
    const caller = client();
    const { id } = await caller.sendForTask(ask);
    const more = act("more", (task) => task.inputRequired("More?"));
    fates.push("lose");
    const task = await caller.sendForTask({ says: more, taskId: id });
    expect(task.history?.map(textOf)).toEqual(["ask", "?", "more", "More?"]);
    expect(runsOf(more, id)).toBe(1);
  });

  it("a follow-up with an Idempotency-Key too", async () => {
    const caller = client();
    const { id } = await caller.sendForTask(ask);
    fates.push("lose");
    await caller.sendForTask({ says: end, taskId: id }, { headers: { "idempotency-key": "k" } });
    expect((await caller.get(id)).history).toHaveLength(4);
  });

  it("CancelTask answers with the canceled task", async () => {
    const caller = client();
    const { id } = await caller.sendForTask(ask);
    fates.push("lose");
    expect((await caller.cancel(id)).status.state).toBe("TASK_STATE_CANCELED");
    expect((await caller.error("CancelTask", { id })).code).toBe(-32002);
  });

  it("reads are just read again", async () => {
    const caller = client();
    const task = await caller.sendForTask(ask);
    fates.push("lose", undefined as never, "lose");
    expect(await caller.get(task.id)).toEqual(task);
    expect(calls).toBe(3);
    const stream = await caller.subscribe(task.id);
    expect((await stream.next())?.event.task).toEqual(task);
    await stream.leave();
  });
});

describe("a home that cannot be reached", () => {
  it("is UNAVAILABLE with Retry-After after one repetition", async () => {
    fates.push(lost(), lost(), lost());
    const response = await client().rpc("ListTasks");
    expect([response.status, calls]).toEqual([503, 2]);
    expect(Number(response.headers.get("retry-after"))).toBeGreaterThan(0);
  });

  it("because it is overloaded is not called again", async () => {
    fates.push(Object.assign(new Error("overloaded"), { overloaded: true, retryable: true }));
    const response = await client().rpc("ListTasks");
    expect([response.status, calls]).toEqual([503, 1]);
  });

  it("because of a bug is not called again, and says nothing of it", async () => {
    fates.push(new Error("secret"));
    const response = await client().rpc("ListTasks");
    expect(calls).toBe(1);
    expect(await response.text()).not.toContain("secret");
  });
});
