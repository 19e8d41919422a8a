// A2A 0.3 over HTTP+JSON as it stands on the wire (0.3 §3.2.3): paths below /v1, bodies in the form of its proto, in
// either spelling. What the official client of 0.3 makes of it is in conformance/.

import { describe, expect, it } from "vitest";
import { type Client, createClient } from "../support/client.ts";
import { serveWith } from "../support/server.ts";

type Json = Record<string, unknown>;

const newClient = (options: Parameters<typeof createClient>[0] = {}) =>
  createClient({ agent: "conformance", ...options, headers: { "a2a-version": "", ...options.headers } });

const saying = (text: string, message: object = {}) => ({
  message: { messageId: crypto.randomUUID(), role: "ROLE_USER", content: [{ text }], ...message },
});

const MISSING = "0-018f0000-0000-7000-8000-000000000000";
const hook = "https://hooks.example/a2a";

const post = (client: Client, path: string, body?: unknown, headers: Record<string, string> = {}) =>
  client.request(`/v1${path}`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });

async function ok<T = Json>(response: Promise<Response>): Promise<T> {
  const answer = await response;
  const text = await answer.text();
  expect(answer.status, text).toBe(200);
  expect(answer.headers.get("content-type")).toBe("application/json");
  expect(answer.headers.get("a2a-version")).toBe("0.3");
  return JSON.parse(text);
}

/** A task of that text; one that has ended, without. */
async function newTask(client: Client, text = "slow:0"): Promise<string> {
  const { task } = await ok<{ task: { id: string } }>(post(client, "/message:send", saying(text)));
  return task.id;
}

async function eventsOf(response: Response): Promise<Json[]> {
  expect(response.headers.get("content-type")).toBe("text/event-stream");
  const text = await response.text();
  return [...text.matchAll(/^data: (.*)$/gm)].map(([, data]) => JSON.parse(data ?? ""));
}

describe("POST /v1/message:send", () => {
  it("is answered with a task in the form of the proto", async () => {
    const { task } = await ok(post(newClient({ agent: "echo" }), "/message:send", saying("hello")));
    expect(task).toEqual({
      id: expect.any(String),
      contextId: expect.any(String),
      status: { state: "TASK_STATE_COMPLETED", timestamp: expect.any(String) },
      artifacts: [expect.objectContaining({ parts: [{ text: "echo: hello" }] })],
      history: [expect.objectContaining({ role: "ROLE_USER", content: [{ text: "hello" }] })],
    });
  });

  it("is answered with a message where there is no task", async () => {
    const answer = await ok(post(newClient(), "/message:send", saying("message")));
    expect(answer).toEqual({
      message: expect.objectContaining({ role: "ROLE_AGENT", content: [{ text: expect.any(String) }] }),
    });
  });

  it.each([
    ["the names of JSON", "message", { messageId: "m", role: "ROLE_USER", content: [{ text: "hi" }] }],
    ["the names of the proto", "request", { message_id: "m", role: 1, content: [{ text: "hi" }] }],
  ])("takes %s", async (_, name, message) => {
    const { task } = await ok<{ task: Json }>(
      post(newClient({ agent: "echo" }), "/message:send", { [name]: message }),
    );
    expect(task).toMatchObject({ history: [{ messageId: "m" }] });
  });

  it("takes every kind of part, and shows it again as it was", async () => {
    const client = newClient();
    const content = [
      { text: "a", metadata: { b: 1 } },
      { file: { fileWithUri: "https://a.example/", mimeType: "text/plain", name: "n" } },
      { file: { fileWithBytes: "AQI=", mimeType: "application/octet-stream" } },
      { data: { data: { x: [1, null] } } },
    ];
    const { task } = await ok<{ task: Json }>(post(client, "/message:send", saying("", { content })));
    expect(task).toMatchObject({ history: [{ content }, { role: "ROLE_AGENT" }] });
    const snake = [{ file: { file_with_uri: "https://a.example/", mime_type: "text/plain" } }];
    const answer = await ok<{ task: Json }>(post(client, "/message:send", saying("", { content: snake })));
    expect(answer.task).toMatchObject({
      history: [{ content: [{ file: { mimeType: "text/plain" } }] }, { role: "ROLE_AGENT" }],
    });
  });

  it.each([
    [undefined, "TASK_STATE_COMPLETED"],
    [{ blocking: true }, "TASK_STATE_COMPLETED"],
    [{ history_length: 1 }, "TASK_STATE_SUBMITTED"],
  ])("with the configuration %j waits as 0.3 does", async (configuration, state) => {
    const body = { ...saying("slow:300"), ...(configuration && { configuration }) };
    expect(await ok(post(newClient(), "/message:send", body))).toMatchObject({ task: { status: { state } } });
  });

  it("takes a webhook in its configuration", async () => {
    const client = newClient();
    const body = { ...saying("hello"), configuration: { push_notification: { url: hook }, blocking: true } };
    const { task } = await ok<{ task: { id: string } }>(post(client, "/message:send", body));
    expect(await ok(client.request(`/v1/tasks/${task.id}/pushNotificationConfigs`))).toMatchObject({
      configs: [{ pushNotificationConfig: { id: "default", url: hook } }],
    });
  });
});

describe("tasks below /v1", () => {
  it("are got, listed and canceled, the last without a body or with null", async () => {
    const client = newClient();
    const id = await newTask(client, "input");
    expect(await ok(client.request(`/v1/tasks/${id}?history_length=0`))).not.toHaveProperty("history");
    expect(await ok(client.request("/v1/tasks?status=TASK_STATE_INPUT_REQUIRED"))).toMatchObject({
      tasks: [{ id, status: { state: "TASK_STATE_INPUT_REQUIRED" } }],
      totalSize: 1,
    });
    expect(await ok(post(client, `/tasks/${id}:cancel`))).toMatchObject({
      status: { state: "TASK_STATE_CANCELLED" },
    });
    expect(await ok(post(client, `/tasks/${await newTask(client, "input")}:cancel`, null))).toMatchObject({
      status: { state: "TASK_STATE_CANCELLED" },
    });
    for (const state of ["TASK_STATE_CANCELLED", "TASK_STATE_CANCELED"]) {
      expect(await ok(client.request(`/v1/tasks?status=${state}`))).toMatchObject({ totalSize: 2 });
    }
  });

  it("are those that 1.0 has beside it", async () => {
    const client = newClient();
    const current = createClient({ agent: "conformance", owner: client.owner });
    const { id } = await current.sendForTask("hello");
    expect(await ok(client.request(`/v1/tasks/${id}`))).toMatchObject({ id });
    expect(await current.get(await newTask(client))).toMatchObject({
      status: { state: "TASK_STATE_COMPLETED" },
    });
  });
});

describe("streams below /v1", () => {
  it("carry the StreamResponse of 0.3", async () => {
    const events = await eventsOf(await post(newClient(), "/message:stream", saying("stream:2:0")));
    expect(events[0]).toMatchObject({ task: { status: { state: expect.any(String) } } });
    expect(events.some(({ artifactUpdate }) => artifactUpdate !== undefined)).toBe(true);
    expect(events.at(-1)).toMatchObject({
      statusUpdate: { status: { state: "TASK_STATE_COMPLETED" }, final: true },
    });
  });

  it.each(["GET", "POST"])("are joined by %s …:subscribe", async (method) => {
    const client = newClient();
    const configuration = { blocking: false };
    const body = { ...saying("slow:200"), configuration };
    const { task } = await ok<{ task: { id: string } }>(post(client, "/message:send", body));
    const events = await eventsOf(await client.request(`/v1/tasks/${task.id}:subscribe`, { method }));
    expect(events[0]).toMatchObject({ task: { id: task.id } });
    expect(events.at(-1)).toMatchObject({ statusUpdate: { final: true } });
  });
});

describe("push notification configs below /v1", () => {
  const named = (taskId: string, id: string) => `tasks/${taskId}/pushNotificationConfigs/${id}`;

  it("are set, got, listed and deleted", async () => {
    const client = newClient();
    const id = await newTask(client);
    const path = `/tasks/${id}/pushNotificationConfigs`;
    const config = { id: "a", url: hook, authentication: { schemes: ["Bearer"], credentials: "shh" } };
    const set = await ok(post(client, path, { name: named(id, "a"), pushNotificationConfig: config }));
    expect(set).toEqual({
      name: named(id, "a"),
      pushNotificationConfig: {
        id: "a",
        url: hook,
        authentication: { schemes: ["Bearer"], credentials: "[redacted]" },
      },
    });
    expect(await ok(client.request(`/v1${path}/a`))).toEqual(set);
    expect(await ok(client.request(`/v1${path}`))).toEqual({ configs: [set], nextPageToken: "" });
    expect(await ok(client.request(`/v1${path}/a`, { method: "DELETE" }))).toEqual({});
    expect((await client.request(`/v1${path}/a`)).status).toBe(404);
  });

  it("come in the whole request too, as clients of the proto send it", async () => {
    const client = newClient();
    const id = await newTask(client);
    const config = { name: named(id, "b"), push_notification_config: { url: hook } };
    const body = { parent: `tasks/${id}`, config_id: "b", config };
    const set = await ok(post(client, `/tasks/${id}/pushNotificationConfigs`, body));
    expect(set).toMatchObject({ name: named(id, "b"), pushNotificationConfig: { id: "b", url: hook } });
  });

  it("without an id are the default one", async () => {
    const client = newClient();
    const id = await newTask(client);
    const body = { name: named(id, ""), pushNotificationConfig: { url: hook } };
    const set = await ok(post(client, `/tasks/${id}/pushNotificationConfigs`, body));
    expect(set).toMatchObject({ name: named(id, "default") });
  });
});

describe("the rest of the protocol below /v1", () => {
  it("has the extended card at /v1/card, in the form of the proto", async () => {
    const card = await ok(newClient({ agent: "enterprise" }).request("/v1/card"));
    expect(card).toMatchObject({ protocolVersion: "0.3.0", supportsAuthenticatedExtendedCard: true });
    const none = await newClient().request("/v1/card");
    expect(none.status).toBe(400);
    expect(await none.json()).toMatchObject({ code: -32007 });
  });

  it.each([
    ["a task that is not there", 404, -32001, (client: Client) => client.request(`/v1/tasks/${MISSING}`)],
    [
      "a task that has ended",
      400,
      -32002,
      async (client: Client) => post(client, `/tasks/${await newTask(client)}:cancel`),
    ],
    [
      "a stream of a task that has ended",
      400,
      -32004,
      async (client: Client) => client.request(`/v1/tasks/${await newTask(client)}:subscribe`),
    ],
    ["wrong params", 400, -32602, (client: Client) => post(client, "/message:send", {})],
    [
      "no JSON",
      400,
      -32700,
      (client: Client) =>
        client.request("/v1/message:send", {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: "{",
        }),
    ],
  ])("answers %s with %i and the error of JSON-RPC for a body", async (_, status, code, call) => {
    const response = await call(newClient());
    expect(response.status).toBe(status);
    expect(response.headers.get("content-type")).toBe("application/json");
    expect(response.headers.get("a2a-version")).toBe("0.3");
    expect(await response.json()).toEqual({ code, message: expect.any(String), data: expect.any(Array) });
  });

  it("lists extensions in the header that 0.3 has for them, both ways", async () => {
    const uri = "https://example.com/ext/v1";
    const client = newClient({ fetch: serveWith({ requiredExtensions: [uri] }) });
    const headers = { "x-a2a-extensions": uri };
    const response = await post(client, "/message:send", saying("hello"), headers);
    expect(response.headers.get("x-a2a-extensions")).toBe(uri);
    const refused = await post(client, "/message:send", saying("hello"));
    expect(await refused.json()).toMatchObject({ code: -32600 });
  });

  it.each([
    ["/v1/tasks", "1.0", 404],
    ["/v1/tasks", "0.3", 200],
    ["/v1/tasks", "", 200],
    ["/tasks", "0.3", 404],
    ["/tasks", "", 200],
    ["/v1/tasks", "2.0", 400],
    ["/v1/extendedAgentCard", "", 404],
    ["/card", "", 404],
  ])("serves %s in version %j with %i", async (path, version, status) => {
    const response = await newClient({ headers: { "a2a-version": version } }).request(path);
    expect(response.status).toBe(status);
  });

  it("answers at the root and below an agent", async () => {
    const client = createClient({ headers: { "a2a-version": "" } });
    const answer = await ok<{ task: Json }>(post(client, "/message:send", saying("hello")));
    expect(answer.task).toMatchObject({ status: { state: "TASK_STATE_COMPLETED" } });
    const nobody = createClient({ agent: "nobody" });
    expect((await nobody.request("/v1/tasks")).status).toBe(404);
  });
});
