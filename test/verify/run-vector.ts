// Runs one of the vectors that an implementation of its own made (test/fixtures/webhooks/vectors.py), in whatever
// runtime this is.

import {
  createMemorySeen,
  createVerifier,
  type Reason,
  type VerifierOptions,
} from "../../src/verify/index.ts";

export type Vector = {
  name: string;
  /** The checks that pass, or why it is refused. */
  expect: string[] | string;
  options: { keys?: boolean } & Pick<
    VerifierOptions,
    "secrets" | "token" | "jwt" | "toleranceSeconds" | "acceptBodySignature"
  >;
  headers: Record<string, string>;
  body: string;
  /** It comes a second time, with `again` as headers if they are there, and only then is refused. */
  twice?: boolean;
  again?: Record<string, string>;
};

export type Vectors = { now: number; jwks: { keys: object[] }; vectors: Vector[] };

/** What the verifier says: the checks that passed, or the reason of its refusal. */
export async function runVector({ now, jwks }: Vectors, vector: Vector): Promise<string[] | Reason> {
  const { keys = false, ...options } = vector.options;
  const nowMs = () => now * 1_000;
  const { verify } = createVerifier({
    ...options,
    ...(keys && { jwks }),
    seen: createMemorySeen({ now: nowMs }),
    now: nowMs,
  });
  const { headers, body } = vector;
  const first = await verify({ headers, body });
  if (!vector.twice) return first.ok ? [...first.value.checks] : first.error.reason;
  if (!first.ok) throw new Error(`refused the first time: ${first.error.reason}`);
  const second = await verify({ headers: vector.again ?? headers, body });
  return second.ok ? [...second.value.checks] : second.error.reason;
}
