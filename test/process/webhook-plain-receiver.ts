// A receiver as people write it in an afternoon: one request at a time and one a connection, a body that is as long as
// Content-Length says, and an Authorization that is compared as a whole.

import type { Socket } from "node:net";
import { startSocketReceiver } from "./receiver-server.ts";

export type PlainReceiver = {
  url: string;
  bodies: string[];
  /** What it could not make sense of. */
  problems: string[];
  close(): Promise<void>;
};

export async function startPlainReceiver(authorization: string): Promise<PlainReceiver> {
  const bodies: string[] = [];
  const problems: string[] = [];
  const pending = new Map<Socket, Buffer>();
  /** Whose turn it is; the others wait. */
  let serving: Socket | undefined;

  const serve = () => {
    serving ??= pending.keys().next().value;
    if (!serving) return;
    const request = read(pending.get(serving) ?? Buffer.alloc(0));
    if (request === undefined) return;
    pending.delete(serving);
    const status = request.authorization === authorization ? "200 OK" : "401 Unauthorized";
    if (request.authorization !== authorization) problems.push(`Authorization: ${request.authorization}`);
    if (request.problem) problems.push(request.problem);
    bodies.push(request.body);
    serving.end(`HTTP/1.0 ${status}\r\n\r\n`, () => {
      serving = undefined;
      serve();
    });
  };

  const { url, close } = await startSocketReceiver((socket, data) => {
    pending.set(socket, Buffer.concat([pending.get(socket) ?? Buffer.alloc(0), data]));
    serve();
  });
  return { url, bodies, problems, close };
}

/** The request, if it has come as far as its Content-Length says; nothing else tells where a body ends. */
function read(bytes: Buffer): { authorization: string; body: string; problem?: string } | undefined {
  const end = bytes.indexOf("\r\n\r\n");
  if (end < 0) return undefined;
  const [requestLine = "", ...lines] = bytes.subarray(0, end).toString("latin1").split("\r\n");
  const value = (name: string) =>
    lines.find((line) => line.toLowerCase().startsWith(`${name}: `))?.slice(name.length + 2) ?? "";
  const length = Number(value("content-length") || 0);
  const body = bytes.subarray(end + 4);
  if (body.length < length) return undefined;
  const authorization = value("authorization");
  const isOdd = !/^POST \/\S+ HTTP\/1\.1$/.test(requestLine) || body.length > length || length === 0;
  return {
    authorization,
    body: body.subarray(0, length).toString(),
    ...(isOdd && { problem: `${requestLine} with ${body.length} bytes and ${lines}` }),
  };
}
