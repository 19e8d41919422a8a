// Takes dead letters out of their home and into D1. The home keeps each until it is told that it was filed, and
// everything here may be repeated, so a consumer that dies in between loses nothing.

import { deleteDeadLetters, saveDeadLetters } from "../store/dead-letters.ts";
import type { WorkDeps } from "./deps.ts";

/** Each may have a payload of a megabyte, and an RPC value holds 32. */
const LETTERS = 10;

/** Files those of the letters that the home still keeps. Throws when the home or D1 cannot be reached: try again. */
export async function fileDeadLetters(
  { db, homeAt }: Pick<WorkDeps, "db" | "homeAt">,
  home: string,
  ids: readonly string[],
): Promise<void> {
  for (let i = 0; i < ids.length; i += LETTERS) {
    const object = homeAt(home);
    const letters = await object.deadLetters(ids.slice(i, i + LETTERS));
    if (letters.length === 0) continue;
    await saveDeadLetters(db, letters);
    const erased = await object.deadFiled(letters.map(({ id, task }) => ({ id, task })));
    if (erased.length > 0) await deleteDeadLetters(db, erased);
  }
}
