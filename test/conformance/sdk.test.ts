// The official client as a user of this server would use it: it is given an address and nothing else, finds agents
// by their cards, talks to them for a while, goes away and comes back.
//
// Everything that comes over the wire passes the client's own codec, and must leave it as it came in.

import { env, SELF } from "cloudflare:test";
import {
  AgentCard,
  ListTasksRequest,
  ListTasksResponse,
  SendMessageRequest,
  SendMessageResponse,
  StreamResponse,
  Task,
  TaskPushNotificationConfig,
  TaskState,
} from "@a2a-js/sdk";
import { type Client, createAuthenticatingFetchWithRetry, withA2AExtensions } from "@a2a-js/sdk/client";
import {
  ExtensionSupportRequiredError,
  PushNotificationNotSupportedError,
  TaskNotFoundError,
  UnsupportedOperationError,
  VersionNotSupportedError,
} from "@a2a-js/sdk/errors";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { sha256 } from "../../src/lib/bytes.ts";
import { WEBHOOKS_EXTENSION } from "../../src/protocol/push-options.ts";
import { newOwner, ORIGIN } from "../support/client.ts";
import {
  BINDINGS,
  type Binding,
  type Connecting,
  factoryFor,
  fetchAs,
  saying,
  task,
} from "../support/sdk.ts";
import { type Serve, serveWith } from "../support/server.ts";

// The agent that is asked to throw is logged, as it should be.
beforeEach(() => void vi.spyOn(console, "error").mockImplementation(() => {}));
afterEach(() => void vi.restoreAllMocks());

/** A client that was given the address of an agent. */
function connect(binding: Binding, connecting: Omit<Connecting, "binding"> = {}): Promise<Client> {
  const { agent } = connecting;
  const url = agent === undefined ? ORIGIN : `${ORIGIN}/${agent}/`;
  return factoryFor(fetchAs(connecting), { binding }).createFromUrl(url, ".well-known/agent-card.json");
}

async function collect(stream: AsyncIterable<StreamResponse>): Promise<StreamResponse[]> {
  const events = [];
  for await (const event of stream) events.push(event);
  return events;
}

function textOf(message: { parts: Task["artifacts"][number]["parts"] } | undefined): string {
  return (message?.parts ?? [])
    .map(({ content }) => (content?.$case === "text" ? content.value : ""))
    .join("");
}

const statusText = (event: StreamResponse) =>
  event.payload?.$case === "statusUpdate" ? textOf(event.payload.value.status?.message) : undefined;
const stateOf = (event: StreamResponse | undefined) =>
  event?.payload?.$case === "statusUpdate" ? event.payload.value.status?.state : undefined;

describe("discovery (§8)", () => {
  it("needs the address of the server only, and takes the card's first binding", async () => {
    const client = await factoryFor(fetchAs({}), {}).createFromUrl(ORIGIN);
    expect(client.transport.protocolName).toBe("JSONRPC");
    expect(client.transport.protocolVersion).toMatch(/^1\.0/);
    expect((await task(client, saying("hello"))).status?.state).toBe(TaskState.TASK_STATE_COMPLETED);
  });

  it.each(BINDINGS)("finds every agent that the index names, and each answers over %s", async (binding) => {
    const index = await SELF.fetch(`${ORIGIN}/`, { headers: { accept: "application/json" } });
    const { agents } = await index.json<{ agents: { name: string; card: string }[] }>();
    expect(agents.length).toBeGreaterThanOrEqual(5);
    for (const { card } of agents) {
      const fetchImpl = fetchAs({});
      const client = await factoryFor(fetchImpl, { binding }).createFromUrl(card, "");
      const { id } = await task(client, saying("quick", {}, { returnImmediately: true }));
      expect((await client.getTask({ tenant: "", id })).id).toBe(id);
    }
  });

  it.each(["", "/interview", "/enterprise", "/conformance", "/long-running", "/echo"])(
    "serves a card at %s/ that the client's codec gives back as it was",
    async (path) => {
      const response = await SELF.fetch(`${ORIGIN}${path}/.well-known/agent-card.json`);
      const card = await response.json();
      expect(withoutDefaults(AgentCard.toJSON(AgentCard.fromJSON(card)))).toEqual(withoutDefaults(card));
    },
  );
});

describe.each(BINDINGS)("over %s", (binding) => {
  it("an interview is held over four messages, and the next conversation remembers it", async () => {
    const client = await connect(binding, { agent: "interview" });
    let answer = await task(client, saying("Hello"));
    const { id, contextId } = answer;
    for (const [says, asked] of [
      ["Ada", "Nice to meet you, Ada. What is your role?"],
      ["Engineer", "Thank you. Which topic would you like to talk about?"],
    ] as const) {
      expect(answer.status?.state).toBe(TaskState.TASK_STATE_INPUT_REQUIRED);
      answer = await task(client, saying(says, { taskId: id, contextId }));
      expect(answer).toMatchObject({ id, contextId });
      expect(textOf(answer.status?.message)).toBe(asked);
    }
    answer = await task(client, saying("Engines", { taskId: id }));
    expect(answer.status?.state).toBe(TaskState.TASK_STATE_COMPLETED);
    expect(answer.artifacts[0]?.parts[0]?.content).toEqual({
      $case: "data",
      value: { name: "Ada", role: "Engineer", topic: "Engines" },
    });
    expect(answer.history.map((message) => message.messageId)).toHaveLength(8);
    const again = await task(client, saying("Hello again", { contextId }));
    expect(again.id).not.toBe(id);
    expect(textOf(again.status?.message)).toBe(
      "Welcome back, Ada! Which topic would you like to talk about?",
    );
  });

  it("a durable job is left in the middle, found in the list, taken up again and followed to its end", async () => {
    const owner = newOwner();
    const first = await connect(binding, { agent: "long-running", owner });
    let id = "";
    for await (const { payload } of first.sendMessageStream(saying("a job of 20 steps"))) {
      if (payload?.$case === "task") id = payload.value.id;
      if (payload?.$case === "statusUpdate" && textOf(payload.value.status?.message).includes("3/20")) break;
    }
    const second = await connect(binding, { agent: "long-running", owner });
    const { tasks } = await second.listTasks(ListTasksRequest.fromJSON({ status: "TASK_STATE_WORKING" }));
    expect(tasks.map((found) => found.id)).toEqual([id]);
    const events = await collect(second.resubscribeTask({ tenant: "", id }));
    const [opening] = events;
    expect(opening?.payload).toMatchObject({ $case: "task", value: { id } });
    const before = opening?.payload?.$case === "task" ? opening.payload.value.history.map(textOf) : [];
    const after = events.flatMap((event) => statusText(event) ?? []);
    const steps = [...before, ...after].flatMap((text) => /step (\d+)\/20/.exec(text)?.[1] ?? []).map(Number);
    expect(steps).toEqual(Array.from({ length: 20 }, (_, index) => index + 1));
    expect(stateOf(events.at(-1))).toBe(TaskState.TASK_STATE_COMPLETED);
  });

  it("a job is canceled under a client that streams it, whose stream ends with that", async () => {
    const owner = newOwner();
    const client = await connect(binding, { agent: "long-running", owner });
    const other = await connect(binding, { agent: "long-running", owner });
    const events: StreamResponse[] = [];
    for await (const event of client.sendMessageStream(saying("a job of 100 steps"))) {
      events.push(event);
      if (statusText(event)?.includes("2/100") && events[0]?.payload?.$case === "task") {
        await other.cancelTask({ tenant: "", id: events[0].payload.value.id, metadata: undefined });
      }
    }
    expect(stateOf(events.at(-1))).toBe(TaskState.TASK_STATE_CANCELED);
  });

  it("a client that is aborted leaves its task alone", async () => {
    const client = await connect(binding, { agent: "conformance" });
    const leaving = new AbortController();
    const stream = client.sendMessageStream(saying("stream:20:20"), { signal: leaving.signal });
    const opening = await stream.next();
    const id = opening.value?.payload?.$case === "task" ? opening.value.payload.value.id : "";
    leaving.abort();
    await stream.next().catch(() => {});
    const events = await collect(client.resubscribeTask({ tenant: "", id }));
    expect(stateOf(events.at(-1))).toBe(TaskState.TASK_STATE_COMPLETED);
    const whole = await client.getTask({ tenant: "", id });
    expect(whole.artifacts[0]?.parts).toHaveLength(20);
  });

  it("bytes, addresses, data and any text come back as they were sent", async () => {
    const client = await connect(binding, { agent: "enterprise" });
    const bytes = Uint8Array.from({ length: 256 }, (_, index) => index);
    const request = SendMessageRequest.fromJSON({
      message: {
        messageId: "m-parts",
        role: "ROLE_USER",
        metadata: { deep: { list: [1, null, "x", true, 0.5] } },
        extensions: ["urn:test"],
        parts: [
          { text: "Process these files \u0000 \u{1F600} é \u2028" },
          { url: "https://example.com/a?b=c#d", filename: "ü.pdf", mediaType: "application/pdf" },
          { data: { nested: [{ a: null }], empty: {}, zero: 0 }, metadata: { m: 1 } },
        ],
      },
    });
    request.message?.parts.push({
      content: { $case: "raw", value: Buffer.from(bytes) },
      filename: "all.bin",
      mediaType: "application/octet-stream",
      metadata: undefined,
    });
    const { id } = await task(client, request);
    const [said] = (await client.getTask({ tenant: "", id })).history;
    expect(said?.parts).toEqual(request.message?.parts);
    expect(said?.metadata).toEqual(request.message?.metadata);
    expect(said?.extensions).toEqual(["urn:test"]);
  });

  it("a tenant named in the request reaches that agent from the root", async () => {
    const owner = newOwner();
    const root = await connect(binding, { owner });
    const asked = await root.sendMessage({ ...saying("Hello"), tenant: "interview" });
    expect(asked).toMatchObject({ status: { state: TaskState.TASK_STATE_INPUT_REQUIRED } });
    const own = await connect(binding, { owner, agent: "interview" });
    expect((await own.listTasks(ListTasksRequest.fromJSON({}))).totalSize).toBe(1);
    expect((await root.listTasks(ListTasksRequest.fromJSON({}))).totalSize).toBe(0);
  });

  it("the extended card is refused by name where the card offers none (§3.1.11)", async () => {
    const serve = serveWith({ extendedCard: false });
    for (const connecting of [{ agent: "echo" }, { agent: "enterprise", serve }]) {
      const { transport } = await connect(binding, connecting);
      await expect(transport.getExtendedAgentCard({ tenant: "" })).rejects.toBeInstanceOf(
        UnsupportedOperationError,
      );
    }
  });

  it("a server that does not stream is asked without streaming, and refuses to when made to (§3.3.4)", async () => {
    const client = await connect(binding, { agent: "conformance", serve: serveWith({ streaming: false }) });
    const events = await collect(client.sendMessageStream(saying("hello")));
    expect(events.map((event) => event.payload?.$case)).toEqual(["task"]);
    const { transport } = client;
    const { id } = await task(client, saying("input"));
    for (const stream of [
      transport.sendMessageStream(saying("hello")),
      transport.resubscribeTask({ tenant: "", id }),
    ]) {
      await expect(collect(stream)).rejects.toBeInstanceOf(UnsupportedOperationError);
    }
  });

  it("a required extension is asked for by the card, and its absence refused by name (§3.3.4)", async () => {
    const uri = "https://example.com/ext/v1";
    const serve = serveWith({ requiredExtensions: [uri] });
    const client = await connect(binding, { serve });
    const response = await serve(new Request(`${ORIGIN}/.well-known/agent-card.json`));
    expect(AgentCard.fromJSON(await response.json()).capabilities?.extensions).toMatchObject([
      { uri, required: true },
      { uri: WEBHOOKS_EXTENSION, required: false },
    ]);
    await expect(client.sendMessage(saying("hello"))).rejects.toBeInstanceOf(ExtensionSupportRequiredError);
    const serviceParameters = { ...withExtension(uri) };
    expect(await client.sendMessage(saying("hello"), { serviceParameters })).toMatchObject({
      status: { state: TaskState.TASK_STATE_COMPLETED },
    });
  });

  it("another version is refused by name (§3.6.2)", async () => {
    // The client always says its own version, so the request is changed on its way.
    const serve: Serve = (request) => {
      if (request.method === "POST") request.headers.set("a2a-version", "2.0");
      return SELF.fetch(request);
    };
    const client = await connect(binding, { serve });
    await expect(client.sendMessage(saying("hello"))).rejects.toBeInstanceOf(VersionNotSupportedError);
  });

  it("a webhook that comes with the message is refused by name where push is off (§3.3.4)", async () => {
    const client = await connect(binding, { serve: serveWith({ pushNotifications: false }) });
    const config = TaskPushNotificationConfig.fromJSON({ url: "https://example.com/hook" });
    // The client itself leaves the webhook out of a message when the card says push off.
    const request = saying("hello");
    request.configuration = {
      acceptedOutputModes: [],
      taskPushNotificationConfig: config,
      returnImmediately: false,
    } as NonNullable<SendMessageRequest["configuration"]>;
    await expect(client.transport.sendMessage(request)).rejects.toBeInstanceOf(
      PushNotificationNotSupportedError,
    );
  });

  it("a key is sent after the challenge, and then used for everything", async () => {
    const key = `a2a_${crypto.randomUUID().replaceAll("-", "")}`;
    await env.DB.prepare(
      "INSERT INTO api_keys (id, hash, owner, roles, created_at) VALUES (?, ?, 'sdk', 'user', 0)",
    )
      .bind(crypto.randomUUID(), await sha256(key))
      .run();
    const challenges: (string | null)[] = [];
    const fetchImpl = createAuthenticatingFetchWithRetry(
      fetchAs({ serve: serveWith({ authModes: ["api-key"] }) }),
      {
        headers: async () => ({}),
        shouldRetryWithHeaders: async (_, response) => {
          if (response.status !== 401) return undefined;
          challenges.push(response.headers.get("www-authenticate"));
          return { authorization: `Bearer ${key}` };
        },
      },
    );
    const client = await factoryFor(fetchImpl, { binding }).createFromUrl(ORIGIN);
    const { id } = await task(client, saying("hello"));
    expect((await client.getTask({ tenant: "", id })).id).toBe(id);
    expect(challenges).toHaveLength(2);
    expect(challenges[0]).toMatch(/^Bearer/);
    const stranger = await connect(binding, { serve: serveWith({ authModes: ["api-key"] }) });
    await expect(stranger.getTask({ tenant: "", id })).rejects.toThrow(/Authentication required/);
  });

  it("another owner's task is not found, by name", async () => {
    const { id } = await task(await connect(binding, { agent: "conformance" }), saying("input"));
    const stranger = await connect(binding, { agent: "conformance" });
    await expect(stranger.getTask({ tenant: "", id })).rejects.toBeInstanceOf(TaskNotFoundError);
    await expect(stranger.cancelTask({ tenant: "", id, metadata: undefined })).rejects.toBeInstanceOf(
      TaskNotFoundError,
    );
  });
});

describe("the client's codec (ProtoJSON)", () => {
  type Codec = { fromJSON(json: unknown): never; toJSON(message: never): unknown };
  const codec = (message: unknown) => message as Codec;
  const behaviours = ["hello", "message", "input", "throw", "stream:3:0", "slow:600001"];

  it.each(behaviours)("gives back every answer to %s as it came", async (says) => {
    const client = fetchAs({});
    const call = async (method: string, params: object) => {
      const response = await client(`${ORIGIN}/conformance`, {
        method: "POST",
        headers: { "content-type": "application/json", "a2a-version": "1.0" },
        body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params }),
      });
      if (response.headers.get("content-type") === "application/json") {
        return [(await response.json<{ result: unknown }>()).result];
      }
      const data = (await response.text()).split("\n").filter((line) => line.startsWith("data: "));
      return data.map((line) => (JSON.parse(line.slice(6)) as { result: unknown }).result);
    };
    const same = (message: unknown, json: unknown) => {
      const { fromJSON, toJSON } = codec(message);
      expect(withoutDefaults(toJSON(fromJSON(json)))).toEqual(withoutDefaults(json));
    };
    const message = { messageId: `c-${says}`, role: "ROLE_USER", parts: [{ text: says }] };
    const [sent] = (await call("SendMessage", { message })) as [{ task?: { id: string } }];
    same(SendMessageResponse, sent);
    const events = await call("SendStreamingMessage", { message });
    expect(events.length).toBeGreaterThan(0);
    for (const event of events) same(StreamResponse, event);
    const [list] = await call("ListTasks", { includeArtifacts: true });
    same(ListTasksResponse, list);
    if (sent.task) {
      const [got] = await call("GetTask", { id: sent.task.id });
      same(Task, got);
      expect(got).toEqual(sent.task);
    }
  });
});

/** The service parameters that declare an extension. */
function withExtension(uri: string): Record<string, string> {
  const parameters: Record<string, string> = {};
  withA2AExtensions(uri)(parameters);
  return parameters;
}

/** ProtoJSON may leave out what is empty, zero, false or null; who compares two forms must. */
function withoutDefaults(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutDefaults);
  if (typeof value !== "object" || value === null) return value;
  const members = Object.entries(value)
    .filter(
      ([, member]) =>
        member !== "" && member !== 0 && member !== false && member !== null && member !== undefined,
    )
    .filter(([, member]) => !Array.isArray(member) || member.length > 0)
    .map(([name, member]) => [name, withoutDefaults(member)]);
  return Object.fromEntries(members);
}
