// One call over either binding, with answers and errors in one form, for tests of what both must do alike (§5.1).

import type { StreamResponse } from "../../src/protocol/events.ts";
import type { Message } from "../../src/protocol/message.ts";
import { type OperationName, operations } from "../../src/protocol/operations.ts";
import type { SendMessageResponse } from "../../src/protocol/requests.ts";
import type { Task } from "../../src/protocol/task.ts";
import { type Client, type ErrorDetail, type RpcAnswer, readStream, type Stream } from "./client.ts";

export type Binding = "JSON-RPC" | "HTTP+JSON";

export const BINDINGS: readonly Binding[] = ["JSON-RPC", "HTTP+JSON"];

/** What an operation ended in: its result, or what is said about its failure. */
export type Outcome =
  | { result: unknown; status: number }
  | { reason: string; code: number; status: number; details: ErrorDetail[] };

type Params = Record<string, unknown>;

/** The response of a call; `params` are those of the operation, whatever the binding makes of them. */
export function request(
  binding: Binding,
  client: Client,
  name: OperationName,
  params: Params,
  headers: Record<string, string> = {},
): Promise<Response> {
  if (binding === "JSON-RPC") return client.rpc(name, params, headers);
  const [{ verb, path }] = operations[name].rest;
  const rest = { ...params };
  const filled = path.replace(/\{(\w+)\}/g, (_, field: string) => {
    const value = rest[field];
    delete rest[field];
    return encodeURIComponent(String(value));
  });
  if (verb === "POST") {
    const all = { "content-type": "application/a2a+json", ...headers };
    return client.request(filled, { method: verb, headers: all, body: JSON.stringify(rest) });
  }
  const query = new URLSearchParams(Object.entries(rest).map(([field, value]) => [field, String(value)]));
  return client.request(`${filled}?${query}`, { method: verb, headers });
}

export async function call(
  binding: Binding,
  client: Client,
  name: OperationName,
  params: Params,
  headers?: Record<string, string>,
): Promise<Outcome> {
  return toOutcome(binding, await request(binding, client, name, params, headers));
}

export async function toOutcome(binding: Binding, response: Response): Promise<Outcome> {
  const { status } = response;
  const text = await response.text();
  if (binding === "JSON-RPC") {
    const { result, error } = JSON.parse(text) as RpcAnswer;
    if (!error) return { result, status };
    return { reason: reasonOf(error.data), code: error.code, status, details: error.data };
  }
  const body = JSON.parse(text) as { error?: { code: number; details: ErrorDetail[] } };
  if (!body.error) return { result: body, status };
  return { reason: reasonOf(body.error.details), code: body.error.code, status, details: body.error.details };
}

export async function open(
  binding: Binding,
  client: Client,
  name: "SendStreamingMessage" | "SubscribeToTask",
  params: Params,
  headers?: Record<string, string>,
): Promise<Stream> {
  const response = await request(binding, client, name, params, headers);
  const type = response.headers.get("content-type");
  if (type !== "text/event-stream") throw new Error(`${name} answered ${await response.text()}`);
  return readStream(response, (data) => {
    const event = JSON.parse(data) as { result?: StreamResponse; error?: unknown } & StreamResponse;
    if (event.error) throw new Error(`the stream broke: ${data}`);
    return binding === "JSON-RPC" ? (event.result as StreamResponse) : event;
  });
}

/** The operations over one binding, by what a test wants of them: the value, the reason of the failure, the stream. */
export function over(binding: Binding) {
  const ask = (
    client: Client,
    name: OperationName,
    params: object,
    headers?: Record<string, string>,
  ): Promise<Outcome> => call(binding, client, name, params as Params, headers);

  const value = async <T>(...asked: Parameters<typeof ask>): Promise<T> => {
    const outcome = await ask(...asked);
    if ("reason" in outcome) throw new Error(`${asked[1]} answered ${JSON.stringify(outcome)}`);
    return outcome.result as T;
  };

  const reason = async (...asked: Parameters<typeof ask>): Promise<string> => {
    const outcome = await ask(...asked);
    return "reason" in outcome ? outcome.reason : `no failure: ${JSON.stringify(outcome.result)}`;
  };

  const send = (client: Client, message: Message, configuration?: object): Promise<SendMessageResponse> =>
    value(client, "SendMessage", { message, ...(configuration && { configuration }) });

  const sendForTask = async (client: Client, message: Message, configuration?: object): Promise<Task> => {
    const { task } = await send(client, message, configuration);
    if (!task) throw new Error("answered without a task");
    return task;
  };

  return { ask, value, reason, send, sendForTask };
}

function reasonOf(details: ErrorDetail[]): string {
  return details.find((detail) => detail["@type"].endsWith("ErrorInfo"))?.reason ?? "none";
}
