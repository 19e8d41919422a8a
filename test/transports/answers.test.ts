// The headers of answers, and the frames of streams, of both bindings.

import { describe, expect, it } from "vitest";
import { createRecordingApp, hello, linesOf, rpc } from "./recording-app.ts";

describe("answers", () => {
  it("are kept by no cache", async () => {
    const app = createRecordingApp();
    for (const response of [await app.fetch("/tasks/t"), await app.fetch("/", rpc("GetTask", { id: "t" }))]) {
      expect(response.headers.get("cache-control")).toBe("no-store");
      expect(response.headers.get("x-content-type-options")).toBe("nosniff");
    }
  });

  it.each([
    [undefined, "application/a2a+json"],
    ["*/*", "application/a2a+json"],
    ["application/json", "application/json"],
    ["Application/JSON, text/plain, */*", "application/json"],
    ["application/a2a+json, application/json", "application/a2a+json"],
    ["text/event-stream", "application/a2a+json"],
  ])("to Accept: %s are %s in HTTP+JSON (§11.1)", async (accept, type) => {
    const response = await createRecordingApp().fetch("/tasks", {
      headers: accept === undefined ? {} : { accept },
    });
    expect(response.headers.get("content-type")).toBe(type);
  });

  it("that are streams carry the headers of one, and the id of the request in every event", async () => {
    const app = createRecordingApp({
      execute: async () => ({
        kind: "stream",
        release: () => {},
        lines: linesOf(['1 {"task":{}}\n2 {"a":1}\n', '- {"message":{}}\n']),
      }),
    });
    const response = await app.fetch("/", {
      ...rpc("SendStreamingMessage"),
      body: JSON.stringify({ jsonrpc: "2.0", id: 'a"b', method: "SendStreamingMessage", params: hello }),
    });
    expect(Object.fromEntries(response.headers)).toMatchObject({
      "content-type": "text/event-stream",
      "cache-control": "no-cache, no-transform",
      "x-accel-buffering": "no",
      "a2a-version": "1.0",
    });
    const frames = (await response.text()).trimEnd().split("\n\n");
    const events = frames.map((frame) => JSON.parse(frame.slice(frame.indexOf("data: ") + 6)));
    expect(events).toEqual([
      { jsonrpc: "2.0", id: 'a"b', result: { task: {} } },
      { jsonrpc: "2.0", id: 'a"b', result: { a: 1 } },
      { jsonrpc: "2.0", id: 'a"b', result: { message: {} } },
    ]);
    expect(frames.map((frame) => /^id: (.*)$/m.exec(frame)?.[1])).toEqual(["1", "2", undefined]);
  });
});
