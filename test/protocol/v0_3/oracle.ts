// The official SDK's own translation between A2A 0.3 and 1.0, reached through the doors it leaves open: its 0.3
// transports, on both sides, and its notifications.

import * as sdk from "@a2a-js/sdk";
import { legacyPushNotificationToV1StreamResponse } from "@a2a-js/sdk/compat/v0_3";
import { LegacyJsonRpcTransport, LegacyRestTransport } from "@a2a-js/sdk/compat/v0_3/client";
import { LegacyJsonRpcTransportHandler, V03PushNotificationSerializer } from "@a2a-js/sdk/compat/v0_3/server";

type Codec = { fromJSON(object: unknown): unknown; toJSON(message: unknown): unknown };

function codecOf(name: string): Codec {
  return (sdk as unknown as Record<string, Codec>)[name] as Codec;
}

/** A core object as the SDK reads and writes it. */
export function throughSdk(name: string, wire: unknown): unknown {
  return toJson(name, codecOf(name).fromJSON(wire));
}

/** A message of the SDK as it is on the wire. */
export function toJson(name: string, message: unknown): unknown {
  return JSON.parse(JSON.stringify(codecOf(name).toJSON(message)));
}

/** A StreamResponse as the SDK sends it to a subscriber of 0.3. */
export function sdkToLegacyEvent(event: unknown): unknown {
  const streamResponse = sdk.StreamResponse.fromJSON(event);
  return JSON.parse(new V03PushNotificationSerializer().serialize(streamResponse).body as string);
}

/** What the SDK understands of an event of 0.3. */
export function sdkToCoreEvent(event: unknown): unknown {
  return toJson("StreamResponse", legacyPushNotificationToV1StreamResponse(event));
}

/** Which method and request of the core a call of 0.3 is to the SDK's server. */
export async function sdkToCoreRequest(method: string, params: unknown): Promise<unknown> {
  let seen: unknown;
  const record = (name: string) => (request: unknown) => {
    seen = toJson(name, request);
    throw new Error("seen");
  };
  const handler = {
    sendMessage: record("SendMessageRequest"),
    getTask: record("GetTaskRequest"),
    cancelTask: record("CancelTaskRequest"),
    createTaskPushNotificationConfig: record("TaskPushNotificationConfig"),
    getTaskPushNotificationConfig: record("GetTaskPushNotificationConfigRequest"),
    deleteTaskPushNotificationConfig: record("DeleteTaskPushNotificationConfigRequest"),
    listTaskPushNotificationConfigs: record("ListTaskPushNotificationConfigsRequest"),
  };
  const server = new LegacyJsonRpcTransportHandler(handler as never);
  await server.handle({ jsonrpc: "2.0", id: 1, method, params } as never, {} as never);
  return seen;
}

type Sent = { method: string; params: unknown };

/** What the SDK's 0.3 client sends for a call, and what it makes of the answer. */
export async function throughSdkClient(
  call: (client: LegacyJsonRpcTransport) => Promise<unknown>,
  result: unknown = { kind: "message", messageId: "m", role: "agent", parts: [] },
): Promise<{ sent: Sent; answer: unknown }> {
  let sent: Sent | undefined;
  const client = new LegacyJsonRpcTransport({
    endpoint: "http://sdk.test/",
    fetchImpl: async (_url, init) => {
      const body = JSON.parse(String(init?.body)) as Sent & { id: number };
      sent = { method: body.method, params: body.params };
      return Response.json({ jsonrpc: "2.0", id: body.id, result });
    },
  });
  const answer = await call(client);
  return { sent: sent as Sent, answer };
}

/** The same over HTTP+JSON: the body that the client sends for a call, and what it makes of the answer. */
export async function throughSdkRestClient(
  call: (client: LegacyRestTransport) => Promise<unknown>,
  answer: unknown = { message: { messageId: "m", role: "ROLE_AGENT", content: [{ text: "" }] } },
): Promise<{ sent: unknown; answer: unknown }> {
  let sent: unknown;
  const client = new LegacyRestTransport({
    endpoint: "http://sdk.test",
    fetchImpl: async (_url, init) => {
      if (init?.body) sent = JSON.parse(String(init.body));
      return Response.json(answer);
    },
  });
  return { answer: await call(client), sent };
}
