// What a turn wants written and has not written yet: the rows that lead from the task as it is stored to the task as the
// turn has it, what comes with them, and what the agent wants remembered of the conversation.
//
// It is written in one transaction, when the turn says so. The memory waits for the end of the turn, so that one which
// runs again does not find what its earlier run has set.

import { type Memory, toMemory } from "../agents/agent.ts";
import type { Entry, Step, TaskRecord } from "./machine.ts";
import type { MemoryChanges } from "./memories.ts";
import type { Change } from "./store.ts";

export type DraftHost = {
  /** Writes a change of the task in one transaction. */
  save(change: Change): void;
  loadMemory(agent: string, contextId: string): Record<string, unknown>;
  memoryFits(agent: string, contextId: string, changes: MemoryChanges): boolean;
  /** Writes what a turn that made no task wants remembered. */
  saveMemory(agent: string, contextId: string, changes: MemoryChanges): void;
};

export type DraftStart = {
  /** The task as the turn begins, and as it is stored (undefined: not yet). */
  record: TaskRecord;
  stored: TaskRecord | undefined;
  /** Rows that belong to the record but are not stored yet: the message that makes a task. */
  pending: Entry[];
  /** Written together with the next rows of the task. */
  companion?: (() => void) | undefined;
};

export class Draft {
  /** What the agent remembers, and wants remembered. */
  readonly memory: Memory;
  readonly #host: DraftHost;
  readonly #remembered: MemoryChanges = new Map();
  #record: TaskRecord;
  #stored: TaskRecord | undefined;
  #pending: Entry[];
  #companion: (() => void) | undefined;

  constructor({ record, stored, pending, companion }: DraftStart, host: DraftHost) {
    this.#host = host;
    this.#record = record;
    this.#stored = stored;
    this.#pending = pending;
    this.#companion = companion;
    let loaded: Record<string, unknown> | undefined;
    this.memory = toMemory(this.#remembered, () => {
      loaded ??= host.loadMemory(record.agent, record.contextId);
      return loaded;
    });
  }

  /** The task with all that was added. */
  get record(): TaskRecord {
    return this.#record;
  }

  /** Whether the task exists. */
  get isStored(): boolean {
    return this.#stored !== undefined;
  }

  add({ record, entry }: Step): void {
    this.#record = record;
    this.#pending.push(entry);
  }

  /** What is written next brings this along. */
  accompany(companion: () => void): void {
    const before = this.#companion;
    this.#companion = () => {
      before?.();
      companion();
    };
  }

  /** Whether what the agent wants remembered can be; if not, it is forgotten. */
  memoryFits(): boolean {
    const { agent, contextId } = this.#record;
    const fits = this.#host.memoryFits(agent, contextId, this.#remembered);
    if (!fits) this.#remembered.clear();
    return fits;
  }

  /** Writes what there is, at the end of the turn with its memory. The rows; undefined: there was nothing to write. */
  write({ isEnd }: { isEnd: boolean }): Entry[] | undefined {
    const unchanged = this.#stored === this.#record && this.#pending.length === 0;
    const memory = isEnd && this.#remembered.size > 0 ? this.#remembered : undefined;
    if (unchanged && !memory) return undefined;
    const entries = this.#pending;
    this.#pending = [];
    this.#host.save({
      before: this.#stored,
      after: this.#record,
      entries,
      ...(memory && { memory }),
      ...(this.#companion && { companion: this.#companion }),
    });
    this.#companion = undefined;
    this.#stored = this.#record;
    return entries;
  }

  /** Writes the memory alone, of a turn that makes no task. */
  writeMemory(): void {
    const { agent, contextId } = this.#record;
    if (this.#remembered.size > 0) this.#host.saveMemory(agent, contextId, this.#remembered);
  }
}
