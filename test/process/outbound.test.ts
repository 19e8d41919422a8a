// What leaves the machine: real requests of the real runtime to real servers, with and without the service that
// filters addresses when a connection is made.

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer as createHttpServer, type IncomingMessage, type RequestListener } from "node:http";
import { createServer } from "node:https";
import {
  type AddressInfo,
  createServer as createTcpServer,
  type LookupFunction,
  type Server,
  type Socket,
} from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { convertV4MiniflareOptions, Log, LogLevel, Miniflare } from "miniflare";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { createOutboundService, type OutboundService } from "../../scripts/outbound.ts";
import { root, wrangler } from "../../scripts/project.ts";
import type { Result } from "../../src/lib/result.ts";
import type { OutboundAnswer, OutboundError, OutboundRequest } from "../../src/outbound/fetch.ts";
import { type Authority, type Certificate, createAuthority } from "./certificates.ts";
import type { Sending } from "./outbound-worker.ts";

const COMPATIBILITY_DATE = "2026-10-20";
const HOST = "hooks.example.com";
const DOH_HOST = "doh.example.net";
const PUBLIC_ADDRESS = "93.184.216.34";

let folder: string;
let authority: Authority;
const closing: (() => Promise<unknown> | unknown)[] = [];

beforeAll(async () => {
  authority = createAuthority();
  folder = await mkdtemp(join(tmpdir(), "a2a-edge-outbound-"));
  const config = {
    name: "sender",
    main: join(root, "test/process/outbound-worker.ts"),
    compatibility_date: COMPATIBILITY_DATE,
  };
  await writeFile(join(folder, "wrangler.json"), JSON.stringify(config));
  const args = [
    "deploy",
    "--dry-run",
    "--config",
    join(folder, "wrangler.json"),
    "--outdir",
    join(folder, "out"),
  ];
  const { code, output } = await wrangler(args, "collect");
  expect(code, output).toBe(0);
});

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

afterAll(() => rm(folder, { recursive: true, force: true }));

/** Listens on the loopback address and counts connections; closed after the test. */
async function listen(server: Server): Promise<{ port: number; connections(): number }> {
  let connections = 0;
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    connections++;
    sockets.add(socket);
    socket.on("error", () => {});
  });
  await new Promise<void>((settle) => server.listen(0, "127.0.0.1", settle));
  closing.push(() => {
    for (const socket of sockets) socket.destroy();
    return new Promise((settle) => server.close(settle));
  });
  return { port: (server.address() as AddressInfo).port, connections: () => connections };
}

const listenTls = (certificate: Certificate, onRequest: RequestListener) =>
  listen(createServer(certificate, onRequest));

/** A receiver that keeps what it gets. */
function createReceiver(answer: RequestListener = (_request, response) => response.end("thanks")) {
  const received: { request: IncomingMessage; body: string }[] = [];
  const onRequest: RequestListener = (request, response) => {
    let body = "";
    request.on("data", (chunk) => {
      body += chunk;
    });
    request.on("end", () => {
      received.push({ request, body });
      answer(request, response);
    });
  };
  return { received, onRequest };
}

/** DNS over HTTPS on the loopback address: every name has the addresses of `records`. */
async function startDoh(records: { A?: string[]; AAAA?: string[] }, path = "/dns-query") {
  let questions = 0;
  const server = await listenTls(authority.issue([DOH_HOST]), (request, response) => {
    questions++;
    const { searchParams } = new URL(request.url ?? "", `https://${DOH_HOST}`);
    const type = searchParams.get("type") as "A" | "AAAA";
    const data = records[type] ?? [];
    const number = type === "A" ? 1 : 28;
    const Answer = data.map((address) => ({
      name: searchParams.get("name"),
      type: number,
      TTL: 0,
      data: address,
    }));
    response.end(JSON.stringify({ Status: 0, Answer }));
  });
  return { url: `https://${DOH_HOST}:${server.port}${path}`, questions: () => questions };
}

/** How the system resolves names when a connection is made; the resolver is always at home. */
function lookupAs(addresses: string[]): LookupFunction {
  return (host, options, callback) => {
    const found = (host === DOH_HOST ? ["127.0.0.1"] : addresses).map((address) => ({
      address,
      family: address.includes(":") ? 6 : 4,
    }));
    if (options.all) callback(null, found);
    else callback(null, found[0]?.address ?? "", found[0]?.family);
  };
}

type Sent = Result<OutboundAnswer, OutboundError>;

/** Sends from the Worker, in a runtime of its own. */
async function createSender(service?: OutboundService) {
  const printed: string[] = [];
  const runtime = new Miniflare(
    convertV4MiniflareOptions({
      cf: false,
      telemetry: { enabled: false },
      log: new Log(LogLevel.ERROR),
      handleStructuredLogs: ({ message }) => printed.push(message),
      workers: [
        {
          name: "sender",
          compatibilityDate: COMPATIBILITY_DATE,
          modules: [{ type: "ESModule", path: join(folder, "out/outbound-worker.js") }],
          modulesRoot: join(folder, "out"),
          ...(service && { outboundService: service.name }),
        },
        ...(service ? [service.worker] : []),
      ],
    }),
  );
  closing.push(async () => {
    await runtime.dispose();
    service?.close();
  });
  await runtime.ready;
  return async (sending: Omit<Sending, "request"> & { request: Partial<OutboundRequest> }): Promise<Sent> => {
    const request = { method: "POST", headers: {}, body: "{}", timeoutMs: 5_000, ...sending.request };
    const body = JSON.stringify({ ...sending, request });
    const response = await runtime.dispatchFetch("http://sender/", { method: "POST", body });
    expect(printed).toEqual([]);
    return (await response.json()) as Sent;
  };
}

/** A sender behind the service, for a name that DNS says is public and the connection finds at `connectTo`. */
async function startGuarded(connectTo: string[], doh = { A: [PUBLIC_ADDRESS] }) {
  const { url: dohUrl, questions } = await startDoh(doh);
  const service = createOutboundService({
    dohUrl,
    compatibilityDate: COMPATIBILITY_DATE,
    lookup: lookupAs(connectTo),
    ca: [authority.ca],
  });
  const send = await createSender(service);
  return {
    dohUrl,
    questions,
    send: (request: Partial<OutboundRequest>, ports: number[] = []) =>
      send({ allowPrivate: false, dohUrl, ports: [443, 8443, ...ports], request }),
  };
}

describe("a name that leads elsewhere once it has been checked", () => {
  test.each(["127.0.0.1", "::1", "10.0.0.1", "169.254.169.254", "::ffff:127.0.0.1", "fe80::1%lo", "0.0.0.0"])(
    "is not connected to at %s",
    async (address) => {
      const receiver = createReceiver();
      const listener = await listenTls(authority.issue([HOST]), receiver.onRequest);
      const { send, questions } = await startGuarded([address]);
      const sent = await send({ url: `https://${HOST}:${listener.port}/in` }, [listener.port]);
      expect(sent).toMatchObject({ ok: false, error: { error: "blocked_destination" } });
      // The Worker's own check had let it through.
      expect(questions()).toBe(2);
      expect(listener.connections()).toBe(0);
    },
  );

  test("is not connected to when one of its addresses is public", async () => {
    const receiver = createReceiver();
    const listener = await listenTls(authority.issue([HOST]), receiver.onRequest);
    for (const addresses of [
      [PUBLIC_ADDRESS, "127.0.0.1"],
      ["127.0.0.1", PUBLIC_ADDRESS],
    ]) {
      const { send } = await startGuarded(addresses);
      const sent = await send({ url: `https://${HOST}:${listener.port}/in` }, [listener.port]);
      expect(sent).toMatchObject({ ok: false, error: { error: "blocked_destination" } });
    }
    expect(listener.connections()).toBe(0);
  });

  test("reaches the listener without the service: so this is what keeps it away", async () => {
    const receiver = createReceiver();
    const listener = await listen(createHttpServer(receiver.onRequest));
    const send = await createSender();
    const url = `http://localhost:${listener.port}/in`;
    const sent = await send({
      allowPrivate: true,
      dohUrl: "https://doh.invalid/",
      ports: [],
      request: { url },
    });
    expect(sent).toMatchObject({ ok: true, value: { status: 200 } });
    expect(receiver.received).toHaveLength(1);
  });
});

describe("the filter at the connection", () => {
  /** The Worker's own guard is open here, so that the service alone decides. */
  async function sendPastTheGuard(url: string, connectTo = "127.0.0.1"): Promise<Sent> {
    const lookup = lookupAs([connectTo]);
    const dohUrl = `https://${DOH_HOST}/dns-query`;
    const service = createOutboundService({ dohUrl, compatibilityDate: COMPATIBILITY_DATE, lookup });
    const send = await createSender(service);
    return send({ allowPrivate: true, dohUrl, ports: [], request: { url } });
  }

  test.each(["http://127.0.0.1", "https://127.0.0.1", "https://[::1]", "https://2130706433", "http://localhost", "https://localhost"])(
    "refuses %s",
    async (origin) => {
      const listener = await listen(createHttpServer(createReceiver().onRequest));
      const sent = await sendPastTheGuard(`${origin}:${listener.port}/`);
      expect(sent).toMatchObject({ ok: false, error: { error: "blocked_destination" } });
      expect(listener.connections()).toBe(0);
    },
  );

  test("lets the resolver be asked at home, and nothing else of its host", async () => {
    const { send, dohUrl } = await startGuarded(["127.0.0.1"]);
    const other = new URL(dohUrl);
    other.pathname = "/admin";
    // The connection to the resolver is kept, and is not used for this.
    const sent = await send({ url: other.href }, [Number(other.port)]);
    expect(sent).toMatchObject({ ok: false, error: { error: "blocked_destination" } });
  });

  test("says that a name does not resolve", async () => {
    const service = createOutboundService({
      dohUrl: `https://${DOH_HOST}/dns-query`,
      compatibilityDate: COMPATIBILITY_DATE,
      lookup: (_host, _options, callback) => {
        callback(Object.assign(new Error("getaddrinfo ENOTFOUND"), { code: "ENOTFOUND" }), "");
      },
    });
    const send = await createSender(service);
    const request = { url: `https://${HOST}/` };
    const sent = await send({ allowPrivate: true, dohUrl: "https://doh.invalid/", ports: [], request });
    expect(sent).toMatchObject({ ok: false, error: { error: "dns_failure" } });
  });
});

describe("a request through the service", () => {
  /** Sends to a server on this machine, which only the resolver's own URL may be: so the server is that. */
  async function startAllowed(listener: { port: number }, path = "/in") {
    const url = `https://${HOST}:${listener.port}${path}`;
    const lookup = lookupAs(["127.0.0.1"]);
    const ca = [authority.ca];
    const service = createOutboundService({ dohUrl: url, compatibilityDate: COMPATIBILITY_DATE, lookup, ca });
    const send = await createSender(service);
    return (request: Partial<OutboundRequest> = {}, more: Partial<Sending> = {}) =>
      send({ allowPrivate: true, dohUrl: url, ports: [], ...more, request: { url, ...request } });
  }

  test("arrives as it was sent, with a length and nothing added", async () => {
    const receiver = createReceiver((_request, response) => {
      response.writeHead(202, { "X-Kept": "yes" }).end("thanks");
    });
    const listener = await listenTls(authority.issue([HOST]), receiver.onRequest);
    const send = await startAllowed(listener);
    const headers = { "content-type": "application/a2a+json", "webhook-id": "msg_1", authorization: "Bearer x" };
    const body = JSON.stringify({ text: "ä".repeat(50_000) });
    const url = `https://${HOST}:${listener.port}/in?a=1&b=%20`;
    expect(await send({ url, headers, body })).toMatchObject({
      ok: true,
      value: { status: 202, text: "thanks", headers: { "x-kept": "yes" } },
    });
    const [{ request, body: arrived } = { request: undefined, body: "" }] = receiver.received;
    expect(arrived).toBe(body);
    expect(request?.method).toBe("POST");
    expect(request?.url).toBe("/in?a=1&b=%20");
    expect(request?.headers).toEqual({
      ...headers,
      host: `${HOST}:${listener.port}`,
      "content-length": String(Buffer.byteLength(body)),
      connection: "keep-alive",
    });
  });

  test("may be a GET, and connections are used again", async () => {
    const receiver = createReceiver();
    const listener = await listenTls(authority.issue([HOST]), receiver.onRequest);
    const send = await startAllowed(listener);
    for (let round = 0; round < 3; round++) expect((await send({ method: "GET" })).ok).toBe(false);
    const sent = { allowPrivate: true, ports: [] };
    expect(sent).toBeDefined();
    expect(listener.connections()).toBe(1);
  });
});
