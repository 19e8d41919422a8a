// The class Turn alone, over a home that is an array: what is written when, and, for random agents that die at
// random moments and differ from run to run, that the task is what the last run said.

import { describe, expect, it } from "vitest";
import { type ArtifactInput, defineAgent, type QuickTask } from "../../src/agents/agent.ts";
import type { StreamResponse } from "../../src/protocol/events.ts";
import type { Message } from "../../src/protocol/message.ts";
import { toArtifacts, toTask } from "../../src/tasks/journal.ts";
import { type Entry, newRecord, receive, type TaskRecord } from "../../src/tasks/machine.ts";
import type { Change } from "../../src/tasks/store.ts";
import { Turn, type TurnHost } from "../../src/tasks/turn.ts";

const message: Message = { messageId: "m", role: "ROLE_USER", parts: [{ text: "go" }] };
const forever = new Promise<never>(() => {});
const text = (value: string) => [{ text: value }];

/** A home of one task. */
class ArrayHome {
  stored: TaskRecord | undefined;
  readonly journal: Entry[] = [];
  readonly changes: Change[] = [];
  readonly memory: Record<string, unknown> = {};
  ended = 0;

  host(maxTaskBytes = 1_000_000): TurnHost {
    return {
      now: () => 1_000,
      maxTaskBytes,
      stepMs: 1,
      save: (change) => {
        expect(change.before).toBe(this.stored);
        this.stored = change.after;
        this.journal.push(...change.entries);
        this.changes.push(change);
        if (change.memory) Object.assign(this.memory, Object.fromEntries(change.memory));
        change.companion?.();
      },
      loadMemory: () => this.memory,
      saveMemory: (_agent, _context, changes) => void Object.assign(this.memory, Object.fromEntries(changes)),
      loadHistory: () => [message],
      ended: () => {
        this.ended += 1;
      },
      broken: () => {
        throw new Error("this home can always write");
      },
    };
  }

  /** The events that subscribers see. */
  events(): StreamResponse[] {
    return this.journal
      .filter(({ kind }) => kind === "status" || kind === "artifact")
      .map(({ body }) => JSON.parse(body) as StreamResponse);
  }

  task() {
    if (!this.stored) throw new Error("nothing was stored");
    return toTask(this.stored, this.journal, { artifacts: true });
  }
}

function agentOf(run: (task: QuickTask) => Promise<void>) {
  const skills = [{ id: "s", name: "S", description: "s", tags: ["s"] }];
  return defineAgent({ name: "unit", description: "Exists for a test.", skills, run });
}

type Begun = { home?: ArrayHome; max?: number; companion?: () => void };

/** Begins the first turn of a new task. */
function begin(
  run: (task: QuickTask) => Promise<void>,
  { home = new ArrayHome(), max, companion }: Begun = {},
) {
  const step = receive(newRecord("0-task", "unit", "0-context", 1_000), message);
  const { seq } = step.entry;
  const record = { ...step.record, attempt: 1, turnSeq: seq, turnInput: seq, answered: seq };
  const host = home.host(max);
  const turn = new Turn({
    agent: agentOf(run),
    host,
    message,
    record,
    stored: undefined,
    pending: [step.entry],
    companion,
  });
  return { home, turn, done: turn.run() };
}

/** Begins the turn again, as a start of its object does. */
function again(home: ArrayHome, run: (task: QuickTask) => Promise<void>) {
  const { stored } = home;
  if (!stored) throw new Error("nothing was stored");
  const record = { ...stored, attempt: stored.attempt + 1 };
  home.stored = record;
  const journal = structuredClone(home.journal);
  const turn = new Turn({
    agent: agentOf(run),
    host: home.host(),
    message,
    record,
    stored: record,
    pending: [],
    journal,
  });
  return { turn, done: turn.run() };
}

const kinds = (home: ArrayHome) => home.journal.map(({ kind }) => kind);

describe("a turn", () => {
  it("that waits for nothing is one write", async () => {
    const { home, done } = begin(async (task) => {
      await task.working("Thinking");
      await task.artifact({ parts: text("a") });
      await task.artifact({ parts: text("b") });
    });
    await done;
    expect(home.changes).toHaveLength(1);
    expect(kinds(home)).toEqual(["message", "status", "artifact", "artifact", "status"]);
    expect(home.stored).toMatchObject({ state: "TASK_STATE_COMPLETED", attempt: 0, seq: 5 });
  });

  it("writes what it has emitted before it waits for something real", async () => {
    const { home } = begin(async (task) => {
      await task.working();
      await task.artifact({ parts: text("a") });
      await forever;
    });
    await scheduler.wait(0);
    expect(home.changes).toHaveLength(1);
    expect(home.stored).toMatchObject({ state: "TASK_STATE_WORKING", attempt: 1, seq: 3 });
  });

  it("writes nothing before its first act, and nothing at all for a reply", async () => {
    const replying = begin((task) => task.reply("Hello"));
    expect(await replying.turn.outcome).toEqual({
      kind: "message",
      message: { messageId: "0-task-1", contextId: "0-context", role: "ROLE_AGENT", parts: text("Hello") },
    });
    await replying.done;
    expect(replying.home.changes).toEqual([]);
    const waiting = begin(() => forever);
    await scheduler.wait(0);
    expect(waiting.home.changes).toEqual([]);
  });

  it("keeps the memory of a reply, which makes no task", async () => {
    const { home, done } = begin(async (task) => {
      task.memory.set("name", "Ada");
      await task.reply("Hello, Ada");
    });
    await done;
    expect(home.memory).toEqual({ name: "Ada" });
    expect(home.changes).toEqual([]);
  });

  it("completes the task when it replies after another act", async () => {
    const { home, done } = begin(async (task) => {
      await task.working();
      await task.reply("Done");
    });
    await done;
    expect(home.task().status).toMatchObject({
      state: "TASK_STATE_COMPLETED",
      message: { parts: text("Done") },
    });
  });

  it("writes its companion once, with the first rows", async () => {
    let times = 0;
    const companion = () => {
      times += 1;
    };
    const { home, done } = begin(
      async (task) => {
        await task.working();
        await scheduler.wait(1);
        await task.working("again");
      },
      { companion },
    );
    await done;
    expect(home.changes.length).toBeGreaterThan(1);
    expect(times).toBe(1);
    expect(home.changes[0]?.companion).toBe(companion);
  });

  it("says once that it has ended, whatever the agent does after", async () => {
    const { home, done } = begin(async (task) => {
      await task.complete("first");
      await task.fail("second");
      await task.reply("third");
      await task.artifact({ parts: text("fourth") });
      throw new Error("fifth");
    });
    await done;
    expect(home.ended).toBe(1);
    expect(home.task()).toMatchObject({
      status: { state: "TASK_STATE_COMPLETED", message: { parts: text("first") } },
    });
    expect(home.task().artifacts).toBeUndefined();
  });

  it("fires its signal and drops what follows when it is stopped", async () => {
    let reason: unknown;
    const { home, turn, done } = begin(async (task) => {
      await task.working();
      await new Promise<void>((resolve) => task.signal.addEventListener("abort", () => resolve()));
      reason = task.signal.reason;
      await task.artifact({ parts: text("too late") });
    });
    await scheduler.wait(0);
    turn.stop("TASK_STATE_CANCELED");
    turn.stop("TASK_STATE_FAILED", "again");
    await done;
    expect(reason).toMatchObject({ name: "AbortError" });
    expect(home.task().status.state).toBe("TASK_STATE_CANCELED");
    expect(home.task().artifacts).toBeUndefined();
    expect(home.ended).toBe(1);
  });

  it("fails at the first emission that makes the task too large, and keeps what there was", async () => {
    const { home, done } = begin(
      async (task) => {
        await task.artifact({ artifactId: "small", parts: text("x") });
        await task.artifact({ artifactId: "large", parts: text("x".repeat(5_000)) });
        await task.artifact({ artifactId: "after", parts: text("x") });
      },
      { max: 4_000 },
    );
    await done;
    expect(home.task().status).toMatchObject({
      state: "TASK_STATE_FAILED",
      message: { parts: [{ text: expect.stringContaining("4000 bytes") }] },
    });
    expect(home.task().artifacts?.map(({ artifactId }) => artifactId)).toEqual(["small"]);
  });
});

describe("a turn that runs again", () => {
  it("writes nothing for what the journal has already", async () => {
    const run = async (task: QuickTask) => {
      await task.working("Thinking");
      await task.artifact({ parts: text("a") });
    };
    const { home } = begin(async (task) => {
      await run(task);
      await forever;
    });
    await scheduler.wait(0);
    const rows = home.journal.length;
    await again(home, run).done;
    expect(kinds(home).slice(rows)).toEqual(["status"]);
    expect(home.task().artifacts).toHaveLength(1);
  });

  it("does not know an emission by its content alone: the same one twice is two", async () => {
    const chunk: ArtifactInput = { artifactId: "a", parts: text("x"), append: true };
    const { home } = begin(async (task) => {
      await task.artifact(chunk);
      await forever;
    });
    await scheduler.wait(0);
    await again(home, async (task) => {
      for (let i = 0; i < 3; i++) await task.artifact(chunk);
    }).done;
    expect(home.task().artifacts?.[0]?.parts).toHaveLength(3);
  });
});

/** A random generator that repeats itself (mulberry32). */
function createRandom(seed: number) {
  let state = seed;
  return (below: number): number => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 4_294_967_296) * below);
  };
}

type Op = { says: string } | { id: string; text: string; append: boolean };

function randomOps(random: (below: number) => number): Op[] {
  return Array.from({ length: random(7) }, (): Op => {
    if (random(4) === 0) return { says: `s${random(3)}` };
    return { id: "abc"[random(3)] as string, text: `${random(5)}`, append: random(2) === 0 };
  });
}

/** The same agent in a later run: often just the same, else another from some place on. */
function vary(ops: Op[], random: (below: number) => number): Op[] {
  return random(3) === 0 ? ops : [...ops.slice(0, random(ops.length + 1)), ...randomOps(random)];
}

async function perform(task: QuickTask, ops: readonly Op[]): Promise<void> {
  for (const op of ops) {
    if ("says" in op) await task.working(op.says);
    else await task.artifact({ artifactId: op.id, parts: text(op.text), append: op.append });
  }
}

function foldOps(ops: readonly Op[]): Record<string, string> {
  const artifacts: Record<string, string> = {};
  for (const op of ops) {
    if ("id" in op) artifacts[op.id] = (op.append ? (artifacts[op.id] ?? "") : "") + op.text;
  }
  return artifacts;
}

function foldEvents(events: readonly StreamResponse[]): Record<string, string> {
  return foldOps(
    events.flatMap(({ artifactUpdate }) => {
      if (!artifactUpdate) return [];
      const { artifact, append = false } = artifactUpdate;
      return [{ id: artifact.artifactId, text: artifact.parts.map((part) => part.text).join(""), append }];
    }),
  );
}

describe("a random agent that runs again, and then throws or is canceled", () => {
  it.each([["throws"], ["is canceled"]])(
    "leaves subscribers with the task's artifacts when it %s (250 seeds)",
    async (how) => {
      for (let seed = 0; seed < 250; seed++) {
        const random = createRandom(seed);
        let ops = randomOps(random);
        if (ops.length === 0) continue;
        const { home } = begin(async (task) => {
          await perform(task, ops);
          await forever;
        });
        await scheduler.wait(0);
        ops = vary(ops, random).slice(0, random(8));
        const { turn } = again(home, async (task) => {
          await perform(task, ops);
          if (how === "throws") throw new Error("on purpose");
          await forever;
        });
        await scheduler.wait(0);
        turn.stop("TASK_STATE_CANCELED");
        const final = Object.fromEntries(
          (home.task().artifacts ?? []).map((a) => [a.artifactId, a.parts.map((p) => p.text).join("")]),
        );
        const seen = foldEvents(home.events());
        for (const id of Object.keys(seen)) if (!(id in final)) delete seen[id];
        expect(seen, `seed ${seed}`).toEqual(final);
      }
    },
  );
});

describe("a random agent that dies twice at random moments", () => {
  it.each([0, 250, 500, 750])(
    "leaves the task of its last run, to GetTask and to subscribers (250 seeds from %i)",
    async (from) => {
      for (let seed = from; seed < from + 250; seed++) {
        const random = createRandom(seed);
        let ops = randomOps(random);
        const dies = (all: Op[]) => {
          // At least one emission, without which there is no task to run again.
          const survived = all.slice(0, 1 + random(all.length));
          return async (task: QuickTask) => {
            await perform(task, survived);
            await forever;
          };
        };
        if (ops.length === 0) continue;
        const { home } = begin(dies(ops));
        await scheduler.wait(0);
        ops = vary(ops, random);
        void again(home, dies(ops)).done;
        await scheduler.wait(0);
        ops = vary(ops, random);
        await again(home, (task) => perform(task, ops)).done;

        const artifacts = toArtifacts(home.journal);
        const final = Object.fromEntries(
          artifacts.map((a) => [a.artifactId, a.parts.map((p) => p.text).join("")]),
        );
        expect(final, `seed ${seed}`).toEqual(foldOps(ops));
        // What a client has seen of an artifact that the last run does not have cannot be taken back.
        const seen = foldEvents(home.events());
        for (const id of Object.keys(seen)) if (!(id in final)) delete seen[id];
        expect(seen, `seed ${seed}`).toEqual(final);
        expect(home.journal.map(({ seq }) => seq)).toEqual(home.journal.map((_, index) => index + 1));
        const said = (home.task().history ?? []).slice(1).map((entry) => entry.parts[0]?.text);
        expect(said, `seed ${seed}`).toEqual(ops.flatMap((op) => ("says" in op ? [op.says] : [])));
      }
    },
  );
});
