// The table `idempotency` of a home: what requests with an Idempotency-Key were answered with, so that one that comes
// again is answered with the same.

import { err, ok, type Result } from "../lib/result.ts";
import { type Failure, failure } from "../protocol/errors.ts";
import type { Message } from "../protocol/message.ts";
import type { Lifecycle } from "./lifecycle.ts";
import type { Records } from "./records.ts";

/** How long an answer is kept. */
const LIFETIME_MS = 86_400_000;

export type IdempotencyKey = { key: string; fingerprint: string };

/** What a request with this key was answered with. */
export type Replay = { task: string; input: number } | { message: Message };

export type IdempotencyKeysOptions = {
  sql: SqlStorage;
  lifecycle: Pick<Lifecycle, "exists" | "use">;
  records: Pick<Records, "get">;
};

export class IdempotencyKeys {
  readonly #options: IdempotencyKeysOptions;

  constructor(options: IdempotencyKeysOptions) {
    this.#options = options;
  }

  /** The answer kept for this key, if there is one; a failure if it was given to another request. */
  replay({ key, fingerprint }: IdempotencyKey, now: number): Result<Replay | undefined, Failure> {
    const { sql, lifecycle, records } = this.#options;
    if (!lifecycle.exists) return ok(undefined);
    const [row] = sql
      .exec<{ fingerprint: string; task: string | null; input: number | null; message: string | null }>(
        "SELECT fingerprint, task, input, message FROM idempotency WHERE key = ? AND expires_at > ?",
        key,
        now,
      )
      .toArray();
    if (!row) return ok(undefined);
    if (row.fingerprint !== fingerprint) return err(keyReused());
    if (row.message !== null) return ok({ message: JSON.parse(row.message) as Message });
    const { task, input } = row;
    return ok(task === null || input === null || !records.get(task) ? undefined : { task, input });
  }

  save({ key, fingerprint }: IdempotencyKey, replay: Replay, now: number): void {
    const { sql, lifecycle } = this.#options;
    lifecycle.use();
    sql.exec(
      "INSERT OR REPLACE INTO idempotency VALUES (?, ?, ?, ?, ?, ?)",
      key,
      fingerprint,
      "task" in replay ? replay.task : null,
      "task" in replay ? replay.input : null,
      "message" in replay ? JSON.stringify(replay.message) : null,
      now + LIFETIME_MS,
    );
  }

  /** Deletes those whose time is over. */
  trim(now: number): void {
    this.#options.sql.exec("DELETE FROM idempotency WHERE expires_at <= ?", now);
  }
}

/** The refusal of an Idempotency-Key that came before with another request. */
export function keyReused(): Failure {
  return failure("INVALID_PARAMS", {
    message: "This Idempotency-Key was used with a different request.",
    violations: [{ field: "Idempotency-Key", description: "was used with a different request" }],
  });
}
