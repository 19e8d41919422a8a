// One server, used at once by the official client in its versions 1.0 and 0.3 and by one that was written for
// tasks/send, with a kill -9 in between: what each of them was told is still there, for each of them.

import { SendMessageRequest, TaskState } from "@a2a-js/sdk";
import {
  type Client,
  ClientFactory,
  DefaultAgentCardResolver,
  JsonRpcTransportFactory,
} from "@a2a-js/sdk/client";
import { expect, test } from "vitest";
import { ownServers } from "./own-servers.ts";

const TASKS = 8;

const servers = ownServers();

const start = () => servers.start({ mode: "serve", vars: { DEFAULT_AGENT: "conformance" } });

/** The official client; in 0.3 it reads the card as one that does not know of 1.0, and what that says there. */
async function sdk(url: string, version: "1.0" | "0.3"): Promise<Client> {
  const isLegacy = version === "0.3";
  const options = { legacyCompat: { enabled: isLegacy } };
  const fetchImpl: typeof fetch = async (input, init) => {
    const { supportedInterfaces, ...card } = (await (await fetch(input, init)).json()) as Record<
      string,
      unknown
    >;
    return Response.json(isLegacy ? card : { supportedInterfaces, ...card });
  };
  const factory = new ClientFactory({
    transports: [new JsonRpcTransportFactory(options)],
    cardResolver: new DefaultAgentCardResolver({ ...options, fetchImpl }),
  });
  return factory.createFromUrl(url, isLegacy ? "/.well-known/agent.json" : undefined);
}

/** A client of April 2025. */
async function oldest<T>(url: string, method: string, params: object): Promise<T> {
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params }),
  });
  const { result, error } = (await response.json()) as { result: T; error?: unknown };
  if (error) throw new Error(`${method} was answered with ${JSON.stringify(error)}`);
  return result;
}

const request = (text: string, taskId?: string) =>
  SendMessageRequest.fromJSON({
    message: {
      messageId: crypto.randomUUID(),
      role: "ROLE_USER",
      parts: [{ text }],
      ...(taskId !== undefined && { taskId }),
    },
  });
const sent = (id: string, text: string) => ({
  id,
  sessionId: "s",
  message: { role: "user", parts: [{ type: "text", text }] },
});

async function ask(client: Client): Promise<string> {
  const answer = await client.sendMessage(request("input"));
  if (!("id" in answer)) throw new Error("a message came instead of a task");
  return answer.id;
}

test("clients of 1.0, 0.3 and 0.1 have their tasks, and each other's, on both sides of a kill -9", {
  timeout: 120_000,
}, async () => {
  let server = await start();
  const [current, legacy] = await Promise.all([sdk(server.url, "1.0"), sdk(server.url, "0.3")]);
  expect(legacy.transport.protocolVersion).toBe("0.3");
  const chosen = Array.from({ length: TASKS }, (_, i) => `chosen ${i}`);
  const [ofCurrent, ofLegacy] = await Promise.all([
    Promise.all(chosen.map(() => ask(current))),
    Promise.all(chosen.map(() => ask(legacy))),
    Promise.all(chosen.map((id) => oldest(server.url, "tasks/send", sent(id, "input")))),
  ]);

  await server.kill9();
  server = await start();
  const [again, legacyAgain] = await Promise.all([sdk(server.url, "1.0"), sdk(server.url, "0.3")]);
  const all = [...ofCurrent, ...ofLegacy, ...chosen];
  for (const id of all) {
    for (const client of [again, legacyAgain]) {
      const task = await client.getTask({ tenant: "", id });
      expect([task.id, task.status?.state]).toEqual([id, TaskState.TASK_STATE_INPUT_REQUIRED]);
    }
  }
  for (const id of chosen) {
    expect(await oldest(server.url, "tasks/get", { id })).toMatchObject({
      id,
      sessionId: "s",
      status: { state: "input-required" },
    });
  }

  // Each goes on with the tasks of another.
  await Promise.all([
    ...chosen.map((id) => again.sendMessage(request("done", id))),
    ...ofCurrent.map((id) => legacyAgain.sendMessage(request("done", id))),
    ...ofLegacy.map((id) => oldest(server.url, "tasks/send", sent(id, "done"))),
  ]);
  for (const id of all) {
    const { status } = await again.getTask({ tenant: "", id });
    expect(status?.state).toBe(TaskState.TASK_STATE_COMPLETED);
  }
});
