// historyLength (§3.2.4): how much of the conversation comes back, from each operation alike.

import { describe, expect, it, vi } from "vitest";
import { type Client, createClient, textOf } from "../support/client.ts";

vi.hoisted(() => vi.resetModules());
vi.mock("../../src/agents/registry.ts", async (original) => (await import("./stage.ts")).withStage(original));
const { act } = await import("./stage.ts");

const text = (value: string) => [{ text: value }];
const message = (says: string, more: object = {}) => ({
  message: { messageId: "m", role: "ROLE_USER", parts: text(says), ...more },
});
const historyOf = (task: { history?: { parts: { text?: string }[] }[] | undefined }) =>
  task.history?.map((entry) => entry.parts[0]?.text);

const ask = act("ask", (task) => task.inputRequired("?"));
const end = act("end", (task) => task.complete("!"));

describe("historyLength", () => {
  const all = ["ask", "?", "ask", "?", "end", "!"];

  async function conversation(client: Client, configuration?: object) {
    const { id } = await client.sendForTask(ask);
    await client.sendForTask({ says: ask, taskId: id });
    return client.sendForTask({ says: end, taskId: id }, configuration && { configuration });
  }

  it.each<[number | undefined, string[] | undefined]>([
    [undefined, all],
    [0, undefined],
    [1, all.slice(-1)],
    [4, all.slice(-4)],
    [6, all],
    [100, all],
  ])(
    "%s gives the newest of them, oldest first, from send, get and list alike (§3.2.4)",
    async (n, expected) => {
      const client = createClient({ agent: "stage" });
      const sent = await conversation(client, n === undefined ? undefined : { historyLength: n });
      const { tasks } = await client.list(n === undefined ? {} : { historyLength: n });
      for (const task of [sent, await client.get(sent.id, n), tasks[0] ?? {}]) {
        expect(historyOf(task)).toEqual(expected);
        if (expected === undefined) expect(task).not.toHaveProperty("history");
      }
      // The status keeps its message, whatever the history.
      expect(textOf(sent.status.message)).toBe("!");
      expect(textOf(tasks[0]?.status.message)).toBe("!");
    },
  );

  it("that is negative or no integer is refused", async () => {
    const client = createClient();
    const { id } = await client.sendForTask("hello");
    for (const historyLength of [-1, 1.5, "x", 2 ** 31]) {
      expect((await client.error("GetTask", { id, historyLength })).code).toBe(-32602);
      expect((await client.error("ListTasks", { historyLength })).code).toBe(-32602);
      const configuration = { historyLength };
      expect((await client.error("SendMessage", { ...message("x"), configuration })).code).toBe(-32602);
    }
    expect((await client.list()).totalSize).toBe(1);
  });
});
