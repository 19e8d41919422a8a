// What leaves the machine: real requests of the real runtime to real servers, with and without the service that
// filters addresses when a connection is made.

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer as createHttpServer, type IncomingMessage, type RequestListener } from "node:http";
import { createServer } from "node:https";
import { type AddressInfo, createServer as createTcpServer, isIP, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer as createTlsServer } from "node:tls";
import { gzipSync } from "node:zlib";
import { convertV4MiniflareOptions, Log, LogLevel, Miniflare } from "miniflare";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { ensureSecrets } from "../../scripts/local-secrets.ts";
import { serve } from "../../scripts/local-server.ts";
import type { FindAddresses } from "../../scripts/names.ts";
import { createOutboundService, type OutboundService } from "../../scripts/outbound.ts";
import { root, wrangler } from "../../scripts/project.ts";
import type { Result } from "../../src/lib/result.ts";
import type { OutboundAnswer, OutboundError, OutboundRequest } from "../../src/outbound/fetch.ts";
import { type Authority, type Certificate, createAuthority } from "./certificates.ts";
import { call, type Task } from "./client.ts";
import type { Sending } from "./outbound-worker.ts";
import { createStateDir, removeStateDir } from "./server.ts";

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
    request.setEncoding("utf8");
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

/** How names are resolved when a connection is made; the resolver is always at home. */
function leadTo(addresses: string[]): FindAddresses {
  return async (host) =>
    (host === DOH_HOST ? ["127.0.0.1"] : addresses).map((address) => ({ address, family: isIP(address) }));
}

/** A receiver that answers every request with these bytes, whatever they are, and ends. */
function listenRaw(answer: string) {
  const server = createTlsServer(authority.issue([HOST]), (socket) => {
    socket.on("error", () => {});
    socket.once("data", () => socket.end(answer));
  });
  return listen(server);
}

const hello: RequestListener = (_request, response) => {
  response.end("hello");
};

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
    const kind = sending.request.method === "GET" ? {} : { method: "POST", body: "{}" };
    const request = { headers: {}, timeoutMs: 5_000, ...kind, ...sending.request };
    const body = JSON.stringify({ ...sending, request });
    const response = await runtime.dispatchFetch("http://sender/", { method: "POST", body });
    // The runtime itself prints what it makes of a failed handshake; a refusal of the service is no such thing.
    if (service !== undefined) expect(printed).toEqual([]);
    return (await response.json()) as Sent;
  };
}

/** A sender behind the service, for a name that DNS says is public and the connection finds at `connectTo`. */
async function startGuarded(connectTo: string[], doh = { A: [PUBLIC_ADDRESS] }) {
  const { url: dohUrl, questions } = await startDoh(doh);
  const service = createOutboundService({
    dohUrl,
    compatibilityDate: COMPATIBILITY_DATE,
    findAddresses: leadTo(connectTo),
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
    const findAddresses = leadTo([connectTo]);
    const dohUrl = `https://${DOH_HOST}/dns-query`;
    const service = createOutboundService({ dohUrl, compatibilityDate: COMPATIBILITY_DATE, findAddresses });
    const send = await createSender(service);
    return send({ allowPrivate: true, dohUrl, ports: [], request: { url } });
  }

  test.each([
    "http://127.0.0.1",
    "https://127.0.0.1",
    "https://[::1]",
    "https://2130706433",
    "http://localhost",
    "https://localhost",
  ])("refuses %s", async (origin) => {
    const listener = await listen(createHttpServer(createReceiver().onRequest));
    const sent = await sendPastTheGuard(`${origin}:${listener.port}/`);
    expect(sent).toMatchObject({ ok: false, error: { error: "blocked_destination" } });
    expect(listener.connections()).toBe(0);
  });

  test("lets the resolver be asked at home, and nothing else of its host", async () => {
    const { send, dohUrl } = await startGuarded(["127.0.0.1"]);
    const other = new URL(dohUrl);
    other.pathname = "/admin";
    // The connection to the resolver is kept, and is not used for this.
    const sent = await send({ url: other.href }, [Number(other.port)]);
    expect(sent).toMatchObject({ ok: false, error: { error: "blocked_destination" } });
  });

  test.each<[string, FindAddresses]>([
    ["does not resolve", () => Promise.reject(new Error("queryA ESERVFAIL"))],
    ["has no address", async () => []],
  ])("says that a name %s", async (_name, findAddresses) => {
    const service = createOutboundService({
      dohUrl: `https://${DOH_HOST}/dns-query`,
      compatibilityDate: COMPATIBILITY_DATE,
      findAddresses,
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
    const service = createOutboundService({
      dohUrl: url,
      compatibilityDate: COMPATIBILITY_DATE,
      findAddresses: leadTo(["127.0.0.1"]),
      ca: [authority.ca],
    });
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
    const headers = {
      "content-type": "application/a2a+json",
      "webhook-id": "msg_1",
      authorization: "Bearer x",
    };
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
    for (let round = 0; round < 3; round++) {
      expect(await send({ method: "GET" })).toMatchObject({
        ok: true,
        value: { status: 200, text: "thanks" },
      });
    }
    expect(receiver.received.map(({ request }) => request.method)).toEqual(["GET", "GET", "GET"]);
    expect(receiver.received[0]?.request.headers["content-length"]).toBeUndefined();
    expect(listener.connections()).toBe(1);
  });

  test("leaves nothing behind at a connection that is used again", async () => {
    const warnings: string[] = [];
    const warn = ({ message }: Error) => warnings.push(message);
    process.on("warning", warn);
    closing.push(() => process.off("warning", warn));
    const listener = await listenTls(authority.issue([HOST]), createReceiver().onRequest);
    const send = await startAllowed(listener);
    // Node warns of the eleventh listener for one event.
    for (let round = 0; round < 12; round++) expect((await send()).ok).toBe(true);
    expect(listener.connections()).toBe(1);
    expect(warnings).toEqual([]);
  });

  test("follows no redirect, and understands a compressed answer", async () => {
    const receiver = createReceiver((_request, response) => {
      const headers = { location: `https://${HOST}/elsewhere`, "content-encoding": "gzip" };
      response.writeHead(307, headers).end(gzipSync("moved"));
    });
    const listener = await listenTls(authority.issue([HOST]), receiver.onRequest);
    const send = await startAllowed(listener);
    expect(await send()).toMatchObject({
      ok: true,
      value: { status: 307, text: "moved", headers: { location: `https://${HOST}/elsewhere` } },
    });
    expect(receiver.received).toHaveLength(1);
  });

  test("is not refused because the receiver says so", async () => {
    const receiver = createReceiver((_request, response) => {
      response.writeHead(502, { "a2a-edge-outbound-failure": "blocked_destination" }).end("mine");
    });
    const listener = await listenTls(authority.issue([HOST]), receiver.onRequest);
    const send = await startAllowed(listener);
    const sent = await send();
    expect(sent).toMatchObject({ ok: true, value: { status: 502, text: "mine" } });
    expect(sent.ok && Object.keys(sent.value.headers)).not.toContain("a2a-edge-outbound-failure");
  });

  test("may take longer to be answered than an idle connection is kept", async () => {
    const receiver = createReceiver((_request, response) => {
      setTimeout(() => response.end("at last"), 4_500);
    });
    const listener = await listenTls(authority.issue([HOST]), receiver.onRequest);
    const send = await startAllowed(listener);
    expect(await send({ timeoutMs: 10_000 })).toMatchObject({ ok: true, value: { text: "at last" } });
  });

  /** A receiver that says when the request it got has lost its connection. */
  function createLeft(answer: RequestListener) {
    let left = 0;
    const receiver = createReceiver((request, response) => {
      response.on("close", () => left++);
      answer(request, response);
    });
    return { receiver, left: () => left };
  }

  test.each<[string, RequestListener, object]>([
    ["never answers", () => {}, { ok: false, error: { error: "timeout" } }],
    [
      "never ends its answer",
      (_, response) => response.write("begun"),
      { ok: true, value: { text: "begun" } },
    ],
    [
      "answers one byte at a time",
      (_, response) => {
        const timer = setInterval(() => response.write("a"), 100);
        response.on("close", () => clearInterval(timer));
      },
      { ok: true, value: { status: 200, text: expect.stringMatching(/^a{5,10}$/) } },
    ],
  ])("to a receiver that %s is over in time, and its connection closed", async (_name, answer, expected) => {
    const { receiver, left } = createLeft(answer);
    const listener = await listenTls(authority.issue([HOST]), receiver.onRequest);
    const send = await startAllowed(listener);
    const sent = await send({ timeoutMs: 1_000 });
    expect(sent).toMatchObject(expected);
    const { durationMs } = sent.ok ? sent.value : sent.error;
    expect(durationMs).toBeGreaterThanOrEqual(900);
    expect(durationMs).toBeLessThan(2_000);
    await expect.poll(left).toBe(1);
  });

  test("to a receiver that sends without end is over at once, and its connection closed", async () => {
    const { receiver, left } = createLeft((_request, response) => {
      const pour = () => {
        while (response.write("x".repeat(65_536)));
      };
      response.on("drain", pour);
      pour();
    });
    const listener = await listenTls(authority.issue([HOST]), receiver.onRequest);
    const send = await startAllowed(listener);
    const sent = await send();
    expect(sent).toMatchObject({ ok: true, value: { status: 200, text: "x".repeat(4_096) } });
    expect(sent.ok && sent.value.durationMs).toBeLessThan(2_000);
    await expect.poll(left).toBe(1);
  });

  test("that the caller aborts leaves the receiver", async () => {
    const { receiver, left } = createLeft(() => {});
    const listener = await listenTls(authority.issue([HOST]), receiver.onRequest);
    const send = await startAllowed(listener);
    expect(await send({}, { abortAfterMs: 300 })).toMatchObject({ ok: false, error: { error: "aborted" } });
    await expect.poll(left).toBe(1);
  });

  test.each<[string, () => Promise<{ port: number }>, OutboundError["error"]]>([
    [
      "a certificate nobody vouches for",
      () => listenTls(createAuthority().issue([HOST]), hello),
      "tls_error",
    ],
    [
      "a certificate for another name",
      () => listenTls(authority.issue(["other.example.com"]), hello),
      "tls_error",
    ],
    [
      "an expired certificate",
      () => listenTls(authority.issue([HOST], { expired: true }), hello),
      "tls_error",
    ],
    ["no TLS", () => listen(createHttpServer(hello)), "tls_error"],
    [
      "a reset",
      () => listen(createTcpServer((socket) => socket.once("data", () => socket.resetAndDestroy()))),
      "network_error",
    ],
    ["nothing at its port", async () => ({ port: 1 }), "network_error"],
  ])("to a receiver with %s", async (_name, start, error) => {
    const send = await startAllowed(await start());
    expect(await send()).toMatchObject({ ok: false, error: { error } });
  });

  test.each<[string, string]>([
    ["garbage", "garbage\r\n\r\n"],
    ["nothing", ""],
    ["a heading without end", `HTTP/1.1 200 OK\r\nX: ${"a".repeat(200_000)}`],
    ["another protocol", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"],
    ["another protocol that it does not name", "HTTP/1.1 101 No\r\nContent-Length: 0\r\n\r\n"],
    ...["000", "001", "042", "099"].map((status): [string, string] => [
      `the status ${status}`,
      `HTTP/1.1 ${status} No\r\nContent-Length: 0\r\n\r\n`,
    ]),
  ])("that is answered with %s is a failure of the network", async (_name, answer) => {
    const send = await startAllowed(await listenRaw(answer));
    expect(await send()).toMatchObject({ ok: false, error: { error: "network_error" } });
    // The service has survived it.
    expect(await send()).toMatchObject({ ok: false, error: { error: "network_error" } });
  });

  test.each<[string, string, number, string]>([
    ["a body where there is none", "HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\nhello", 204, ""],
    ["more than it announced", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello, you", 200, "hello"],
    ["a second answer", `${"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".repeat(2)}`, 200, ""],
    ["a last word", "HTTP/1.1 500 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nnobye", 500, "no"],
    ["an unknown status", "HTTP/1.1 999 OK\r\nContent-Length: 2\r\n\r\nno", 999, "no"],
  ])("that is answered with %s has its answer", async (_name, answer, status, text) => {
    const send = await startAllowed(await listenRaw(answer));
    for (let round = 0; round < 3; round++) {
      expect(await send()).toMatchObject({ ok: true, value: { status, text } });
    }
  });

  test("whose answer breaks off keeps its status", async () => {
    const send = await startAllowed(await listenRaw("HTTP/1.1 500 Oh\r\nContent-Length: 100\r\n\r\nhalf"));
    expect(await send()).toMatchObject({ ok: true, value: { status: 500, text: "" } });
  });
});

describe("what the runtime itself makes of failures, where no service is in between", () => {
  const open = (request: Partial<OutboundRequest>) => ({
    allowPrivate: true,
    dohUrl: "https://doh.invalid/",
    ports: [],
    request,
  });
  const onReset = () =>
    listen(createTcpServer((socket) => socket.once("data", () => socket.resetAndDestroy())));

  test.each<[string, string, () => Promise<{ port: number }>, OutboundError["error"]]>([
    [
      "a certificate nobody vouches for",
      "https",
      () => listenTls(authority.issue(["localhost"]), hello),
      "tls_error",
    ],
    ["no TLS", "https", () => listen(createHttpServer(hello)), "tls_error"],
    ["a reset", "http", onReset, "network_error"],
    ["a reset in the handshake", "https", onReset, "tls_error"],
    [
      "an end",
      "http",
      () => listen(createTcpServer((socket) => socket.once("data", () => socket.end()))),
      "network_error",
    ],
    [
      "garbage",
      "http",
      () => listen(createTcpServer((socket) => socket.end("garbage\r\n\r\n"))),
      "network_error",
    ],
    ["nothing at its port", "http", async () => ({ port: 1 }), "network_error"],
    ["nothing at its port with TLS", "https", async () => ({ port: 1 }), "network_error"],
    ["no answer", "http", () => listen(createTcpServer(() => {})), "timeout"],
    ["no answer to the handshake", "https", () => listen(createTcpServer(() => {})), "timeout"],
  ])("%s (%s)", async (_name, scheme, start, error) => {
    const send = await createSender();
    const { port } = await start();
    const sent = await send(open({ url: `${scheme}://localhost:${port}/`, timeoutMs: 1_000 }));
    expect(sent).toMatchObject({ ok: false, error: { error } });
  });

  test("an answer in chunks that also has a length is read like any in chunks, and left when it is too long", async () => {
    const chunk = `10000\r\n${"x".repeat(65_536)}\r\n`;
    let closed = false;
    let poured = 0;
    const server = createTcpServer((socket) => {
      socket.on("close", () => {
        closed = true;
      });
      socket.once("data", () => {
        socket.write("HTTP/1.1 500 No\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n");
        const pour = () => {
          while (poured < 400 && socket.write(chunk)) poured++;
          if (poured < 400) poured++;
        };
        socket.on("drain", pour);
        pour();
      });
    });
    const { port } = await listen(server);
    const send = await createSender();
    const sent = await send(open({ url: `http://localhost:${port}/` }));
    expect(sent).toMatchObject({ ok: true, value: { status: 500, text: "x".repeat(4_096) } });
    await expect.poll(() => closed).toBe(true);
    expect(poured).toBeLessThan(400);
  });

  test("a name that does not resolve", async () => {
    const send = await createSender();
    const sent = await send(open({ url: "http://no-such-name.invalid/" }));
    expect(sent).toMatchObject({ ok: false, error: { error: "dns_failure" } });
  });
});

describe("the whole server", () => {
  let stateDir: string;

  beforeAll(async () => {
    stateDir = await createStateDir();
  });

  afterAll(() => removeStateDir(stateDir));

  test("sends no notification to a name that turns private when it is connected to", async () => {
    const receiver = createReceiver();
    const listener = await listenTls(authority.issue([HOST]), receiver.onRequest);
    const doh = await startDoh({ A: [PUBLIC_ADDRESS] });
    const secrets = await ensureSecrets(stateDir, process.env);
    const server = await serve({
      stateDir,
      vars: {
        ...secrets,
        ALLOW_PRIVATE_WEBHOOKS: "false",
        WEBHOOK_PORTS: String(listener.port),
        DOH_URL: doh.url,
      },
      outbound: { findAddresses: leadTo(["127.0.0.1"]), ca: [authority.ca] },
    });
    closing.push(() => server.close());
    const params = {
      message: { messageId: "1", role: "ROLE_USER", parts: [{ text: "hello" }] },
      configuration: { taskPushNotificationConfig: { url: `https://${HOST}:${listener.port}/in` } },
    };
    await call<{ task: Task }>({ url: server.url, method: "SendMessage", params });
    const blocked = async () => {
      const headers = { authorization: `Bearer ${secrets.ADMIN_KEY}` };
      const metrics = await fetch(`${server.url}/metrics`, { headers }).then((response) => response.text());
      return Number(/^a2a_webhook_blocked_total\{reason="blocked_destination"\} (\d+)/m.exec(metrics)?.[1]);
    };
    await expect.poll(blocked, { timeout: 30_000, interval: 250 }).toBeGreaterThan(0);
    expect(doh.questions()).toBeGreaterThanOrEqual(2);
    expect(listener.connections()).toBe(0);
  });
});
