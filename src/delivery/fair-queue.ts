// Claims that wait in an EndpointObject for a slot, in the order in which they are served: targets take turns, and
// on one target homes take turns, so that many claims of one hold up nobody else's.

import { type Claim, charsOf } from "./exchange.ts";

/** A claim and the home it came from, which was asked for it, or offered it, at `since` (ms). */
export type Waiting = { home: string; claim: Claim; since: number };

export class FairQueue {
  /** By target, then by home; both in the order of their next turn. No empty ones. */
  readonly #targets = new Map<string, Map<string, Waiting[]>>();
  #size = 0;
  #chars = 0;

  get size(): number {
    return this.#size;
  }

  /** The length of all bodies. */
  get chars(): number {
    return this.#chars;
  }

  add(waiting: Waiting): void {
    const { home, claim } = waiting;
    const homes = getOrInsert(this.#targets, claim.target, () => new Map<string, Waiting[]>());
    getOrInsert(homes, home, (): Waiting[] => []).push(waiting);
    this.#size += 1;
    this.#chars += charsOf(claim);
  }

  /** Targets with waiting claims, in the order of their turns. One that is removed meanwhile does no harm. */
  targets(): IterableIterator<string> {
    return this.#targets.keys();
  }

  /** How many targets have waiting claims. */
  get breadth(): number {
    return this.#targets.size;
  }

  /** The claim whose turn it is on a target, among those that `may`. */
  next(target: string, may: (waiting: Waiting) => boolean): Waiting | undefined {
    for (const [first] of this.#targets.get(target)?.values() ?? []) {
      if (first && may(first)) return first;
    }
    return undefined;
  }

  /** Removes a claim that `next` gave; its home and its target go to the end of their lines. */
  take({ home, claim }: Waiting): void {
    const { target } = claim;
    const homes = this.#targets.get(target);
    const claims = homes?.get(home);
    if (!homes || !claims) return;
    claims.shift();
    this.#size -= 1;
    this.#chars -= charsOf(claim);
    homes.delete(home);
    if (claims.length > 0) homes.set(home, claims);
    this.#targets.delete(target);
    if (homes.size > 0) this.#targets.set(target, homes);
  }

  /** Removes the claims that are `unwanted`, and gives them. */
  remove(unwanted: (waiting: Waiting) => boolean): Waiting[] {
    const removed: Waiting[] = [];
    for (const [target, homes] of this.#targets) {
      for (const [home, claims] of homes) {
        const kept = claims.filter((waiting) => !unwanted(waiting));
        if (kept.length === claims.length) continue;
        removed.push(...claims.filter(unwanted));
        if (kept.length > 0) homes.set(home, kept);
        else homes.delete(home);
      }
      if (homes.size === 0) this.#targets.delete(target);
    }
    return this.#removed(removed);
  }

  /** Removes a target's newest claims until `keep` are left, from the homes that have most; gives them. */
  shorten(target: string, keep: number): Waiting[] {
    const homes = this.#targets.get(target);
    const removed: Waiting[] = [];
    for (let count = this.count(target); homes && count > keep; count--) {
      const [longest] = [...homes].toSorted(([, one], [, other]) => other.length - one.length);
      const last = longest?.[1].pop();
      if (!longest || !last) break;
      if (longest[1].length === 0) homes.delete(longest[0]);
      removed.push(last);
    }
    if (homes?.size === 0) this.#targets.delete(target);
    return this.#removed(removed);
  }

  #removed(removed: Waiting[]): Waiting[] {
    this.#size -= removed.length;
    for (const { claim } of removed) this.#chars -= charsOf(claim);
    return removed;
  }

  /** Claims that wait for a target, of all homes. */
  count(target: string): number {
    let count = 0;
    for (const claims of this.#targets.get(target)?.values() ?? []) count += claims.length;
    return count;
  }

  /** Claims of one home that wait for a target. */
  countOf(target: string, home: string): number {
    return this.#targets.get(target)?.get(home)?.length ?? 0;
  }

  /** Claims of a home. */
  sizeOf(home: string): number {
    let size = 0;
    for (const claims of this.of(home)) size += claims.length;
    return size;
  }

  /** A home's claims, by target. */
  *of(home: string): Iterable<readonly Waiting[]> {
    for (const homes of this.#targets.values()) {
      const claims = homes.get(home);
      if (claims) yield claims;
    }
  }
}

function getOrInsert<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const known = map.get(key);
  if (known !== undefined) return known;
  const made = make();
  map.set(key, made);
  return made;
}
