import { describe, expect, it, vi } from "vitest";
import { createResolver } from "../../src/outbound/resolve.ts";
import { createDohServer, DOH_URL, readQuestion, type Zone } from "./doh.ts";

const HOST = "hooks.example.com";

/** A resolver over a zone, at a time that the test moves. */
function start(zone: Zone) {
  const server = createDohServer(zone);
  const clock = { now: 1_000_000 };
  const resolve = createResolver({ dohUrl: DOH_URL, fetch: server.fetch, now: () => clock.now });
  return { server, clock, resolve };
}

/** A resolver whose server answers with these records, to both questions. */
function startWith(answer: (question: { name: string; type: string }) => unknown) {
  const fetch = async (input: unknown) => Response.json(answer(readQuestion(String(input))));
  return createResolver({ dohUrl: DOH_URL, fetch: fetch as typeof globalThis.fetch, now: () => 0 });
}

const failure = (detail: RegExp) => ({
  ok: false,
  error: { error: "dns_failure", detail: expect.stringMatching(detail) },
});

describe("createResolver", () => {
  it("asks for both families, and tells all addresses, private ones among them", async () => {
    const { server, resolve } = start({
      [HOST]: { a: ["93.184.216.34", "10.0.0.1"], aaaa: ["2606:4700:4700::1111", "::1"] },
    });
    expect(await resolve(HOST)).toEqual({
      ok: true,
      value: ["93.184.216.34", "10.0.0.1", "2606:4700:4700::1111", "::1"],
    });
    expect(server.questions.toSorted()).toEqual([`A ${HOST}`, `AAAA ${HOST}`]);
  });

  it("asks in the JSON form, follows no redirect, and keeps the query of the URL it is told", async () => {
    const fetch = vi.fn(async (_input: RequestInfo | URL, _init?: RequestInit) =>
      Response.json({ Status: 0, Answer: [] }),
    );
    await createResolver({ dohUrl: `${DOH_URL}?key=1`, fetch, now: () => 0 })(HOST);
    expect(fetch.mock.calls.map(([url]) => url)).toEqual([
      `${DOH_URL}?key=1&name=${HOST}&type=A`,
      `${DOH_URL}?key=1&name=${HOST}&type=AAAA`,
    ]);
    for (const [, init] of fetch.mock.calls) {
      expect(init).toMatchObject({ redirect: "manual", headers: { accept: "application/dns-json" } });
    }
  });

  it("tells addresses of one family in the answer for the other: they may be the private ones", async () => {
    const resolve = startWith(({ name, type }) => ({
      Status: 0,
      Answer:
        type === "A"
          ? [
              { name, type: 1, TTL: 60, data: "93.184.216.34" },
              { name, type: 28, TTL: 60, data: "::1" },
            ]
          : [
              { name, type: 1, TTL: 60, data: "93.184.216.34" },
              { name, type: 1, TTL: 60, data: "10.0.0.1" },
            ],
    }));
    expect(await resolve(HOST)).toEqual({ ok: true, value: ["93.184.216.34", "::1", "10.0.0.1"] });
  });

  it("takes a name with addresses of one family", async () => {
    expect(await start({ [HOST]: { a: ["93.184.216.34"] } }).resolve(HOST)).toEqual({
      ok: true,
      value: ["93.184.216.34"],
    });
    expect(await start({ [HOST]: { aaaa: ["2606:4700::1"] } }).resolve(HOST)).toEqual({
      ok: true,
      value: ["2606:4700::1"],
    });
  });

  it("fails when there is no such name, or it has no address", async () => {
    expect(await start({}).resolve(HOST)).toEqual(failure(/code 3/));
    expect(await start({ [HOST]: {} }).resolve(HOST)).toEqual(failure(/no address/));
  });

  it("fails when one family is not answered: what is not known may be private", async () => {
    for (const broken of ["A", "AAAA"]) {
      const resolve = startWith(({ name, type }) =>
        type === broken
          ? { Status: 2 }
          : {
              Status: 0,
              Answer: [
                { name, type: type === "A" ? 1 : 28, TTL: 1, data: type === "A" ? "1.1.1.1" : "2606::1" },
              ],
            },
      );
      expect(await resolve(HOST), broken).toEqual(failure(/code 2/));
    }
  });
});

describe("aliases", () => {
  it("are followed to their addresses, however they spell their names", async () => {
    const { resolve } = start({
      [HOST]: { cname: "Edge.CDN.example.net" },
      "Edge.CDN.example.net": { cname: "lb_1.cdn.example.net" },
      "lb_1.cdn.example.net": { a: ["93.184.216.34"] },
    });
    expect(await resolve(HOST)).toEqual({ ok: true, value: ["93.184.216.34"] });
  });

  it.each([
    "localhost",
    "inner.local",
    "metadata.google.internal",
    "router.home.arpa",
    "db",
    "localhost.localdomain",
    "hidden.onion",
    "127.0.0.1",
    "a..b.com",
  ])("to %s block the destination, also with public addresses", async (target) => {
    const { resolve } = start({
      [HOST]: { cname: "edge.example.net" },
      "edge.example.net": { cname: target },
      [target]: { a: ["93.184.216.34"] },
    });
    expect(await resolve(HOST)).toEqual({
      ok: false,
      error: { error: "blocked_destination", detail: expect.stringContaining(target) },
    });
  });

  it("to a private name block it for one family as well", async () => {
    const resolve = startWith(({ name, type }) => ({
      Status: 0,
      Answer:
        type === "A"
          ? [{ name, type: 1, TTL: 60, data: "93.184.216.34" }]
          : [{ name, type: 5, TTL: 60, data: "inner.local." }],
    }));
    expect(await resolve(HOST)).toMatchObject({ ok: false, error: { error: "blocked_destination" } });
  });

  it("are one for each name: with two of them it is not known where it leads", async () => {
    for (const second of ["inner.local.", "other.example.net.", "edge.example.net."]) {
      const resolve = startWith(({ name, type }) => ({
        Status: 0,
        Answer: [
          { name, type: 5, TTL: 60, data: second },
          { name: `${name}.`.toUpperCase(), type: 5, TTL: 60, data: "edge.example.net." },
          {
            name: "edge.example.net",
            type: type === "A" ? 1 : 28,
            TTL: 60,
            data: type === "A" ? "1.1.1.1" : "2606::1",
          },
        ],
      }));
      expect(await resolve(HOST), second).toEqual(failure(/more than one alias/));
    }
  });

  it("to a name with private addresses show these", async () => {
    const { resolve } = start({
      [HOST]: { cname: "edge.example.net" },
      "edge.example.net": { a: ["10.0.0.1"] },
    });
    expect(await resolve(HOST)).toEqual({ ok: true, value: ["10.0.0.1"] });
  });

  it("that go round, or do not end, are a failure", async () => {
    const round = start({ [HOST]: { cname: "b.example.net" }, "b.example.net": { cname: HOST } });
    expect(await round.resolve(HOST)).toEqual(failure(/do not end/));
    const itself = start({ [HOST]: { cname: HOST } });
    expect(await itself.resolve(HOST)).toEqual(failure(/do not end/));
    const endless = startWith(({ name }) => ({
      Status: 0,
      Answer: Array.from({ length: 40 }, (_, index) => ({
        name: index === 0 ? name : `a${index}.example.net`,
        type: 5,
        TTL: 60,
        data: `a${index + 1}.example.net`,
      })),
    }));
    expect(await endless(HOST)).toEqual(failure(/do not end/));
  });
});

describe("what is remembered", () => {
  const asked = async (ttl: number | undefined, afterMs: number): Promise<boolean> => {
    const { server, clock, resolve } = start({
      [HOST]: { a: ["93.184.216.34"], ...(ttl !== undefined && { ttl }) },
    });
    await resolve(HOST);
    server.questions.length = 0;
    clock.now += afterMs;
    await resolve(HOST);
    return server.questions.length > 0;
  };

  it("is good for the time to live, and for 30 s at most", async () => {
    expect(await asked(10, 9_999)).toBe(false);
    expect(await asked(10, 10_000)).toBe(true);
    expect(await asked(86_400, 29_999)).toBe(false);
    expect(await asked(86_400, 30_000)).toBe(true);
  });

  it("is nothing any more when the clock was put back", async () => {
    expect(await asked(86_400, -1)).toBe(true);
    expect(await asked(10, -3_600_000)).toBe(true);
  });

  it("is nothing when the time to live is 0", async () => {
    expect(await asked(0, 0)).toBe(true);
    expect(await asked(-5, 0)).toBe(true);
  });

  it("ends with the shortest of a chain", async () => {
    const { server, clock, resolve } = start({
      [HOST]: { cname: "b.example.net", ttl: 2 },
      "b.example.net": { a: ["93.184.216.34"], ttl: 300 },
    });
    await resolve(HOST);
    clock.now += 2_000;
    await resolve(HOST);
    expect(server.questions).toHaveLength(4);
  });

  it("is not what failed", async () => {
    const { server, resolve } = start({});
    await resolve(HOST);
    server.zone[HOST] = { a: ["93.184.216.34"] };
    expect(await resolve(HOST)).toMatchObject({ ok: true });
  });

  it("does not grow without bound", async () => {
    const zone: Zone = {};
    for (let number = 0; number <= 1_000; number++) zone[`h${number}.example.com`] = { a: ["93.184.216.34"] };
    const { server, resolve } = start(zone);
    for (const name of Object.keys(zone)) await resolve(name);
    server.questions.length = 0;
    await resolve("h1000.example.com");
    await resolve("h1.example.com");
    expect(server.questions).toEqual([]);
    await resolve("h0.example.com");
    expect(server.questions).toHaveLength(2);
  });

  it("is one lookup for all who ask at once", async () => {
    const { server, resolve } = start({ [HOST]: { a: ["93.184.216.34"], ttl: 0 } });
    const answers = await Promise.all(Array.from({ length: 50 }, () => resolve(HOST)));
    expect(new Set(answers.map((answer) => JSON.stringify(answer))).size).toBe(1);
    expect(server.questions).toHaveLength(2);
    await resolve(HOST);
    expect(server.questions).toHaveLength(4);
  });

  it("follows a name that is pointed elsewhere", async () => {
    const { server, clock, resolve } = start({ [HOST]: { a: ["93.184.216.34"], ttl: 1 } });
    expect(await resolve(HOST)).toEqual({ ok: true, value: ["93.184.216.34"] });
    server.zone[HOST] = { a: ["127.0.0.1"], ttl: 1 };
    clock.now += 1_000;
    expect(await resolve(HOST)).toEqual({ ok: true, value: ["127.0.0.1"] });
  });
});

describe("an answer that is not understood in whole is a failure:", () => {
  const record = { name: HOST, type: 1, TTL: 60, data: "93.184.216.34" };
  const otherFamily = (name: string) => ({ name, type: 28, TTL: 60, data: "2606:4700::1" });

  it.each<[string, unknown]>([
    ["no object", []],
    ["null", null],
    ["a number", 7],
    ["a text", "1.1.1.1"],
    ["no status", { Answer: [record] }],
    ["a status that is no number", { Status: "0", Answer: [record] }],
    ["a server's failure", { Status: 2, Answer: [record] }],
    ["a refusal", { Status: 5 }],
    ["a truncated answer", { Status: 0, TC: true, Answer: [record] }],
    ["a truncated answer that says so by a number", { Status: 0, TC: 1, Answer: [record] }],
    ["a truncated answer that says so by a text", { Status: 0, TC: "true", Answer: [record] }],
    ["a truncated answer that says so in lower case", { Status: 0, tc: true, Answer: [record] }],
    [
      "an address of the other family of another name",
      { Status: 0, Answer: [record, otherFamily("x.example")] },
    ],
    ["records that are no list", { Status: 0, Answer: record }],
    ["records that are a text", { Status: 0, Answer: "93.184.216.34" }],
    ["too many records", { Status: 0, Answer: Array(257).fill(record) }],
    ["a record that is null", { Status: 0, Answer: [record, null] }],
    ["a record that is a text", { Status: 0, Answer: [record, "10.0.0.1"] }],
    ["a record without a name", { Status: 0, Answer: [{ ...record, name: undefined }] }],
    ["a record without a type", { Status: 0, Answer: [{ ...record, type: "1" }] }],
    ["a record without data", { Status: 0, Answer: [{ ...record, data: undefined }] }],
    ["data that is no text", { Status: 0, Answer: [{ ...record, data: 1_572_395_042 }] }],
    ["an address in octal", { Status: 0, Answer: [{ ...record, data: "0135.184.216.34" }] }],
    ["an address as one number", { Status: 0, Answer: [{ ...record, data: "1572395042" }] }],
    ["an address with a zone", { Status: 0, Answer: [{ ...record, type: 28, data: "2606::1%eth0" }] }],
    ["an empty address", { Status: 0, Answer: [{ ...record, data: "" }] }],
    ["a name for an address", { Status: 0, Answer: [{ ...record, data: "localhost" }] }],
    ["IPv6 in a record of IPv4", { Status: 0, Answer: [{ ...record, data: "2606:4700::1" }] }],
    ["IPv4 in a record of IPv6", { Status: 0, Answer: [{ ...record, type: 28 }] }],
    ["an address of another name", { Status: 0, Answer: [{ ...record, name: "other.example.com" }] }],
    [
      "an alias of another name",
      { Status: 0, Answer: [record, { ...record, name: "x.example", type: 5, data: "y.example" }] },
    ],
  ])("%s", async (_name, answer) => {
    expect(await startWith(() => answer)(HOST)).toEqual(failure(/./));
  });

  it("records of other types are passed over, and a missing time to live is none", async () => {
    const signed = { name: HOST, type: 46, TTL: 60, data: "a 8 3 300" };
    const { TTL: _none, ...untimed } = record;
    const questions: string[] = [];
    const resolve = startWith(({ type }) => {
      questions.push(type);
      return { Status: 0, Answer: type === "A" ? [signed, untimed] : [signed] };
    });
    expect(await resolve(HOST)).toEqual({ ok: true, value: ["93.184.216.34"] });
    await resolve(HOST);
    expect(questions).toHaveLength(4);
  });
});

describe("a resolver that", () => {
  const resolveOver = (fetch: () => Promise<Response>) =>
    createResolver({ dohUrl: DOH_URL, fetch: fetch as typeof globalThis.fetch, now: () => 0 })(HOST);

  it("is down is a failure", async () => {
    expect(await resolveOver(() => Promise.reject(new Error("Network connection lost.")))).toEqual(
      failure(/cannot be reached/),
    );
  });

  it.each([204, 301, 302, 400, 404, 429, 500, 503])("answers %i is a failure", async (status) => {
    const body = status === 204 ? null : JSON.stringify({ Status: 0, Answer: [] });
    expect(await resolveOver(async () => new Response(body, { status }))).toEqual(
      failure(new RegExp(`${status}`)),
    );
  });

  it.each(["", "<html>", "{", '{"Status":0', "\u0000"])("answers %j is a failure", async (body) => {
    expect(await resolveOver(async () => new Response(body))).toEqual(failure(/no DNS message/));
  });

  it("answers without end is a failure, and is stopped", async () => {
    let canceled = 0;
    const endless = () =>
      new ReadableStream({
        pull: (controller) => controller.enqueue(new Uint8Array(10_000)),
        cancel: () => {
          canceled++;
        },
      });
    expect(await resolveOver(async () => new Response(endless()))).toEqual(failure(/limit/));
    expect(canceled).toBe(2);
  });

  it("breaks off is a failure", async () => {
    const broken = () =>
      new ReadableStream({
        start: (controller) => {
          controller.enqueue(new TextEncoder().encode('{"Status":0,'));
          controller.error(new Error("gone"));
        },
      });
    expect(await resolveOver(async () => new Response(broken()))).toEqual(failure(/broken/));
  });

  it.each([
    ["never answers", () => new Promise<Response>(() => {})],
    ["never ends its answer", async () => new Response(new ReadableStream())],
  ])("%s is a failure after 5 s", async (_name, fetch) => {
    vi.useFakeTimers();
    try {
      const answer = resolveOver(fetch);
      await vi.advanceTimersByTimeAsync(4_900);
      expect(await Promise.race([answer, "waiting"])).toBe("waiting");
      await vi.advanceTimersByTimeAsync(200);
      expect(await answer).toEqual(failure(/in time|early/));
    } finally {
      vi.useRealTimers();
    }
  });
});
