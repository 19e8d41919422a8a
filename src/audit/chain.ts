// The chain of one object, in its own database: an entry is written in the transaction of what it tells, and its hash
// covers the one before, so that none can be changed, left out or put in later without all that follow showing it.
//
// Entries leave for D1 in batches. What stays is the newest, which the next one follows; everything that waits to be
// shipped stands behind the entry that was shipped last, so the first row says how far that was.

import type { AuditEntry, AuditEvent, Head } from "./entry.ts";
import { follow, NOTHING } from "./entry.ts";

type Row = { n: number; at: number; since: number; body: string; hash: string };

/** Where a chain ends, and the entries that were not shipped: all before them must be in D1. */
export type AuditTail = { head: Head; entries: AuditEntry[] };

/** Of a chain that nothing was ever written to. */
export const EMPTY_TAIL: AuditTail = { head: NOTHING, entries: [] };

/** Entries of one tail: an RPC value holds at most 32 MiB. */
const TAIL = 1_000;

/** SQLite takes 100 bound parameters a statement here: 20 rows of five. */
const ROWS_PER_INSERT = 20;

type State = { head: Head; shipped: number };

export class AuditChain {
  readonly name: string;
  readonly #sql: SqlStorage;
  /** In memory, so that an entry costs one row and reads none; undefined: to be read. */
  #state: State | undefined;
  /** Of the transaction that is being written. */
  #gathered: AuditEntry[] = [];

  constructor(sql: SqlStorage, name: string) {
    this.#sql = sql;
    this.name = name;
  }

  /** Adds an entry, inside the transaction of what it tells; it is written with the end of that. */
  append(event: AuditEvent, now: number): void {
    const { head, shipped } = this.#load();
    const entry = follow(this.name, head, event, now);
    this.#gathered.push(entry);
    this.#state = { head: { n: entry.n, at: entry.at, hash: entry.hash }, shipped };
  }

  /** Writes what has been gathered. */
  flush(): void {
    if (this.#gathered.length === 0) return;
    const entries = this.#gathered;
    this.#gathered = [];
    for (let start = 0; start < entries.length; start += ROWS_PER_INSERT) {
      const some = entries.slice(start, start + ROWS_PER_INSERT);
      const values = some.map(() => "(?, ?, ?, ?, ?, 0)").join(", ");
      const bindings = some.flatMap(({ n, at, since, body, hash }) => [n, at, since, body, hash]);
      this.#sql.exec(`INSERT INTO audit VALUES ${values}`, ...bindings);
    }
  }

  /** After a transaction that was rolled back, some entries are not there. */
  forget(): void {
    this.#state = undefined;
    this.#gathered = [];
  }

  get head(): Head {
    return this.#load().head;
  }

  /** How many entries have not been shipped. */
  get waiting(): number {
    const { head, shipped } = this.#load();
    return head.n - shipped;
  }

  /** The oldest entries that have not been shipped. */
  unshipped(limit: number): AuditEntry[] {
    return this.#after(this.#load().shipped, limit);
  }

  /** What follows entry `n`, as far as it was not shipped. */
  tail(n: number): AuditTail {
    const { head, shipped } = this.#load();
    return { head, entries: this.#after(Math.max(n, shipped), TAIL) };
  }

  #after(n: number, limit: number): AuditEntry[] {
    this.flush();
    const select = "SELECT n, at, since, body, hash FROM audit WHERE n > ? ORDER BY n LIMIT ?";
    return [...this.#sql.exec<Row>(select, n, limit)].map((row) => ({ chain: this.name, ...row }));
  }

  /** Entries up to this number are in D1; inside a transaction. */
  shipped(n: number): void {
    const { head, shipped } = this.#load();
    if (n <= shipped) return;
    this.flush();
    this.#sql.exec("DELETE FROM audit WHERE n < ?", n);
    this.#sql.exec("UPDATE audit SET shipped = 1 WHERE n = ?", n);
    this.#state = { head, shipped: n };
  }

  #load(): State {
    if (!this.#state) {
      const [head = NOTHING] = this.#sql.exec<Head>("SELECT n, at, hash FROM audit ORDER BY n DESC LIMIT 1");
      const [first] = this.#sql.exec<{ shipped: number }>(
        "SELECT CASE shipped WHEN 1 THEN n ELSE n - 1 END AS shipped FROM audit ORDER BY n LIMIT 1",
      );
      this.#state = { head, shipped: first?.shipped ?? 0 };
    }
    return this.#state;
  }
}
