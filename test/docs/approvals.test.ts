// What docs/extensions/approvals.md shows is what the server says and takes.

import { describe, expect, it } from "vitest";
import guide from "../../docs/extensions/approvals.md?raw";
import { APPROVALS_EXTENSION, readDecision, toolAsked, toQuestion } from "../../src/protocol/approvals.ts";

describe("docs/extensions/approvals.md", () => {
  const [question, answer] = [...guide.matchAll(/```json\n([\s\S]*?)```/g)].map(([, json = ""]) =>
    JSON.parse(json),
  );

  it("shows the question as agents ask it", () => {
    expect(guide).toContain(`    ${APPROVALS_EXTENSION}\n`);
    expect(toolAsked(question)).toBe("publish");
    expect(question.message).toMatchObject(toQuestion("publish"));
  });

  it("shows an answer that is taken", () => {
    expect(readDecision(answer, "publish")).toEqual({ ok: true, value: true });
  });
});
