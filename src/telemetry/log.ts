// The log: one JSON object a line on the console, which Workers and wrangler collect.
//
// Bodies and headers are never passed in: they hold what callers say and the credentials they say it with.
// A cause is written with its stack, because the log is the only place that ever sees it.

export type Level = "debug" | "info" | "warn" | "error";

export type Fields = Record<string, unknown>;

/** Writes one line. A field that holds an Error becomes its name, message, stack and causes. */
export function log(level: Level, message: string, fields: Fields = {}): void {
  const line: Fields = { level, message };
  for (const [name, value] of Object.entries(fields)) {
    if (!(name in line)) line[name] = value instanceof Error ? describeError(value) : value;
  }
  console[level](toLine(line));
}

// Deeper chains than this are loops.
const MAX_CAUSES = 4;

function describeError(error: Error, depth = 0): Fields {
  const described: Fields = { name: error.name, message: error.message, stack: error.stack };
  if (error.cause !== undefined && depth < MAX_CAUSES) {
    described.cause =
      error.cause instanceof Error ? describeError(error.cause, depth + 1) : String(error.cause);
  }
  return described;
}

function toLine(line: Fields): string {
  try {
    return JSON.stringify(line);
  } catch {
    // A cycle or a BigInt in a field must not turn a log line into a second failure.
    return JSON.stringify({
      level: line.level,
      message: line.message,
      fields: "could not be written as JSON",
    });
  }
}
