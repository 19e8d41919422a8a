// The lifecycle of a task (§4.1.3), every pair of states.

import { describe, expect, it } from "vitest";
import { canTransition, isInterrupted, isTerminal, TaskState } from "../../src/protocol/state.ts";

const states = Object.keys(TaskState.numbers) as TaskState[];
const short = (state: TaskState) => state.replace("TASK_STATE_", "");

const allowed: Record<string, string> = {
  SUBMITTED: "WORKING COMPLETED FAILED CANCELED INPUT_REQUIRED REJECTED AUTH_REQUIRED",
  WORKING: "WORKING COMPLETED FAILED CANCELED INPUT_REQUIRED REJECTED AUTH_REQUIRED",
  INPUT_REQUIRED: "WORKING COMPLETED FAILED CANCELED INPUT_REQUIRED REJECTED AUTH_REQUIRED",
  AUTH_REQUIRED: "WORKING COMPLETED FAILED CANCELED INPUT_REQUIRED REJECTED AUTH_REQUIRED",
  COMPLETED: "",
  FAILED: "",
  CANCELED: "",
  REJECTED: "",
};

describe("task states (§4.1.3)", () => {
  it.each(states)("%s moves to exactly its successors", (from) => {
    const successors = states.filter((to) => canTransition(from, to)).map(short);
    expect(successors.join(" ")).toBe(allowed[short(from)]);
  });

  it("ends in completed, failed, canceled and rejected", () => {
    expect(states.filter(isTerminal).map(short)).toEqual(["COMPLETED", "FAILED", "CANCELED", "REJECTED"]);
  });

  it("waits in input-required and auth-required", () => {
    expect(states.filter(isInterrupted).map(short)).toEqual(["INPUT_REQUIRED", "AUTH_REQUIRED"]);
  });
});
