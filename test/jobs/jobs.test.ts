import { expect, it, vi, describe } from "vitest";
import { createClient, kindOf, textOf } from "../support/client.ts";
vi.mock("../../src/agents/registry.ts", async (original) => (await import("./test-agents.ts")).mockRegistry(original));

describe("a job", () => {
  it("asks", async () => {
    const client = createClient({ agent: "asks-twice" });
    const t = await client.sendForTask("hi");
    console.log(JSON.stringify(t));
    const t2 = await client.sendForTask({says: "rome", taskId: t.id});
    console.log(JSON.stringify(t2));
    const t3 = await client.sendForTask({says: "monday", taskId: t.id});
    console.log(JSON.stringify(t3));
  });
});
