// The newest rows of tasks' journals, in memory: while a task is young they are read again and again, by its
// notifications above all. Rows never change, so what is remembered is what is stored, unless the transaction that
// brought it is rolled back.

import { keepNewest } from "../lib/keep-newest.ts";
import type { Entry } from "./machine.ts";

export type WrittenEntry = Entry & { at: number };

/** Tasks whose rows are remembered, the oldest of which is forgotten first. Few: what is kept for seconds grows old. */
const TASKS = 100;
/** Of a task with more text than this (UTF-16 units) only the rows that come next are remembered. */
const UNITS = 8_000;

type Tail = { entries: WrittenEntry[]; units: number };

export class Tails {
  readonly #tails = new Map<string, Tail>();

  append(task: string, entries: readonly Entry[], at: number): void {
    let tail = this.#tails.get(task);
    if (!tail) {
      tail = { entries: [], units: 0 };
      keepNewest(this.#tails, task, tail, TASKS);
    }
    for (const entry of entries) {
      tail.entries.push({ ...entry, at });
      tail.units += entry.body.length;
    }
    if (tail.units > UNITS) this.#tails.delete(task);
  }

  /** Row `seq`; undefined: it is not remembered. */
  entry(task: string, seq: number): WrittenEntry | undefined {
    return this.#tails.get(task)?.entries.find((entry) => entry.seq === seq);
  }

  /** All rows after row `afterSeq`; undefined: they are not remembered. */
  after(task: string, afterSeq: number): readonly WrittenEntry[] | undefined {
    const entries = this.#tails.get(task)?.entries;
    const first = entries?.[0];
    if (!entries || !first || first.seq > afterSeq + 1) return undefined;
    return entries.filter((entry) => entry.seq > afterSeq);
  }

  forget(task: string): void {
    this.#tails.delete(task);
  }

  forgetAll(): void {
    this.#tails.clear();
  }
}
