// A client of the whole server for tests: JSON-RPC and HTTP+JSON through the front door, and event streams that
// are read event by event. It knows the forms of answers and nothing of what they should say.

import { env, SELF } from "cloudflare:test";
import type { StreamResponse } from "../../src/protocol/events.ts";
import type { Message } from "../../src/protocol/message.ts";
import type { Part } from "../../src/protocol/part.ts";
import type { ListTasksResponse, SendMessageResponse } from "../../src/protocol/requests.ts";
import type { Task } from "../../src/protocol/task.ts";
import type { HomeObject } from "../../src/tasks/home.ts";

export const ORIGIN = "https://agents.test";

export type ErrorDetail = {
  "@type": string;
  reason?: string;
  domain?: string;
  metadata?: Record<string, string>;
  fieldViolations?: { field: string; description: string }[];
};
export type RpcError = { code: number; message: string; data: ErrorDetail[] };
export type RpcAnswer = { jsonrpc: string; id: unknown; result?: unknown; error?: RpcError };

/** One frame of an event stream; `id` is undefined where the frame had none. */
export type Frame = { id: string | undefined; event: StreamResponse };

export type Stream = {
  /** The next frame; undefined at the end of the stream. */
  next(): Promise<Frame | undefined>;
  /** All frames up to the end. */
  rest(): Promise<Frame[]>;
  /** All frames up to the first one that fits, which is the last of them. */
  until(fits: (event: StreamResponse) => boolean): Promise<Frame[]>;
  leave(): Promise<void>;
};

/** A text, parts, or a message in which a member that is undefined is absent. */
export type Says =
  | string
  | Part[]
  | ({ [Member in keyof Message]?: Message[Member] | undefined } & { says?: string });
export type SendOptions = { configuration?: object; headers?: Record<string, string> };

export type Client = ReturnType<typeof createClient>;

export type ClientOptions = {
  owner?: string;
  /** The agent's path; the root without it. */
  agent?: string;
  headers?: Record<string, string>;
  fetch?: (request: Request) => Promise<Response>;
};

let owners = 0;

/** An owner that no other test of this file has. */
export function newOwner(): string {
  owners += 1;
  return `owner-${owners}`;
}

export function createClient(options: ClientOptions = {}) {
  const { owner = newOwner(), agent, fetch = (request: Request) => SELF.fetch(request) } = options;
  const base = agent === undefined ? ORIGIN : `${ORIGIN}/${agent}`;
  const headers = { "a2a-version": "1.0", "x-dev-owner": owner, ...options.headers };

  const request = (path: string, init: RequestInit = {}): Promise<Response> => {
    const all = { ...headers, ...(init.headers as Record<string, string> | undefined) };
    return fetch(new Request(`${base}${path}`, { ...init, headers: all }));
  };

  const rpc = (method: string, params?: unknown, more: Record<string, string> = {}): Promise<Response> =>
    request("/", {
      method: "POST",
      headers: { "content-type": "application/json", ...more },
      body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, ...(params !== undefined && { params }) }),
    });

  const answer = async (
    method: string,
    params?: unknown,
    more?: Record<string, string>,
  ): Promise<RpcAnswer> => (await rpc(method, params, more)).json<RpcAnswer>();

  const result = async <T>(method: string, params?: unknown, more?: Record<string, string>): Promise<T> => {
    const { result, error } = await answer(method, params, more);
    if (error) throw new Error(`${method} answered ${JSON.stringify(error)}`);
    return result as T;
  };

  const error = async (
    method: string,
    params?: unknown,
    more?: Record<string, string>,
  ): Promise<RpcError> => {
    const { result, error } = await answer(method, params, more);
    if (!error) throw new Error(`${method} answered ${JSON.stringify(result)}`);
    return error;
  };

  const stream = async (method: string, params: unknown, more?: Record<string, string>): Promise<Stream> => {
    const response = await rpc(method, params, more);
    const type = response.headers.get("content-type");
    if (type !== "text/event-stream") throw new Error(`${method} answered ${await response.text()}`);
    return readStream(response, (data) => {
      const { result, error } = JSON.parse(data) as RpcAnswer;
      if (error) throw new Error(`the stream broke: ${JSON.stringify(error)}`);
      return result as StreamResponse;
    });
  };

  const sendParams = (says: Says, { configuration }: SendOptions = {}) => ({
    message: toMessage(says),
    ...(configuration && { configuration }),
  });

  const send = (says: Says, sending?: SendOptions): Promise<SendMessageResponse> =>
    result("SendMessage", sendParams(says, sending), sending?.headers);

  return {
    owner,
    request,
    rpc,
    answer,
    result,
    error,
    stream,
    send,
    /** Sends a message that is answered with a task. */
    async sendForTask(says: Says, sending?: SendOptions): Promise<Task> {
      const { task } = await send(says, sending);
      if (!task) throw new Error("answered without a task");
      return task;
    },
    /** Starts a task and comes back at once. */
    async start(says: Says): Promise<Task> {
      const { task } = await send(says, { configuration: { returnImmediately: true } });
      if (!task) throw new Error("answered without a task");
      return task;
    },
    sendStream: (says: Says, sending?: SendOptions): Promise<Stream> =>
      stream("SendStreamingMessage", sendParams(says, sending), sending?.headers),
    subscribe: (id: string, lastEventId?: string): Promise<Stream> =>
      stream("SubscribeToTask", { id }, lastEventId === undefined ? {} : { "last-event-id": lastEventId }),
    get: (id: string, historyLength?: number): Promise<Task> =>
      result("GetTask", { id, ...(historyLength !== undefined && { historyLength }) }),
    cancel: (id: string): Promise<Task> => result("CancelTask", { id }),
    list: (params: object = {}): Promise<ListTasksResponse> => result("ListTasks", params),
  };
}

/** A user's message. */
export function toMessage(says: Says): Message {
  const base = { messageId: crypto.randomUUID(), role: "ROLE_USER" as const };
  if (typeof says === "string") return { ...base, parts: [{ text: says }] };
  if (Array.isArray(says)) return { ...base, parts: says };
  const { says: text = "", ...rest } = says;
  return { ...base, parts: [{ text }], ...rest } as Message;
}

/** Reads a response's event stream; `parse` turns a frame's data into its event. */
export function readStream(response: Response, parse: (data: string) => StreamResponse): Stream {
  if (!response.body) throw new Error("the answer has no body");
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";

  const next = async (): Promise<Frame | undefined> => {
    for (;;) {
      const end = text.indexOf("\n\n");
      if (end >= 0) {
        const frame = parseFrame(text.slice(0, end), parse);
        text = text.slice(end + 2);
        if (frame) return frame;
        continue;
      }
      const { done, value } = await reader.read();
      if (!done) text += value;
      else if (text === "") return undefined;
      else throw new Error(`the stream ended inside a frame: ${text}`);
    }
  };

  const until = async (fits: (event: StreamResponse) => boolean): Promise<Frame[]> => {
    const frames: Frame[] = [];
    for (let frame = await next(); frame; frame = await next()) {
      frames.push(frame);
      if (fits(frame.event)) return frames;
    }
    throw new Error(`the stream ended before: ${JSON.stringify(frames)}`);
  };

  const rest = async (): Promise<Frame[]> => {
    const frames: Frame[] = [];
    for (let frame = await next(); frame; frame = await next()) frames.push(frame);
    return frames;
  };

  return { next, rest, until, leave: () => reader.cancel() };
}

/** A comment makes no frame. */
function parseFrame(text: string, parse: (data: string) => StreamResponse): Frame | undefined {
  const lines = text.split("\n");
  const field = (name: string) => lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2);
  const data = field("data");
  return data === undefined ? undefined : { id: field("id"), event: parse(data) };
}

/** The home where an owner of open mode keeps its tasks. */
export function homeOf(owner: string, shard = 0): DurableObjectStub<HomeObject> {
  return env.HOMES.get(env.HOMES.idFromName(`open::${owner}/${shard}`));
}

/** The state of a status update, `artifact`, `task` or `message`. */
export function kindOf(event: StreamResponse): string {
  if (event.statusUpdate) return event.statusUpdate.status.state;
  return event.artifactUpdate ? "artifact" : (Object.keys(event)[0] ?? "nothing");
}

/** The text of a message. */
export function textOf(message: Message | undefined): string | undefined {
  return message?.parts.map((part) => part.text ?? "").join("\n");
}

/** Asks again and again until `look` answers something; a test's own time limit ends it. */
export async function eventually<T>(look: () => Promise<T | undefined | false>, pauseMs = 20): Promise<T> {
  for (;;) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    await scheduler.wait(pauseMs);
  }
}
