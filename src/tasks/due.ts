// What a home has to see to later, as rows, and the one alarm that wakes it for the earliest of them.
//
// The rows are the truth and the alarm only a clock: it is set again after every run, and whatever is
// overdue is found by its row, however the object was woken.

export type DueKind =
  | "job"
  | "trim"
  /** The key is the home's name. */
  | "register"
  /** Of a home that was left empty by an erasure: its name, and a time that never comes. */
  | "erased";
export type DueItem = { kind: DueKind; key: string; at: number };

/** The earliest time (ms) that an alarm may be set for. */
const LONG_AGO = 1;

export class Due {
  readonly #storage: DurableObjectStorage;
  /** When the alarm will ring; undefined: none is set. */
  #alarmAt: number | undefined;

  constructor(storage: DurableObjectStorage) {
    this.#storage = storage;
  }

  /** Reads the alarm's time; once, when the object starts. */
  async load(): Promise<void> {
    this.#alarmAt = (await this.#storage.getAlarm()) ?? undefined;
  }

  set(kind: DueKind, key: string, at: number): void {
    this.#storage.sql.exec(
      "INSERT INTO due VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET at = ?3 WHERE at <> ?3",
      kind,
      key,
      at,
    );
    this.ring(at);
  }

  clear(kind: DueKind, key: string): void {
    this.#storage.sql.exec("DELETE FROM due WHERE kind = ? AND key = ?", kind, key);
  }

  has(kind: DueKind, key: string): boolean {
    return (
      this.#storage.sql.exec("SELECT 1 FROM due WHERE kind = ? AND key = ?", kind, key).toArray().length > 0
    );
  }

  /** The name of a home that was left empty by an erasure; undefined: it is one like others. */
  erased(): string | undefined {
    return this.#storage.sql.exec<{ key: string }>("SELECT key FROM due WHERE kind = 'erased'").toArray()[0]
      ?.key;
  }

  /** From now on nothing is due but what jobs have left. */
  setErased(name: string): void {
    this.#storage.sql.exec("DELETE FROM due WHERE kind <> 'job'");
    this.#storage.sql.exec("INSERT INTO due VALUES ('erased', ?, ?)", name, Number.MAX_SAFE_INTEGER);
  }

  /** What is due at `now`, oldest first. */
  take(now: number, limit: number): DueItem[] {
    return this.#storage.sql
      .exec<DueItem>("SELECT kind, key, at FROM due WHERE at <= ? ORDER BY at LIMIT ?", now, limit)
      .toArray();
  }

  /** The time of the earliest row of these kinds. */
  earliest(kinds: readonly DueKind[]): number | undefined {
    const { at } = this.#storage.sql
      .exec<{ at: number | null }>(
        "SELECT MIN(at) AS at FROM due WHERE kind IN (SELECT value FROM json_each(?))",
        JSON.stringify(kinds),
      )
      .one();
    return at ?? undefined;
  }

  /** Makes sure that the alarm rings at `at` (ms) or before. */
  ring(at: number): void {
    if (this.#alarmAt !== undefined && this.#alarmAt <= at) return;
    this.#alarmAt = at;
    // Not awaited: the write is covered by the output gate like any other.
    void this.#storage.setAlarm(at);
  }

  /** A transaction was rolled back, and perhaps an alarm with it: it rings at once, and what is due sets it again. */
  rolledBack(): void {
    if (this.#alarmAt === undefined) return;
    this.#alarmAt = undefined;
    this.ring(LONG_AGO);
  }

  /** The alarm has rung: none is set any more. */
  rang(): void {
    this.#alarmAt = undefined;
  }
}
