// The life of a home: it begins with its first write and is registered in D1. An erasure may leave it empty and
// forgotten, and what its owner writes after that has it registered again.

import type { Due } from "./due.ts";
import { migrate, schemaVersion } from "./schema.ts";

/** How often a home looks for what it may delete. */
export const TRIM_EVERY_MS = 86_400_000;

export class Lifecycle {
  readonly #storage: DurableObjectStorage;
  readonly #due: Due;
  readonly #name: string;
  #exists: boolean;
  /** Whether an erasure has left the home empty; undefined: to be read. */
  #isErased: boolean | undefined;

  /** `name` is the home's own, known while it is called by it: when an alarm wakes the object it is not. */
  constructor(storage: DurableObjectStorage, due: Due, name: string) {
    this.#storage = storage;
    this.#due = due;
    this.#name = name;
    this.#exists = schemaVersion(storage.sql) > 0;
    if (this.#exists) migrate(storage);
  }

  /** Whether anything was ever written here. */
  get exists(): boolean {
    return this.#exists;
  }

  /** Whether D1 is to know of it: not when an erasure has left it empty and nothing has come since. */
  get isInUse(): boolean {
    if (this.#exists) this.#isErased ??= this.#due.erased() !== undefined;
    return this.#exists && this.#isErased === false;
  }

  /** Gives the database its schema, before the first write. */
  begin(): void {
    if (this.#exists) return;
    migrate(this.#storage);
    this.#exists = true;
    this.#isErased = false;
    this.register(this.#name);
  }

  /** What is written next is an owner's: a home that was left empty is one like others again. */
  use(): void {
    if (this.isInUse) return;
    const name = this.#due.erased() ?? this.#name;
    this.#due.clear("erased", name);
    this.#isErased = false;
    this.register(name);
  }

  /** Has D1 told of the home. */
  register(name: string): void {
    const now = Date.now();
    this.#due.set("register", name, now);
    this.#due.set("trim", "", now + TRIM_EVERY_MS);
  }

  /** From now on nothing is due here, and D1 need not know of it. */
  leave(name: string): void {
    this.#due.setErased(name);
    this.#isErased = true;
  }

  /** A transaction was rolled back: what is in memory may not be what is stored. */
  forget(): void {
    this.#isErased = undefined;
  }
}
