// One server at a time for a folder of state. Two would each have every object of it, and neither know of the other's
// writes: what they keep would not fit together, and notifications would leave twice.
//
// The lock is the one that SQLite holds on a file, because it ends with the process, however that ends.

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { Refusal } from "./command.ts";

/** https://www.sqlite.org/rescode.html#busy */
const SQLITE_BUSY = 5;

const { DatabaseSync } = withoutWarnings(() => process.getBuiltinModule("node:sqlite"));

/** Locks the folder until the function that it returns is called, which has to be kept: without it the lock may go. */
export function lockState(stateDir: string): () => void {
  mkdirSync(stateDir, { recursive: true });
  const lock = new DatabaseSync(join(stateDir, "lock.sqlite"));
  try {
    lock.exec("BEGIN EXCLUSIVE");
  } catch (error) {
    lock.close();
    if ((error as { errcode?: number }).errcode !== SQLITE_BUSY) throw error;
    throw new Refusal(
      `A server with the state in ${stateDir} is running. Stop it, or choose another folder with STATE_DIR.`,
    );
  }
  return () => lock.close();
}

/** Node 22 says of its SQLite that it might change, which is nothing to whoever starts a server. */
function withoutWarnings<T>(load: () => T): T {
  const { emitWarning } = process;
  process.emitWarning = () => {};
  try {
    return load();
  } finally {
    process.emitWarning = emitWarning;
  }
}
