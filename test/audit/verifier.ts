// The verifier of docs/audit.md, run by the tests. It knows nothing of the server's code.

/** The hash that each chain of an export ends with; throws where an export has been tampered with. */
export async function verifyLines(lines: readonly string[]): Promise<Record<string, string>> {
  const ends = new Map<string, { n: number; hash: string }>();
  for (const line of lines) {
    const { chain, n, hash } = JSON.parse(line) as { chain: string; n: number; hash: string };
    const before = ends.get(chain) ?? { n: 0, hash: "0".repeat(64) };
    if (n !== before.n + 1) throw new Error(`${chain}: entry ${before.n + 1} is missing`);
    // The line without `,"hash":"…"}`, which is its last 75 bytes.
    const bytes = new TextEncoder().encode(`${before.hash}\n${line.slice(0, -75)}`);
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
    if (digest.toHex() !== hash) throw new Error(`${chain}: entry ${n} was changed`);
    ends.set(chain, { n, hash });
  }
  return Object.fromEntries([...ends].map(([chain, { hash }]) => [chain, hash]));
}
