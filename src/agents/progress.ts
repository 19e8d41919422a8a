// How the demonstration agents count: the number a message asks for, and the words that report it.

/** The number in "12 steps" for the noun "step", or undefined when the text names none. */
export function parseCount(text: string, noun: string): number | undefined {
  const digits = new RegExp(`\\b(\\d+)[ -]?${noun}s?\\b`, "i").exec(text)?.[1];
  return digits === undefined ? undefined : Number(digits);
}

/** Such as "Processing step 3/6 (50% complete)". */
export function progress(noun: string, done: number, total: number): string {
  return `Processing ${noun} ${done}/${total} (${Math.round((done / total) * 100)}% complete)`;
}
