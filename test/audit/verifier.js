// The verifier of docs/audit.md, word for word, and used by the tests.

export async function verifyLines(lines) {
  const ends = new Map();
  for (const line of lines) {
    const { chain, n, hash } = JSON.parse(line);
    const before = ends.get(chain) ?? { n: 0, hash: "0".repeat(64) };
    if (n !== before.n + 1) throw new Error(`${chain}: entry ${before.n + 1} is missing`);
    const bytes = new TextEncoder().encode(`${before.hash}\n${line.slice(0, -75)}`);
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
    const hex = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
    if (hex !== hash) throw new Error(`${chain}: entry ${n} was changed`);
    ends.set(chain, { n, hash });
  }
  return Object.fromEntries([...ends].map(([chain, { hash }]) => [chain, hash]));
}
