import { describe, expect, it } from "vitest";
import { A2AError, type Failure } from "../../../src/protocol/errors.ts";
import { fromBody, fromQuery, withVariables } from "../../../src/transports/rest/params.ts";

const query = (text: string) => fromQuery(new URLSearchParams(text));

function refusal(act: () => unknown): Failure {
  try {
    act();
  } catch (error) {
    if (error instanceof A2AError) return error.failure;
  }
  throw new Error("nothing was refused");
}

describe("fromQuery (§11.5)", () => {
  it("takes both spellings and ignores what it does not know", () => {
    expect(
      query("contextId=c&page_size=5&status=TASK_STATE_WORKING&A2A-Version=1.0&__proto__=x&constructor=y"),
    ).toEqual({
      contextId: "c",
      pageSize: "5",
      status: "TASK_STATE_WORKING",
    });
  });

  it.each([
    ["true", true],
    ["false", false],
    // Left for the schema to refuse with the name of the field.
    ["TRUE", "TRUE"],
    ["1", "1"],
    ["", ""],
    ["constructor", "constructor"],
  ])("reads includeArtifacts=%s as %j", (text, value) => {
    expect(query(`includeArtifacts=${text}`)).toEqual({ includeArtifacts: value });
  });

  it("decodes percent-encoding and plus", () => {
    expect(query("contextId=a%20b+%C3%A9%26")).toEqual({ contextId: "a b é&" });
  });

  it.each(["pageSize=1&pageSize=1", "pageSize=1&page_size=2", "contextId=&contextId=a"])(
    "refuses %s, naming the field",
    (text) => {
      const { reason, violations } = refusal(() => query(text));
      expect(reason).toBe("INVALID_PARAMS");
      expect(violations).toEqual([
        { field: text.startsWith("p") ? "pageSize" : "contextId", description: "must be given once" },
      ]);
    },
  );
});

describe("fromBody", () => {
  it.each([[[]], [null], ["x"], [1], [true]])("refuses %j", (json) => {
    expect(refusal(() => fromBody(json)).reason).toBe("INVALID_REQUEST");
  });

  it("takes an object as it is", () => {
    expect(fromBody({ a: 1 })).toEqual({ a: 1 });
  });
});

describe("withVariables", () => {
  it("adds the path's fields, whatever says the same", () => {
    for (const params of [{}, { taskId: "t" }, { task_id: "t" }, { taskId: "", task_id: null }]) {
      expect(withVariables(params, { taskId: "t" })).toEqual({ taskId: "t" });
    }
  });

  it.each([
    [{ taskId: "u" }],
    [{ task_id: "u" }],
    [{ taskId: "t", task_id: "u" }],
    [{ taskId: 1 }],
    [{ taskId: {} }],
  ])("refuses %j under another path, naming the field", (params) => {
    expect(refusal(() => withVariables(params, { taskId: "t" }))).toMatchObject({
      reason: "INVALID_PARAMS",
      violations: [{ field: "taskId" }],
    });
  });

  it("does not change what it was given", () => {
    const params = { id: "t" };
    withVariables(params, { id: "t" });
    expect(params).toEqual({ id: "t" });
  });
});
