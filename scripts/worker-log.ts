// What the Worker writes with `console`, passed on unchanged: warnings and errors to stderr, the rest to stdout.

export function printWorkerLog(entry: { level: string; message: string }): void {
  const serious = entry.level === "error" || entry.level === "warn";
  (serious ? process.stderr : process.stdout).write(`${entry.message}\n`);
}
