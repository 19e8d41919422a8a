// Takes dead letters out of their home and into D1. The home keeps each until it is told that it was filed, and
// everything here may be repeated, so a consumer that dies in between loses nothing.

import { type DeadLetter, deleteDeadLetters, saveDeadLetters } from "../store/dead-letters.ts";
import type { WorkDeps } from "./deps.ts";

/** Each may have a payload of a megabyte, and an RPC value holds 32. */
const LETTERS = 10;

/**
 * Files those of the letters that the home still keeps. Throws when the home or D1 cannot be reached, or D1 has not
 * taken every letter: try again.
 */
export async function fileDeadLetters(
  { db, homeAt }: Pick<WorkDeps, "db" | "homeAt">,
  home: string,
  ids: readonly string[],
): Promise<void> {
  const failures: unknown[] = [];
  for (let i = 0; i < ids.length; i += LETTERS) {
    const object = homeAt(home);
    const letters = await object.deadLetters(ids.slice(i, i + LETTERS));
    if (letters.length === 0) continue;
    const saved = await saveAll(db, letters, failures);
    if (saved.length === 0) break;
    const erased = await object.deadFiled(saved.map(({ id, task, diedAt }) => ({ id, task, diedAt })));
    if (erased.length > 0) await deleteDeadLetters(db, erased);
  }
  if (failures.length > 0) throw failures[0];
}

/** Saves letters at once or, if that fails, one by one: one that D1 does not take keeps out no other. Those saved. */
async function saveAll(
  db: D1Database,
  letters: readonly DeadLetter[],
  failures: unknown[],
): Promise<readonly DeadLetter[]> {
  try {
    await saveDeadLetters(db, letters);
    return letters;
  } catch (error) {
    failures.push(error);
  }
  const saved: DeadLetter[] = [];
  for (const letter of letters.length > 1 ? letters : []) {
    try {
      await saveDeadLetters(db, [letter]);
      saved.push(letter);
    } catch (error) {
      failures.push(error);
    }
  }
  return saved;
}
