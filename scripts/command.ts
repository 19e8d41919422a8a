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

/** Waits for Ctrl-C, SIGTERM or a closed terminal, closes, and ends the process; a second signal does not wait. */
export function closeOnSignal(close: () => Promise<void>): void {
  let closing = false;
  const stop = () => {
    if (closing) process.exit(1);
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
}
