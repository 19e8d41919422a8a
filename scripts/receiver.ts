// `npm run receiver`: a receiver of push notifications to try webhooks with. It verifies each with `src/verify`,
// prints it on a few lines, and can be told to answer badly.
//
// It is what docs/receivers/receiver.ts is too, with options: not to be copied, but to be watched.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { parseDelivery } from "../src/verify/index.ts";
import { closeOnSignal, command, Refusal } from "./command.ts";
import { describeReceipt } from "./receipt.ts";
import { type Checks, createChecks, type Verdict } from "./receiver-checks.ts";

const USAGE = `Usage: npm run receiver [-- OPTIONS]

  --secret TEXT   expect v1 signatures with this secret of a config; may be given several times
  --token TEXT    expect this token of a config
  --jwks URL      verify v1a signatures with these keys; "off": do not
                  (default http://127.0.0.1:8787/.well-known/jwks.json)
  --fail N        answer the first N notifications with 500, or with what --status says
  --status CODE   answer with this status
  --slow MS       wait so long before each answer

PORT (default 8788) is where it listens; 0 lets the system choose.`;

const HOST = "127.0.0.1";
const DEFAULT_JWKS = "http://127.0.0.1:8787/.well-known/jwks.json";
/** More than any task may hold. */
const MAX_BODY_BYTES = 33_554_432;

type Options = {
  port: number;
  secrets: string[];
  token: string | undefined;
  jwksUrl: string | undefined;
  fail: number;
  status: number | undefined;
  slowMs: number;
};

command(async () => {
  const options = readOptions();
  if (options === undefined) return console.log(USAGE);
  const server = createServer();
  const url = `http://${HOST}:${await listen(server, options.port)}`;
  const checks = createChecks({ ...options, url });
  const receive = createReceive(options, checks, url);
  server.on("request", (request, response) => {
    // Somebody who leaves in the middle is no reason to end.
    receive(request, response).catch((error: unknown) => {
      console.error(`A request broke: ${error}`);
      if (!response.headersSent) answer(response, 500, "");
    });
  });
  closeOnSignal(async () => {
    server.closeAllConnections();
    server.close();
  });
  console.log(
    `Ready on ${url}\n\nTry it, while npm start runs:\n\n${example(options, checks, url)}\n\nStop with Ctrl-C.\n`,
  );
});

/** Resolves with the port. */
async function listen(server: Server, port: number): Promise<number> {
  try {
    await new Promise<void>((settle, fail) => server.once("error", fail).listen(port, HOST, settle));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new Refusal(
      code === "EADDRINUSE"
        ? `Port ${port} on ${HOST} is in use. Stop what listens there, or choose another port with PORT.`
        : `Port ${port} on ${HOST} cannot be used: ${code}.`,
    );
  }
  return (server.address() as AddressInfo).port;
}

function createReceive({ fail, status, slowMs }: Options, { check }: Checks, url: string) {
  /** Those that were answered well. A real receiver remembers them in its database, with what they did. */
  const handled = new Set<string>();
  let count = 0;

  return async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const target = URL.parse(request.url ?? "/", url);
    if (target === null) return answer(response, 400, "no URL");
    const { pathname, searchParams } = target;
    const challenge = searchParams.get("challenge");
    if (request.method === "GET" && pathname.endsWith("/validate") && challenge !== null) {
      console.log("Asked to echo a challenge: done.\n");
      return answer(response, 200, challenge);
    }
    if (request.method !== "POST") return answer(response, 405, "POST notifications here.");
    const body = await readBody(request);
    if (body === undefined) return answer(response, 413, "too large");

    count += 1;
    const verdict = await check({ headers: request.headers, body });
    const delivery = parseDelivery({ headers: request.headers, body });
    const isDuplicate = verdict.ok && handled.has(verdict.value.id);
    const isBad = fail > 0 ? count <= fail : status !== undefined;
    const code = isBad ? (status ?? 500) : statusOf(verdict);
    console.log(describeReceipt({ headers: request.headers, verdict, delivery, isDuplicate, code }));
    if (verdict.ok && code >= 200 && code < 300) handled.add(verdict.value.id);
    if (slowMs > 0) await sleep(slowMs);
    return answer(response, code, verdict.ok ? "" : verdict.error.reason);
  };
}

/** 503 asks to be tried again: the keys may be there then. */
function statusOf(verdict: Verdict): number {
  if (verdict.ok) return 200;
  return verdict.error.reason === "jwks_unavailable" ? 503 : 401;
}

async function readBody(request: IncomingMessage): Promise<Uint8Array | undefined> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.byteLength;
    if (size > MAX_BODY_BYTES) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function answer(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { "content-type": "text/plain; charset=utf-8" });
  response.end(status === 204 || status === 304 ? undefined : text);
}

/** A long task whose client does not wait. */
function example({ jwksUrl = DEFAULT_JWKS }: Options, { example }: Checks, url: string): string {
  const body = {
    jsonrpc: "2.0",
    id: 1,
    method: "SendMessage",
    params: {
      message: { messageId: "1", role: "ROLE_USER", parts: [{ text: "Run a job of 3 steps" }] },
      configuration: {
        returnImmediately: true,
        taskPushNotificationConfig: { url: `${url}/hook`, ...example },
      },
    },
  };
  const text = JSON.stringify(body).replaceAll("'", "'\\''");
  return `curl ${new URL(jwksUrl).origin}/long-running -H 'Content-Type: application/json' -d '${text}'`;
}

function readOptions(): Options | undefined {
  const text = { type: "string" } as const;
  const many = { ...text, multiple: true } as const;
  const known = { secret: many, token: text, jwks: text, fail: text, status: text, slow: text } as const;
  try {
    const { values } = parseArgs({ options: { ...known, help: { type: "boolean", short: "h" } } });
    if (values.help) return undefined;
    const jwks = values.jwks ?? DEFAULT_JWKS;
    if (jwks !== "off" && !/^https?:$/.test(URL.parse(jwks)?.protocol ?? "")) {
      throw new Error('--jwks must be a URL or "off".');
    }
    if (values.token === "") throw new Error("--token must not be empty.");
    const status = values.status === undefined ? undefined : whole("--status", values.status, 200, 599);
    return {
      port: whole("PORT", process.env.PORT || "8788", 0, 65_535),
      secrets: values.secret ?? [],
      token: values.token,
      jwksUrl: jwks === "off" ? undefined : jwks,
      fail: whole("--fail", values.fail ?? "0", 0, 1_000_000_000),
      status,
      slowMs: whole("--slow", values.slow ?? "0", 0, 3_600_000),
    };
  } catch (error) {
    throw new Refusal(`${(error as Error).message}\n\n${USAGE}`);
  }
}

function whole(name: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (/^\d{1,12}$/.test(text) && value >= min && value <= max) return value;
  throw new Error(`${name} must be a whole number from ${min} to ${max}.`);
}
