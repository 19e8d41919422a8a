// Refusals of strangers, counted: they must not be able to write without bound. What an isolate sees it hands over every
// few seconds in sums, and the audit has one entry for each (who, reason) of a minute, of at most MAX_WHO of them.
//
// An isolate that dies takes along what it has not handed over: a few seconds of counts.

import { createGathering } from "../lib/gathering.ts";
import { log } from "../telemetry/log.ts";
import type { AuditEvent } from "./entry.ts";

/** In a minute no more are named; all others are one. */
const MAX_WHO = 100;
const OTHER = "other";
const GATHER_MS = 2_000;

export type RefusalCount = {
  kind: "authentication.refused" | "authorization.refused";
  /** The network a stranger came from, or the actor of a caller. */
  who: string;
  /** Why, of a few: who is refused cannot choose it. */
  reason: string;
  count: number;
};

export type RefusalSums = { add(more: RefusalCount): void; list(): RefusalCount[] };

/** Sums by who and why; those who are too many become one. One more costs the same however many there are. */
export function createSums(maxWho = MAX_WHO): RefusalSums {
  const sums = new Map<string, RefusalCount>();
  const known = new Set<string>();
  return {
    add({ count, ...each }) {
      if (known.size < maxWho || known.has(each.who)) known.add(each.who);
      else each.who = OTHER;
      const key = JSON.stringify([each.kind, each.who, each.reason]);
      sums.set(key, { ...each, count: (sums.get(key)?.count ?? 0) + count });
    },
    list: () => [...sums.values()],
  };
}

/** The entry of one sum; `minute` is its first ms. */
export function toRefusalEvent({ kind, who, reason, count }: RefusalCount, minute: number): AuditEvent {
  const isActor = kind === "authorization.refused";
  return {
    kind,
    ...(isActor && { actor: who }),
    detail: { ...(!isActor && { address: who }), reason, count, minute },
  };
}

/**
 * The network of an address as `addressOf` writes it: of IPv4 24 bits, of IPv6 48. A year of whole addresses would say
 * more of people than of attacks; what must be blocked is a network anyhow.
 */
export function toNetwork(address: string): string {
  const ipv4 = /^(\d+\.\d+\.\d+)\.\d+$/.exec(address);
  if (ipv4) return `${ipv4[1]}.0/24`;
  const ipv6 = /^([0-9a-f]{12})[0-9a-f]{4}\/64$/.exec(address);
  return ipv6?.[1] === undefined ? address : `${(ipv6[1].match(/.{4}/g) ?? []).join(":")}::/48`;
}

export type RefusalsOptions = {
  send(counts: RefusalCount[]): Promise<unknown>;
  waitUntil(promise: Promise<unknown>): void;
  sleep(ms: number): Promise<unknown>;
};

export type Refusals = { add(refusal: Omit<RefusalCount, "count">): void };

/** Gathers what one isolate sees. */
export function createRefusals({ send, ...options }: RefusalsOptions): Refusals {
  const gathering = createGathering<RefusalSums>({
    ...options,
    everyMs: GATHER_MS,
    async handOver(sums) {
      const counts = sums.list();
      try {
        await send(counts);
      } catch (error) {
        log("warn", "refusals could not be told to the audit", { error, counts: counts.length });
      }
    },
  });
  return {
    add: (refusal) =>
      gathering.add((sums = createSums()) => {
        sums.add({ ...refusal, count: 1 });
        return sums;
      }),
  };
}
