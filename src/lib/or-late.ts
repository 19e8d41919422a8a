// Waits for something, but not for longer than it may take. Its timer goes with the wait.

/** The value of `promise`, or undefined after `ms` without it; what becomes of it then is its owner's to see. */
export async function orLate<T>(promise: Promise<T>, ms: number): Promise<T | undefined> {
  const late = Promise.withResolvers<undefined>();
  const timer = setTimeout(late.resolve, ms, undefined);
  try {
    return await Promise.race([promise, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
