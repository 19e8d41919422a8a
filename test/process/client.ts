// A client of the HTTP API over plain fetch, written for servers that die: a cut connection is an answer of
// its own and never an exception to be guessed at.

import { createParser } from "./sse.ts";

/** The members of a StreamResponse that the tests look at. */
export type StreamResponse = {
  task?: Task;
  message?: Message;
  statusUpdate?: { taskId: string; status: TaskStatus };
  artifactUpdate?: { taskId: string; artifact: Artifact; append?: boolean; lastChunk?: boolean };
};
export type Part = { text?: string };
export type Message = { messageId: string; role?: string; parts: Part[] };
export type Artifact = { artifactId: string; parts: Part[] };
export type TaskStatus = { state: string; message?: Message; timestamp?: string };
export type Task = {
  id: string;
  contextId?: string;
  status: TaskStatus;
  artifacts?: Artifact[];
  history?: Message[];
};

/** The connection was refused, reset or cut, or the answer is not complete. */
export class Lost extends Error {
  constructor(request: Request, cause: unknown) {
    super(`${describe(request)} got no whole answer: ${cause}`, { cause });
  }
}

/** The server answered, and the answer is an error. */
export class Refused extends Error {
  readonly code: number;
  constructor(request: Request, code: number, message: string) {
    super(`${describe(request)} was answered with ${code}: ${message}`);
    this.code = code;
  }
}

export type Request = {
  url: string;
  /** The path of the agent; empty for the one at the root. */
  agent?: string;
  method: string;
  params: object;
  headers?: Record<string, string>;
  signal?: AbortSignal;
};

function describe({ agent = "", method, params, headers }: Request): string {
  return [`/${agent}`, method, JSON.stringify(params), JSON.stringify(headers)].join(" ");
}

const TIMEOUT_MS = 60_000;

/** One JSON-RPC call with one answer. */
export async function call<T>(request: Request): Promise<T> {
  const response = await post(request);
  return unwrap<T>(request, await orLost(request, response.json()));
}

/** One JSON-RPC call with a stream of answers; `id` is that of the event. */
export async function* stream(request: Request): AsyncGenerator<{ id: string; result: StreamResponse }> {
  const response = await post(request);
  if (!response.headers.get("content-type")?.startsWith("text/event-stream")) {
    unwrap(request, await orLost(request, response.json()));
    throw new Refused(request, 0, "a plain result instead of a stream");
  }
  const parse = createParser();
  const reader = (response.body as ReadableStream<Uint8Array>).getReader();
  try {
    while (true) {
      const { done, value } = await orLost(request, reader.read());
      if (done) return;
      for (const event of parse(value))
        yield { id: event.id, result: unwrap(request, JSON.parse(event.data)) };
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

async function post(request: Request): Promise<Response> {
  const { url, agent = "", method, params, headers, signal } = request;
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  const response = await orLost(
    request,
    fetch(`${url}/${agent}`, {
      method: "POST",
      headers: { "content-type": "application/json", "a2a-version": "1.0", ...headers },
      body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params }),
      signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
    }),
  );
  if (response.status === 200) return response;
  throw new Refused(request, response.status, await orLost(request, response.text()));
}

async function orLost<T>(request: Request, promise: Promise<T>): Promise<T> {
  try {
    return await promise;
  } catch (error) {
    throw new Lost(request, error);
  }
}

function unwrap<T>(request: Request, envelope: unknown): T {
  const { result, error } = envelope as { result?: T; error?: { code: number; message: string } };
  if (error) throw new Refused(request, error.code, error.message);
  return result as T;
}
