// What the platform throws when it cannot do its part just now. None of it is a bug, and none of it says anything of
// the request.

/** Of an object whose connection broke: a call may be made again, with a new stub. */
export function isRetryable(error: unknown): boolean {
  return error instanceof Error && "retryable" in error && error.retryable === true;
}

/** Of an object that has too much to do. */
export function isOverloaded(error: unknown): boolean {
  return error instanceof Error && "overloaded" in error && error.overloaded === true;
}

/** What SQLite says of a statement that is wrong, and not of a database that is busy, full or broken. */
const WRONG_STATEMENT = /: SQLITE_(ERROR|CONSTRAINT|MISMATCH|RANGE|TOOBIG|AUTH|READONLY)\b/;

/** Whether an object or D1 cannot be reached, or cannot answer, now. */
export function isOutage(error: unknown): boolean {
  if (isRetryable(error) || isOverloaded(error)) return true;
  // All that D1 throws begins so, and its own troubles have texts that change.
  return (
    error instanceof Error && error.message.startsWith("D1_ERROR: ") && !WRONG_STATEMENT.test(error.message)
  );
}
