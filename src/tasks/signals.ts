// Wakes whoever waits for news of a task: subscribers and blocking senders. A signal says only "look again".

type Waiter = { promise: Promise<void>; wake: () => void };

export class Signals {
  readonly #waiters = new Map<string, Waiter>();

  /** Resolves at the next `fire` for this task. Ask before you yield after looking, and no news is missed. */
  next(task: string): Promise<void> {
    let waiter = this.#waiters.get(task);
    if (!waiter) {
      const { promise, resolve } = Promise.withResolvers<void>();
      waiter = { promise, wake: resolve };
      this.#waiters.set(task, waiter);
    }
    return waiter.promise;
  }

  fire(task: string): void {
    this.#waiters.get(task)?.wake();
    this.#waiters.delete(task);
  }
}
