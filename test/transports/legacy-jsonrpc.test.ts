// A2A 0.3 over JSON-RPC as it stands on the wire (0.3 §7): names, bare results, errors, streams, headers. What the
// official client of 0.3 makes of it is in conformance/.

import { describe, expect, it } from "vitest";
import { type Client, createClient, eventually, type RpcAnswer } from "../support/client.ts";
import { serveWith } from "../support/server.ts";

type Json = Record<string, unknown>;

/** A client that has never heard of a version, as those of 0.3 have not. */
const newClient = (options: Parameters<typeof createClient>[0] = {}) =>
  createClient({ agent: "conformance", ...options, headers: { "a2a-version": "", ...options.headers } });

const saying = (text: string, message: object = {}) => ({
  message: { messageId: crypto.randomUUID(), role: "user", parts: [{ kind: "text", text }], ...message },
});

const MISSING = "0-018f0000-0000-7000-8000-000000000000";
const hook = "https://hooks.example/a2a";
/** The headers of a newer client that speaks 0.3. */
const named = (accept: string) => ({ accept, "a2a-version": "0.3" });

/** A task of that text; one that has ended, without. */
async function newTask(client: Client, text = "slow:0"): Promise<string> {
  return (await client.result<{ id: string }>("message/send", saying(text))).id;
}

/** The frames of a stream as they were sent. */
async function framesOf(response: Response): Promise<{ id?: string; data: RpcAnswer & { result: Json } }[]> {
  const text = await response.text();
  const frames = text.split("\n\n").filter((frame) => frame.includes("data: "));
  return frames.map((frame) => {
    const field = (name: string) => new RegExp(`^${name}: (.*)$`, "m").exec(frame)?.[1];
    const id = field("id");
    return { ...(id !== undefined && { id }), data: JSON.parse(field("data") ?? "") };
  });
}

describe("message/send", () => {
  it("is answered with a bare task of 0.3, in version 0.3", async () => {
    const client = newClient({ agent: "echo" });
    const response = await client.rpc("message/send", saying("hello"));
    expect(response.headers.get("a2a-version")).toBe("0.3");
    expect(response.headers.get("content-type")).toBe("application/json");
    const { result } = await response.json<{ result: Json }>();
    expect(result).toMatchObject({
      kind: "task",
      id: expect.any(String),
      contextId: expect.any(String),
      status: { state: "completed", timestamp: expect.any(String) },
      artifacts: [{ artifactId: expect.any(String), parts: [{ kind: "text", text: "echo: hello" }] }],
      history: [{ kind: "message", role: "user", parts: [{ kind: "text", text: "hello" }] }],
    });
  });

  it("is answered with a bare message where there is no task", async () => {
    const result = await newClient().result("message/send", saying("message"));
    expect(result).toMatchObject({ kind: "message", role: "agent", parts: [{ kind: "text" }] });
  });

  it.each([
    ["no configuration", undefined, "completed"],
    ["blocking", { blocking: true }, "completed"],
    ["not blocking", { blocking: false }, "submitted"],
    ["a configuration that does not say", {}, "submitted"],
  ])("with %s waits as 0.3 does", async (_, configuration, state) => {
    const params = { ...saying("slow:300"), ...(configuration && { configuration }) };
    expect(await newClient().result("message/send", params)).toMatchObject({ status: { state } });
  });

  it("goes on with a task, and a task of either version is one of both", async () => {
    const client = newClient();
    const current = createClient({ agent: "conformance", owner: client.owner });
    const id = await newTask(client, "input");
    expect(await current.get(id)).toMatchObject({ status: { state: "TASK_STATE_INPUT_REQUIRED" } });
    expect(await client.result("message/send", saying("go on", { taskId: id }))).toMatchObject({
      id,
      status: { state: "completed" },
    });
    const { id: other } = await current.sendForTask("hello");
    expect(await client.result("tasks/get", { id: other })).toMatchObject({ kind: "task", id: other });
  });

  it.each(["pushNotificationConfig", "configuration"])("takes a webhook in its %s", async (place) => {
    const client = newClient();
    const config = { url: hook, token: "t0ken" };
    const push =
      place === "configuration" ? { configuration: { pushNotificationConfig: config } } : { [place]: config };
    const { id } = await client.result<{ id: string }>("message/send", { ...saying("hello"), ...push });
    const listed = await client.result("tasks/pushNotificationConfig/list", { id });
    expect(listed).toEqual([
      { taskId: id, pushNotificationConfig: { id: "default", url: hook, token: "[redacted]" } },
    ]);
  });
});

describe("tasks", () => {
  it("are got, listed and canceled", async () => {
    const client = newClient();
    const id = await newTask(client, "input");
    expect(await client.result("tasks/get", { id, historyLength: 0 })).not.toHaveProperty("history");
    expect(await client.result("tasks/list", { status: "input-required" })).toMatchObject({
      tasks: [{ kind: "task", id, status: { state: "input-required" } }],
      totalSize: 1,
    });
    expect(await client.result("tasks/cancel", { id })).toMatchObject({
      kind: "task",
      status: { state: "canceled" },
    });
    expect(await client.error("tasks/cancel", { id: await newTask(client) })).toMatchObject({ code: -32002 });
  });
});

describe("streams", () => {
  it("carry events by kind under numbers, and end with the final one", async () => {
    const response = await newClient().rpc("message/stream", saying("stream:2:0"));
    expect(response.headers.get("content-type")).toBe("text/event-stream");
    const frames = await framesOf(response);
    const kinds = frames.map(({ data }) => data.result.kind);
    expect(kinds[0]).toBe("task");
    expect(kinds).toContain("artifact-update");
    expect(frames.map(({ data }) => data.id)).toEqual(frames.map(() => 1));
    expect(frames.at(-1)?.data.result).toMatchObject({
      kind: "status-update",
      status: { state: "completed" },
      final: true,
    });
    expect(frames.slice(1, -1).every(({ data }) => data.result.final !== true)).toBe(true);
    expect(frames.every(({ id }) => /^\d+$/.test(id ?? ""))).toBe(true);
  });

  it("end at input-required, which is final", async () => {
    const frames = await framesOf(await newClient().rpc("message/stream", saying("input")));
    expect(frames.at(-1)?.data.result).toMatchObject({ status: { state: "input-required" }, final: true });
  });

  it("go on where they were left, also after the end, by the id of their last event", async () => {
    const client = newClient();
    const frames = await framesOf(await client.rpc("message/stream", saying("stream:3:0")));
    const [first] = frames;
    const id = first?.data.result.id;
    const again = await client.rpc("tasks/resubscribe", { id }, { "last-event-id": first?.id ?? "" });
    expect((await framesOf(again)).slice(-3)).toEqual(frames.slice(-3));
  });

  it("are joined by tasks/resubscribe, which begins with the task", async () => {
    const client = newClient();
    const configuration = { blocking: false };
    const { id } = await client.result<{ id: string }>("message/send", {
      ...saying("slow:200"),
      configuration,
    });
    const frames = await framesOf(await client.rpc("tasks/resubscribe", { id }));
    expect(frames[0]?.data.result).toMatchObject({ kind: "task", id });
    expect(frames.at(-1)?.data.result).toMatchObject({ kind: "status-update", final: true });
  });

  it.each([
    ["a task that is not there", async () => ({ id: MISSING }), -32001],
    ["a task that has ended", async (client: Client) => ({ id: await newTask(client) }), -32004],
    ["params that are wrong", async () => ({ id: 7 }), -32602],
  ])("tell of %s in an event, where tasks/resubscribe asked", async (_, params, code) => {
    const client = newClient();
    const response = await client.rpc("tasks/resubscribe", await params(client));
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toBe("text/event-stream");
    const frames = await framesOf(response);
    expect(frames).toMatchObject([{ data: { jsonrpc: "2.0", id: 1, error: { code } } }]);
  });

  it.each([
    {},
    { accept: "application/json, text/event-stream" },
    { accept: "*/*" },
    named("text/event-stream"),
  ])(
    "that cannot begin are refused as any call, where message/stream asked with %j",
    async (headers: Record<string, string>) => {
      const params = saying("hello", { taskId: MISSING });
      const response = await newClient().rpc("message/stream", params, headers);
      expect(response.headers.get("content-type")).toBe("application/json");
      expect(await response.json()).toMatchObject({ id: 1, error: { code: -32001 } });
    },
  );

  // All that the SDKs of that time read, once they have asked for a stream (0.3 §3.3.1).
  it.each(["text/event-stream", "*/*, text/event-stream"])(
    "that cannot begin are refused in an event to a client of 0.3 that accepts %s",
    async (accept) => {
      const client = newClient();
      for (const [params, code] of [
        [saying("hello", { taskId: MISSING }), -32001],
        [saying("hello", { taskId: await newTask(client) }), -32004],
        [saying("hello", { parts: [] }), -32602],
      ] as const) {
        const response = await client.rpc("message/stream", params, { accept });
        expect([response.status, response.headers.get("content-type")]).toEqual([200, "text/event-stream"]);
        expect(await framesOf(response)).toMatchObject([
          { data: { jsonrpc: "2.0", id: 1, error: { code } } },
        ]);
      }
    },
  );
});

describe("push notification configs", () => {
  const setting = (taskId: string, config: object) => ({
    taskId,
    pushNotificationConfig: { url: hook, ...config },
  });

  it("are set, got, listed and deleted", async () => {
    const client = newClient();
    const id = await newTask(client);
    const authentication = { schemes: ["Bearer", "Basic"], credentials: "shh" };
    const set = await client.result(
      "tasks/pushNotificationConfig/set",
      setting(id, { id: "a", authentication }),
    );
    expect(set).toEqual({
      taskId: id,
      pushNotificationConfig: {
        id: "a",
        url: hook,
        authentication: { schemes: ["Bearer"], credentials: "[redacted]" },
      },
    });
    const named = { id, pushNotificationConfigId: "a" };
    expect(await client.result("tasks/pushNotificationConfig/get", named)).toEqual(set);
    expect(await client.result("tasks/pushNotificationConfig/list", { id })).toEqual([set]);
    expect(await client.result("tasks/pushNotificationConfig/delete", named)).toBeNull();
    expect(await client.result("tasks/pushNotificationConfig/delete", named)).toBeNull();
    expect(await client.result("tasks/pushNotificationConfig/list", { id })).toEqual([]);
    expect(await client.error("tasks/pushNotificationConfig/get", named)).toMatchObject({ code: -32001 });
  });

  it("without an id are the default one, which is got without an id, else the first", async () => {
    const client = newClient();
    const id = await newTask(client);
    const get = () => client.result("tasks/pushNotificationConfig/get", { id });
    expect(await client.error("tasks/pushNotificationConfig/get", { id })).toMatchObject({ code: -32001 });
    await client.result("tasks/pushNotificationConfig/set", setting(id, { id: "a" }));
    expect(await get()).toMatchObject({ pushNotificationConfig: { id: "a" } });
    await client.result("tasks/pushNotificationConfig/set", setting(id, {}));
    expect(await get()).toMatchObject({ pushNotificationConfig: { id: "default" } });
    await client.result("tasks/pushNotificationConfig/set", setting(id, { url: `${hook}/2` }));
    expect(await client.result("tasks/pushNotificationConfig/list", { id })).toHaveLength(2);
  });

  it("are refused by the names of 0.3", async () => {
    const client = newClient();
    const id = await newTask(client);
    const authentication = { schemes: ["no scheme"], credentials: "c" };
    const refused = await client.error(
      "tasks/pushNotificationConfig/set",
      setting(id, { url: "ftp://a", authentication }),
    );
    expect(refused.code).toBe(-32602);
    expect(refused.data[0]?.fieldViolations?.map(({ field }) => field)).toEqual([
      "pushNotificationConfig.url",
      "pushNotificationConfig.authentication.schemes",
    ]);
    expect(refused.message).toContain("pushNotificationConfig.url");
    const inline = await client.error("message/send", {
      ...saying("hello"),
      pushNotificationConfig: { url: "ftp://a" },
    });
    expect(inline.message).toContain("configuration.pushNotificationConfig.url");
  });
});

describe("the rest of the protocol", () => {
  it("tells an authenticated caller the extended card in the form of 0.3", async () => {
    const client = newClient({ agent: "enterprise" });
    const card = await client.result("agent/getAuthenticatedExtendedCard");
    expect(card).toMatchObject({ protocolVersion: "0.3.0", supportsAuthenticatedExtendedCard: true });
    expect(await newClient().error("agent/getAuthenticatedExtendedCard")).toMatchObject({ code: -32007 });
  });

  it("lists extensions in the header that 0.3 has for them, both ways", async () => {
    const uri = "https://example.com/ext/v1";
    const client = newClient({ fetch: serveWith({ requiredExtensions: [uri] }) });
    const response = await client.rpc("message/send", saying("hello"), { "x-a2a-extensions": uri });
    expect(response.headers.get("x-a2a-extensions")).toBe(uri);
    expect(response.headers.get("a2a-extensions")).toBeNull();
    const refused = await client.error("message/send", saying("hello"));
    expect(refused).toMatchObject({ code: -32600, message: expect.stringContaining("x-a2a-extensions") });
  });

  it.each([
    ["0.3", "message/send", "0.3"],
    ["0.3.0", "message/send", "0.3"],
    ["", "message/send", "0.3"],
    ["", "Nothing", undefined],
    ["0.3", "SendMessage", undefined],
    ["1.0", "message/send", undefined],
  ])("takes version %j with %s for %s", async (header, method, version) => {
    const client = newClient({ headers: { "a2a-version": header } });
    const response = await client.rpc(method, saying("hello"));
    if (version === undefined) expect(await response.json()).toMatchObject({ error: { code: -32601 } });
    else expect(response.headers.get("a2a-version")).toBe(version);
  });

  it("runs what was started here to its end when its client has left", async () => {
    const client = newClient();
    const response = await client.rpc("message/stream", saying("slow:200"));
    await response.body?.cancel();
    const done = await eventually(async () => {
      const { tasks } = await client.result<{ tasks: Json[] }>("tasks/list", { status: "completed" });
      return tasks[0];
    });
    expect(done).toMatchObject({ kind: "task" });
  });
});
