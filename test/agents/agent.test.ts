// What defineAgent accepts, and what it fills in.

import { expect, test } from "vitest";
import { type AgentDefinition, defineAgent, toInput } from "../../src/agents/agent.ts";
import { echo } from "../../src/agents/echo.ts";
import { createRegistry } from "../../src/agents/registry.ts";
import { message, runTurn } from "../support/recorded-task.ts";

const skill = { id: "talk", name: "Talk", description: "Talks.", tags: ["demo"] };

function define(changes: Partial<AgentDefinition> = {}) {
  const definition = {
    name: "talker",
    description: "Talks.",
    skills: [skill],
    run: async () => {},
    ...changes,
  };
  return defineAgent(definition as AgentDefinition);
}

test("fills in the defaults of a definition", () => {
  expect(define()).toMatchObject({
    name: "talker",
    title: "talker",
    version: "1.0.0",
    extendedSkills: [],
    approvals: [],
    inputModes: ["text/plain"],
    outputModes: ["text/plain"],
    developmentOnly: false,
  });
});

test.each(["Upper", "under_score", "-dash", "dash-", "", "a/b", "x".repeat(65)])(
  "refuses the name %j, which cannot be a path",
  (name) => {
    expect(() => define({ name })).toThrow("must match");
  },
);

test.each(["health", "ready", "metrics", "admin", "rpc", "ws", "tasks", "v1", "a2a"])(
  "refuses the name %s, which is a path of the server",
  (name) => {
    expect(() => define({ name })).toThrow("is a path of the server");
  },
);

test.each(["", "two words", "x".repeat(65)])(
  "refuses the tool %j, which the audit could not name",
  (tool) => {
    expect(() => define({ approvals: ["publish", tool] })).toThrow("cannot be a tool's name");
  },
);

test("refuses an agent without skills", () => {
  expect(() => define({ skills: [] })).toThrow("at least one skill");
});

test("is durable never, always, or as the definition says of the input", () => {
  const short = toInput(message("short"));
  const long = toInput(message("long"));
  expect(define().isDurable(long)).toBe(false);
  expect(define({ durable: true }).isDurable(short)).toBe(true);
  const mixed = define({ durable: (input) => input.text === "long" });
  expect([mixed.isDurable(short), mixed.isDurable(long)]).toEqual([false, true]);
});

test("joins the texts of a message by newlines", () => {
  const parts = [{ text: "one" }, { data: 2 }, { text: "" }, { text: "three" }];
  expect(toInput(message(parts)).text).toBe("one\n\nthree");
});

test("echo answers with the text it was sent", async () => {
  expect(await runTurn(echo, { says: "hello" })).toEqual([
    { artifact: { name: "echo", parts: [{ text: "echo: hello" }] } },
    { state: "completed" },
  ]);
});

test("serves conformance in development only", () => {
  const names = (environment: "development" | "production") => {
    const registry = createRegistry({ environment, defaultAgent: "echo" });
    return registry.ok ? registry.value.list().map((agent) => agent.name) : [];
  };
  expect(names("development")).toEqual(["echo", "long-running", "enterprise", "interview", "conformance"]);
  expect(names("production")).toEqual(["echo", "long-running", "enterprise", "interview"]);
});

test("finds agents by name, and the default one", () => {
  const registry = createRegistry({ environment: "production", defaultAgent: "interview" });
  if (!registry.ok) throw new Error(registry.error);
  expect(registry.value.default.name).toBe("interview");
  expect(registry.value.get("echo")).toBe(echo);
  expect(registry.value.get("conformance")).toBeUndefined();
});

test("refuses a default agent that is not served", () => {
  const registry = createRegistry({ environment: "production", defaultAgent: "conformance" });
  expect(registry).toEqual({
    ok: false,
    error: expect.stringContaining("DEFAULT_AGENT must be one of echo"),
  });
});
