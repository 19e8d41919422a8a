// Signals, and the pull loop of a subscriber over a source that the test controls.

import { describe, expect, it, vi } from "vitest";
import type { Entry } from "../../src/tasks/machine.ts";
import { Signals } from "../../src/tasks/signals.ts";
import { openSubscription, type Source, toLine } from "../../src/tasks/subscription.ts";

async function isDone(promise: Promise<unknown>): Promise<boolean> {
  let done = false;
  void promise.then(() => {
    done = true;
  });
  for (let i = 0; i < 20; i++) await undefined;
  return done;
}

describe("Signals", () => {
  it("wake everybody who waits for the task, once, and nobody else", async () => {
    const signals = new Signals();
    const [a, b, other] = [signals.next("t"), signals.next("t"), signals.next("u")];
    signals.fire("t");
    const later = signals.next("t");
    expect([await isDone(a), await isDone(b), await isDone(other), await isDone(later)]).toEqual([
      true,
      true,
      false,
      false,
    ]);
  });

  it("fired for nobody are forgotten", async () => {
    const signals = new Signals();
    signals.fire("t");
    expect(await isDone(signals.next("t"))).toBe(false);
  });
});

/** A task's journal in an array, whose disk and news are the test's. */
function createSource(endsAt = Number.POSITIVE_INFINITY) {
  const rows: Entry[] = [];
  const signals = new Signals();
  let disk: Promise<void> = Promise.resolve();
  let closed = 0;
  let over = false;
  const source: Source = {
    read: (seq, maxUnits) => {
      const page: Entry[] = [];
      let units = 0;
      for (const row of rows.filter((row) => row.seq > seq)) {
        if (page.length > 0 && units >= maxUnits) break;
        units += row.body.length;
        page.push(row);
      }
      return page;
    },
    isOver: () => over,
    endsWith: ({ seq }) => seq >= endsAt,
    durable: () => disk,
    news: () => signals.next("t"),
    closed: () => {
      closed += 1;
    },
  };
  return {
    source,
    add(kind: Entry["kind"], size = 0) {
      const body =
        kind === "status"
          ? JSON.stringify({ statusUpdate: { status: { state: "TASK_STATE_WORKING" } } })
          : JSON.stringify({ kind, text: "x".repeat(size) });
      rows.push({ seq: rows.length + 1, kind, body });
      signals.fire("t");
    },
    end() {
      over = true;
      signals.fire("t");
    },
    block: () => {
      const gate = Promise.withResolvers<void>();
      disk = gate.promise;
      return gate.resolve;
    },
    closed: () => closed,
  };
}

type Home = ReturnType<typeof createSource>;

function open(home: Home, seq = 0, first = "") {
  const { lines, lease } = openSubscription(home.source, seq, first);
  const reader = lines.getReader();
  const decoder = new TextDecoder();
  return {
    reader,
    lease,
    /** The numbers of the lines that come next; undefined at the end. */
    next: async () => {
      const { done, value } = await reader.read();
      if (done) return undefined;
      return decoder
        .decode(value)
        .trimEnd()
        .split("\n")
        .map((line) => line.split(" ")[0]);
    },
  };
}

describe("a subscription", () => {
  it("is its first line, then what is there, then what comes", async () => {
    const home = createSource();
    home.add("message");
    home.add("status");
    const { next } = open(home, 1, toLine(1, "{}"));
    expect(await next()).toEqual(["1", "2"]);
    const waiting = next();
    expect(await isDone(waiting)).toBe(false);
    home.add("artifact");
    expect(await waiting).toEqual(["3"]);
    home.end();
    expect(await next()).toBeUndefined();
    expect(home.closed()).toBe(1);
  });

  it("shows status and artifact rows only, and does not stop at the others", async () => {
    const home = createSource();
    for (const kind of ["message", "restart", "status", "message", "artifact", "restart"] as const)
      home.add(kind);
    home.end();
    const { next } = open(home);
    expect(await next()).toEqual(["3", "5"]);
    expect(await next()).toBeUndefined();
  });

  it("wakes for a row that subscribers do not see, and goes on waiting", async () => {
    const home = createSource();
    const { next } = open(home);
    const waiting = next();
    home.add("message");
    expect(await isDone(waiting)).toBe(false);
    home.add("status");
    expect(await waiting).toEqual(["2"]);
  });

  it("sends nothing that is not on disk", async () => {
    const home = createSource();
    const release = home.block();
    home.add("status");
    const { next } = open(home);
    const waiting = next();
    expect(await isDone(waiting)).toBe(false);
    release();
    expect(await waiting).toEqual(["1"]);
  });

  it("misses nothing that is written while it waits for the disk", async () => {
    const home = createSource();
    const release = home.block();
    home.add("status");
    const { next } = open(home);
    const waiting = next();
    await isDone(waiting);
    home.add("status");
    home.add("artifact");
    release();
    expect(await waiting).toEqual(["1"]);
    expect(await next()).toEqual(["2", "3"]);
  });

  it("misses nothing that is written while it decides whether the task is over", async () => {
    const home = createSource();
    home.add("status");
    const release = home.block();
    const { next } = open(home);
    const waiting = next();
    await isDone(waiting);
    home.add("status");
    home.end();
    release();
    expect([await waiting, await next(), await next()]).toEqual([["1"], ["2"], undefined]);
  });

  it("ends with the row that its source says, and not with a later one", async () => {
    const home = createSource(2);
    for (let i = 0; i < 4; i++) home.add("status");
    const { next } = open(home);
    expect([await next(), await next()]).toEqual([["1", "2"], undefined]);
    expect(home.closed()).toBe(1);
  });

  it("reads in pages, and nothing ahead of its reader", async () => {
    const home = createSource();
    for (let i = 0; i < 10; i++) home.add("artifact", 40_000);
    const read = vi.spyOn(home.source, "read");
    const { reader } = open(home);
    const readPage = async () => {
      let text = "";
      while (!text.endsWith("\n")) text += new TextDecoder().decode((await reader.read()).value);
      return text.split("\n").length - 1;
    };
    expect(await readPage()).toBe(2);
    expect(read).toHaveBeenCalledTimes(1);
    expect(await readPage()).toBe(2);
    expect(read).toHaveBeenCalledTimes(2);
  });

  it("that is canceled or whose lease is given back closes once, also while it waits", async () => {
    for (const leave of ["cancel", "dispose", "both"] as const) {
      const home = createSource();
      const { reader, lease, next } = open(home, 0, toLine(1, "{}"));
      await next();
      const waiting = reader.read().catch(() => {});
      await isDone(waiting);
      if (leave !== "dispose") await reader.cancel();
      if (leave !== "cancel") lease[Symbol.dispose]();
      expect(home.closed()).toBe(1);
      home.add("status");
      home.end();
      await isDone(waiting);
      expect(home.closed()).toBe(1);
    }
  });

  it("breaks when what it read cannot be made durable", async () => {
    const home = createSource();
    home.add("status");
    home.source.durable = () => Promise.reject(new Error("disk full"));
    await expect(open(home).next()).rejects.toThrow("disk full");
  });
});
