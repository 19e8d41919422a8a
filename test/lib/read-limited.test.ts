import { describe, expect, it } from "vitest";
import { readLimited as readRequest } from "../../src/lib/read-limited.ts";
import { createTrickle } from "../support/trickle.ts";

/** A body that counts what was taken of it. */
function createBody(chunks: Iterable<Uint8Array>) {
  const left = chunks[Symbol.iterator]();
  const state = { taken: 0, canceled: false };
  const body = new ReadableStream<Uint8Array>(
    {
      pull: (controller) => {
        const next = left.next();
        if (next.done) controller.close();
        else {
          state.taken += next.value.byteLength;
          controller.enqueue(next.value);
        }
      },
      cancel: () => {
        state.canceled = true;
      },
    },
    { highWaterMark: 0 },
  );
  return { body, state };
}

function readLimited(
  body: ReadableStream<Uint8Array> | null,
  contentLength: string | null,
  maxBytes: number,
) {
  const headers = contentLength === null ? {} : { "content-length": contentLength };
  return readRequest(new Request("http://server.test", { method: "POST", body, headers }), maxBytes);
}

const encode = (text: string) => new TextEncoder().encode(text);

describe("readLimited", () => {
  it("returns an absent body as empty text", async () => {
    expect(await readLimited(null, null, 10)).toEqual({ ok: true, value: "" });
  });

  it("takes exactly the limit and not one byte more", async () => {
    expect(await readLimited(createBody([encode("12345")]).body, "5", 5)).toEqual({
      ok: true,
      value: "12345",
    });
    expect(await readLimited(createBody([encode("123456")]).body, null, 5)).toEqual({
      ok: false,
      error: { reason: "too_large", maxBytes: 5 },
    });
  });

  it("refuses a Content-Length above the limit without reading", async () => {
    const { body, state } = createBody([encode("x")]);
    expect((await readLimited(body, "6", 5)).ok).toBe(false);
    expect(state.taken).toBe(0);
  });

  it("stops reading an endless chunked body at the limit", async () => {
    function* endless() {
      for (;;) yield new Uint8Array(1000).fill(120);
    }
    const { body, state } = createBody(endless());
    expect((await readLimited(body, null, 10_000)).ok).toBe(false);
    expect(state.taken).toBe(11_000);
    expect(state.canceled).toBe(true);
  });

  it("does not believe a Content-Length that is too small, or no number", async () => {
    expect((await readLimited(createBody([encode("123456")]).body, "1", 5)).ok).toBe(false);
    expect((await readLimited(createBody([encode("123456")]).body, "many", 5)).ok).toBe(false);
  });

  it("decodes characters that are split between chunks", async () => {
    const bytes = encode("aé\u{1F600}");
    const chunks = Array.from(bytes, (byte) => Uint8Array.of(byte));
    expect(await readLimited(createBody(chunks).body, null, 100)).toEqual({ ok: true, value: "aé\u{1F600}" });
  });

  it("drops a byte order mark", async () => {
    const bytes = Uint8Array.of(0xef, 0xbb, 0xbf, 0x7b, 0x7d);
    expect(await readLimited(createBody([bytes]).body, null, 100)).toEqual({ ok: true, value: "{}" });
  });

  it.each([
    ["a lone continuation byte", [0x22, 0x80, 0x22]],
    ["an overlong form", [0xc0, 0x80]],
    ["an encoded surrogate", [0xed, 0xa0, 0x80]],
    ["a character cut off at the end", [0x22, 0xf0, 0x9f]],
  ])("refuses %s, in one chunk or in many", async (_, bytes) => {
    const refused = { ok: false, error: { reason: "not_utf8" } };
    expect(await readLimited(createBody([Uint8Array.from(bytes)]).body, null, 100)).toEqual(refused);
    const split = bytes.map((byte) => Uint8Array.of(byte));
    expect(await readLimited(createBody(split).body, null, 100)).toEqual(refused);
  });

  it("reports a body that breaks off", async () => {
    const body = new ReadableStream<Uint8Array>({
      pull: (controller) => {
        controller.error(new Error("connection lost"));
      },
    });
    expect(await readLimited(body, null, 100)).toEqual({ ok: false, error: { reason: "broken" } });
  });
});

describe("a body that trickles in", () => {
  it.each([null, "10"])("is given up in time, with the Content-Length %s", async (length) => {
    let isCanceled = false;
    const body = createTrickle(() => {
      isCanceled = true;
    });
    const headers = length === null ? {} : { "content-length": length };
    const request = new Request("http://server.test", { method: "POST", body, headers });
    expect(await readRequest(request, 100, 30)).toEqual({
      ok: false,
      error: { reason: "too_slow", timeoutMs: 30 },
    });
    if (length === null) expect(isCanceled).toBe(true);
  });
});

describe("large bodies that are read at once", () => {
  const MIB = 1_048_576;
  const post = (body: ReadableStream<Uint8Array> | string, length?: number) =>
    new Request("http://server.test", {
      method: "POST",
      body,
      headers: length === undefined ? {} : { "content-length": String(length) },
    });
  /** Has sent so many bytes, and then sends nothing. */
  const stuck = (bytes: number) =>
    new ReadableStream<Uint8Array>({ start: (controller) => controller.enqueue(new Uint8Array(bytes)) });

  it.each([
    ["as long as they say they are", () => post(createTrickle(), MIB)],
    ["as far as they have come", () => post(stuck(MIB))],
  ])("are held up to 32 MiB, %s; more are refused until these are read or given up", async (_, large) => {
    const held = Array.from({ length: 32 }, () => readRequest(large(), MIB, 3_000));
    await scheduler.wait(500);
    expect(await readRequest(large(), MIB, 3_000)).toEqual({ ok: false, error: { reason: "busy" } });
    expect(await readRequest(post("x".repeat(16_384)), MIB)).toMatchObject({ ok: true });
    expect(await readRequest(post(createBody([new Uint8Array(16_384)]).body), MIB)).toMatchObject({
      ok: true,
    });
    for (const { error } of (await Promise.all(held)) as { error?: unknown }[]) {
      expect(error).toEqual({ reason: "too_slow", timeoutMs: 3_000 });
    }
    expect(await readRequest(post("x".repeat(MIB)), MIB)).toMatchObject({ ok: true });
  });
});
