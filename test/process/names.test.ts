// How the filter of `npm run serve` finds the addresses of a name: by a DNS server that answers, answers wrongly, or does
// not answer at all, and by the hosts file.

import { createSocket } from "node:dgram";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, request } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { createFindByDns } from "../../scripts/names.ts";
import { createOutboundHandler } from "../../scripts/outbound.ts";

const A = 1;
const AAAA = 28;

/** What a name has; `code`: that of a failure; `hangs`: it is never answered. */
type Entry = { a?: number[][]; aaaa?: number[][]; code?: number; hangs?: "A" | "AAAA" | "both" };

let folder: string;
let hostsFile: string;
const closing: (() => Promise<unknown> | unknown)[] = [];
const forever = new AbortController().signal;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "a2a-edge-names-"));
  hostsFile = join(folder, "hosts");
  await writeFile(
    hostsFile,
    "# of this test\n127.0.0.1 localhost\n10.0.0.1\tlisted.example.com Alias.Example.com # home\n::1 localhost\nnone x.example.com\n",
  );
});

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

afterAll(() => rm(folder, { recursive: true, force: true }));

/** A DNS server on the loopback address. */
async function startDns(entryOf: (name: string) => Entry) {
  const questions: string[] = [];
  const socket = createSocket("udp4");
  socket.on("message", (message, from) => {
    const labels: string[] = [];
    let at = 12;
    for (let length = message[at] ?? 0; length > 0; length = message[at] ?? 0) {
      labels.push(message.toString("latin1", at + 1, at + 1 + length));
      at += 1 + length;
    }
    const type = message.readUInt16BE(at + 1);
    const name = labels.join(".");
    questions.push(`${type === A ? "A" : "AAAA"} ${name}`);
    const { a = [], aaaa = [], code = 0, hangs } = entryOf(name);
    if (hangs === "both" || hangs === (type === A ? "A" : "AAAA")) return;
    const found = type === A ? a : type === AAAA ? aaaa : [];
    const head = Buffer.from(message.subarray(0, 12));
    head.writeUInt16BE(0x8180 | code, 2);
    head.writeUInt16BE(found.length, 6);
    head.writeUInt16BE(0, 8);
    head.writeUInt16BE(0, 10);
    const records = found.map((bytes) =>
      Buffer.from([0xc0, 12, 0, type, 0, 1, 0, 0, 0, 60, 0, bytes.length, ...bytes]),
    );
    socket.send(Buffer.concat([head, message.subarray(12, at + 5), ...records]), from.port, from.address);
  });
  await new Promise<void>((settle) => socket.bind(0, "127.0.0.1", settle));
  closing.push(() => new Promise<void>((settle) => socket.close(settle)));
  return { questions, find: createFindByDns({ servers: [`127.0.0.1:${socket.address().port}`], hostsFile }) };
}

const PUBLIC = [93, 184, 216, 34];
const PUBLIC_IPV6 = [0x26, 0x06, ...Array<number>(13).fill(0), 1];

test("all addresses of both families are found, whatever they are", async () => {
  const { find, questions } = await startDns(() => ({ a: [PUBLIC, [10, 0, 0, 1]], aaaa: [PUBLIC_IPV6] }));
  expect(await find("hooks.example.com", forever)).toEqual([
    { address: "93.184.216.34", family: 4 },
    { address: "10.0.0.1", family: 4 },
    { address: "2606::1", family: 6 },
  ]);
  expect(questions.toSorted()).toEqual(["A hooks.example.com", "AAAA hooks.example.com"]);
});

test("a name may have addresses of one family alone", async () => {
  const { find } = await startDns((name) =>
    name.startsWith("four") ? { a: [PUBLIC] } : { aaaa: [PUBLIC_IPV6] },
  );
  expect(await find("four.example.com", forever)).toHaveLength(1);
  expect(await find("six.example.com", forever)).toHaveLength(1);
});

test.each<[string, Entry]>([
  ["has no address", {}],
  ["does not exist", { code: 3 }],
  ["has a server that fails", { a: [PUBLIC], code: 2 }],
])("a name that %s is not found", async (_name, entry) => {
  const { find } = await startDns(() => entry);
  await expect(find("hooks.example.com", forever)).rejects.toThrow();
});

test("a name of which one family is not answered is not found", async () => {
  const { find } = await startDns(() => ({ a: [PUBLIC], hangs: "AAAA" }));
  const startedAt = performance.now();
  await expect(find("hooks.example.com", forever)).rejects.toThrow();
  expect(performance.now() - startedAt).toBeLessThan(10_000);
});

test("the hosts file goes before DNS, in whatever case, and is nobody's domain", async () => {
  const { find, questions } = await startDns(() => ({ a: [PUBLIC] }));
  const listed = [{ address: "10.0.0.1", family: 4 }];
  expect(await find("listed.example.com", forever)).toEqual(listed);
  expect(await find("alias.example.com", forever)).toEqual(listed);
  expect(await find("localhost", forever)).toEqual([
    { address: "127.0.0.1", family: 4 },
    { address: "::1", family: 6 },
  ]);
  expect(questions).toEqual([]);
  for (const name of ["x.example.com", "a.listed.example.com"]) {
    expect(await find(name, forever)).toEqual([{ address: "93.184.216.34", family: 4 }]);
  }
});

test("a lookup ends with its request", async () => {
  const { find, questions } = await startDns(() => ({ hangs: "both" }));
  const request = new AbortController();
  const finding = find("hooks.example.com", request.signal);
  await expect.poll(() => questions).toHaveLength(2);
  const startedAt = performance.now();
  request.abort();
  await expect(finding).rejects.toThrow();
  expect(performance.now() - startedAt).toBeLessThan(500);
  await expect(find("hooks.example.com", request.signal)).rejects.toThrow();
  expect(questions).toHaveLength(2);
});

test("names that are never answered delay no other, and nobody asks for them when their requests are gone", async () => {
  const { find, questions } = await startDns((name) =>
    name.includes("silent") ? { hangs: "both" } : { a: [[127, 0, 0, 1]] },
  );
  const dohUrl = "https://doh.example.net/dns-query";
  const { handle, close } = createOutboundHandler({ dohUrl, findAddresses: find });
  closing.push(close);
  const server = createServer(handle);
  await new Promise<void>((settle) => server.listen(0, "127.0.0.1", settle));
  closing.push(() => new Promise((settle) => server.close(settle)));
  const { port } = server.address() as AddressInfo;
  const send = (host: string) => {
    const headers = { "a2a-edge-outbound-url": `https://${host}/` };
    const sent = request({ agent: false, host: "127.0.0.1", port, headers });
    const answered = new Promise<string>((settle) => {
      sent.on("error", () => settle("gone"));
      sent.on("response", (answer) => {
        answer.resume();
        settle(String(answer.headers["a2a-edge-outbound-failure"]));
      });
    });
    sent.end();
    return { sent, answered };
  };
  const silent = Array.from({ length: 64 }, (_, number) => send(`s${number}.silent.example.com`));
  await expect.poll(() => questions.length).toBeGreaterThanOrEqual(128);
  for (let round = 0; round < 3; round++) {
    const startedAt = performance.now();
    // It leads inside, which is found out when it has been resolved.
    expect(await send(`hooks${round}.example.com`).answered).toBe("blocked_destination");
    expect(performance.now() - startedAt).toBeLessThan(1_000);
  }
  for (const { sent } of silent) sent.destroy();
  expect(new Set(await Promise.all(silent.map(({ answered }) => answered)))).toEqual(new Set(["gone"]));
  // Each would be asked for again after 2 s.
  questions.length = 0;
  await new Promise((settle) => setTimeout(settle, 2_500));
  expect(questions).toEqual([]);
});
