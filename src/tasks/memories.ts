// The table `memory` of a home: what agents remember of their conversations, one row for each agent and context.

import { utf8Length } from "../lib/bytes.ts";
import type { Lifecycle } from "./lifecycle.ts";

/** A memory is one row, and a row holds at most 2 MB. */
const MAX_MEMORY_BYTES = 1_000_000;

/** Why a turn that wants to remember too much is failed. */
export const memoryTooLarge = `The agent's memory of this conversation grew beyond ${MAX_MEMORY_BYTES} bytes.`;

export type MemoryChanges = Map<string, unknown>;

export class Memories {
  readonly #sql: SqlStorage;
  readonly #lifecycle: Pick<Lifecycle, "exists" | "use">;

  constructor(sql: SqlStorage, lifecycle: Pick<Lifecycle, "exists" | "use">) {
    this.#sql = sql;
    this.#lifecycle = lifecycle;
  }

  load(agent: string, contextId: string): Record<string, unknown> {
    if (!this.#lifecycle.exists) return {};
    const [row] = this.#sql
      .exec<{ body: string }>("SELECT body FROM memory WHERE agent = ? AND context_id = ?", agent, contextId)
      .toArray();
    return row ? (JSON.parse(row.body) as Record<string, unknown>) : {};
  }

  /** In the order of agent and conversation, those after this one. */
  after(agent: string, contextId: string, limit: number) {
    return this.#sql
      .exec<{ agent: string; contextId: string; body: string }>(
        `SELECT agent, context_id AS contextId, body FROM memory WHERE (agent, context_id) > (?, ?)
         ORDER BY agent, context_id LIMIT ?`,
        agent,
        contextId,
        limit,
      )
      .toArray()
      .map(({ body, ...place }) => ({ ...place, memory: JSON.parse(body) as Record<string, unknown> }));
  }

  /** Whether the memory of a conversation may become what these changes make of it. */
  fits(agent: string, contextId: string, changes: MemoryChanges): boolean {
    return changes.size === 0 || utf8Length(this.#changed(agent, contextId, changes)) <= MAX_MEMORY_BYTES;
  }

  save(agent: string, contextId: string, changes: MemoryChanges, now: number): void {
    this.#lifecycle.use();
    const body = this.#changed(agent, contextId, changes);
    this.#sql.exec("INSERT OR REPLACE INTO memory VALUES (?, ?, ?, ?)", agent, contextId, body, now);
  }

  /** Deletes those that were used last before `before` (ms) and whose conversation has no task any more. */
  trim(before: number): void {
    this.#sql.exec(
      `DELETE FROM memory WHERE used_at < ? AND NOT EXISTS (SELECT 1 FROM tasks INDEXED BY tasks_by_context
         WHERE tasks.agent = memory.agent AND tasks.context_id = memory.context_id)`,
      before,
    );
  }

  /** Turns of one conversation may overlap, so each writes only the keys it has set. */
  #changed(agent: string, contextId: string, changes: MemoryChanges): string {
    return JSON.stringify({ ...this.load(agent, contextId), ...Object.fromEntries(changes) });
  }
}
