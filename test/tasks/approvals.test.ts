// Tasks that wait for approval of a tool: what is asked, which message is the answer, what the agent sees of it, and
// what the audit says. Who may answer is in test/auth/approvals.test.ts.

import { evictDurableObject } from "cloudflare:test";
import { describe, expect, it, vi } from "vitest";
import type { Approval } from "../../src/protocol/approvals.ts";
import type { Part } from "../../src/protocol/part.ts";
import type { Task } from "../../src/protocol/task.ts";
import { eventsOf } from "../audit/chains.ts";
import { type Client, createClient, eventually, homeOf, kindOf, textOf } from "../support/client.ts";
import { countCosts, crash, query, ring } from "../support/home.ts";

vi.hoisted(() => vi.resetModules());
vi.mock("../../src/agents/registry.ts", async (original) => (await import("./stage.ts")).withStage(original));
const { act, forever, runsOf } = await import("./stage.ts");

const AUTH = "TASK_STATE_AUTH_REQUIRED";
const WORKING = "TASK_STATE_WORKING";
const COMPLETED = "TASK_STATE_COMPLETED";
const KEY = "https://a2a-edge.dev/extensions/approvals/v1";

const yes: Part[] = [{ data: { approved: true } }];
const no: Part[] = [{ data: { approved: false } }];
const decides = (id: string, parts = yes) => ({ parts, taskId: id, messageId: "decision" });
const staged = () => createClient({ agent: "stage" });

/** What each turn of a task was told, in order. */
const told = new Map<string, (Approval | undefined)[]>();
const hear = ({ id, input }: { id: string; input: { approval?: Approval } }) =>
  void told.set(id, [...(told.get(id) ?? []), input.approval]);

const publish = act("publish", (task) => task.approvalRequired("publish", "May I publish?"));
const both = act("publish, then delete", (task) => task.approvalRequired("publish", "May I publish?"));
// The stage goes by the text of the message, and a decision has none.
act("", async (task) => {
  hear(task);
  const { approval } = task.input;
  if (task.history[0]?.parts[0]?.text === both && approval?.tool === "publish") {
    return task.approvalRequired("delete", "May I delete, too?");
  }
  return approval?.approved ? task.complete("Done.") : task.reject("Then not.");
});

/** All that the server has of a task, and says of it. */
const stateOf = async (client: Client, id: string) => ({
  task: await client.get(id),
  audit: await eventsOf(client.owner),
  rows: await query(client.owner, "SELECT * FROM tasks"),
});

describe("a task that asks for approval", () => {
  it("says in its status which tool, and which scope the answer needs, and nothing is told before it", async () => {
    const client = staged();
    const stream = await client.sendStream(publish);
    const [first, asked] = await stream.until((event) => kindOf(event) === AUTH);
    await stream.leave();
    const task = await client.get(first?.event.task?.id ?? "");
    expect(asked?.event.statusUpdate?.status).toEqual(task.status);
    expect(task.status).toMatchObject({
      state: AUTH,
      message: {
        role: "ROLE_AGENT",
        parts: [{ text: "May I publish?" }],
        extensions: [KEY],
        metadata: { [KEY]: { tool: "publish", scope: "tool:approve" } },
      },
    });
  });

  it.each([
    ["approval", yes, true, COMPLETED, "tool.approved"],
    ["denial", no, false, "TASK_STATE_REJECTED", "tool.denied"],
  ])(
    "goes on with the %s, which its agent and the audit are told",
    async (_, parts, approved, state, kind) => {
      const client = staged();
      const { id } = await client.sendForTask(publish);
      const task = await client.sendForTask(decides(id, parts));
      expect(task.status.state).toBe(state);
      expect(told.get(id)).toEqual([{ tool: "publish", approved }]);
      const who = {
        owner: `open::${client.owner}`,
        actor: `open::${client.owner}`,
        agent: "stage",
        task: id,
      };
      expect(await eventsOf(client.owner)).toEqual([
        { kind: "task.created", ...who },
        { kind, ...who, detail: { tool: "publish" } },
      ]);
    },
  );

  it("keeps nothing of a comment in the audit", async () => {
    const client = staged();
    act("said-mark", (task) => task.complete());
    const { id } = await client.sendForTask(publish);
    await client.sendForTask(
      decides(id, [{ text: "said-mark" }, { data: { approved: true, reason: "said-mark" } }]),
    );
    expect(JSON.stringify(await eventsOf(client.owner))).not.toContain("said-mark");
  });

  it("costs no more rows than any other follow-up", async () => {
    const client = staged();
    const ask = act("ask", (task) => task.authRequired("?"));
    const end = act("end", (task) => task.complete("Done."));
    const rowsOf = async (first: string, answer: object) => {
      const { id } = await client.sendForTask(first);
      await eventually(
        async () => (await query(client.owner, "SELECT 1 FROM due WHERE kind = 'register'")).length === 0,
      );
      const costs = await countCosts(client.owner);
      await client.sendForTask({ ...answer, taskId: id });
      const { rows, transactions } = await costs();
      await evictDurableObject(homeOf(client.owner));
      return { rows, transactions };
    };
    expect(await rowsOf(publish, { parts: yes })).toEqual(await rowsOf(ask, { says: end }));
  });

  it.each<[string, Part[], string]>([
    ["no decision", [{ text: "go ahead" }], "message.parts"],
    ["two decisions", [...yes, ...no], "message.parts"],
    ["a decision that is text", [{ data: { approved: "true" } }], "message.parts[0].data.approved"],
    [
      "a decision about another tool",
      [{ data: { approved: true, tool: "delete" } }],
      "message.parts[0].data.tool",
    ],
  ])("refuses a message with %s, names the field, and keeps nothing", async (_, parts, field) => {
    const client = staged();
    const { id } = await client.sendForTask(publish);
    const before = await stateOf(client, id);
    for (const method of ["SendMessage", "SendStreamingMessage"]) {
      const message = { messageId: "m", role: "ROLE_USER", taskId: id, parts };
      const error = await client.error(method, { message }, { "idempotency-key": "k" });
      expect(error).toMatchObject({ code: -32602, data: [{ fieldViolations: [{ field }] }, {}] });
    }
    expect(await stateOf(client, id)).toEqual(before);
    expect(await query(client.owner, "SELECT * FROM idempotency")).toEqual([]);
    expect((await client.sendForTask(decides(id))).status.state).toBe(COMPLETED);
  });

  it("can be canceled by who may not decide", async () => {
    const client = staged();
    const { id } = await client.sendForTask(publish);
    expect((await client.cancel(id)).status.state).toBe("TASK_STATE_CANCELED");
    expect((await eventsOf(client.owner)).map(({ kind }) => kind)).toEqual(["task.created", "task.canceled"]);
  });

  it("fails when its agent has not declared the tool", async () => {
    const client = staged();
    const says = act("undeclared", (task) => task.approvalRequired("format-disk", "May I?"));
    const task = await client.sendForTask(says);
    expect(task.status.state).toBe("TASK_STATE_FAILED");
    expect(textOf(task.status.message)).toContain("does not declare");
  });
});

describe("no decision is", () => {
  it("a message that came before the question: it is in the conversation, and the task waits", async () => {
    const client = staged();
    const gate = Promise.withResolvers<void>();
    const slow = act("works, then asks", async (task) => {
      await task.working();
      await gate.promise;
      await task.approvalRequired("publish", "May I?");
    });
    const { id } = await client.start(slow);
    const early = client.sendForTask({ parts: yes, taskId: id });
    await eventually(async () => (await client.get(id)).history?.length === 2);
    gate.resolve();
    // Its sender learns that the task waits.
    expect((await early).status.state).toBe(AUTH);
    expect(told.has(id)).toBe(false);
    const task = await client.sendForTask(decides(id, no));
    expect(task.status.state).toBe("TASK_STATE_REJECTED");
    expect(told.get(id)).toEqual([{ tool: "publish", approved: false }]);
    expect((await eventsOf(client.owner)).map(({ kind }) => kind)).toEqual([
      "task.created",
      "task.continued",
      "tool.denied",
    ]);
  });

  it("a message that makes a task, or that answers another question", async () => {
    const client = staged();
    const plain = act("authorize", (task) => task.authRequired("May I?"));
    const input = act("ask", (task) => task.inputRequired("May I?"));
    const first = await client.sendForTask(yes);
    expect(told.get(first.id)).toEqual([undefined]);
    for (const says of [plain, input]) {
      const { id, status } = await client.sendForTask(says);
      expect(status.message).not.toHaveProperty("metadata");
      expect((await client.sendForTask(decides(id))).status.state).toBe("TASK_STATE_REJECTED");
      expect(told.get(id)).toEqual([undefined]);
    }
    expect((await eventsOf(client.owner)).map(({ kind }) => kind)).not.toContain("tool.approved");
  });

  it("an answer to the question before", async () => {
    const client = staged();
    const { id } = await client.sendForTask(both);
    expect((await client.sendForTask(decides(id))).status.message?.metadata).toEqual({
      [KEY]: { tool: "delete", scope: "tool:approve" },
    });
    const late = { ...decides(id, [{ data: { approved: true, tool: "publish" } }]), role: "ROLE_USER" };
    expect((await client.error("SendMessage", { message: late })).code).toBe(-32602);
    expect((await client.sendForTask(decides(id, no))).status.state).toBe("TASK_STATE_REJECTED");
    expect(told.get(id)).toEqual([
      { tool: "publish", approved: true },
      { tool: "delete", approved: false },
    ]);
    expect((await eventsOf(client.owner)).slice(1)).toMatchObject([
      { kind: "tool.approved", detail: { tool: "publish" } },
      { kind: "tool.denied", detail: { tool: "delete" } },
    ]);
  });
});

describe("a decision", () => {
  it("of two at once is one; the other finds the task no longer waiting", async () => {
    const client = staged();
    for (let round = 0; round < 10; round++) {
      const { id } = await client.sendForTask(publish);
      const send = (parts: Part[]) =>
        client.answer("SendMessage", { message: { messageId: "m", role: "ROLE_USER", taskId: id, parts } });
      const answers = await Promise.all([send(yes), send(no)]);
      expect(answers.map(({ error }) => error?.code).filter(Boolean)).toEqual([-32004]);
      expect(told.get(id)).toHaveLength(1);
    }
    const kinds = (await eventsOf(client.owner)).map(({ kind }) => kind);
    expect(kinds.filter((kind) => kind.startsWith("tool."))).toHaveLength(10);
  });

  it("that comes while the agent works on the first is a message like any other", async () => {
    const client = staged();
    const gate = Promise.withResolvers<void>();
    const says = act("asks, then works", (task) => task.approvalRequired("publish", "May I?"));
    act("approve", async (task) => {
      hear(task);
      await task.working();
      await gate.promise;
      await task.inputRequired("And now?");
    });
    const { id } = await client.sendForTask(says);
    await client.send({ says: "approve", taskId: id }, { configuration: { returnImmediately: true } });
    const second = client.sendForTask(decides(id, no));
    await eventually(async () => (await client.get(id)).history?.length === 4);
    gate.resolve();
    await second;
    expect(told.get(id)).toEqual([{ tool: "publish", approved: true }, undefined]);
    expect((await eventsOf(client.owner)).map(({ kind }) => kind)).toEqual([
      "task.created",
      "tool.approved",
      "task.continued",
    ]);
  });

  it("is made once however often it comes with its Idempotency-Key, or after a lost answer", async () => {
    const client = staged();
    const { id } = await client.sendForTask(publish);
    const headers = { "idempotency-key": "k" };
    const answers = await Promise.all([1, 2, 3].map(() => client.sendForTask(decides(id), { headers })));
    answers.push(await client.sendForTask(decides(id), { headers }));
    expect(new Set(answers.map((task: Task) => JSON.stringify(task))).size).toBe(1);
    expect(told.get(id)).toHaveLength(1);

    const again = await client.sendForTask(publish);
    const command = {
      by: { owner: `open::${client.owner}`, actor: `open::${client.owner}` },
      mayApprove: true,
      agent: "stage",
      message: { ...decides(again.id), role: "ROLE_USER" as const },
      newTaskId: "0-018f0000-0000-7000-8000-000000000000",
      newContextId: "unused",
      returnImmediately: false,
    };
    for (const repeated of [false, true]) {
      expect(await homeOf(client.owner).send({ ...command, repeated })).toMatchObject({ ok: true });
    }
    expect(told.get(again.id)).toHaveLength(1);
    expect((await eventsOf(client.owner)).map(({ kind }) => kind)).toEqual([
      ...["task.created", "tool.approved"],
      ...["task.created", "tool.approved"],
    ]);
  });

  it("of a command that does not say that its caller may is refused by the home itself", async () => {
    const client = staged();
    const { id } = await client.sendForTask(publish);
    const before = await stateOf(client, id);
    const by = { owner: `open::${client.owner}`, actor: `open::${client.owner}` };
    const message = { ...decides(id), role: "ROLE_USER" as const };
    const ids = { newTaskId: "0-018f0000-0000-7000-8000-000000000000", newContextId: "unused" };
    const command = { by, agent: "stage", message, ...ids, repeated: false, returnImmediately: false };
    for (const call of ["send", "stream"] as const) {
      expect(await homeOf(client.owner)[call](command)).toMatchObject({
        error: { reason: "PERMISSION_DENIED", metadata: { scope: "tool:approve" } },
      });
    }
    expect(await stateOf(client, id)).toEqual(before);
  });

  it("finds a task that asked before its object was evicted or killed", async () => {
    const client = staged();
    for (const [stop, parts, state] of [
      [() => evictDurableObject(homeOf(client.owner)), yes, COMPLETED],
      [crash, no, "TASK_STATE_REJECTED"],
    ] as const) {
      const { id } = await client.sendForTask(publish);
      await stop();
      const message = { ...decides(id, [{ text: "hm" }]), role: "ROLE_USER" };
      expect((await client.error("SendMessage", { message })).code).toBe(-32602);
      await stop();
      expect((await client.sendForTask(decides(id, parts))).status.state).toBe(state);
    }
  });

  it("is the same for a turn that is killed and runs again, and stands once in the audit", async () => {
    const client = staged();
    act("approve", async (task, run) => {
      hear(task);
      await task.working("Publishing");
      if (run === 1) await forever;
      await task.complete("Done.");
    });
    const { id } = await client.sendForTask(publish);
    const decision = { says: "approve", taskId: id };
    await client.send(decision, { configuration: { returnImmediately: true } });
    await eventually(async () => textOf((await client.get(id)).status.message) === "Publishing");
    await crash();
    await ring(client.owner);
    const ended = await eventually(async () => {
      const task = await client.get(id);
      return task.status.state === COMPLETED && task;
    });
    expect(ended.history?.map(textOf)).toEqual([publish, "May I publish?", "approve", "Publishing", "Done."]);
    expect(runsOf("approve", id)).toBe(2);
    expect(told.get(id)).toEqual(Array(2).fill({ tool: "publish", approved: true }));
    expect((await eventsOf(client.owner)).map(({ kind }) => kind)).toEqual(["task.created", "tool.approved"]);
  });

  it("streams on to the end of the task, for who sent it and who waited", async () => {
    const client = staged();
    const waiting = await client.sendStream(publish);
    const [first] = await waiting.until((event) => kindOf(event) === AUTH);
    const deciding = await client.sendStream(decides(first?.event.task?.id ?? ""));
    const kinds = (await waiting.rest()).map(({ event }) => kindOf(event));
    expect(kinds).toEqual([WORKING, COMPLETED]);
    expect((await deciding.rest()).map(({ event }) => kindOf(event)).at(-1)).toBe(COMPLETED);
  });
});
