// Receivers that a test owns: real servers on the loopback address that keep what they get and answer as the test
// says, well or badly.
//
// Connections are kept open for longer than a test lasts, unless a test closes them: one that ends by itself while
// it is taken for the next request is a failure nobody asked for.

import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer as createHttpServer, type IncomingHttpHeaders, type ServerResponse } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import {
  type AddressInfo,
  connect,
  createServer as createTcpServer,
  type Server,
  type Socket,
} from "node:net";
import type { Certificate } from "./certificates.ts";

/** A request that has come whole. */
export type Received = {
  /** In ms. */
  at: number;
  method: string;
  /** Path and query. */
  url: string;
  headers: IncomingHttpHeaders;
  body: Buffer;
  /** The status it was answered with, once the answer has been handed to the connection. */
  answered?: number;
  /** Answered whole, or the other side has gone. */
  isOver: boolean;
};

/** Answers a request; `count` is 1 for the first one. */
export type Answer = (response: ServerResponse, received: Received, count: number) => void;

export type Receiver = {
  /** Without a slash at its end. */
  origin: string;
  /** A URL at this origin that no other test uses. */
  url: string;
  port: number;
  received: Received[];
  /** How many connections were made. */
  connections(): number;
  /** How many are open. */
  open(): number;
  /** Ends every connection, and takes none any more. */
  close(): Promise<void>;
  /** Takes connections again, at the same port. */
  reopen(): Promise<void>;
};

export const answerWith =
  (status: number, headers: Record<string, string> = {}, body = ""): Answer =>
  (response) =>
    response.writeHead(status, headers).end(body);

/** A receiver that speaks HTTP, over TLS with a certificate. */
export async function startReceiver(
  answer: Answer = answerWith(204),
  certificate?: Certificate,
): Promise<Receiver> {
  const received: Received[] = [];
  const onRequest: Parameters<typeof createHttpServer>[1] = (request, response) => {
    const chunks: Buffer[] = [];
    request.on("error", () => {});
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const { method = "", url = "", headers } = request;
      const body = Buffer.concat(chunks);
      const one: Received = { at: Date.now(), method, url, headers, body, isOver: false };
      response.on("close", () => {
        one.isOver = true;
      });
      response.on("finish", () => {
        one.answered = response.statusCode;
      });
      received.push(one);
      answer(response, one, received.length);
    });
  };
  const server = certificate ? createHttpsServer(certificate, onRequest) : createHttpServer(onRequest);
  server.keepAliveTimeout = 600_000;
  return listen(server, certificate ? "https" : "http", received);
}

/** A receiver that answers by writing whatever it likes, each time it is sent something; nothing is received. */
export function startSocketReceiver(onData: (socket: Socket, data: Buffer) => void): Promise<Receiver> {
  const server = createTcpServer((socket) => {
    socket.on("error", () => {});
    socket.on("data", (data) => onData(socket, data));
  });
  return listen(server, "http", []);
}

/** A port at which connections queue up and are never taken: its process has been stopped, and the queue is full. */
export async function startUnaccepting(): Promise<Receiver> {
  const script = `const server = require("node:net").createServer();
    server.listen({ port: 0, host: "127.0.0.1", backlog: 1 }, () => console.log(server.address().port));`;
  const child = spawn(process.execPath, ["-e", script], { stdio: ["ignore", "pipe", "inherit"] });
  const [line] = (await once(child.stdout, "data")) as [Buffer];
  const port = Number(line);
  child.kill("SIGSTOP");
  const fillers = Array.from({ length: 4 }, () => connect(port, "127.0.0.1").on("error", () => {}));
  const origin = `http://127.0.0.1:${port}`;
  return {
    origin,
    url: `${origin}/`,
    port,
    received: [],
    connections: () => 0,
    open: () => 0,
    async close() {
      for (const filler of fillers) filler.destroy();
      const ended = once(child, "close");
      child.kill("SIGKILL");
      await ended;
    },
    reopen: () => Promise.reject(new Error("it has never been open")),
  };
}

async function listen(server: Server, scheme: "http" | "https", received: Received[]): Promise<Receiver> {
  const sockets = new Set<Socket>();
  let connections = 0;
  server.on("connection", (socket: Socket) => {
    connections += 1;
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
  });
  const start = (port: number) =>
    new Promise<void>((settle, fail) => {
      server.once("error", fail);
      server.listen(port, "127.0.0.1", () => {
        server.off("error", fail);
        settle();
      });
    });
  await start(0);
  const { port } = server.address() as AddressInfo;
  // A certificate is for a name.
  const origin = `${scheme}://${scheme === "https" ? "localhost" : "127.0.0.1"}:${port}`;
  return {
    origin,
    url: `${origin}/${randomUUID()}`,
    port,
    received,
    connections: () => connections,
    open: () => sockets.size,
    close() {
      for (const socket of sockets) socket.destroy();
      return new Promise((settle) => server.close(() => settle()));
    },
    reopen: () => start(port),
  };
}
