// When what was written is on disk, and how writes share a trip to it.
//
// Each committed transaction costs one fsync, and the runtime has one thread: under load the fsyncs are the
// cost, not the rows. So a request that comes while a commit is under way waits for it, and all that came
// meanwhile then write in the same turn of the event loop, which the runtime commits as one transaction. When they
// are several, they also wait a few milliseconds for others: under load those are about to come. Each of them
// writes inside a nested transaction of its own, so that one failure leaves the others alone.

/** When so many have waited, they and those who come soon wait so long for company. */
const COMPANY = 3;
const GATHER_MS = 3;
const SOON_MS = 20;

export class Commits {
  readonly #storage: DurableObjectStorage;
  #dirty = false;
  #running: Promise<void> | undefined;
  #next: Promise<void> | undefined;
  #waiting = 0;
  /** How many had gathered when they were let go last. */
  #wave = 0;
  #gathering: Promise<void> | undefined;
  #last: { tookMs: number; at: number } | undefined;

  constructor(storage: DurableObjectStorage) {
    this.#storage = storage;
  }

  /** Runs `write` as one nested transaction: all of it or, if it throws, nothing. */
  write<T>(write: () => T): T {
    this.#dirty = true;
    return this.#storage.transactionSync(write);
  }

  /** Resolves when it is the moment to write together with others: a commit under way is done, and a wave has gathered. */
  async turn(): Promise<void> {
    if (this.#running === undefined && !this.#isBusy()) return;
    this.#waiting += 1;
    try {
      await this.#running;
      if (this.#isBusy()) await this.#gather();
    } finally {
      this.#waiting -= 1;
    }
  }

  /** Whether several have just waited together. */
  #isBusy(): boolean {
    return this.#wave >= COMPANY && Date.now() - (this.#last?.at ?? 0) < SOON_MS;
  }

  #gather(): Promise<void> {
    this.#gathering ??= scheduler.wait(GATHER_MS).finally(() => {
      this.#gathering = undefined;
      this.#wave = this.#waiting;
    });
    return this.#gathering;
  }

  /** How many wait for their turn. */
  get waiting(): number {
    return this.#waiting;
  }

  /** How long the newest commit took, and when it was done (ms); undefined: there was none. */
  get last(): { tookMs: number; at: number } | undefined {
    return this.#last;
  }

  /** Resolves when everything written before the call is on disk. */
  durable(): Promise<void> {
    if (this.#running !== undefined) {
      // What is under way may have begun before the newest write.
      if (!this.#dirty) return this.#running;
      this.#next ??= this.#running.then(() => {
        this.#next = undefined;
        return this.#sync();
      });
      return this.#next;
    }
    return this.#dirty ? this.#sync() : Promise.resolve();
  }

  #sync(): Promise<void> {
    this.#dirty = false;
    const begunAt = Date.now();
    const running = this.#storage.sync().finally(() => {
      const at = Date.now();
      this.#last = { tookMs: at - begunAt, at };
      if (this.#waiting >= COMPANY) this.#wave = this.#waiting;
      if (this.#running === running) this.#running = undefined;
    });
    this.#running = running;
    return running;
  }
}
