// A home of one task in memory, for turns without a runtime around them: it keeps what they write, and begins
// a turn again as the start of an object does.

import { expect } from "vitest";
import { defineAgent, type QuickTask } from "../../src/agents/agent.ts";
import type { StreamResponse } from "../../src/protocol/events.ts";
import type { Message } from "../../src/protocol/message.ts";
import { toTask } from "../../src/tasks/fold.ts";
import { type Entry, newRecord, receive, type TaskRecord } from "../../src/tasks/machine.ts";
import type { Change } from "../../src/tasks/store.ts";
import { Turn, type TurnHost } from "../../src/tasks/turn.ts";

const notifications = { configured: false, validated: false };

const message: Message = { messageId: "m", role: "ROLE_USER", parts: [{ text: "go" }] };

export const text = (value: string) => [{ text: value }];

export class ArrayHome {
  stored: TaskRecord | undefined;
  readonly journal: Entry[] = [];
  readonly changes: Change[] = [];
  readonly memory: Record<string, unknown> = {};
  readonly unwritten = new Set<Turn>();
  ended = 0;

  host(maxTaskBytes = 1_000_000): TurnHost {
    return {
      now: () => 1_000,
      maxTaskBytes,
      stepMs: 1,
      unwritten: this.unwritten,
      save: (change) => {
        expect(change.before).toBe(this.stored);
        this.stored = change.after;
        this.journal.push(...change.entries);
        this.changes.push(change);
        if (change.memory) Object.assign(this.memory, Object.fromEntries(change.memory));
        change.companion?.();
      },
      memoryFits: () => true,
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
export function begin(
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
    notifications,
  });
  return { home, turn, done: turn.run() };
}

/** Begins the turn again, as a start of its object does. */
export function again(home: ArrayHome, run: (task: QuickTask) => Promise<void>) {
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
    notifications,
  });
  return { turn, done: turn.run() };
}
