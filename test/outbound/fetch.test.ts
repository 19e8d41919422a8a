import { afterEach, describe, expect, it, vi } from "vitest";
import { createOutbound, type OutboundOptions, type OutboundRequest } from "../../src/outbound/fetch.ts";
import { createResolver } from "../../src/outbound/resolve.ts";
import { INNER_ADDRESSES, IPV4_BLOCKS, IPV6_BLOCKS } from "./address-vectors.ts";
import { createDohServer, DOH_URL, type Zone } from "./doh.ts";
import { IPV4_HOSTS, IPV6_HOSTS, SPECIAL_HOSTS } from "./url-vectors.ts";

const GUARDED = { allowPrivate: false, ports: [443, 8443], ownHosts: ["agents.example.net"] };
const OPEN = { ...GUARDED, allowPrivate: true };
const URL_ = "https://hooks.example.com/in";

type Call = { url: string; init: RequestInit };

/** A receiver as a `fetch` that counts its calls. */
function createReceiver(
  respond: (call: Call) => Response | Promise<Response> = () => new Response("thanks"),
) {
  const calls: Call[] = [];
  const fetch = (async (url: string, init: RequestInit) => {
    calls.push({ url, init });
    return respond({ url, init });
  }) as unknown as typeof globalThis.fetch;
  return { calls, fetch };
}

const request = (more: Partial<OutboundRequest> = {}): OutboundRequest => ({
  url: URL_,
  method: "POST",
  headers: { "content-type": "application/a2a+json" },
  body: '{"task":{}}',
  timeoutMs: 15_000,
  ...more,
});

/** What leaves through the guard to a receiver, with names from a zone. */
function startGuarded(zone: Zone, respond?: Parameters<typeof createReceiver>[0]) {
  const receiver = createReceiver(respond);
  const dns = createDohServer(zone);
  const clock = { now: 0 };
  const now = () => clock.now;
  const resolve = createResolver({ dohUrl: DOH_URL, fetch: dns.fetch, now });
  const outbound = createOutbound({ policy: GUARDED, resolve, fetch: receiver.fetch, now });
  return { receiver, dns, clock, outbound };
}

function startOpen(respond?: Parameters<typeof createReceiver>[0], more: Partial<OutboundOptions> = {}) {
  const receiver = createReceiver(respond);
  const now = () => Date.now();
  const outbound = createOutbound({ policy: OPEN, resolve: undefined, fetch: receiver.fetch, now, ...more });
  return { receiver, outbound };
}

const HOST = "hooks.example.com";
const PUBLIC: Zone = { [HOST]: { a: ["93.184.216.34"], aaaa: ["2606:4700::1"] } };
const blocked = { ok: false, error: { error: "blocked_destination" } };

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

describe("a request", () => {
  it("is sent once, as it stands, and follows no redirect", async () => {
    const { receiver, outbound } = startGuarded(PUBLIC, () => new Response("moved", { status: 302 }));
    const answer = await outbound.send(request({ url: `${URL_}#part` }));
    expect(answer).toMatchObject({ ok: true, value: { status: 302, text: "moved" } });
    expect(receiver.calls).toHaveLength(1);
    expect(receiver.calls[0]).toMatchObject({
      url: URL_,
      init: {
        method: "POST",
        redirect: "manual",
        body: '{"task":{}}',
        headers: { "content-type": "application/a2a+json" },
      },
    });
  });

  it("may be a GET, and a POST of a form", async () => {
    const { receiver, outbound } = startGuarded(PUBLIC);
    const { body: _none, ...get } = request({
      method: "GET",
      url: `${URL_}/validate?challenge=1`,
      headers: {},
    });
    expect((await outbound.send(get)).ok).toBe(true);
    const headers = { "content-type": "application/x-www-form-urlencoded" };
    expect((await outbound.send(request({ headers, body: "grant_type=client_credentials" }))).ok).toBe(true);
    expect(receiver.calls.map(({ init }) => [init.method, init.body])).toEqual([
      ["GET", undefined],
      ["POST", "grant_type=client_credentials"],
    ]);
  });

  it("goes through the global fetch unless it is told another", async () => {
    const spy = vi.spyOn(globalThis, "fetch").mockImplementation(async () => new Response("hello"));
    const outbound = createOutbound({ policy: OPEN, resolve: undefined, now: () => 0 });
    expect(await outbound.send(request())).toMatchObject({ ok: true, value: { text: "hello" } });
    expect(spy).toHaveBeenCalledOnce();
  });

  it("has an answer with its headers by lower-case name, and how long it took", async () => {
    let now = 500;
    const { outbound } = startOpen(
      () => {
        now += 120;
        return new Response("slow down", { status: 429, headers: { "Retry-After": "7", "X-Thing": "a" } });
      },
      { now: () => now },
    );
    expect(await outbound.send(request())).toEqual({
      ok: true,
      value: {
        status: 429,
        headers: { "content-type": "text/plain;charset=UTF-8", "retry-after": "7", "x-thing": "a" },
        text: "slow down",
        durationMs: 120,
      },
    });
  });
});

describe("the guard", () => {
  it("needs a resolver unless private targets are allowed", () => {
    expect(() => createOutbound({ policy: GUARDED, resolve: undefined, now: () => 0 })).toThrow("resolver");
  });

  it("does not resolve names where private targets are allowed", async () => {
    const resolve = vi.fn();
    const { receiver, outbound } = startOpen(undefined, { resolve });
    expect((await outbound.send(request({ url: "http://127.0.0.1:9/" }))).ok).toBe(true);
    expect(resolve).not.toHaveBeenCalled();
    expect(receiver.calls).toHaveLength(1);
  });

  it("lets nothing out to a URL that breaks a rule, and asks nobody for its name", async () => {
    const { receiver, dns, outbound } = startGuarded(PUBLIC);
    const hosts = [...IPV4_HOSTS, ...IPV6_HOSTS, ...SPECIAL_HOSTS];
    for (const url of [
      ...hosts.map((host) => `https://${host}/`),
      `http://${HOST}/`,
      `https://${HOST}:22/`,
    ]) {
      expect(await outbound.send(request({ url })), url).toMatchObject(blocked);
    }
    expect(receiver.calls).toEqual([]);
    expect(dns.questions).toEqual([]);
  });

  it("lets nothing out to a name with any address that is not public", async () => {
    const inner = [
      ...INNER_ADDRESSES,
      ...[...IPV4_BLOCKS, ...IPV6_BLOCKS].flatMap(([, ...edges]) => edges.slice(0, 2)),
    ];
    for (const address of inner) {
      const family = address.includes(":") ? "aaaa" : "a";
      const { receiver, outbound } = startGuarded({ [HOST]: { [family]: [address] } });
      expect(await outbound.send(request()), address).toMatchObject(blocked);
      expect(receiver.calls, address).toEqual([]);
    }
  });

  it.each<[string, Zone[string]]>([
    ["first of two", { a: ["10.0.0.1", "93.184.216.34"] }],
    ["last of two", { a: ["93.184.216.34", "10.0.0.1"] }],
    ["in the other family", { a: ["93.184.216.34"], aaaa: ["::ffff:10.0.0.1"] }],
    ["in the other family alone", { aaaa: ["fd00::1"] }],
    ["among many", { a: [...Array.from({ length: 40 }, (_, n) => `93.184.216.${n}`), "169.254.169.254"] }],
  ])("refuses mixed answers: private %s", async (_name, entry) => {
    const { receiver, outbound } = startGuarded({ [HOST]: entry });
    expect(await outbound.send(request())).toMatchObject(blocked);
    expect(receiver.calls).toEqual([]);
  });

  it("refuses an alias of a private name, and one with a private address", async () => {
    for (const zone of [
      { [HOST]: { cname: "db.internal" }, "db.internal": { a: ["93.184.216.34"] } },
      { [HOST]: { cname: "localhost" } },
      { [HOST]: { cname: "edge.example.net" }, "edge.example.net": { a: ["192.168.0.1"] } },
    ] as Zone[]) {
      const { receiver, outbound } = startGuarded(zone);
      expect(await outbound.send(request())).toMatchObject(blocked);
      expect(receiver.calls).toEqual([]);
    }
  });

  it("looks again before every request: a name that turns private is refused", async () => {
    for (const ttl of [0, 1, 86_400]) {
      const { receiver, dns, clock, outbound } = startGuarded({ [HOST]: { a: ["93.184.216.34"], ttl } });
      expect((await outbound.send(request())).ok).toBe(true);
      dns.zone[HOST] = { a: ["127.0.0.1"], ttl };
      clock.now += 30_000;
      expect(await outbound.send(request()), `after a TTL of ${ttl} s`).toMatchObject(blocked);
      expect(receiver.calls).toHaveLength(1);
    }
  });

  it("asks each time when the TTL is 0, so that a rebinding name gets no second chance", async () => {
    const { receiver, dns, outbound } = startGuarded({ [HOST]: { a: ["93.184.216.34"], ttl: 0 } });
    await outbound.send(request());
    dns.zone[HOST] = { a: ["127.0.0.1"], ttl: 0 };
    expect(await outbound.send(request())).toMatchObject(blocked);
    dns.zone[HOST] = { a: ["93.184.216.34"], ttl: 0 };
    expect((await outbound.send(request())).ok).toBe(true);
    expect(receiver.calls).toHaveLength(2);
  });

  it("lets nothing out when the name cannot be resolved", async () => {
    const { receiver, outbound } = startGuarded({});
    expect(await outbound.send(request())).toMatchObject({ ok: false, error: { error: "dns_failure" } });
    expect(receiver.calls).toEqual([]);
  });

  it("tells an address in the detail for the log only", async () => {
    const { outbound } = startGuarded({ [HOST]: { a: ["10.1.2.3"] } });
    const { error } = (await outbound.send(request())) as { error: { error: string; detail: string } };
    expect(error.detail).toContain("10.1.2.3");
    expect(error.error).toBe("blocked_destination");
  });
});

describe("an answer's body", () => {
  /** A body that counts what was taken of it. */
  function createBody(chunk: Uint8Array | undefined, chunks: number) {
    const state = { taken: 0, canceled: false };
    const body = new ReadableStream<Uint8Array>(
      {
        pull: (controller) => {
          if (state.taken === chunks) return chunk === undefined ? undefined : controller.close();
          state.taken++;
          if (chunk !== undefined) controller.enqueue(chunk);
        },
        cancel: () => {
          state.canceled = true;
        },
      },
      { highWaterMark: 0 },
    );
    return { body, state };
  }

  async function textOf(
    body: ConstructorParameters<typeof Response>[0],
    keepBytes?: number,
  ): Promise<string> {
    const { outbound } = startOpen(() => new Response(body, { status: 500 }), {
      ...(keepBytes && { keepBytes }),
    });
    const answer = await outbound.send(request());
    if (!answer.ok) throw new Error(answer.error.error);
    return answer.value.text;
  }

  it("is kept up to 4,096 bytes, or as many as were asked for", async () => {
    expect(await textOf("a".repeat(4_096))).toHaveLength(4_096);
    expect(await textOf("a".repeat(10_000))).toBe("a".repeat(4_096));
    expect(await textOf("a".repeat(10_000), 8_192)).toBe("a".repeat(8_192));
    expect(await textOf(null)).toBe("");
  });

  it("is not cut within a character, and may be no UTF-8 at all", async () => {
    expect(await textOf(`a${"ä".repeat(4_000)}`)).toBe(`a${"ä".repeat(2_047)}`);
    expect(await textOf(new Uint8Array([0x61, 0xff, 0x62]))).toBe("a\ufffdb");
  });

  it("is read to its end up to 16 KB, and canceled beyond", async () => {
    const whole = createBody(new Uint8Array(4_096), 4);
    await textOf(whole.body);
    expect(whole.state).toEqual({ taken: 4, canceled: false });
    const long = createBody(new Uint8Array(4_096), 1_000);
    await textOf(long.body);
    expect(long.state.canceled).toBe(true);
    expect(long.state.taken).toBeLessThan(10);
  });

  it("that never ends is left when the time is over, and the status stands", async () => {
    vi.useFakeTimers();
    const stalled = createBody(undefined, 1);
    const { outbound } = startOpen(() => new Response(stalled.body, { status: 503 }));
    const answer = outbound.send(request({ timeoutMs: 15_000 }));
    await vi.advanceTimersByTimeAsync(15_000);
    expect(await answer).toMatchObject({ ok: true, value: { status: 503, text: "", durationMs: 15_000 } });
    expect(stalled.state.canceled).toBe(true);
  });

  it("that comes byte by byte is left when the time is over, with what has come", async () => {
    vi.useFakeTimers();
    let timer: ReturnType<typeof setInterval> | undefined;
    const slow = new ReadableStream<Uint8Array>({
      start: (controller) => {
        timer = setInterval(() => controller.enqueue(new Uint8Array([0x61])), 1_000);
      },
      cancel: () => clearInterval(timer),
    });
    const { outbound } = startOpen(() => new Response(slow, { status: 200 }));
    const answer = outbound.send(request({ timeoutMs: 15_000 }));
    await vi.advanceTimersByTimeAsync(15_500);
    const result = await answer;
    expect(result).toMatchObject({ ok: true, value: { status: 200, durationMs: 15_000 } });
    expect(result.ok && result.value.text).toMatch(/^a{14,15}$/);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("that says its length is read in one go, and is nothing when it is not whole", async () => {
    const headers = { "content-length": "5" };
    const { outbound } = startOpen(() => new Response("whole", { status: 500, headers }));
    expect(await outbound.send(request())).toMatchObject({ ok: true, value: { status: 500, text: "whole" } });
    vi.useFakeTimers();
    for (const body of [
      new ReadableStream(),
      new ReadableStream({ start: (controller) => controller.error("gone") }),
    ]) {
      const { outbound } = startOpen(() => new Response(body, { status: 500, headers }));
      const answer = outbound.send(request({ timeoutMs: 1_000 }));
      await vi.advanceTimersByTimeAsync(1_000);
      expect(await answer).toMatchObject({ ok: true, value: { status: 500, text: "" } });
    }
  });

  it("that says it is longer than it may be, or does not say how much will be read, is read with care", async () => {
    for (const headers of [
      { "content-length": "16385" },
      { "content-length": "20", "content-encoding": "x-packed" },
      // The chunks are what counts (RFC 9112 §6.3).
      { "content-length": "5", "transfer-encoding": "chunked" },
      { "content-length": "0", "transfer-encoding": "chunked" },
      ...["0x5", "-5", "+5", "5.0", "5e0", "", "5, 6"].map((length) => ({ "content-length": length })),
    ]) {
      const endless = createBody(new Uint8Array(4_096), 1_000);
      const { outbound } = startOpen(() => new Response(endless.body, { status: 500, headers }));
      expect((await outbound.send(request())).ok).toBe(true);
      expect(endless.state.canceled).toBe(true);
      expect(endless.state.taken).toBeLessThan(10);
    }
  });

  it("that says it is empty is not read", async () => {
    const endless = createBody(new Uint8Array(4_096), 1_000);
    const { outbound } = startOpen(() => new Response(endless.body, { headers: { "content-length": "0" } }));
    expect(await outbound.send(request())).toMatchObject({ ok: true, value: { status: 200, text: "" } });
    expect(endless.state.taken).toBe(0);
  });

  it("that breaks off leaves the status and what has come", async () => {
    const broken = new ReadableStream({
      start: (controller) => {
        controller.enqueue(new TextEncoder().encode("half"));
      },
      pull: () => Promise.reject(new Error("Network connection lost.")),
    });
    const { outbound } = startOpen(() => new Response(broken, { status: 200 }));
    expect(await outbound.send(request())).toMatchObject({ ok: true, value: { status: 200, text: "half" } });
  });
});

describe("the deadline", () => {
  it("ends a request that gets no answer, whether or not fetch heeds its signal", async () => {
    vi.useFakeTimers();
    for (const heeds of [true, false]) {
      const { receiver, outbound } = startOpen(
        ({ init }) =>
          new Promise((_, fail) => {
            if (heeds) init.signal?.addEventListener("abort", () => fail(new Error("aborted by its signal")));
          }),
      );
      const answer = outbound.send(request({ timeoutMs: 3_000 }));
      await vi.advanceTimersByTimeAsync(3_000);
      expect(await answer).toMatchObject({ ok: false, error: { error: "timeout", durationMs: 3_000 } });
      expect(receiver.calls[0]?.init.signal?.aborted).toBe(true);
    }
  });

  it("cancels the body of an answer that comes too late", async () => {
    vi.useFakeTimers();
    let canceled = false;
    const body = new ReadableStream({
      cancel: () => {
        canceled = true;
      },
    });
    const { outbound } = startOpen(
      () => new Promise((settle) => setTimeout(() => settle(new Response(body)), 5_000)),
    );
    const answer = outbound.send(request({ timeoutMs: 3_000 }));
    await vi.advanceTimersByTimeAsync(6_000);
    expect(await answer).toMatchObject({ error: { error: "timeout" } });
    expect(canceled).toBe(true);
  });

  it("counts the time that resolving takes", async () => {
    vi.useFakeTimers();
    const receiver = createReceiver();
    const outbound = createOutbound({
      policy: GUARDED,
      resolve: () => new Promise(() => {}),
      fetch: receiver.fetch,
      now: () => Date.now(),
    });
    const answer = outbound.send(request({ timeoutMs: 2_000 }));
    await vi.advanceTimersByTimeAsync(2_000);
    expect(await answer).toMatchObject({ ok: false, error: { error: "timeout" } });
    expect(receiver.calls).toEqual([]);
  });

  it("leaves no timer and no listener behind", async () => {
    vi.useFakeTimers();
    const { outbound } = startOpen();
    const { signal } = new AbortController();
    const removed = vi.spyOn(signal, "removeEventListener");
    await outbound.send(request({ signal }));
    expect(vi.getTimerCount()).toBe(0);
    expect(removed).toHaveBeenCalledOnce();
  });
});

describe("the caller's signal", () => {
  const aborted = { ok: false, error: { error: "aborted" } };

  it("that has fired before lets nothing out", async () => {
    const { receiver, outbound } = startOpen();
    expect(await outbound.send(request({ signal: AbortSignal.abort() }))).toMatchObject(aborted);
    expect(receiver.calls).toEqual([]);
  });

  it("that fires while the name is resolved lets nothing out", async () => {
    const receiver = createReceiver();
    const caller = new AbortController();
    const resolve = async () => {
      caller.abort();
      return { ok: true as const, value: ["93.184.216.34"] };
    };
    const outbound = createOutbound({ policy: GUARDED, resolve, fetch: receiver.fetch, now: () => 0 });
    expect(await outbound.send(request({ signal: caller.signal }))).toMatchObject(aborted);
    expect(receiver.calls).toEqual([]);
  });

  it("ends a request under way, and one whose body is being read", async () => {
    for (const respond of [() => new Promise<Response>(() => {}), () => new Response(new ReadableStream())]) {
      const { outbound } = startOpen(respond);
      const caller = new AbortController();
      const answer = outbound.send(request({ signal: caller.signal }));
      setTimeout(() => caller.abort(), 10);
      expect(await answer).toMatchObject(aborted);
    }
  });
});

describe("what fetch throws", () => {
  const reference = "internal error; reference = 4f3ntbh35t1uvctfvg356kki";

  it.each([
    ["Network connection lost.", "https://localhost:9/", "network_error"],
    ["Network connection lost.", "http://receiver:9/", "network_error"],
    [reference, "https://localhost:9/", "tls_error"],
    [reference, "https://127.0.0.1:9/", "tls_error"],
    [reference, "https://[::1]:9/", "tls_error"],
    [reference, "http://receiver.example/", "dns_failure"],
    [reference, "https://receiver.example/", "dns_failure"],
    ["outbound: blocked_destination", "https://receiver.example/", "blocked_destination"],
    ["outbound: dns_failure", "https://receiver.example/", "dns_failure"],
    ["outbound: tls_error", "https://receiver.example/", "tls_error"],
    ["outbound: network_error", "https://receiver.example/", "network_error"],
    ["outbound: something else", "https://receiver.example/", "network_error"],
    ["not outbound: blocked_destination", "https://receiver.example/", "network_error"],
    ["anything", "https://receiver.example/", "network_error"],
  ])("%s from %s is %s", async (message, url, error) => {
    const { outbound } = startOpen(() => Promise.reject(new Error(message)));
    expect(await outbound.send(request({ url }))).toMatchObject({
      ok: false,
      error: { error, detail: message },
    });
  });

  it("is a failure of TLS when the name has just been resolved", async () => {
    const { outbound } = startGuarded(PUBLIC, () => Promise.reject(new Error(reference)));
    expect(await outbound.send(request())).toMatchObject({ ok: false, error: { error: "tls_error" } });
  });

  it("is told without URLs, which may hold credentials", async () => {
    const message = `Fetch API cannot load: ${URL_}?token=secret and so on`;
    const { outbound } = startOpen(() => Promise.reject(new TypeError(message)));
    expect(await outbound.send(request())).toMatchObject({
      error: { error: "network_error", detail: "Fetch API cannot load: (URL) and so on" },
    });
  });

  it("may be no error at all", async () => {
    const { outbound } = startOpen(() => Promise.reject("nothing"));
    expect(await outbound.send(request())).toMatchObject({
      error: { error: "network_error", detail: "nothing" },
    });
  });
});
