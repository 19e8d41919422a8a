// The consumers of the two queues: every outcome as explicit acks and retries.

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type BackgroundDeps, consumeDead, consumeDeliveries } from "../../src/background.ts";
import { consumeDeadLetters, consumeDoorbells, type QueueMessage } from "../../src/delivery/doorbell.ts";
import { type Doorbell, toMessage } from "../../src/delivery/exchange.ts";

const homes = ["a", "b", "c"].map((digit) => digit.repeat(64)) as [string, string, string];
const endpoint = "open::anna|https://receiver.example";

type Message = QueueMessage & { outcome: string };

function message(body: unknown, attempts = 1): Message {
  let outcome = "none";
  const settle = (text: string) => {
    outcome = outcome === "none" ? text : `${outcome}, ${text}`;
  };
  return {
    body,
    attempts,
    ack: () => settle("ack"),
    retry: (options) => settle(`retry in ${options?.delaySeconds ?? 0} s`),
    get outcome() {
      return outcome;
    },
  };
}

const doorbell = (home: string, name = endpoint): Doorbell => ({ kind: "ring", home, endpoint: name });
const outcomes = (messages: Message[]) => messages.map(({ outcome }) => outcome);

const garbage: unknown[] = [
  null,
  undefined,
  "ring",
  7,
  [],
  {},
  { kind: "ring" },
  { kind: "ring", home: homes[0] },
  { kind: "ring", home: homes[0], endpoint: "" },
  { kind: "ring", home: "not an id", endpoint },
  { kind: "ring", home: homes[0].toUpperCase(), endpoint },
  { kind: "dead", home: "x", ids: [] },
  { kind: "dead", home: homes[0], ids: "all" },
  { kind: "dead", home: homes[0], ids: [1] },
  { kind: "other", home: homes[0], endpoint },
];

let logged: string[] = [];
beforeEach(() => {
  logged = [];
  for (const level of ["warn", "error"] as const) {
    vi.spyOn(console, level).mockImplementation((line) => void logged.push(String(line)));
  }
});
afterEach(() => {
  vi.restoreAllMocks();
});

describe("doorbells", () => {
  it("that say the same ring once, and are all acknowledged", async () => {
    const messages = [
      message(doorbell(homes[0])),
      message(doorbell(homes[0])),
      message(doorbell(homes[1])),
      message(doorbell(homes[0], "other|https://other.example")),
      message(doorbell(homes[0])),
    ];
    const rung: string[] = [];
    await consumeDoorbells(messages, async (name, home) => void rung.push(`${home[0]} ${name}`));
    expect(rung).toEqual([`a ${endpoint}`, `b ${endpoint}`, "a other|https://other.example"]);
    expect(outcomes(messages)).toEqual(["ack", "ack", "ack", "ack", "ack"]);
  });

  it("of an endpoint that cannot be rung are retried, later each time, and no others", async () => {
    const messages = [
      message(doorbell(homes[0]), 1),
      message(doorbell(homes[0]), 3),
      message(doorbell(homes[1])),
    ];
    await consumeDoorbells(messages, async (_, home) => {
      if (home === homes[0]) throw new Error("overloaded");
    });
    expect(outcomes(messages)).toEqual(["retry in 2 s", "retry in 6 s", "ack"]);
    expect(logged).toHaveLength(1);
  });

  it("of an endpoint that does not answer are retried after three seconds, and hold up nobody", async () => {
    const messages = [message(doorbell(homes[0])), message(doorbell(homes[1]))];
    const began = Date.now();
    const consumed = consumeDoorbells(messages, (_, home) =>
      home === homes[0] ? new Promise(() => {}) : Promise.resolve(),
    );
    await scheduler.wait(50);
    expect(outcomes(messages)).toEqual(["none", "ack"]);
    await consumed;
    expect(outcomes(messages)).toEqual(["retry in 2 s", "ack"]);
    expect(Date.now() - began).toBeGreaterThan(2_900);
    expect(Date.now() - began).toBeLessThan(6_000);
  });

  it("that are none are dropped with a line in the log, and the others rung", async () => {
    const messages = [...garbage.map((body) => message(body)), message(doorbell(homes[0]))];
    const rung: string[] = [];
    await consumeDoorbells(messages, async (_, home) => void rung.push(home));
    expect(rung).toEqual([homes[0]]);
    expect(outcomes(messages)).toEqual(messages.map(() => "ack"));
    expect(logged).toHaveLength(garbage.length);
  });

  it("have a version: those of another one wait for the code that knows it, and those without are taken", async () => {
    const messages = [
      message(toMessage(doorbell(homes[0]))),
      message(doorbell(homes[1])),
      message({ v: 2, kind: "ring", to: "whatever that is then" }),
      message({ ...doorbell(homes[2]), v: 2 }, 3),
    ];
    const rung: string[] = [];
    await consumeDoorbells(messages, async (_, home) => void rung.push(home));
    expect(messages[0]?.body).toEqual({ v: 1, ...doorbell(homes[0]) });
    expect(rung).toEqual([homes[0], homes[1]]);
    expect(outcomes(messages)).toEqual(["ack", "ack", "retry in 60 s", "retry in 60 s"]);
    expect(logged).toHaveLength(2);
  });

  it("may be none at all", async () => {
    await consumeDoorbells([], () => Promise.reject(new Error("nobody is to be rung")));
  });
});

describe("dead letters", () => {
  function setUp({ down = [] as string[] } = {}) {
    const filed: [home: string, ids: string[]][] = [];
    const rung: [Doorbell, number][] = [];
    let counted = 0;
    const fail = (what: string) => {
      if (down.includes(what)) throw new Error(`${what} is down`);
    };
    const consume = (messages: Message[]) =>
      consumeDeadLetters(messages, {
        file: async (home, ids) => {
          fail(`file ${home[0]}`);
          filed.push([home, ids]);
        },
        ringLater: async (bell, delaySeconds) => {
          fail(`ring ${bell.home[0]}`);
          rung.push([bell, delaySeconds]);
        },
        countDoorbells: async (count) => {
          fail("count");
          counted += count;
        },
      });
    return { consume, filed, rung, counted: () => counted };
  }

  it("files what died, once for each home, and acknowledges it", async () => {
    const { consume, filed, counted } = setUp();
    const messages = [
      message({ kind: "dead", home: homes[0], ids: ["1", "2"] }),
      message({ kind: "dead", home: homes[1], ids: ["3"] }),
      message({ kind: "dead", home: homes[0], ids: ["2", "4"] }),
    ];
    await consume(messages);
    expect(filed).toEqual([
      [homes[0], ["1", "2", "4"]],
      [homes[1], ["3"]],
    ]);
    expect(outcomes(messages)).toEqual(["ack", "ack", "ack"]);
    expect(counted()).toBe(0);
  });

  it("retries what cannot be filed, and files the rest", async () => {
    const { consume, filed } = setUp({ down: ["file a"] });
    const messages = [
      message({ kind: "dead", home: homes[0], ids: ["1"] }),
      message({ kind: "dead", home: homes[1], ids: ["2"] }),
    ];
    await consume(messages);
    expect(filed).toEqual([[homes[1], ["2"]]]);
    expect(outcomes(messages)).toEqual(["retry in 30 s", "ack"]);
  });

  it("counts doorbells that could not be rung, and rings them again in five minutes", async () => {
    const { consume, rung, counted } = setUp();
    const messages = [message(doorbell(homes[0])), message(doorbell(homes[0])), message(doorbell(homes[1]))];
    await consume(messages);
    expect(rung).toEqual([
      [doorbell(homes[0]), 300],
      [doorbell(homes[1]), 300],
    ]);
    expect(counted()).toBe(3);
    expect(outcomes(messages)).toEqual(["ack", "ack", "ack"]);
    expect(logged).toHaveLength(1);
  });

  it("retries a doorbell that cannot be put into the queue again", async () => {
    const { consume } = setUp({ down: ["ring a"] });
    const messages = [message(doorbell(homes[0])), message(doorbell(homes[1]))];
    await consume(messages);
    expect(outcomes(messages)).toEqual(["retry in 30 s", "ack"]);
  });

  it("rings again also when it cannot count", async () => {
    const { consume, rung } = setUp({ down: ["count"] });
    const messages = [message(doorbell(homes[0]))];
    await consume(messages);
    expect(rung).toHaveLength(1);
    expect(outcomes(messages)).toEqual(["ack"]);
  });

  it("leaves what is of another version in the queue", async () => {
    const { consume, filed, rung, counted } = setUp();
    const messages = [
      message({ ...doorbell(homes[0]), v: 2 }),
      message({ v: "new", kind: "dead", home: homes[0], ids: ["1"] }),
      message(toMessage({ kind: "dead", home: homes[1], ids: ["2"] })),
    ];
    await consume(messages);
    expect([rung, counted()]).toEqual([[], 0]);
    expect(filed).toEqual([[homes[1], ["2"]]]);
    expect(outcomes(messages)).toEqual(["retry in 60 s", "retry in 60 s", "ack"]);
  });

  it("drops what is neither, with a line in the log", async () => {
    const { consume, filed } = setUp();
    const messages = [
      ...garbage.map((body) => message(body)),
      message({ kind: "dead", home: homes[2], ids: ["5"] }),
    ];
    await consume(messages);
    expect(filed).toEqual([[homes[2], ["5"]]]);
    expect(outcomes(messages)).toEqual(messages.map(() => "ack"));
    expect(logged).toHaveLength(garbage.length);
  });
});

describe("the Worker", () => {
  it("tells the metrics and the audit of doorbells that could not be rung", async () => {
    const told: unknown[] = [];
    const deps = {
      ringLater: async () => {},
      count: async ({ counters }) => told.push(counters),
      recordAudit: async (event) => void told.push(event),
    } as Partial<BackgroundDeps> as BackgroundDeps;
    await consumeDead([message(doorbell(homes[0])), message(doorbell(homes[1]))], deps);
    expect(told).toEqual([
      { a2a_webhook_doorbells_failed_total: 2 },
      { kind: "doorbells.failed", detail: { count: 2 } },
    ]);
  });

  it("leaves a job of another version in the queue", async () => {
    const job = message({ v: 2, kind: "retry-job", id: "x" });
    await consumeDeliveries([job], {} as BackgroundDeps);
    expect(job.outcome).toBe("retry in 60 s");
  });
});
