// The question whether a tool may be used, and what counts as its answer (docs/extensions/approvals.md).

import { describe, expect, it } from "vitest";
import {
  APPROVALS_EXTENSION,
  isToolName,
  readDecision,
  toolAsked,
  toQuestion,
} from "../../src/protocol/approvals.ts";
import type { Part } from "../../src/protocol/part.ts";

const read = (parts: unknown[]) =>
  readDecision({ messageId: "m", role: "ROLE_USER", parts: parts as Part[] }, "publish");
const yes = { data: { approved: true } };
const no = { data: { approved: false } };

describe("a decision", () => {
  it.each<[string, unknown[], boolean]>([
    ["data that approves", [yes], true],
    ["data that denies", [no], false],
    ["data that names the tool", [{ data: { approved: true, tool: "publish" } }], true],
    ["data with more", [{ data: { approved: false, reason: "too early" } }], false],
    ["data beside a comment", [{ text: "Looks good to me" }, yes], true],
    ["data beside other data", [{ data: { reviewed: 3 } }, { data: null }, { data: [true] }, yes], true],
    ["data beside a file", [{ url: "https://example.com/minutes.pdf" }, no], false],
    ["the word approve", [{ text: "approve" }], true],
    ["the word deny", [{ text: "deny" }], false],
    ["a word in capitals and spaces", [{ text: " Approve\n" }], true],
    ["a word beside a comment", [{ text: "deny" }, { text: "not before Monday" }], false],
  ])("is %s", (_, parts, approved) => {
    expect(read(parts)).toEqual({ ok: true, value: approved });
  });

  it.each<[string, unknown[], string]>([
    ["nothing", [{ text: "" }], "message.parts"],
    ["a comment", [{ text: "I approve" }], "message.parts"],
    ["a word of another sense", [{ text: "yes" }], "message.parts"],
    ["text that looks like data", [{ text: '{"approved": true}' }], "message.parts"],
    ["data without it", [{ data: { approve: true } }], "message.parts"],
    ["data in which it is inherited", [{ data: { __proto__: { approved: true } } }], "message.parts"],
    ["data that is no object", [{ data: true }], "message.parts"],
    ["a list of it", [{ data: [{ approved: true }] }], "message.parts"],
    ["it below another member", [{ data: { decision: { approved: true } } }], "message.parts"],
    ["metadata", [{ text: "x", metadata: { approved: true } }], "message.parts"],
    ["both", [yes, no], "message.parts"],
    ["the same twice", [yes, yes], "message.parts"],
    ["a word against data", [{ text: "deny" }, yes], "message.parts"],
    ["text in its place", [{ data: { approved: "true" } }], "message.parts[0].data.approved"],
    ["a number in its place", [{ text: "hm" }, { data: { approved: 1 } }], "message.parts[1].data.approved"],
    ["null in its place", [{ data: { approved: null } }], "message.parts[0].data.approved"],
    ["data about another tool", [{ data: { approved: true, tool: "delete" } }], "message.parts[0].data.tool"],
    ["data about no tool", [{ data: { approved: true, tool: null } }], "message.parts[0].data.tool"],
  ])("is not %s", (_, parts, field) => {
    expect(read(parts)).toEqual({ ok: false, error: { field, description: expect.stringMatching(/./) } });
  });
});

describe("the question", () => {
  const message = { messageId: "m", role: "ROLE_AGENT" as const, parts: [{ text: "May I?" }] };

  it("is a message in auth-required that names the tool, and the scope its answer needs", () => {
    const asks = { ...message, ...toQuestion("publish") };
    expect(asks).toEqual({
      ...message,
      extensions: [APPROVALS_EXTENSION],
      metadata: { [APPROVALS_EXTENSION]: { tool: "publish", scope: "tool:approve" } },
    });
    expect(toolAsked({ state: "TASK_STATE_AUTH_REQUIRED", message: asks })).toBe("publish");
    expect(toolAsked({ state: "TASK_STATE_INPUT_REQUIRED", message: asks })).toBeUndefined();
    expect(toolAsked({ state: "TASK_STATE_AUTH_REQUIRED", message })).toBeUndefined();
    expect(toolAsked({ state: "TASK_STATE_AUTH_REQUIRED" })).toBeUndefined();
  });

  it.each(["publish", "a", "db.drop_table-2", "x".repeat(64)])("may be about %s", (name) => {
    expect(isToolName(name)).toBe(true);
  });

  it.each(["", "two words", "x".repeat(65), "é", "a\n", "a/b", '"'])("is not about %j", (name) => {
    expect(isToolName(name)).toBe(false);
  });
});
