// The extended card (§3.1.11): for callers who said who they are, and to each what that one may see.

import { describe, expect, it } from "vitest";
import { type Agent, defineAgent } from "../../src/agents/agent.ts";
import type { AgentCard } from "../../src/protocol/agent-card.ts";
import type { Scope } from "../../src/protocol/operations.ts";
import { BINDINGS, call } from "../support/bindings.ts";
import { createClient } from "../support/client.ts";
import { createOperations } from "../support/operations.ts";
import { serveWith } from "../support/server.ts";

const skill = (id: string) => ({ id, name: id, description: id, tags: ["t"] });

const layered = defineAgent({
  name: "layered",
  description: "Shows more to some.",
  skills: [skill("public")],
  extendedSkills: [
    { ...skill("for-callers"), examples: [], inputModes: ["text/plain"] },
    { ...skill("for-approvers"), scope: "tool:approve" },
    { ...skill("for-senders"), scope: "task:write" },
  ],
  run: async (task) => task.complete(),
});

async function cardFor(scopes: ReadonlySet<Scope> | "all", agent: Agent = layered): Promise<AgentCard> {
  const on = createOperations();
  const caller = { owner: on.owner, actor: on.owner, scopes, adminScopes: new Set<never>() };
  return on.value<AgentCard>("GetExtendedAgentCard", {}, { agent, caller });
}

const idsFor = async (scopes: ReadonlySet<Scope> | "all") =>
  (await cardFor(scopes)).skills.map(({ id }) => id);

describe("the extended card", () => {
  it("shows a skill with a scope only to callers who have it, and the others to every caller", async () => {
    expect(await idsFor(new Set(["card:read"]))).toEqual(["public", "for-callers"]);
    expect(await idsFor(new Set(["card:read", "task:write"]))).toEqual([
      "public",
      "for-callers",
      "for-senders",
    ]);
    expect(await idsFor(new Set(["card:read", "tool:approve"]))).toEqual([
      "public",
      "for-callers",
      "for-approvers",
    ]);
    expect(await idsFor("all")).toEqual(["public", "for-callers", "for-approvers", "for-senders"]);
  });

  it("does not tell which scope a skill is for, nor what is empty in it", async () => {
    const { skills } = await cardFor("all");
    expect(skills[1]).toEqual({ ...skill("for-callers"), inputModes: ["text/plain"] });
    for (const one of skills) expect(one).not.toHaveProperty("scope");
  });

  it.each(BINDINGS)("is for nobody who does not say who they are, over %s", async (binding) => {
    const client = createClient({ agent: "enterprise", fetch: serveWith({ authModes: ["api-key"] }) });
    const outcome = await call(binding, client, "GetExtendedAgentCard", {});
    expect(outcome).toMatchObject({ status: 401, reason: "UNAUTHENTICATED" });
  });
});

describe("defineAgent", () => {
  const definition = { name: "a", description: "d", run: async () => {} };

  it.each([
    ["a skill without tags", { skills: [{ ...skill("s"), tags: [] }] }, /agent a, skill "s".*tags/],
    [
      "an extended skill without a name",
      { extendedSkills: [{ ...skill("x"), name: "" }] },
      /skill "x".*name/,
    ],
    ["no description", { description: "" }, /needs a description/],
    ["an empty title", { title: "" }, /needs a title/],
  ])("refuses %s, which no card may hold", (_, wrong, message) => {
    expect(() => defineAgent({ skills: [skill("s")], ...definition, ...wrong })).toThrow(message);
  });
});
