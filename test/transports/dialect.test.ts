// Which dialect a call is in (§3.6.2), and how each tells of a stream that broke.

import { afterEach, describe, expect, it, vi } from "vitest";
import type { AppDeps } from "../../src/app.ts";
import { A2AError } from "../../src/protocol/errors.ts";
import type { Version } from "../../src/protocol/version.ts";
import { chooseDialect, type Dialect } from "../../src/transports/dialect.ts";
import { createRecordingApp, linesOf, post, rpc } from "./recording-app.ts";

afterEach(() => void vi.restoreAllMocks());

const dialect = (version: Version, ...names: string[]): Dialect => ({
  version,
  extensionsHeader: "a2a-extensions",
  methods: new Map(names.map((name) => [name, { read: () => ({ operation: "GetTask", params: {} }) }])),
});

/** One that a server has made: another would be a client's of 0.1. */
const ID = "0-018f0000-0000-7000-8000-000000000000";

describe("chooseDialect", () => {
  const all = [dialect("1.0", "GetTask", "both"), dialect("0.3", "tasks/get", "both")];

  it.each([
    ["1.0", "tasks/get", "1.0"],
    ["0.3", "GetTask", "0.3"],
    [undefined, "GetTask", "1.0"],
    [undefined, "tasks/get", "0.3"],
    [undefined, "both", "1.0"],
    [undefined, "neither", undefined],
  ] as const)("takes a call of version %s to %s for %s", (requested, method, version) => {
    expect(chooseDialect(all, ["1.0", "0.3"], requested, method, {})?.version).toBe(version);
  });

  it("takes a method that two have for the newest that is served", () => {
    expect(chooseDialect(all, ["0.3"], undefined, "both", {})?.version).toBe("0.3");
  });

  it("takes a method that two have for the older one that recognizes its params", () => {
    const read = () => ({ operation: "GetTask" as const, params: {} });
    const recognizes = (params: unknown) => params === "mine";
    const older = { ...dialect("0.1"), methods: new Map([["both", { read, recognizes }]]) };
    const choose = (served: readonly Version[], params: unknown, requested?: Version) =>
      chooseDialect([...all, older], served, requested, "both", params)?.version;
    const every = ["1.0", "0.3", "0.1"] as const;
    expect(choose(every, "mine")).toBe("0.1");
    expect(choose(every, "another's")).toBe("1.0");
    expect(choose(every, "mine", "0.3")).toBe("0.3");
    expect(choose(["1.0", "0.3"], "mine")).toBe("1.0");
    expect(() => choose(["0.1"], "another's")).toThrow("Protocol version not supported");
  });

  it("refuses a method that only a version has that is not served", () => {
    const refused = expect(() => chooseDialect(all, ["1.0"], undefined, "tasks/get", {}));
    refused.toThrow(A2AError);
    refused.toThrow("Protocol version not supported");
  });
});

describe("a stream that breaks", () => {
  const lines = () =>
    linesOf(['1 {"task":{"id":"t","contextId":"c",', '"status":{"state":"TASK_STATE_WORKING"}}}\n']);
  const breaking: Partial<AppDeps> = {
    execute: async () => ({
      kind: "stream",
      lines: linesOf(
        ['7 {"message":{"messageId":"m","role":"ROLE_AGENT","parts":[{"text":"x"}]}}\n'],
        new Error("x"),
      ),
      release: () => {},
    }),
  };
  const text = async (init: RequestInit, path = "/", deps = breaking) => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    return (await createRecordingApp(deps).fetch(path, init)).text();
  };
  const parts = [{ kind: "text", text: "x" }];

  it("says so to 0.3 over JSON-RPC in an error of its own id", async () => {
    const params = { message: { messageId: "m", role: "user", parts } };
    const frames = (await text(rpc("message/stream", params))).trim().split("\n\n");
    expect(frames).toHaveLength(2);
    expect(frames[0]).toBe(
      'id: 7\ndata: {"jsonrpc":"2.0","id":1,"result":{"kind":"message","messageId":"m","role":"agent","parts":[{"kind":"text","text":"x"}]}}',
    );
    expect(frames[1]).toMatch(/^event: error\ndata: \{"jsonrpc":"2.0","id":1,"error":\{"code":-32603,/);
  });

  it("says so to 0.3 over HTTP+JSON in a bare error", async () => {
    const body = { message: { messageId: "m", role: "ROLE_USER", content: [{ text: "x" }] } };
    const frames = (await text(post(body), "/v1/message:stream")).trim().split("\n\n");
    expect(frames[0]).toBe(
      'id: 7\ndata: {"message":{"messageId":"m","role":"ROLE_AGENT","content":[{"text":"x"}]}}',
    );
    expect(frames[1]).toMatch(/^event: error\ndata: \{"code":-32603,/);
  });

  it("says so to 0.1 in a frame of data like any other", async () => {
    const event = { statusUpdate: { taskId: "t", contextId: "c", status: { state: "TASK_STATE_WORKING" } } };
    const stream = linesOf([`7 ${JSON.stringify(event)}\n`], new Error("x"));
    const deps: Partial<AppDeps> = {
      execute: async () => ({ kind: "stream", lines: stream, release: () => {} }),
    };
    const frames = (await text(rpc("tasks/resubscribe", { id: "mine" }), "/", deps)).trim().split("\n\n");
    expect(frames[0]).toBe(
      'data: {"jsonrpc":"2.0","id":1,"result":{"id":"t","status":{"state":"working"},"final":false}}',
    );
    expect(frames[1]).toMatch(/^data: \{"jsonrpc":"2.0","id":1,"error":\{"code":-32603,/);
  });

  it("is written event by event, wherever it was cut into chunks", async () => {
    const deps: Partial<AppDeps> = {
      execute: async () => ({ kind: "stream", lines: lines(), release: () => {} }),
    };
    const frames = (await text(rpc("tasks/resubscribe", { id: ID }), "/", deps)).trim().split("\n\n");
    expect(frames).toEqual([
      'id: 1\ndata: {"jsonrpc":"2.0","id":1,"result":{"kind":"task","id":"t","contextId":"c","status":{"state":"working"}}}',
    ]);
  });

  it("is not looked into for 1.0, whose bytes are the home's", async () => {
    const deps: Partial<AppDeps> = {
      execute: async () => ({ kind: "stream", lines: linesOf(["1 {no json}\n"]), release: () => {} }),
    };
    const answer = await text(rpc("SubscribeToTask", { id: "t" }), "/", deps);
    expect(answer).toBe('id: 1\ndata: {"jsonrpc":"2.0","id":1,"result":{no json}}\n\n');
  });

  it("is an error of 503 and no stream where the home is busy, so that clients wait", async () => {
    const deps: Partial<AppDeps> = {
      execute: async () => {
        throw new A2AError("UNAVAILABLE", { retryAfterSeconds: 2 });
      },
    };
    const response = await createRecordingApp(deps).fetch("/", rpc("tasks/resubscribe", { id: ID }));
    expect(response.status).toBe(503);
    expect(response.headers.get("retry-after")).toBe("2");
    expect(response.headers.get("content-type")).toBe("application/json");
  });
});

it("an operation is told the version of its client", async () => {
  const app = createRecordingApp();
  const legacy = { id: "t", pushNotificationConfigId: "c" };
  await app.fetch("/", rpc("tasks/pushNotificationConfig/delete", legacy));
  await app.fetch("/", rpc("DeleteTaskPushNotificationConfig", { taskId: "t", id: "c" }));
  await app.fetch("/v1/tasks/t/pushNotificationConfigs/c", { method: "DELETE" });
  expect(app.calls.map(({ name, version, params }) => ({ name, version, params }))).toEqual(
    ["0.3", "1.0", "0.3"].map((version) => {
      return { name: "DeleteTaskPushNotificationConfig", version, params: { taskId: "t", id: "c" } };
    }),
  );
});
