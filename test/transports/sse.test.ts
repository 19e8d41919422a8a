// The event-stream transport on its own: bytes of lines in, bytes of frames out.

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { A2AError, failure } from "../../src/protocol/errors.ts";
import { type StreamOptions, toEventStream } from "../../src/transports/sse.ts";

const HEARTBEAT_MS = 15_000;

type Source = {
  lines: ReadableStream<Uint8Array>;
  controller: ReadableStreamDefaultController<Uint8Array>;
  canceled: unknown[];
  pulls: () => number;
};

/** A source that the test feeds by hand. */
function createSource(): Source {
  let controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  let pulls = 0;
  const canceled: unknown[] = [];
  const lines = new ReadableStream<Uint8Array>(
    {
      start: (c) => {
        controller = c;
      },
      pull: () => {
        pulls++;
      },
      cancel: (reason) => {
        canceled.push(reason);
      },
    },
    { highWaterMark: 0 },
  );
  if (!controller) throw new Error("the source has not started");
  return { lines, controller, canceled, pulls: () => pulls };
}

function open(lines: ReadableStream<Uint8Array>, options: Partial<StreamOptions> = {}) {
  return toEventStream({
    lines,
    envelope: { prefix: "", suffix: "", error: ({ reason }) => ({ error: reason }) },
    heartbeatMs: HEARTBEAT_MS,
    toFailure: () => failure("INTERNAL"),
    ...options,
  });
}

const encode = (text: string) => new TextEncoder().encode(text);

/** A source that has these chunks and then ends. */
function from(chunks: Uint8Array[]): ReadableStream<Uint8Array> {
  const left = [...chunks];
  return new ReadableStream({
    pull: (controller) => {
      const chunk = left.shift();
      if (chunk) controller.enqueue(chunk);
      else controller.close();
    },
  });
}

const text = (stream: ReadableStream<Uint8Array>) => new Response(stream).text();

describe("frames", () => {
  it("gives each line a frame with its number as id", async () => {
    const lines = from([encode('1 {"task":{"id":"é"}}\n2 {"statusUpdate":{}}\n')]);
    expect(await text(open(lines))).toBe(
      'id: 1\ndata: {"task":{"id":"é"}}\n\nid: 2\ndata: {"statusUpdate":{}}\n\n',
    );
  });

  it("gives a Message without task no id", async () => {
    expect(await text(open(from([encode('- {"message":{}}\n')])))).toBe('data: {"message":{}}\n\n');
  });

  it("wraps each event in the envelope, and keeps spaces inside it", async () => {
    const envelope = { prefix: '{"id":1,"result":', suffix: "}", error: () => ({}) };
    const lines = from([encode('7 {"text":"a b  c"}\n')]);
    expect(await text(open(lines, { envelope }))).toBe(
      'id: 7\ndata: {"id":1,"result":{"text":"a b  c"}}\n\n',
    );
  });

  it("makes the same frames wherever the bytes are split", async () => {
    const bytes = encode('1 {"text":"ünï \u{1F600}"}\n- {"message":{}}\n23 {"a":1}\n');
    const whole = await text(open(from([bytes])));
    for (let at = 0; at <= bytes.byteLength; at++) {
      expect(await text(open(from([bytes.subarray(0, at), bytes.subarray(at)])))).toBe(whole);
    }
    const single = Array.from(bytes, (_, i) => bytes.subarray(i, i + 1));
    expect(await text(open(from(single)))).toBe(whole);
  });

  it("joins a line of 2 MiB from small chunks", async () => {
    const json = `{"text":"${"x".repeat(2 * 1024 * 1024)}"}`;
    const bytes = encode(`1 ${json}\n`);
    const chunks = [];
    for (let at = 0; at < bytes.byteLength; at += 4096) chunks.push(bytes.subarray(at, at + 4096));
    expect(await text(open(from(chunks)))).toBe(`id: 1\ndata: ${json}\n\n`);
  });

  it("sends the first frame before the second line exists", async () => {
    const source = createSource();
    const reader = open(source.lines).getReader();
    source.controller.enqueue(encode("1 {}\n"));
    const { value } = await reader.read();
    expect(new TextDecoder().decode(value)).toBe("id: 1\ndata: {}\n\n");
    await reader.cancel();
  });

  it("reads nothing ahead of its reader", async () => {
    const source = createSource();
    const stream = open(source.lines);
    await Promise.resolve();
    expect(source.pulls()).toBe(0);
    await stream.cancel();
  });
});

describe("a source that breaks", () => {
  it("ends with one error frame in the form of the transport", async () => {
    const source = createSource();
    const causes: unknown[] = [];
    const stream = open(source.lines, {
      toFailure: (cause) => {
        causes.push(cause);
        return failure("INTERNAL");
      },
    });
    const cause = new Error("the object was reset");
    const reading = text(stream);
    source.controller.enqueue(encode("1 {}\n"));
    await Promise.resolve();
    source.controller.error(cause);
    const body = await reading;
    expect(body.endsWith('event: error\ndata: {"error":"INTERNAL"}\n\n')).toBe(true);
    expect(body.match(/event: error/g)).toHaveLength(1);
    expect(causes).toEqual([cause]);
  });

  it.each([
    ["ends in the middle of a line", "1 {}\n2 {"],
    ["has a line without number", "1 {}\n{}\n"],
    ["has an empty line", "1 {}\n\n"],
  ])("is broken when it %s", async (_, lines) => {
    expect(await text(open(from([...encode(lines)].map((byte) => Uint8Array.of(byte)))))).toBe(
      'id: 1\ndata: {}\n\nevent: error\ndata: {"error":"INTERNAL"}\n\n',
    );
  });
});

describe("time", () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it("writes a comment after each silence, and an event that comes later all the same", async () => {
    const source = createSource();
    const reader = open(source.lines).getReader();
    const next = async () => new TextDecoder().decode((await reader.read()).value);

    // The first silence is short: headers leave with the first bytes.
    let first = next();
    await vi.advanceTimersByTimeAsync(100);
    expect(await first).toBe(":\n\n");

    let isHere = false;
    first = next().finally(() => {
      isHere = true;
    });
    await vi.advanceTimersByTimeAsync(HEARTBEAT_MS - 1);
    expect(isHere).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    expect(await first).toBe(":\n\n");

    first = next();
    source.controller.enqueue(encode("1 {}\n"));
    expect(await first).toBe("id: 1\ndata: {}\n\n");
    expect(vi.getTimerCount()).toBe(0);
    await reader.cancel();
  });

  it.each([
    ["1 {}\n", {}, ":\n"],
    ["- {}\n", {}, ":\n\n"],
    ["1 {}\n", { isPlain: true }, ":\n\n"],
  ])(
    "ends no event with a comment after %j of %j, where an id would be its own",
    async (line, form, comment) => {
      const source = createSource();
      const envelope = { prefix: "", suffix: "", error: () => ({}), ...form };
      const reader = open(source.lines, { envelope }).getReader();
      const next = async () => new TextDecoder().decode((await reader.read()).value);
      source.controller.enqueue(encode(line));
      await next();
      const later = next();
      await vi.advanceTimersByTimeAsync(HEARTBEAT_MS);
      expect(await later).toBe(comment);
      await reader.cancel();
    },
  );
});

describe("a reader", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  function follow(recheck: () => Promise<void>) {
    const source = createSource();
    const release = vi.fn();
    const toFailure = (cause: unknown) => (cause as A2AError).failure;
    const reader = open(source.lines, { recheck, release, toFailure }).getReader();
    const next = async () => new TextDecoder().decode((await reader.read()).value);
    return { source, reader, next, release };
  }

  it("is looked at again every 15 s of a busy stream, and not for every event", async () => {
    const recheck = vi.fn(async () => {});
    const { source, next, reader } = follow(recheck);
    for (let second = 1; second <= 60; second++) {
      await vi.advanceTimersByTimeAsync(1_000);
      source.controller.enqueue(encode(`${second} {}\n`));
      expect(await next()).toContain(`id: ${second}\n`);
    }
    expect(recheck).toHaveBeenCalledTimes(4);
    await reader.cancel();
  });

  it("that may not go on gets no more events, and is told why", async () => {
    const recheck = vi.fn(async () => {
      throw new A2AError("UNAUTHENTICATED");
    });
    const { source, next, reader, release } = follow(recheck);
    source.controller.enqueue(encode("1 {}\n"));
    expect(await next()).toContain("id: 1\n");
    await vi.advanceTimersByTimeAsync(15_000);
    source.controller.enqueue(encode("2 {}\n"));
    expect(await next()).toBe('event: error\ndata: {"error":"UNAUTHENTICATED"}\n\n');
    expect((await reader.read()).done).toBe(true);
    expect(release).toHaveBeenCalledOnce();
    expect(source.canceled).toHaveLength(1);
  });

  it("of an idle stream is looked at again with the heartbeat", async () => {
    const recheck = vi.fn(async () => {
      throw new A2AError("UNAUTHENTICATED");
    });
    const { next } = follow(recheck);
    let first = next();
    await vi.advanceTimersByTimeAsync(100);
    expect(await first).toBe(":\n\n");
    first = next();
    await vi.advanceTimersByTimeAsync(HEARTBEAT_MS);
    expect(await first).toContain("event: error\n");
  });

  it("gets the end of a stream that has ended", async () => {
    const recheck = vi.fn(async () => {
      throw new A2AError("UNAUTHENTICATED");
    });
    const { source, reader } = follow(recheck);
    await vi.advanceTimersByTimeAsync(60_000);
    source.controller.close();
    expect((await reader.read()).done).toBe(true);
    expect(recheck).not.toHaveBeenCalled();
  });
});

describe("release", () => {
  it("is called once at the end", async () => {
    const release = vi.fn();
    await text(open(from([encode("1 {}\n")]), { release }));
    expect(release).toHaveBeenCalledOnce();
  });

  it("is called once when the source breaks", async () => {
    const release = vi.fn();
    await text(open(from([encode("1 {")]), { release }));
    expect(release).toHaveBeenCalledOnce();
  });

  it("is called once when the reader leaves, even if the source hangs", async () => {
    const release = vi.fn();
    const hanging = new ReadableStream<Uint8Array>({ cancel: () => new Promise(() => {}) });
    const reader = open(hanging, { release }).getReader();
    const reading = reader.read();
    reader.cancel().catch(() => {});
    await reading;
    expect(release).toHaveBeenCalledOnce();
  });
});

describe("a reader that leaves", () => {
  it("cancels the source at once, also while a read is under way", async () => {
    const source = createSource();
    const failures: unknown[] = [];
    const reader = open(source.lines, {
      toFailure: (cause) => {
        failures.push(cause);
        return failure("INTERNAL");
      },
    }).getReader();
    const reading = reader.read();
    await reader.cancel("gone");
    expect(source.canceled).toEqual(["gone"]);
    expect((await reading).done).toBe(true);
    expect(failures).toEqual([]);
  });

  it("is no failure when it leaves in the middle of a line", async () => {
    const source = createSource();
    const toFailure = vi.fn(() => failure("INTERNAL"));
    const reader = open(source.lines, { toFailure }).getReader();
    const reading = reader.read();
    source.controller.enqueue(encode("1 {"));
    await Promise.resolve();
    await reader.cancel();
    await reading;
    expect(toFailure).not.toHaveBeenCalled();
  });
});
