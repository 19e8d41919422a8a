// How every script begins and ends: what the user can put right is one line and exit code 1, and only a
// bug shows a stack.

/** Something the user can put right; its message is all that is printed. */
export class Refusal extends Error {}

export function command(run: () => Promise<void>): void {
  run().catch((error: unknown) => {
    console.error(error instanceof Refusal ? error.message : error);
    process.exit(1);
  });
}

const CLOSE_TIMEOUT_MS = 5_000;
const PARENT_CHECK_MS = 250;

/**
 * Closes and ends the process on Ctrl-C, SIGTERM, a closed terminal, or the death of its parent: npm hands a
 * signal to the shell between us, which dies of it and passes nothing on.
 */
export function closeOnSignal(close: () => Promise<void>): void {
  let closing = false;
  const stop = () => {
    // Ctrl-C may come twice, from the terminal and from npm.
    if (closing) return;
    closing = true;
    setTimeout(() => process.exit(1), CLOSE_TIMEOUT_MS);
    close().then(
      () => process.exit(0),
      (error: unknown) => {
        console.error(error);
        process.exit(1);
      },
    );
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    // The runtime has handlers of its own, which end the process before the server has closed.
    process.removeAllListeners(signal);
    process.on(signal, stop);
  }
  const parent = process.ppid;
  setInterval(() => {
    if (process.ppid !== parent) stop();
  }, PARENT_CHECK_MS);
}
