import { afterEach, describe, expect, it, vi } from "vitest";
import { log } from "../../src/telemetry/log.ts";

afterEach(() => {
  vi.restoreAllMocks();
});

function capture(level: "error" | "info"): () => Record<string, unknown> {
  const spy = vi.spyOn(console, level).mockImplementation(() => {});
  return () => {
    expect(spy).toHaveBeenCalledOnce();
    return JSON.parse(String(spy.mock.calls[0]?.[0]));
  };
}

describe("log", () => {
  it("writes one JSON object on the console of its level", () => {
    const line = capture("info");
    log("info", "served", { requestId: "r1", ms: 3 });
    expect(line()).toEqual({ level: "info", message: "served", requestId: "r1", ms: 3 });
  });

  it("keeps level and message when a field is named like them", () => {
    const line = capture("error");
    log("error", "failed", { level: "debug", message: "other" });
    expect(line()).toMatchObject({ level: "error", message: "failed" });
  });

  it("writes an error with its stack and its causes", () => {
    const line = capture("error");
    log("error", "failed", {
      cause: new Error("outer", { cause: new TypeError("inner", { cause: "text" }) }),
    });
    expect(line()).toMatchObject({
      cause: {
        name: "Error",
        message: "outer",
        stack: expect.stringContaining("outer"),
        cause: { name: "TypeError", message: "inner", cause: "text" },
      },
    });
  });

  it("stops at a cause that is its own cause", () => {
    const line = capture("error");
    const error = new Error("round");
    error.cause = error;
    log("error", "failed", { error });
    expect(line()).toMatchObject({ error: { message: "round" } });
  });

  it("survives a field that JSON cannot hold", () => {
    const line = capture("error");
    log("error", "failed", { size: 1n });
    expect(line()).toEqual({ level: "error", message: "failed", fields: "could not be written as JSON" });
  });
});
