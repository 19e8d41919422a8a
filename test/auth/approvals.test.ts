// Who may decide about a tool: callers with the scope tool:approve, whatever they speak. The agent is one of those that
// are served, and the doors are the real ones.

import { env, runInDurableObject, SELF } from "cloudflare:test";
import { beforeEach, describe, expect, it, vi } from "vitest";
import type { AuditEvent } from "../../src/audit/entry.ts";
import { createApiKey } from "../../src/store/api-keys.ts";
import { type Client, createClient, eventually, newOwner, textOf } from "../support/client.ts";
import { serveWith } from "../support/server.ts";

beforeEach(() => void vi.spyOn(console, "info").mockImplementation(() => {}));

const KEY = "https://a2a-edge.dev/extensions/approvals/v1";
const messageId = "decision";
const json = { "content-type": "application/json" };

type Decide = (client: Client, taskId: string, data: object) => Promise<Response>;

const rpc =
  (method: string, version: string): Decide =>
  (client, taskId, data) => {
    const message = {
      "1.0": { messageId, taskId, role: "ROLE_USER", parts: [{ data }] },
      "0.3": { kind: "message", messageId, taskId, role: "user", parts: [{ kind: "data", data }] },
      "0.1": { role: "user", parts: [{ type: "data", data }] },
    }[version];
    const params = { ...(version === "0.1" && { id: taskId }), message };
    return client.rpc(method, params, { "a2a-version": version === "0.1" ? "" : version });
  };

const rest =
  (path: string, version: string): Decide =>
  (client, taskId, data) => {
    const content =
      version === "1.0" ? { taskId, parts: [{ data }] } : { task_id: taskId, content: [{ data: { data } }] };
    return client.request(path, {
      method: "POST",
      headers: { ...json, "a2a-version": version },
      body: JSON.stringify({ message: { messageId, role: "ROLE_USER", ...content } }),
    });
  };

const ways: [string, Decide][] = [
  ["JSON-RPC of 1.0", rpc("SendMessage", "1.0")],
  ["JSON-RPC of 1.0, streamed", rpc("SendStreamingMessage", "1.0")],
  ["HTTP+JSON of 1.0", rest("/message:send", "1.0")],
  ["HTTP+JSON of 1.0, streamed", rest("/message:stream", "1.0")],
  ["JSON-RPC of 0.3", rpc("message/send", "0.3")],
  ["JSON-RPC of 0.3, streamed", rpc("message/stream", "0.3")],
  ["HTTP+JSON of 0.3", rest("/v1/message:send", "0.3")],
  ["HTTP+JSON of 0.3, streamed", rest("/v1/message:stream", "0.3")],
  ["JSON-RPC of 0.1", rpc("tasks/send", "0.1")],
  ["JSON-RPC of 0.1, streamed", rpc("tasks/sendSubscribe", "0.1")],
];

const serve = serveWith({ authModes: ["api-key"] });

/** A client with a key of the owner that has this role. */
async function keyOf(owner: string, role: string): Promise<Client> {
  const { text } = await createApiKey(
    env.DB,
    { owner, roles: [role], scopes: [], createdBy: "cli" },
    Date.now(),
  );
  return createClient({ agent: "enterprise", headers: { "x-api-key": text }, fetch: serve });
}

/** What the audit of the owner's home tells. */
async function eventsOf(owner: string): Promise<AuditEvent[]> {
  const { entries } = await env.HOMES.get(env.HOMES.idFromName(`key::${owner}/0`)).auditTail(0);
  return entries.map(({ body }) => JSON.parse(body) as AuditEvent);
}

const settled = (client: Client, id: string) =>
  eventually(async () => {
    const task = await client.get(id);
    return !/WORKING|AUTH_REQUIRED/.test(task.status.state) && task;
  });

describe.each(ways)("over %s", (_, decide) => {
  it("a user is refused, a stranger finds nothing, an approver decides", async () => {
    const owner = newOwner();
    const [user, approver] = [await keyOf(owner, "user"), await keyOf(owner, "approver")];
    const { id } = await user.sendForTask("Publish the quarterly report");
    const before = [await user.get(id), await eventsOf(owner)];

    const refused = await decide(user, id, { approved: true });
    expect(refused.status).toBe(403);
    expect(refused.headers.get("www-authenticate")).toContain('scope="tool:approve"');
    const answer = await refused.text();
    expect(answer).toContain("PERMISSION_DENIED");
    expect(answer).toContain('"scope":"tool:approve"');

    const stranger = await keyOf(newOwner(), "approver");
    expect(await (await decide(stranger, id, { approved: true })).text()).toContain("TASK_NOT_FOUND");
    const unclear = await (await decide(approver, id, { approved: "perhaps" })).text();
    expect(unclear).toContain("message.parts[0].data.approved");
    expect([await user.get(id), await eventsOf(owner)]).toEqual(before);

    const decided = await decide(approver, id, { approved: true });
    expect(decided.status).toBe(200);
    await decided.text();
    const task = await settled(user, id);
    expect(task.status.state).toBe("TASK_STATE_COMPLETED");
    expect(task.artifacts?.[0]).toMatchObject({
      name: "publication",
      parts: [{ text: "Published: Publish the quarterly report" }],
    });
    const who = { owner: `key::${owner}`, agent: "enterprise", task: id };
    const actor = expect.stringMatching(new RegExp(`^key:${owner}:`));
    expect(await eventsOf(owner)).toEqual([
      { kind: "task.created", ...who, actor },
      { kind: "tool.approved", ...who, actor, detail: { tool: "publish" } },
    ]);
  });

  it("an approver denies, and the task is rejected with nothing published", async () => {
    const owner = newOwner();
    const approver = await keyOf(owner, "approver");
    const { id } = await approver.sendForTask("Publish the quarterly report");
    await (await decide(approver, id, { approved: false })).text();
    const task = await settled(approver, id);
    expect(task.status.state).toBe("TASK_STATE_REJECTED");
    expect(task).not.toHaveProperty("artifacts");
    expect((await eventsOf(owner)).at(-1)).toMatchObject({
      kind: "tool.denied",
      detail: { tool: "publish" },
    });
  });
});

describe("the question", () => {
  it.each<[string, (client: Client, id: string) => Promise<Response>]>([
    ["1.0", (client, id) => client.rpc("GetTask", { id })],
    ["0.3", (client, id) => client.rpc("tasks/get", { id }, { "a2a-version": "0.3" })],
    ["0.3", (client, id) => client.request(`/v1/tasks/${id}`, { headers: { "a2a-version": "0.3" } })],
  ])("stands in the task as %s has it", async (_, get) => {
    const client = createClient({ agent: "enterprise" });
    const { id } = await client.sendForTask("Publish the quarterly report");
    const body = await (await get(client, id)).json<{ result?: object }>();
    const message = { metadata: { [KEY]: { tool: "publish", scope: "tool:approve" } }, extensions: [KEY] };
    expect(body.result ?? body).toMatchObject({ status: { message } });
  });

  it("is on the card of an agent that may ask it, and is activated there alone", async () => {
    const cardOf = async (agent: string) => {
      const response = await createClient({ agent }).request("/.well-known/agent-card.json");
      return response.json<{ capabilities: { extensions?: { uri: string }[] } }>();
    };
    const declared = async (agent: string) =>
      (await cardOf(agent)).capabilities.extensions?.find(({ uri }) => uri === KEY);
    expect(await declared("enterprise")).toEqual({
      uri: KEY,
      description: expect.any(String),
      params: { tools: ["publish"], scope: "tool:approve" },
    });
    expect(await declared("echo")).toBeUndefined();
    for (const [agent, activated] of [
      ["enterprise", KEY],
      ["echo", null],
    ] as const) {
      const response = await createClient({ agent }).rpc("ListTasks", {}, { "a2a-extensions": KEY });
      expect(response.headers.get("a2a-extensions")).toBe(activated);
    }
  });
});

describe("a session", () => {
  /** A client with a session of these scopes; in open mode everybody has all of them. */
  async function sessionOf(owner: string, scopes: string[]): Promise<Client> {
    const headers = { ...json, "x-dev-owner": owner };
    const body = JSON.stringify({ scopes });
    const opened = await SELF.fetch("https://agents.test/a2a/auth", { method: "POST", headers, body });
    const { session } = await opened.json<{ session: string }>();
    return createClient({ owner, agent: "enterprise", headers: { authorization: `Bearer ${session}` } });
  }

  it("that was not given the scope cannot decide, and its attempts are counted", async () => {
    const owner = newOwner();
    const client = await sessionOf(owner, ["task:read", "task:write"]);
    const { id } = await client.sendForTask("Publish the quarterly report");
    expect((await rpc("SendMessage", "1.0")(client, id, { approved: true })).status).toBe(403);
    expect((await client.get(id)).status.state).toBe("TASK_STATE_AUTH_REQUIRED");
    const counted = await eventually(
      () =>
        runInDurableObject(env.AUDIT.get(env.AUDIT.idFromName("admin")), (_, { storage }) =>
          storage.sql
            .exec<{ counts: string }>("SELECT counts FROM minutes")
            .toArray()
            .flatMap(({ counts }) => JSON.parse(counts) as { who: string }[])
            .find(({ who }) => who.startsWith(`open::${owner}/`)),
        ),
      100,
    );
    expect(counted).toMatchObject({ kind: "authorization.refused", reason: "tool:approve", count: 1 });
  });

  it("that was given it can, by a word", async () => {
    const client = await sessionOf(newOwner(), ["task:read", "task:write", "tool:approve"]);
    const { id } = await client.sendForTask("Publish the quarterly report");
    const task = await client.sendForTask({ says: "approve", taskId: id });
    expect(textOf(task.status.message)).toBe("It was published.");
  });

  it("needs task:write besides", async () => {
    const owner = newOwner();
    const { id } = await createClient({ owner, agent: "enterprise" }).sendForTask("Publish it");
    const client = await sessionOf(owner, ["task:read", "tool:approve"]);
    const refused = await rpc("SendMessage", "1.0")(client, id, { approved: true });
    expect(refused.status).toBe(403);
    expect(await refused.text()).toContain("task:write");
  });
});
