// Verifies a chain, entry by entry: each must bear the next number and the hash that follows from the one before.
//
// What makes it more than a sum over a table is the head, which the chain's own object keeps: who can change the table
// can make any chain in it, but none that ends where the object says.

import { err, ok, type Result } from "../lib/result.ts";
import { type AuditEntry, type Head, hashOf } from "./entry.ts";

/** How far a chain has been followed. */
export type Reached = Pick<Head, "n" | "hash">;

export type Break = {
  /** The first entry that is not as it should be. */
  n: number;
  reason: /** It is not there. */
    | "missing"
    /** It, or the hash of the one before, is not what was written. */
    | "changed"
    /** The chain goes on beyond its head, or ends in another hash. */
    | "not_the_head";
};

/** Follows entries from `reached` on. */
export function follows(reached: Reached, entries: readonly AuditEntry[]): Result<Reached, Break> {
  let { n, hash } = reached;
  for (const entry of entries) {
    if (entry.n !== n + 1) return err({ n: n + 1, reason: "missing" });
    if (entry.hash !== hashOf(entry, hash)) return err({ n: entry.n, reason: "changed" });
    ({ n, hash } = entry);
  }
  return ok({ n, hash });
}

/** Whether a chain that was followed to its end is the whole of it. */
export function endsAt({ n, hash }: Reached, head: Reached): Result<Reached, Break> {
  if (n < head.n) return err({ n: n + 1, reason: "missing" });
  if (n > head.n) return err({ n: head.n + 1, reason: "not_the_head" });
  return hash === head.hash ? ok(head) : err({ n, reason: "not_the_head" });
}
