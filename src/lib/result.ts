// A Result for what is expected to go wrong inside a domain. It is plain data on purpose: a thrown error
// loses its class and fields on the way out of a Durable Object, a Result does not.

export type Result<T, E> = { ok: true; value: T } | { ok: false; error: E };

export function ok<T>(value: T): { ok: true; value: T } {
  return { ok: true, value };
}

export function err<E>(error: E): { ok: false; error: E } {
  return { ok: false, error };
}
