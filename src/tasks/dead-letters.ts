// The table `dead` of a home: notifications that were given up and are not filed in D1 yet. The home keeps each
// until the consumer of the dead-letter queue has filed it.

import { toPayload } from "../delivery/payload.ts";
import { utf8Length } from "../lib/bytes.ts";
import type { Version } from "../protocol/version.ts";
import type { DeadLetter } from "../store/dead-letters.ts";
import type { Journal } from "./journal.ts";

/** In UTF-8. A larger payload is not filed (a row of D1 holds 2 MB); the task still has it. */
const MAX_BODY_BYTES = 1_000_000;

/** `version`: the dialect of its payload; absent in rows of before there were others than 1.0. */
export type DeadNotification = Omit<DeadLetter, "home" | "body"> & { version?: Version };

/** Which death of which letter: one that was retried may die again. */
export type Death = Pick<DeadLetter, "id" | "task" | "diedAt">;

export class DeadLetters {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  add(letter: DeadNotification): void {
    const query = "INSERT OR REPLACE INTO dead VALUES (?, ?, ?, ?)";
    this.#sql.exec(query, letter.id, letter.task, letter.seq, JSON.stringify(letter));
  }

  /** Ids of those that wait to be filed. */
  ids(limit: number): string[] {
    return this.#sql
      .exec<{ id: string }>("SELECT id FROM dead LIMIT ?", limit)
      .toArray()
      .map((row) => row.id);
  }

  count(): number {
    return this.#sql.exec<{ count: number }>("SELECT COUNT(*) AS count FROM dead").one().count;
  }

  /** Those of `ids` that wait to be filed, with their payload. */
  load(home: string, ids: readonly string[], journal: Journal): DeadLetter[] {
    return this.#sql
      .exec<{ task: string; seq: number; body: string }>(
        "SELECT task, seq, body FROM dead WHERE id IN (SELECT value FROM json_each(?))",
        JSON.stringify(ids),
      )
      .toArray()
      .map((row) => {
        const { version = "1.0", ...letter } = JSON.parse(row.body) as DeadNotification;
        const entry = journal.entry(row.task, row.seq);
        const body = entry && toPayload(version, entry.body, () => journal.taskAt(row.task, row.seq));
        return { ...letter, home, body: body !== undefined && isFileable(body) ? body : null };
      });
  }

  deleteTask(task: string): void {
    this.#sql.exec("DELETE FROM dead WHERE task = ?", task);
  }

  /** The ids of letters that were erased with their task: of those that were filed only, the task is still here. */
  erased(deaths: readonly Death[]): string[] {
    return this.#sql
      .exec<{ id: string }>(
        `SELECT value ->> 'id' AS id FROM json_each(?)
         WHERE NOT EXISTS (SELECT 1 FROM dead WHERE dead.id = value ->> 'id')
           AND NOT EXISTS (SELECT 1 FROM tasks WHERE tasks.id = value ->> 'task')`,
        JSON.stringify(deaths.map(({ id, task }) => ({ id, task }))),
      )
      .toArray()
      .map((row) => row.id);
  }

  /** Forgets these deaths; a later one of the same letter is still to be filed. */
  filed(deaths: readonly Death[]): void {
    for (const { id, diedAt } of deaths) {
      this.#sql.exec("DELETE FROM dead WHERE id = ? AND body ->> 'diedAt' = ?", id, diedAt);
    }
  }
}

/** A UTF-16 unit is one to three bytes of UTF-8, so as a rule the length decides. */
function isFileable(body: string): boolean {
  if (body.length > MAX_BODY_BYTES) return false;
  return body.length * 3 <= MAX_BODY_BYTES || utf8Length(body) <= MAX_BODY_BYTES;
}
