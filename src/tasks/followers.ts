// Who follows a task: streams of what happens to it, and senders that wait for its end.

import { isInterrupted, isTerminal, type TaskState } from "../protocol/state.ts";
import type { Task } from "../protocol/task.ts";
import type { Subscription } from "./commands.ts";
import type { BegunTask } from "./inbox.ts";
import { FIRST_ROW, type TaskRecord } from "./machine.ts";
import type { Store } from "./store.ts";
import { openSubscription, type Source, toLine } from "./subscription.ts";

export class Followers {
  readonly #store: Store;
  #count = 0;

  constructor(store: Store) {
    this.#store = store;
  }

  /** How many streams are open. */
  get count(): number {
    return this.#count;
  }

  /**
   * Waits until the task has ended, or waits itself, having answered the message in row `input`; the task as it was
   * then, for the next turn may have begun in the same moment.
   */
  async settled({ id, input, first }: BegunTask): Promise<TaskRecord | undefined> {
    let cursor = first?.seq ?? input;
    let taken = first?.taken ?? input === FIRST_ROW;
    for (;;) {
      const record = this.#store.get(id);
      if (!record || isTerminal(record.state)) return record;
      if (isInterrupted(record.state) && record.answered >= input) return record;
      const news = record.statusSeq > cursor ? this.#store.journal.statuses(id, cursor) : [];
      cursor = record.seq;
      for (const { seq, ref, status } of news) {
        if (ref !== undefined && Number(ref) >= input) taken = true;
        if (!taken || !isInterrupted(status.state)) continue;
        return { ...record, seq, state: status.state, statusSeq: seq };
      }
      await this.#store.signals.next(id);
    }
  }

  /**
   * A stream of what happens after row `seq`, beginning with `task`, if given. With `input` it ends when the turn that
   * has taken that message asks for more; `taken` says whether one has already, `asksByAuth` whether to wait for
   * authentication is to ask. `closed` is called when it is over.
   */
  open(
    id: string,
    seq: number,
    closed: () => void,
    opening: { task?: Task; input?: number; taken?: boolean; asksByAuth?: boolean } = {},
  ): Subscription {
    this.#count += 1;
    const { task, input = Number.POSITIVE_INFINITY, asksByAuth = false } = opening;
    let { taken = false } = opening;
    const { journal, commits, signals } = this.#store;
    const isQuestion = (state: TaskState) =>
      state === "TASK_STATE_INPUT_REQUIRED" || (asksByAuth && state === "TASK_STATE_AUTH_REQUIRED");
    const asks = (state: TaskState) => taken && isQuestion(state);
    const source: Source = {
      read: (after, maxUnits) => journal.read(id, after, maxUnits),
      isOver: () => {
        const record = this.#store.get(id);
        return !record || isTerminal(record.state) || asks(record.state);
      },
      endsWith: ({ ref }, { state }) => {
        if (ref !== undefined && Number(ref) >= input) taken = true;
        return isTerminal(state) || asks(state);
      },
      durable: () => commits.durable(),
      news: () => signals.next(id),
      closed: () => {
        this.#count -= 1;
        closed();
      },
    };
    return openSubscription(source, seq, task ? toLine(seq, JSON.stringify({ task })) : "");
  }
}
