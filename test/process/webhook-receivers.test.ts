// Receivers that misbehave, each against the same running server: what becomes of every attempt is what
// docs/webhooks.md says, a dead letter explains itself, and nobody else waits.

import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, test } from "vitest";
import { createAuthority } from "./certificates.ts";
import {
  type Answer,
  answerWith,
  type Receiver,
  startReceiver,
  startSocketReceiver,
  startUnaccepting,
} from "./receiver-server.ts";
import { type Stage, startStage } from "./webhook-stage.ts";

const TIMEOUT_MS = 3_000;
const authority = createAuthority();
let stage: Stage;

beforeAll(async () => {
  const vars = { WEBHOOK_RETRY_SECONDS: "0,1,1,1", WEBHOOK_TIMEOUT_SECONDS: String(TIMEOUT_MS / 1_000) };
  stage = await startStage(vars, { ca: authority.ca });
});

afterAll(() => stage.close());

/** Opens a receiver that is closed after all tests. */
const open: Receiver[] = [];
const opened = async (receiver: Promise<Receiver>): Promise<Receiver> => {
  open.push(await receiver);
  return receiver;
};
afterAll(() => Promise.all(open.map((receiver) => receiver.close())));

const receive = (...it: Parameters<typeof startReceiver>) => opened(startReceiver(...it));
/** Receivers that never end an answer: it is the sender who has to leave. */
const unending = new Set<Receiver>();
/** Writes this after each request, and then does what is wanted with the connection. */
const write = (answer: string | Buffer, then: "end" | "reset" = "end") =>
  opened(
    startSocketReceiver((socket) => {
      if (then === "end") socket.end(answer);
      else socket.write(answer, () => socket.resetAndDestroy());
    }),
  );
/** Writes this again and again: as much as the other side takes at once, or one after the other. */
const pour = async (head: string, more: string | Buffer, everyMs = 0) => {
  const receiver = await opened(
    startSocketReceiver((socket) => {
      socket.write(head);
      const timer = setInterval(() => {
        while (!socket.destroyed && socket.write(more) && everyMs === 0);
      }, everyMs);
      socket.on("close", () => clearInterval(timer));
    }),
  );
  unending.add(receiver);
  return receiver;
};

const ok = "HTTP/1.1 200 OK\r\n";
const failing = "HTTP/1.1 500 Oh\r\n";
const bomb = gzipSync(Buffer.alloc(50_000_000, "boom"));
const gzipped = { "content-encoding": "gzip", "content-type": "text/plain" };

/** The first answers are these statuses, the others 204. */
const first =
  (...statuses: number[]): Answer =>
  (response, _received, count) =>
    response.writeHead(statuses[count - 1] ?? 204).end();

/** What became of each attempt: the status, or why there was none. */
type Attempts = (number | string)[];

type Row = [
  name: string,
  start: () => Promise<Receiver>,
  attempts: Attempts,
  /** Of the dead letter; absent: the last attempt delivered it. */
  reason?: string,
];

const rows: Row[] = [
  ["takes it", () => receive(answerWith(204)), [204]],
  ["takes it with a body", () => receive(answerWith(200, {}, "thank you")), [200]],
  ["fails twice and then takes it", () => receive(first(500, 502)), [500, 502, 204]],
  ["is not ready yet", () => receive(first(408, 425, 429)), [408, 425, 429, 204]],
  [
    "fails for good",
    () => receive(answerWith(503)),
    [503, 503, 503, 503],
    "4 attempts failed; the last answered 503",
  ],
  [
    "refuses it",
    () => receive(answerWith(400)),
    [400, 400, 400, 400],
    "4 attempts failed; the last answered 400",
  ],
  [
    "knows nobody",
    () => receive(answerWith(401)),
    [401, 401, 401, 401],
    "4 attempts failed; the last answered 401",
  ],
  [
    "forbids it",
    () => receive(answerWith(403)),
    [403, 403, 403, 403],
    "4 attempts failed; the last answered 403",
  ],
  ["lets it in again", () => receive(first(401, 403)), [401, 403, 204]],

  ["takes it and sends a body without end", () => pour(`${ok}\r\n`, Buffer.alloc(65_536, "x")), [200]],
  [
    "fails with a body without end",
    () => pour(`${failing}\r\n`, Buffer.alloc(65_536, "x")),
    [500, 500],
    "2 attempts failed; the last answered 500",
  ],
  ["takes it and sends one byte a second", () => pour(`${ok}\r\n`, "x", 1_000), [200]],
  [
    "sends its heading one byte a second",
    () => pour(ok, "x", 1_000),
    ["timeout", "timeout"],
    "2 attempts failed; the last was not answered in time",
  ],
  [
    "takes it with a gzip bomb",
    () => receive((response) => response.writeHead(200, gzipped).end(bomb)),
    [200],
  ],
  [
    "fails with a gzip bomb",
    () => receive((response) => response.writeHead(500, gzipped).end(bomb)),
    [500, 500],
    "2 attempts failed; the last answered 500",
  ],

  ["resets before the heading", () => write("", "reset"), ["network_error", "network_error"], unreachable(2)],
  ["resets in the heading", () => write(ok, "reset"), ["network_error", "network_error"], unreachable(2)],
  ["resets after the heading", () => write(`${ok}Content-Length: 9\r\n\r\n`, "reset"), [200]],
  ["ends without an answer", () => write(""), ["network_error", "network_error"], unreachable(2)],
  [
    "ends in its answer",
    () => write(`${failing}Content-Length: 9\r\n\r\nhalf`),
    [500, 500],
    "2 attempts failed; the last answered 500",
  ],
  ["is not there", () => closed(), ["network_error", "network_error"], unreachable(2)],
  [
    "never answers",
    () => pour("", "", 1_000),
    ["timeout", "timeout"],
    "2 attempts failed; the last was not answered in time",
  ],
  [
    "never accepts",
    () => opened(startUnaccepting()),
    ["timeout", "timeout"],
    "2 attempts failed; the last was not answered in time",
  ],

  [
    "speaks another language",
    () => write("220 smtp.example.com ESMTP\r\n"),
    ["network_error", "network_error"],
    unreachable(2),
  ],
  [
    "switches protocols",
    () => write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
    [101, 101],
    "2 attempts failed; the last answered 101",
  ],
  [
    "sends ten thousand interim answers first",
    () => write(`${"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(10_000)}${ok}\r\n`),
    [200],
  ],
  [
    "sends interim answers without end",
    () => pour("", "HTTP/1.1 102 Processing\r\n\r\n".repeat(10), 100),
    ["timeout", "timeout"],
    "2 attempts failed; the last was not answered in time",
  ],
  [
    "sends a megabyte of headers",
    () => write(`${ok}X: ${"x".repeat(1_048_576)}\r\n\r\n`),
    ["network_error", "network_error"],
    unreachable(2),
  ],
  [
    "sends headers without end",
    () => pour(ok, `X: ${"x".repeat(8_000)}\r\n`),
    ["network_error", "network_error"],
    unreachable(2),
  ],

  [
    "has a certificate that is trusted",
    () => receive(answerWith(204), authority.issue(["localhost"])),
    [204],
  ],
  [
    "has a certificate nobody vouches for",
    () => receive(answerWith(204), createAuthority().issue(["localhost"])),
    ["tls_error", "tls_error"],
    untrusted(2),
  ],
  [
    "has a certificate for another name",
    () => receive(answerWith(204), authority.issue(["other.example.com"])),
    ["tls_error", "tls_error"],
    untrusted(2),
  ],
  [
    "has a certificate that has expired",
    () => receive(answerWith(204), authority.issue(["localhost"], { expired: true })),
    ["tls_error", "tls_error"],
    untrusted(2),
  ],
];

function unreachable(count: number): string {
  return `${count} attempts failed; the last could not reach the receiver`;
}

function untrusted(count: number): string {
  return `${count} attempts failed; the last found no trustworthy certificate`;
}

/** A port that nobody listens at. */
async function closed(): Promise<Receiver> {
  const receiver = await startReceiver();
  await receiver.close();
  return receiver;
}

/** Only the end of a task, in so many attempts. */
const ending = (url: string, attempts = 4) => ({
  id: "main",
  url,
  events: ["completed"],
  retry: { delaysSeconds: Array.from({ length: attempts - 1 }, () => 1) },
});

describe.concurrent("a receiver that", () => {
  test.for(rows)("%s", async ([_name, start, attempts, reason], { expect }) => {
    const receiver = await start();
    // Those that never succeed are asked as often as the row says.
    const task = await stage.send("hello", ending(receiver.url, reason === undefined ? 4 : attempts.length));
    const [history, ...others] = await stage.settled(task.id, "main");
    expect(others).toEqual([]);
    expect(history?.attempts.map(({ status, error }) => status ?? error)).toEqual(attempts);
    expect(history?.attempts.map(({ attempt }) => attempt)).toEqual(attempts.map((_, index) => index + 1));
    expect(history?.deadLetter?.reason).toBe(reason);
    for (const { startedAt, plannedAt } of history?.attempts ?? []) {
      expect(Date.parse(startedAt)).toBeGreaterThanOrEqual(Date.parse(plannedAt));
    }
    for (const { durationMs } of history?.attempts ?? []) expect(durationMs).toBeLessThan(TIMEOUT_MS + 2_000);
    if (unending.has(receiver)) await expect.poll(() => receiver.open()).toBe(0);
  });
});
