// The two tables of the conformance agent, row by row.

import { afterEach, describe, expect, test, vi } from "vitest";
import type { ArtifactInput } from "../../src/agents/agent.ts";
import { conformance } from "../../src/agents/conformance.ts";
import {
  artifactsOf,
  message,
  runTurn as run,
  type Said,
  type Setup,
  statusesOf,
} from "../support/recorded-task.ts";

const runTurn = (setup: Setup) => run(conformance, setup);
const artifact = (parts: ArtifactInput["parts"]): Said => ({ artifact: { name: "output", parts } });
const output = { filename: "output.txt", mediaType: "text/plain" };
const working: Said = { state: "working" };
const completed: Said = { state: "completed" };
const echoed = (text: string): Said => ({ artifact: { name: "echo", parts: [{ text: `echo: ${text}` }] } });

afterEach(() => {
  vi.restoreAllMocks();
});

/** Lets pauses pass at once; returns how long each would have been. */
function skipPauses(): number[] {
  const pauses: number[] = [];
  vi.spyOn(scheduler, "wait").mockImplementation(async (ms) => {
    pauses.push(ms);
  });
  return pauses;
}

describe("the prefix of the message id", () => {
  const rows: [prefix: string, expected: Said[]][] = [
    ["tck-complete-task", [{ state: "completed", text: "Hello from TCK" }]],
    ["tck-input-required", [{ state: "input-required", text: "Input required" }]],
    ["tck-auth-required", [{ state: "auth-required", text: "Authorization required" }]],
    ["tck-reject-task", [{ state: "rejected", text: "Rejected" }]],
    ["tck-artifact-text", [artifact([{ text: "Generated text content" }]), completed]],
    ["tck-artifact-file", [artifact([{ raw: "R2VuZXJhdGVkIGZpbGUgY29udGVudA==", ...output }]), completed]],
    ["tck-artifact-file-url", [artifact([{ url: "https://example.com/output.txt", ...output }]), completed]],
    ["tck-artifact-data", [artifact([{ data: { key: "value", count: 42 } }]), completed]],
    ["tck-message-response", [{ reply: "Direct message response" }]],
    ["tck-stream-001", [working, artifact([{ text: "Stream hello from TCK" }]), completed]],
    ["tck-stream-003", [working, artifact([{ text: "Stream hello from TCK" }]), completed]],
    ["tck-stream-artifact-text", [working, artifact([{ text: "Stream hello from TCK" }]), completed]],
    ["tck-stream-ordering-001", [working, artifact([{ text: "Ordered output" }]), completed]],
  ];

  test.each(rows)("%s decides what happens, whatever the text says", async (prefix, expected) => {
    expect(await runTurn({ says: "throw", messageId: `${prefix}-5c1f` })).toEqual(expected);
  });

  test.each(rows)("%s decides in a follow-up as well", async (prefix, expected) => {
    const setup = { says: "more", messageId: prefix, earlier: [message("input")] };
    expect(await runTurn(setup)).toEqual(expected);
  });

  test("tck-stream-artifact-chunked appends the second chunk and marks it as the last", async () => {
    const said = await runTurn({ says: "go", messageId: "tck-stream-artifact-chunked-1" });
    const chunks = artifactsOf(said).map(({ parts, append, lastChunk }) => ({ parts, append, lastChunk }));
    expect(chunks).toEqual([
      { parts: [{ text: "chunk-1 " }], append: false, lastChunk: false },
      { parts: [{ text: "chunk-2" }], append: true, lastChunk: true },
    ]);
    expect(said.at(-1)).toEqual(completed);
  });

  test("tck-delayed-complete works for two seconds", async () => {
    const pauses = skipPauses();
    expect(await runTurn({ says: "go", messageId: "tck-delayed-complete-1" })).toEqual([working, completed]);
    expect(pauses).toEqual([2_000]);
  });

  test("test-resubscribe-message-id works for at least four seconds", async () => {
    const pauses = skipPauses();
    const said = await runTurn({ says: "go", messageId: "test-resubscribe-message-id-1" });
    expect(said).toEqual([working, completed]);
    expect(pauses[0]).toBeGreaterThanOrEqual(4_000);
  });

  test("a prefix that only begins like a row is not that row", async () => {
    const said = await runTurn({ says: "hi", messageId: "tck-artifact" });
    expect(said).toEqual([echoed("hi"), completed]);
  });
});

describe("the text", () => {
  test("message is answered with a Message", async () => {
    expect(await runTurn({ says: "message" })).toEqual([{ reply: "Direct message response" }]);
  });

  test.each([
    ["input", { state: "input-required", text: "Input required" }],
    ["auth", { state: "auth-required", text: "Authorization required" }],
  ])("%s interrupts the task, and a follow-up completes it", async (text, interrupted) => {
    expect(await runTurn({ says: text })).toEqual([interrupted]);
    const earlier = [message(text)];
    expect(await runTurn({ says: "here it is", earlier })).toEqual([echoed("here it is"), completed]);
    expect(await runTurn({ says: text, earlier })).toEqual([echoed(text), completed]);
  });

  test("throw throws", async () => {
    await expect(runTurn({ says: "throw" })).rejects.toThrow("asked to throw");
  });

  test("slow:MS works for that long, then echoes", async () => {
    const pauses = skipPauses();
    expect(await runTurn({ says: "slow:1500" })).toEqual([working, echoed("slow:1500"), completed]);
    expect(pauses).toEqual([1_500]);
  });

  test("slow:MS stops when the task is canceled", async () => {
    const canceling = new AbortController();
    const turn = runTurn({ says: "slow:600000", signal: canceling.signal });
    setTimeout(() => canceling.abort(), 10);
    await expect(turn).rejects.toThrow("aborted");
  });

  test("stream:N:MS appends N chunks to one artifact with pauses between them", async () => {
    const pauses = skipPauses();
    const said = await runTurn({ says: "stream:3:20" });
    expect(statusesOf(said)).toEqual(["working", "completed"]);
    const chunks = artifactsOf(said);
    expect(new Set(chunks.map((chunk) => chunk.artifactId)).size).toBe(1);
    expect(chunks.map((chunk) => chunk.append)).toEqual([false, true, true]);
    expect(chunks.map((chunk) => chunk.lastChunk)).toEqual([false, false, true]);
    expect(chunks.flatMap((chunk) => chunk.parts)).toEqual([
      { text: "chunk-1 " },
      { text: "chunk-2 " },
      { text: "chunk-3 " },
    ]);
    expect(pauses).toEqual([20, 20]);
  });

  test("stream:11:0 is a turn of 13 events without a timer", async () => {
    const pauses = skipPauses();
    expect(await runTurn({ says: "stream:11:0" })).toHaveLength(13);
    expect(pauses).toEqual([]);
  });

  test("stream:N:MS sends no further chunk once the task is canceled", async () => {
    const canceled = AbortSignal.abort();
    await expect(runTurn({ says: "stream:3:0", signal: canceled })).rejects.toThrow();
  });

  test.each([
    ["slow:600001", "at most 600000 milliseconds"],
    ["stream:1:600001", "at most 600000 milliseconds"],
    ["stream:100001:0", "1 to 100000 chunks"],
    ["stream:0:0", "1 to 100000 chunks"],
    [`slow:${"9".repeat(400)}`, "at most 600000 milliseconds"],
  ])("%s is out of bounds and rejected", async (text, reason) => {
    const said = await runTurn({ says: text });
    expect(said).toEqual([{ state: "rejected", text: expect.stringContaining(reason) }]);
  });

  test.each(["hello", "slow:soon", "stream:3", "Message", ""])("%j is echoed", async (text) => {
    expect(await runTurn({ says: text })).toEqual([echoed(text), completed]);
  });
});

describe("where neither the id nor the text says what to do, in 0.3", () => {
  const asks = [working, { state: "input-required", text: "Input required" }];

  test("the task works, then asks, and asks again when it is answered", async () => {
    expect(await runTurn({ says: "hello", version: "0.3" })).toEqual(asks);
    const earlier = [message("hello"), message("again")];
    expect(await runTurn({ says: "and again", version: "0.3", earlier })).toEqual(asks);
  });

  test.each(["input", "auth"])("an answer to %s completes the task", async (text) => {
    const said = await runTurn({ says: "Paris", version: "0.3", earlier: [message(text)] });
    expect(said).toEqual([echoed("Paris"), completed]);
  });

  test("ids and texts mean the same as in 1.0", async () => {
    const setup = { says: "message", version: "0.3" as const };
    expect(await runTurn(setup)).toEqual([{ reply: "Direct message response" }]);
    expect(await runTurn({ ...setup, messageId: "tck-reject-task-1" })).toEqual([
      { state: "rejected", text: "Rejected" },
    ]);
  });

  test("0.1 is answered with the echo, as 1.0 is", async () => {
    expect(await runTurn({ says: "hello", version: "0.1" })).toEqual([echoed("hello"), completed]);
  });
});

test("takes the media types that kits send, not any, and is for development only", () => {
  expect(conformance.inputModes).toContain("application/octet-stream");
  expect(conformance.inputModes).not.toContain("*/*");
  expect(conformance.developmentOnly).toBe(true);
});
