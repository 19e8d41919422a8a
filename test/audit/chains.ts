// What tests know of chains: they are recomputed here with Web Crypto and the document's own words, not by the code.

import { env } from "cloudflare:test";
import { expect } from "vitest";
import type { AuditTail } from "../../src/audit/chain.ts";
import type { AuditEntry, AuditEvent } from "../../src/audit/entry.ts";
import { sha256 } from "../../src/lib/bytes.ts";
import { homeOf } from "../support/client.ts";

const STORED = "SELECT chain, n, at, since, body, hash FROM audit WHERE chain = ? ORDER BY n";

/** The audit of an owner's home, shipped or not, and its head. */
async function auditOf(owner: string): Promise<AuditTail> {
  const home = homeOf(owner);
  const { head, entries } = await home.auditTail(0);
  const { results } = await env.DB.prepare(STORED).bind(home.id.toString()).all<AuditEntry>();
  // One that is being shipped may be in both.
  return { head, entries: [...results, ...entries.filter(({ n }) => n > (results.at(-1)?.n ?? 0))] };
}

/** What the audit of an owner's home tells. */
export async function eventsOf(owner: string): Promise<AuditEvent[]> {
  const { entries } = await auditOf(owner);
  return entries.map(({ body }) => JSON.parse(body) as AuditEvent);
}

/** Checks that the home has so many entries, and that each follows the one before. */
export async function checkChain(owner: string, length: number): Promise<void> {
  const { head, entries } = await auditOf(owner);
  expect(entries).toHaveLength(length);
  const last = await followChain(entries);
  expect(head).toEqual({ n: length, at: entries.at(-1)?.at, hash: last });
}

/** The hash that entries from the first on end with, each of which has been recomputed. */
export async function followChain(
  entries: readonly AuditEntry[],
  previous = "0".repeat(64),
): Promise<string> {
  let [hash, n, since] = [previous, (entries[0]?.n ?? 1) - 1, entries[0]?.since ?? 0];
  for (const entry of entries) {
    const { chain, at, body } = entry;
    expect(entry).toMatchObject({ n: n + 1, since });
    const place = `{"chain":"${chain}","n":${entry.n},"at":${at},"since":${since}`;
    hash = await sha256(`${hash}\n${place},${body.slice(1, -1)}`);
    expect(entry.hash).toBe(hash);
    [n, since] = [entry.n, at];
  }
  return hash;
}
