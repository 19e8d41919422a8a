// Stubs of other objects, kept by an object that calls the same ones again and again. Each stub is a connection of its
// own, and the runtime counts 32 KB of memory for it until the garbage collector has found it: one a call has it
// collect everything several times a second.
//
// Only for objects: to a stateless Worker a stub is of use during one request.

import { keepNewest } from "./keep-newest.ts";

/** So many are kept; beyond that the one that has been here longest goes. */
const KEPT = 100;

/** Calls the object of this name. */
export type CallObject<Stub> = <Answer>(
  name: string,
  call: (stub: Stub) => Promise<Answer>,
) => Promise<Answer>;

/**
 * Calls objects through stubs that are kept; `create` makes one for a name. A call that fails through a stub that was kept
 * is made once more through a new one, so it must be one that may be made twice.
 */
export function keepStubs<Stub>(create: (name: string) => Stub): CallObject<Stub> {
  const kept = new Map<string, Stub>();
  const get = (name: string) => {
    const known = kept.get(name);
    if (known !== undefined) return known;
    const stub = create(name);
    keepNewest(kept, name, stub, KEPT);
    return stub;
  };
  const drop = (name: string, stub: Stub) => {
    if (kept.get(name) === stub) kept.delete(name);
  };
  return async (name, call) => {
    const known = kept.get(name);
    try {
      if (known !== undefined) return await call(known);
    } catch (error) {
      // Once an object has been reset, a stub of it fails for good; another one reaches it.
      if (known !== undefined) drop(name, known);
      if (isOverloaded(error)) throw error;
    }
    const stub = get(name);
    try {
      return await call(stub);
    } catch (error) {
      drop(name, stub);
      throw error;
    }
  };
}

/** As the runtime marks errors: https://developers.cloudflare.com/durable-objects/best-practices/error-handling/ */
function isOverloaded(error: unknown): boolean {
  return (error as { overloaded?: unknown } | null)?.overloaded === true;
}
