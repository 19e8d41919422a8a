// The official client at this server: found by the card that it would ask for in each of its versions, for an owner.

import { SELF } from "cloudflare:test";
import { SendMessageRequest, type StreamResponse, type Task } from "@a2a-js/sdk";
import {
  type Client,
  ClientFactory,
  type ClientFactoryOptions,
  DefaultAgentCardResolver,
  JsonRpcTransportFactory,
  RestTransportFactory,
} from "@a2a-js/sdk/client";
import { newOwner, ORIGIN } from "./client.ts";
import type { Serve } from "./server.ts";

export const BINDINGS = ["JSONRPC", "HTTP+JSON"] as const;
export type Binding = (typeof BINDINGS)[number];

/** Whom requests are from, and who answers them. */
export type Fetching = { owner?: string; serve?: Serve; headers?: Record<string, string> };

export type Connecting = Fetching & {
  binding: Binding;
  /** "": the one at the root. Default: `conformance`. */
  agent?: string;
  /** Default: 1.0. */
  version?: "1.0" | "0.3";
  clientConfig?: ClientFactoryOptions["clientConfig"];
};

export function fetchAs({
  owner = newOwner(),
  serve = SELF.fetch.bind(SELF),
  headers = {},
}: Fetching): typeof fetch {
  return (input, init) => {
    const request = new Request(input, init);
    request.headers.set("x-dev-owner", owner);
    for (const [name, value] of Object.entries(headers)) request.headers.set(name, value);
    return serve(request);
  };
}

export function factoryFor(
  fetchImpl: typeof fetch,
  { binding, version, clientConfig }: Pick<Partial<Connecting>, "binding" | "version" | "clientConfig">,
): ClientFactory {
  const isLegacy = version === "0.3";
  const options = { fetchImpl, legacyCompat: { enabled: isLegacy } };
  return new ClientFactory({
    transports: [new JsonRpcTransportFactory(options), new RestTransportFactory(options)],
    cardResolver: new DefaultAgentCardResolver({
      ...options,
      fetchImpl: async (input, init) => {
        const card = await fetchImpl(input, init);
        return isLegacy ? asOldClientsRead(card) : card;
      },
    }),
    ...(binding && { preferredTransports: [binding] }),
    ...(clientConfig && { clientConfig }),
  });
}

/** The card of 0.3 as a client reads it that does not know of 1.0. This one would go on to what 1.0 says there. */
async function asOldClientsRead(response: Response): Promise<Response> {
  const { supportedInterfaces: _, ...card } = await response.json<Record<string, unknown>>();
  return Response.json(card);
}

/** A client of 0.3 asks for the card where the first ones did. */
export async function connect(connecting: Connecting): Promise<Client> {
  const { binding, agent = "conformance", version = "1.0" } = connecting;
  const file = version === "0.3" ? "agent.json" : "agent-card.json";
  const factory = factoryFor(fetchAs(connecting), connecting);
  const path = `${agent === "" ? "" : `/${agent}`}/.well-known/${file}`;
  const client = await factory.createFromUrl(ORIGIN, path);
  const { protocolName, protocolVersion } = client.transport;
  if (protocolName !== binding || !protocolVersion.startsWith(version)) {
    throw new Error(`the client speaks ${protocolVersion} over ${protocolName}`);
  }
  return client;
}

export function saying(text: string, message: object = {}, configuration?: object): SendMessageRequest {
  return SendMessageRequest.fromJSON({
    message: { messageId: crypto.randomUUID(), role: "ROLE_USER", parts: [{ text }], ...message },
    ...(configuration && { configuration }),
  });
}

/** The task that a message makes or continues. */
export async function task(client: Client, request: SendMessageRequest): Promise<Task> {
  const answer = await client.sendMessage(request);
  if ("messageId" in answer) throw new Error("a Message came instead of a Task");
  return answer;
}

/** What the events of a stream hold. */
export async function payloadsOf(
  stream: AsyncIterable<StreamResponse>,
): Promise<NonNullable<StreamResponse["payload"]>[]> {
  const payloads = [];
  for await (const { payload } of stream) if (payload) payloads.push(payload);
  return payloads;
}

/** The texts of a task's artifacts. */
export function textsOf({ artifacts }: Task): string[] {
  return artifacts.flatMap(({ parts }) =>
    parts.map(({ content }) => (content?.$case === "text" ? content.value : "")),
  );
}
