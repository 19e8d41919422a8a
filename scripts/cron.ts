// Fires the Worker's `scheduled` handler, which the platform does once a minute and the local runtime never.

/** Calls `fire` every `seconds`, never twice at once, and reports a false answer; returns what stops it. */
export function startCron(fire: () => Promise<boolean>, seconds: number): () => void {
  let running = false;
  let stopped = false;
  const timer = setInterval(async () => {
    if (running) return;
    running = true;
    try {
      if (!(await fire())) console.error("The scheduled handler failed.");
    } catch (error) {
      if (!stopped) console.error("The scheduled handler failed:", error);
    } finally {
      running = false;
    }
  }, seconds * 1_000);
  return () => {
    stopped = true;
    clearInterval(timer);
  };
}
